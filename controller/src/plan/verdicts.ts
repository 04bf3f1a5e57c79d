/** What the end of an attempt means. One ordered table, first match wins; every row is one case from the real world. */
import type { Output } from '@pangolin/contracts/output';
import { classOf, isCancellation, type Reason } from '@pangolin/contracts/reasons';

/** Exit codes of the worker (worker-image/README.md). */
export const EXIT_ALREADY_BOOTED = 3;
export const EXIT_MANIFEST_REJECTED = 4;

/** Everything known about an attempt whose task is not running any more. */
export interface AttemptEnd {
  /** Why we told the task to stop, if we did. */
  readonly stop: Reason | undefined;
  readonly task: 'ended' | 'gone';
  readonly exitCode: number | undefined;
  /** The backend's word on the end or on the failed start. */
  readonly backend: { readonly reason: Reason; readonly message: string } | undefined;
  readonly booted: boolean;
  /** The sentinel, when it is there, well-formed and of this very attempt. */
  readonly output: Pick<Output, 'status' | 'reason' | 'message' | 'partial' | 'needsInput'> | undefined;
  /** Set when a sentinel is there but it or a product it names does not hold. */
  readonly invalid: { readonly reason: Reason; readonly message: string } | undefined;
}

export interface Verdict {
  readonly status: 'done' | 'failed' | 'cancelled' | 'waiting';
  readonly reason: Reason;
  readonly message?: string;
}

type Row = { readonly when: (end: AttemptEnd) => boolean; readonly then: (end: AttemptEnd) => Verdict };

const failed = (reason: Reason, message?: string): Verdict => ({
  status: 'failed',
  reason,
  ...(message && { message }),
});

const rows: readonly Row[] = [
  // What the worker reported and what it wrote differ, or the report is not one. Nothing of it is accepted.
  { when: (e) => e.invalid !== undefined, then: (e) => failed(e.invalid!.reason, e.invalid!.message) },
  // The sentinel is the truth, even when we had told the task to stop: the work is whole.
  {
    when: (e) => e.output?.status === 'succeeded' && !e.output.partial,
    then: () => ({ status: 'done', reason: 'Succeeded' }),
  },
  // Somebody cancelled it or its run, or the run timed out; partial work may be there. Why was written down with the stop.
  { when: (e) => isCancellation(e.stop), then: (e) => ({ status: 'cancelled', reason: e.stop! }) },
  // We stopped it for a deadline of ours.
  { when: (e) => e.stop !== undefined, then: (e) => failed(e.stop!, e.output?.message) },
  // Its blocks stopped with a question; the worker read and bounded it.
  {
    when: (e) => e.output?.status === 'needs_input' && e.output.needsInput !== undefined,
    then: (e) => ({ status: 'waiting', reason: 'WaitingForInput', message: e.output!.needsInput!.question }),
  },
  // The worker was told to stop by somebody else: the host shuts down, spare capacity is taken back, a person stopped
  // the container. The backend may know which.
  {
    when: (e) => e.output?.reason === 'Cancelled',
    then: (e) =>
      e.backend && classOf(e.backend.reason) === 'infrastructure'
        ? failed(e.backend.reason, e.backend.message)
        : failed('Lost', 'the task was stopped from outside'),
  },
  // The worker's reason counts only if it is one that is charged: it cannot award itself free retries.
  {
    when: (e) => e.output?.reason !== undefined && classOf(e.output.reason) === 'item',
    then: (e) => failed(e.output!.reason!, e.output!.message),
  },
  // Its backend does not keep blocks out of the worker, so none was run; another attempt there would end alike.
  {
    when: (e) => e.output?.reason === 'SandboxUnsupported',
    then: (e) => failed('SandboxUnsupported', e.output!.message),
  },
  { when: (e) => e.output !== undefined, then: (e) => failed('WorkerFailed', e.output!.message) },
  // The kernel or the backend says why: out of memory, no image, no capacity.
  { when: (e) => e.backend !== undefined, then: (e) => failed(e.backend!.reason, e.backend!.message) },
  {
    when: (e) => e.exitCode === EXIT_MANIFEST_REJECTED,
    then: () => failed('ManifestRejected', 'the worker refused the manifest'),
  },
  // A worker of this attempt had booted before, and its task is not there any more.
  {
    when: (e) => e.exitCode === EXIT_ALREADY_BOOTED,
    then: () => failed('Lost', 'an earlier task of this attempt disappeared'),
  },
  // Removed by hand, node lost, daemon reset.
  { when: (e) => e.task === 'gone', then: () => failed('Lost', 'the task disappeared without an output') },
  // Killed by a signal from outside (128 + n), or the exit status is unknown: nobody charges the item for that.
  {
    when: (e) => e.exitCode === undefined || e.exitCode > 128,
    then: (e) =>
      failed(
        'Lost',
        e.exitCode === undefined
          ? 'the worker disappeared without an output'
          : `the worker was killed (exit code ${e.exitCode})`,
      ),
  },
  { when: () => true, then: (e) => failed('WorkerFailed', `the worker exited with ${e.exitCode} and wrote no output`) },
];

export function judge(end: AttemptEnd): Verdict {
  return rows.find((row) => row.when(end))!.then(end);
}
