/** Runs and items for people. */
import { isTerminal, phases, remedyOf, isReason, type Phase } from '@pangolin/contracts/reasons';
import type { ItemStatus, RunPhase, RunStatus } from '@pangolin/contracts/status';
import { formatDuration } from '@pangolin/contracts/units';
import type { Work } from '../read/work.ts';
import { printable, type Paint } from '../terminal.ts';
import { isCause, nextSteps } from '../next-steps.ts';
import { renderTable } from './table.ts';
import { renderWork } from './work.ts';

/** More rows than anybody reads; JSON has them all. */
const ROWS_MAX = 500;

export function paintPhase(paint: Paint, phase: string): string {
  const style = styles[phase as Phase | RunPhase];
  return style === undefined ? phase : paint(style, phase);
}

const styles: Partial<Record<Phase | RunPhase, 'green' | 'red' | 'yellow' | 'cyan'>> = {
  done: 'green',
  succeeded: 'green',
  failed: 'red',
  denied: 'red',
  skipped: 'yellow',
  cancelled: 'yellow',
  running: 'cyan',
  starting: 'cyan',
};

export async function renderRuns(runs: readonly RunStatus[], paint: Paint): Promise<string> {
  const columns = [
    { title: 'RUN' },
    { title: 'PHASE', paint: (text: string) => paintPhase(paint, text) },
    { title: 'DONE', align: 'right' as const },
    { title: 'SEALED' },
    { title: 'SUBMITTED' },
    { title: 'DURATION', align: 'right' as const },
    { title: 'ACTOR' },
  ];
  return await renderTable(
    columns,
    runs.map((run) => [
      run.run,
      run.phase,
      `${run.counts.done ?? 0}/${run.counts.total}`,
      run.sealedAt === undefined ? 'no' : 'yes',
      run.submittedAt.replace('T', ' ').slice(0, 19),
      durationOf(run),
      run.actor,
    ]),
  );
}

/** `items`: all or some of the run's. Of many the causes of a failure come first, and what is done is left out. */
export async function renderRun(run: RunStatus, items: readonly ItemStatus[], paint: Paint): Promise<string> {
  const shown = items.length > ROWS_MAX ? shortened(items) : items;
  const parts = [
    `${paint('bold', run.run)}  ${paintPhase(paint, run.phase)}  ${sealOf(run)}`,
    printable(
      `queue ${run.queue}, by ${run.actor}, submitted ${run.submittedAt}, ${run.finishedAt === undefined ? 'for' : 'took'} ${durationOf(run)}`,
    ),
    countsOf(run),
  ];
  if (shown.length > 0) parts.push('', await renderItems(shown, paint));
  if (shown.length < run.counts.total)
    parts.push(`… ${run.counts.total - shown.length} of ${run.counts.total} items not shown; -o json has all.`);
  const remedies = remediesFor(items);
  if (remedies.length > 0) parts.push('', ...remedies);
  const steps = nextSteps(run, items);
  if (steps.length > 0) parts.push('', 'Next:', ...steps);
  return parts.join('\n');
}

function shortened(items: readonly ItemStatus[]): readonly ItemStatus[] {
  const others = items.filter((item) => item.phase !== 'done' && !isCause(item));
  return [...items.filter(isCause), ...others].slice(0, ROWS_MAX);
}

async function renderItems(items: readonly ItemStatus[], paint: Paint): Promise<string> {
  const columns = [
    { title: 'ITEM' },
    { title: 'PHASE', paint: (text: string) => paintPhase(paint, text) },
    { title: 'REASON' },
    { title: 'ATTEMPTS', align: 'right' as const },
    { title: 'DURATION', align: 'right' as const },
    { title: 'MESSAGE' },
  ];
  return await renderTable(
    columns,
    items.map((item) => [
      item.id,
      item.phase,
      item.reason,
      String(item.attempts),
      item.durationMs === undefined ? '' : formatDuration(item.durationMs),
      `${item.partial === true ? '(partial) ' : ''}${item.message ?? ''}`,
    ]),
  );
}

/** One item, what it asks, what it did and what it was given. */
export function renderItem(run: string, item: ItemStatus, work: Work, paint: Paint): string {
  const { asks, retryAt, reason } = item;
  const lines = [`${paint('bold', run)}/${itemLine(item, paint)}`];
  if (retryAt !== undefined) lines.push(`next attempt at ${retryAt}`);
  if (asks) {
    lines.push('', ...asks.question.split('\n').map(printable));
    for (const option of asks.options ?? []) lines.push(`  - ${printable(option)}`);
    if (asks.context !== undefined) lines.push('', printable(`context: ${JSON.stringify(asks.context)}`));
    if (asks.deadline !== undefined) lines.push('', `to be answered until ${asks.deadline}`);
  }
  lines.push(...renderWork(work));
  if (item.phase !== 'done' && isReason(reason)) lines.push('', `${reason}: ${remedyOf(reason)}`);
  return lines.join('\n');
}

/** One line per reason that some item needs something done about. */
function remediesFor(items: readonly ItemStatus[]): string[] {
  const reasons = new Set(items.filter(({ phase }) => phase !== 'done').map(({ reason }) => reason));
  return [...reasons].filter(isReason).map((reason) => `${reason}: ${remedyOf(reason)}`);
}

/** `5 items: 4 done, 1 failed`. */
export function countsOf({ counts }: RunStatus): string {
  const parts = phases.flatMap((phase) => (counts[phase] ? [`${counts[phase]} ${phase}`] : []));
  return `${counts.total} item${counts.total === 1 ? '' : 's'}: ${parts.join(', ')}`;
}

/** From submission to the end, or to now. */
export function durationOf(run: RunStatus): string {
  const end = run.finishedAt === undefined ? Date.now() : Date.parse(run.finishedAt);
  return formatDuration(Math.max(0, end - Date.parse(run.submittedAt)));
}

function sealOf(run: RunStatus): string {
  if (run.paused) return `the ${run.paused} is paused`;
  if (run.sealedAt !== undefined) return 'sealed';
  return run.phase === 'running' ? 'not sealed' : 'sealing';
}

/** `edit-a  failed  ExitNonZero: exit code 1 (attempt 2, 3.1s)`, for one change. */
export function itemLine(item: ItemStatus, paint: Paint): string {
  const message = item.message === undefined ? '' : `: ${printable(item.message)}`;
  const facts = [
    ...(item.attempts > 0 ? [`attempt ${item.attempts}`] : []),
    ...(isTerminal(item.phase) && item.durationMs !== undefined ? [formatDuration(item.durationMs)] : []),
  ];
  return `${item.id}  ${paintPhase(paint, item.phase)}  ${item.reason}${message}${facts.length > 0 ? ` (${facts.join(', ')})` : ''}`;
}
