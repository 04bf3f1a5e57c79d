/** What a pass causes outside, once its transaction is durable. Every effect is repeatable and named by the rows. */
import { isPangolinError, messageOf } from '@pangolin/contracts/errors';
import { isReason } from '@pangolin/contracts/reasons';
import type { ItemRow } from '../store/rows.ts';
import { mapBounded } from '@pangolin/contracts/map-bounded';
import { givenTo, type Engine } from './engine.ts';
import type { Effect } from './pass.ts';

const START_PARALLEL = 16;

/** Starts all of it and waits for none of it: what comes of an effect is observed by a later pass. */
export function performEffects(engine: Engine, effects: readonly Effect[]): void {
  const starts = effects.filter((effect) => effect.kind === 'start').map((effect) => effect.task);
  for (const task of starts) engine.memory.starting.add(task);
  let next = 0;
  const starter = async (): Promise<void> => {
    while (next < starts.length && !engine.memory.draining) await startTask(engine, starts[next++]!);
  };
  const rest = (): void => starts.slice(next).forEach((task) => engine.memory.starting.delete(task));
  for (let n = 0; n < Math.min(START_PARALLEL, starts.length); n++) void starter().then(rest);

  for (const effect of effects) {
    if (effect.kind === 'stop') void attempt(engine, 'stop', effect.task, () => stopTask(engine, effect.task));
    if (effect.kind === 'remove') void attempt(engine, 'remove', effect.task, () => removeTask(engine, effect.task));
    if (effect.kind === 'submit') void effect.submit();
    if (effect.kind === 'acknowledge')
      void attempt(engine, 'acknowledge', undefined, effect.done).then(() => engine.wake());
  }
}

async function startTask(engine: Engine, task: string): Promise<void> {
  const { state, memory, provider, files, evidence, config, log } = engine;
  try {
    const item = state.itemByTask(task);
    if (!item) return;
    const { manifest, envelope } = evidence.dispatch(item.statement!, item.dispatch!);
    const laidOut = await files.layOut(manifest, envelope, givenTo(item));
    await engine.secrets.offer(task, laidOut.inDir, manifest.secrets ?? []);
    memory.started.add(task);
    await provider.start({
      name: task,
      ref: { runId: manifest.runId, itemId: manifest.itemId, attempt: manifest.attempt },
      ...laidOut,
      manifestSha256: item.dispatch!,
      sandbox: manifest.sandbox.enforced,
      ...(manifest.image && { image: manifest.image.id ?? manifest.image.ref }),
      graceMs: config.graceMs,
    });
  } catch (error) {
    const reason = isPangolinError(error) && (error.details as { reason?: unknown } | undefined)?.reason;
    memory.startErrors.set(task, { reason: isReason(reason) ? reason : 'StartFailed', message: messageOf(error) });
    log.warn({ task, err: error }, `a task could not be started: ${messageOf(error)}`);
  } finally {
    memory.starting.delete(task);
    memory.dirty.add(task);
    engine.wake();
  }
}

async function stopTask(engine: Engine, task: string): Promise<void> {
  engine.memory.stopped.add(task);
  await engine.provider.stop(task, engine.config.graceMs);
  // A task that was gone already gives no event.
  engine.memory.dirty.add(task);
  engine.wake();
}

async function removeTask(engine: Engine, task: string): Promise<void> {
  engine.memory.started.delete(task);
  engine.memory.stopped.delete(task);
  engine.secrets.withdraw(task);
  await engine.provider.remove(task);
  await engine.files.discard(task);
}

/** Best effort by design: a stop that failed is followed by its kill deadline, a removal by the sweep, an acknowledgement by the next scan. */
async function attempt(
  engine: Engine,
  verb: string,
  task: string | undefined,
  work: () => Promise<void>,
): Promise<void> {
  try {
    await work();
  } catch (error) {
    engine.log.warn({ task, err: error }, `could not ${verb}: ${messageOf(error)}`);
  }
}

/** Removes tasks and task files of this deployment that belong to no running attempt: left behind by a crash or a failed removal. */
export async function sweep(engine: Engine): Promise<void> {
  for (const task of new Set([...(await engine.provider.list()), ...(await engine.files.list())])) {
    if (engine.state.itemByTask(task) || engine.memory.starting.has(task)) continue;
    await attempt(engine, 'remove', task, () => removeTask(engine, task));
  }
}

/** Gives running tasks newer grants before their own end. What fails now is tried with the next look at everything. */
export async function renewGrants(engine: Engine, items: readonly ItemRow[]): Promise<void> {
  const { files, evidence } = engine;
  if (files.renew === undefined) return;
  await mapBounded(items, START_PARALLEL, async ({ task, dispatch, statement }) => {
    if (task === null || dispatch === null || statement === null || engine.memory.starting.has(task)) return;
    const renew = async (): Promise<void> => await files.renew!(evidence.dispatch(statement, dispatch).manifest);
    await attempt(engine, 'renew the grants of', task, renew);
  });
}
