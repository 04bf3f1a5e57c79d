/** Problems of a file: `file:line:col code path message`, the line itself with a caret, the hint. */
import type { Problem } from '@pangolin/contracts/status';
import { printable, type Paint } from '../terminal.ts';

const EXCERPT_MAX = 120;

/** `source` is the text of the file the problems are about, when it is at hand. */
export function renderProblems(problems: readonly Problem[], paint: Paint, source?: string): string {
  const lines = source?.split('\n');
  return problems.flatMap((problem) => renderProblem(problem, paint, lines)).join('\n');
}

function renderProblem(problem: Problem, paint: Paint, source: readonly string[] | undefined): string[] {
  const { file, line, column, path, code, message, hint } = problem;
  const place = [file, line, column].filter((part) => part !== undefined).join(':');
  const head = [paint('bold', printable(place)), paint('red', code), printable(path), printable(message)];
  const lines = [head.filter((part) => part !== '').join(' ')];
  // Of a credential nothing is repeated.
  if (code !== 'CredentialInValue' && line !== undefined && source?.[line - 1] !== undefined)
    lines.push(...excerpt(source[line - 1]!, line, column ?? 1, paint));
  if (hint !== undefined) lines.push(`  ${paint('cyan', 'hint:')} ${printable(hint)}`);
  return lines;
}

/** Long lines are shown around the column. */
function excerpt(text: string, line: number, column: number, paint: Paint): string[] {
  const from = Math.max(0, column - 1 - EXCERPT_MAX / 2);
  const number = String(line).padStart(5);
  const shown = printable(text.slice(from, from + EXCERPT_MAX).replaceAll('\t', ' '));
  return [
    `${paint('dim', `${number} |`)} ${shown}`,
    `${paint('dim', '      |')} ${' '.repeat(column - 1 - from)}${paint('red', '^')}`,
  ];
}
