/** Launches what is ready, within the concurrency of its queue and the resource locks. */
import type { EnvBundle } from '@pangolin/contracts/env-bundle';
import { sha256 } from '@pangolin/contracts/digest';
import { isPangolinError } from '@pangolin/contracts/errors';
import { taskName } from '@pangolin/contracts/ids';
import { casKey } from '@pangolin/contracts/layout';
import type { Reason } from '@pangolin/contracts/reasons';
import type { AdmittedItem } from '@pangolin/contracts/admitted-run';
import { secretsOf } from '@pangolin/contracts/secrets';
import type { DispatchManifest } from '@pangolin/contracts/task';
import { specField, unmet } from '../providers/checks.ts';
import type { ComputeProvider } from '../providers/provider.ts';
import type { ItemRow, RunRow } from '../store/rows.ts';
import { specOf, type Engine } from './engine.ts';
import { resolveInputs, signDispatch } from './manifest.ts';
import type { Pass } from './pass.ts';
import { pausedKey } from './pausing.ts';
import { AGEING_MS } from './queues.ts';
import { FIRST_RANK, keepLocks, leaveLocks, passOn } from './lock-waiters.ts';
import { denyItem } from './transitions.ts';

export async function launchReady(pass: Pass): Promise<void> {
  const { memory, config, provider } = pass.engine;
  const { queues } = memory;
  // A start that ends wakes the next pass.
  const startsFree = (provider.startsMax ?? Infinity) - memory.starting.size;
  const startsBefore = pass.effects.length;
  /** Of what all queues share. */
  const shared = (): number =>
    Math.min(config.tasksMax - queues.active, startsFree - (pass.effects.length - startsBefore));
  const failed = new Set<number>();
  for (let open = queues.names(); open.length > 0 && shared() > 0;) {
    // Where there is not enough for all of them, one after the other: none waits until another one has nothing left.
    const most = shared() === Infinity || open.length === 1 ? Infinity : 1;
    const goingOn: string[] = [];
    for (const queue of queues.inTurn(open)) {
      const free = (): number => Math.min(queues.free(queue, pass.now), shared());
      if (await launchFrom(pass, queue, free, most, failed)) goingOn.push(queue);
    }
    open = goingOn;
  }
}

/**
 * Launches up to `most` items of a queue. One that blocks leaves its place to the next one; so does one whose launch fails, which
 * is not tried twice. Answers whether the queue may have more.
 */
async function launchFrom(
  pass: Pass,
  queue: string,
  free: () => number,
  most: number,
  failed: Set<number>,
): Promise<boolean> {
  const { memory } = pass.engine;
  const before = memory.queues.get(queue).active;
  const left = (): number => Math.min(free(), most - (memory.queues.get(queue).active - before));
  while (left() > 0) {
    const candidates = candidatesOf(pass, queue, Math.min(left(), CANDIDATES_MAX), failed);
    if (candidates.length === 0) return false;
    for (const { item, isAged } of candidates) {
      const { active } = memory.queues.get(queue);
      if (!(await pass.guard({ item: item.item_id }, () => launch(pass, item)))) failed.add(item.iid);
      else if (isAged && memory.queues.get(queue).active > active) memory.queues.agedStarted(queue);
    }
  }
  return free() > 0;
}

const CANDIDATES_MAX = 1000;

/** Whose turn it is: `count` items at most, by rank, but in every AGED_EVERY-th place one that has been ready for AGEING_MS. */
function candidatesOf(
  { engine: { state, memory }, now }: Pass,
  queue: string,
  count: number,
  failed: ReadonlySet<number>,
): { readonly item: ItemRow; readonly isAged: boolean }[] {
  const isOpen = ({ iid }: ItemRow): boolean => !failed.has(iid);
  const ranked = state.turns.runnable(queue, count + failed.size).filter(isOpen);
  // When all of them fit nobody is left out.
  const places = ranked.length < count ? 0 : memory.queues.agedPlaces(queue, count);
  const aged = places === 0 ? [] : state.turns.readyLong(queue, now - AGEING_MS, places + failed.size).filter(isOpen);
  const first = aged.slice(0, places).map((item) => ({ item, isAged: true }));
  const taken = new Set(first.map(({ item }) => item.iid));
  const others = ranked.filter(({ iid }) => !taken.has(iid)).map((item) => ({ item, isAged: false }));
  return [...first, ...others].slice(0, count);
}

async function launch(pass: Pass, item: ItemRow): Promise<void> {
  const { state, memory } = pass.engine;
  const spec = specOf(item);
  const { resourceLocks } = spec;
  const run = state.runByNumber(item.rn);
  if (run.paused === 1) {
    state.change(item, {
      runnable: 0,
      blocked_on: pausedKey(item.rn),
      reason: 'QueuePaused',
      message: 'the run is paused',
    });
    return leaveLocks(pass, item);
  }
  const isKept = memory.locks.blocking(resourceLocks, item.iid) !== undefined && keepLocks(pass, item, resourceLocks);
  const blocking = memory.locks.blocking(resourceLocks, item.iid);
  if (blocking === undefined) {
    await fire(pass, item, run, spec);
    // Another one may share what this one took.
    for (const lock of resourceLocks) if (typeof lock !== 'string') state.turns.wakeWaiters(lock.key);
    return;
  }
  state.change(item, {
    runnable: 0,
    blocked_on: blocking,
    reason: 'WaitingForLock',
    message: `waits for the lock ${blocking}`,
    ...(isKept && { rank: FIRST_RANK }),
  });
  passOn(pass, resourceLocks);
}

/** Seals the dispatch of the item's next attempt. The task itself is started after the commit (law 1). */
async function fire(pass: Pass, item: ItemRow, run: RunRow, spec: AdmittedItem): Promise<void> {
  const { state, memory, provider, config, deployment } = pass.engine;
  const resolved = resolveInputs(pass, item, spec);
  if ('missing' in resolved) return denyItem(pass, item, run, 'InputMissing', resolved.missing);

  const asked = {
    ...(spec.network !== undefined && { network: spec.network }),
    ...(spec.cpuMillis !== undefined && { cpuMillis: spec.cpuMillis }),
    ...(spec.memoryBytes !== undefined && { memoryBytes: spec.memoryBytes }),
    ...spec.sandbox,
  };
  let enforced;
  try {
    const agent = spec.subagent !== undefined;
    enforced = provider.enforce({
      ...asked,
      ...(spec.image !== undefined && { image: spec.image }),
      ...(agent && { agent }),
    });
  } catch (error) {
    if (!isPangolinError(error, 'UNSUPPORTED')) throw error;
    const message = error.hint === undefined ? error.message : `${error.message}. ${error.hint}`;
    return denyItem(pass, item, run, 'SandboxUnsupported', message);
  }
  const refused = unmet(asked, enforced);
  if (refused !== undefined) {
    const message = `\`${specField(refused)}\`: the ${provider.name} provider cannot honour it as it is asked for. Leave it out, or use another backend.`;
    return denyItem(pass, item, run, 'SandboxUnsupported', message);
  }
  const secrets = await secretsOfItem(pass.engine, spec);
  // An agent without one was let through with --unsandboxed.
  const hasOwnUser = enforced.user === 'separate' || spec.subagent !== undefined;
  const refusal = await secretsRefusal(pass.engine, secrets, hasOwnUser);
  if (refusal) return denyItem(pass, item, run, refusal.reason, refusal.message);
  const ref = { runId: run.run_id, itemId: item.item_id, attempt: item.attempt + 1 };
  const task = taskName(deployment, ref);
  const image = spec.pinnedImage ?? (await imageOf(provider, spec));
  const answer = item.answer === null ? undefined : { sha256: sha256(item.answer) };
  const dispatch = await signDispatch(pass, ref, spec, {
    task,
    answer,
    inputs: resolved.inputs,
    secrets,
    asked,
    enforced,
    image,
  });
  pass.event(run.run_id, {
    kind: 'item.fired',
    itemId: item.item_id,
    attempt: ref.attempt,
    dispatch: { sha256: dispatch.sha256 },
    ...(answer && { answer }),
    inputs: resolved.inputs,
  });
  state.change(item, {
    phase: 'starting',
    reason: 'Dispatched',
    message: null,
    attempt: ref.attempt,
    task,
    dispatch: dispatch.sha256,
    statement: dispatch.statement,
    runnable: 0,
    products: null,
    partial: 0,
    started_at: item.started_at ?? pass.now,
    due_at: pass.now + (spec.bootTimeoutMs ?? config.bootMs),
  });
  memory.take(item, spec);
  // Crash here: the dispatch is sealed and nothing runs. The next controller observes no task, finds no boot record and starts it.
  pass.effects.push({ kind: 'start', task });
  pass.tell({ run: ref.runId, item: ref.itemId, attempt: ref.attempt, task }, 'dispatched');
}

/** Those that blocks name, and those of its env bundles. */
async function secretsOfItem({ state, store }: Engine, spec: AdmittedItem): Promise<readonly string[]> {
  const refs = new Set(secretsOf(state.pipeline(spec.pipeline!.sha256)));
  for (const { sha256 } of spec.env ?? []) {
    const bundle = JSON.parse((await store.get(casKey(sha256))).toString()) as EnvBundle;
    for (const { ref } of Object.values(bundle.secrets ?? {})) refs.add(ref);
  }
  return [...refs].sort();
}

/** A store that does not answer is no refusal: the start asks it again, and is tried again. */
async function secretsRefusal(
  { secrets, provider }: Engine,
  refs: readonly string[],
  hasOwnUser: boolean,
): Promise<{ readonly reason: Reason; readonly message: string } | undefined> {
  if (refs.length > 0 && !hasOwnUser) {
    const message = 'secrets need blocks that run as another user than the worker; serve with --compute docker';
    return { reason: 'SandboxUnsupported', message };
  }
  if (refs.length > 0 && provider.elsewhere) {
    const message = 'secrets are handed over on this machine only, and tasks of this backend run elsewhere';
    return { reason: 'SandboxUnsupported', message };
  }
  for (const ref of refs) {
    try {
      await secrets.store.get(ref);
    } catch (error) {
      if (!isPangolinError(error)) throw error;
      if (!error.retryable) return { reason: 'SecretUnavailable', message: error.message };
    }
  }
  return undefined;
}

/** What the backend cannot resolve now is still what the item named: its start then says that it is not there. */
async function imageOf(provider: ComputeProvider, { image }: AdmittedItem): Promise<DispatchManifest['image']> {
  try {
    return await provider.resolveImage(image);
  } catch {
    return image === undefined ? undefined : { ref: image };
  }
}
