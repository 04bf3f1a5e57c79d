/** A new run: its rows, and the first entry of its log. */
import { randomBytes } from 'node:crypto';
import type { AdmittedRun } from '@pangolin/contracts/admitted-run';
import { RUN_LOG_SCHEMA } from '@pangolin/contracts/run-log';
import { addItems } from './dependencies.ts';
import { ENGINE } from './engine.ts';
import type { Pass } from './pass.ts';
import { dueIn, tellQueuePause } from './pausing.ts';

export function insertRun(
  pass: Pass,
  entry: {
    readonly run: AdmittedRun;
    readonly plan: string;
    readonly actor: string;
    readonly submission: string;
    readonly submissionDigest?: string;
    readonly retryOf?: string;
  },
): void {
  const { state, evidence, logOrigin, memory } = pass.engine;
  const due = dueIn(pass, { queue: entry.run.queue, paused: 0 }, entry.run.timeoutMs);
  const run = state.insertRun({ ...entry, at: pass.now, due, tag: memory.queues.get(entry.run.queue).tag });
  state.addPipelines(entry.run.pipelines);
  const after = evidence.lastCheckpoint();
  pass.event(
    entry.run.id,
    {
      kind: 'run.submitted',
      schema: RUN_LOG_SCHEMA,
      logOrigin,
      plan: { sha256: entry.plan },
      ...(entry.submissionDigest !== undefined && { submission: { sha256: entry.submissionDigest } }),
      nonce: randomBytes(16).toString('hex'),
      ...(after && { after }),
      engine: ENGINE,
    },
    entry.actor,
  );
  tellQueuePause(pass, entry.run);
  addItems(pass, run, entry.run.items);
}
