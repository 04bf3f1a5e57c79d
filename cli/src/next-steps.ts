/** What a person does next about a run, as commands to copy. */
import type { ItemStatus, RunStatus } from '@pangolin/contracts/status';

/** Of one kind; the table above them has the rest. */
const STEPS_MAX = 3;

/** The items that a failed run is failed for. What was skipped because of them is not among them. */
export const isCause = ({ phase }: ItemStatus): boolean => ['failed', 'denied', 'cancelled'].includes(phase);

/** `pangolin orch …` lines; none for a run that goes on by itself or succeeded. */
export function nextSteps({ run, phase, paused, queue }: RunStatus, items: readonly ItemStatus[]): string[] {
  const each = (where: (item: ItemStatus) => boolean, command: (target: string) => string): string[] =>
    items
      .filter(where)
      .slice(0, STEPS_MAX)
      .map(({ id }) => command(`${run}/${id}`));
  const ended = phase === 'failed' || phase === 'cancelled';
  const steps = [
    ...(paused ? [`resume ${paused === 'run' ? run : `--queue ${queue}`}`] : []),
    ...each(({ reason }) => reason === 'WaitingForApproval', (at) => `approve ${at}   # or reject`), // prettier-ignore
    ...each(({ reason }) => reason === 'WaitingForInput', (at) => `answer ${at} TEXT   # \`status ${at}\` shows the question`), // prettier-ignore
    ...(ended ? each((item) => isCause(item) && item.attempts > 0, (at) => `logs ${at}`) : []), // prettier-ignore
    ...(ended ? [`retry ${run}   # what did not succeed, as a new run`] : []),
  ];
  return steps.map((step) => `  pangolin orch ${step}`);
}
