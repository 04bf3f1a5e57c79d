/** What a check of a log found, for people; and the exit code, as those of a bundle. */
import { plural } from '../checks/check.ts';
import { printable } from '../render.ts';
import type { LogReport } from './check-log.ts';

const verdicts: Readonly<Record<LogReport['verdict'], string>> = {
  consistent: 'CONSISTENT. The log never forked, and each of its entries belongs to a run that is there.',
  failed: 'FAILED. Somebody changed the log, or took away what it holds.',
  incomplete: 'INCOMPLETE. Nothing wrong was found, but not everything could be checked.',
};
const exitCodes: Readonly<Record<LogReport['verdict'], number>> = { consistent: 0, failed: 1, incomplete: 4 };

export const logExitCode = ({ verdict }: LogReport): number => exitCodes[verdict];

export function renderLogReport(report: LogReport): string {
  const { origin, size, seals, heads, anchored, foreign, checkpoints, unsealed, unchecked, problems } = report;
  const lines = [
    verdicts[report.verdict],
    printable(
      `log ${origin}: ${plural(size, 'entry', 'entries')}, ${plural(seals, 'seal')} and ${plural(heads, 'head')} found, ` +
        `${plural(anchored, 'seal')} in anchors, ${plural(checkpoints, 'earlier checkpoint')} continued`,
    ),
    ...problems.map(({ code, message }) => `  ${code.padEnd(15)} ${printable(message)}`),
    ...unchecked.map((each) => `  ${'unchecked'.padEnd(15)} ${printable(each)}`),
    ...(foreign > 0 ? [`${plural(foreign, 'seal')} of other logs were passed over.`] : []),
    ...(unsealed.length > 0 ? [printable(`Not sealed, so not in the log: ${unsealed.join(', ')}`)] : []),
  ];
  return lines.map((line) => `${line}\n`).join('');
}
