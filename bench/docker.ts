/**
 * One no-op item through the whole product (dropped, admitted, sealed, started, captured, promoted, recorded) over a bare
 * create, start and wait of a container of the same image with the same settings through the same API. The worker
 * alone, without a controller, is measured besides: it shows what of the difference happens inside of the container.
 */
import { chmodSync, existsSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import Docker from 'dockerode';
import { eventsKey, inboxKey, sealKey } from '@pangolin/contracts/layout';
import type { RunEvent } from '@pangolin/contracts/run-log';
import { submissionName } from '@pangolin/contracts/submission';
import { containerOptions, enforcedSandbox } from '@pangolin/controller/providers/docker-container';
import { createDockerProvider, dockerAnswers } from '@pangolin/controller/providers/docker';
import { WORKER_IMAGE } from '@pangolin/controller/providers/open';
import type { TaskStart } from '@pangolin/controller/providers/provider';
import { openFolderStore } from '@pangolin/storage/folder-store';
import type { ObjectStore } from '@pangolin/storage/object-store';
import { inTemporary, median, round, timed, until, withController, type Row } from './figures.ts';

const PAIRS = 12;
const PIPELINE = { blocks: [{ kind: 'script', command: 'true' }] };

export async function docker(): Promise<Row[]> {
  const skipped = await missing();
  if (skipped !== undefined) return [{ skipped }];
  return await inTemporary(async (dir) => {
    const storage = join(dir, 'storage');
    const store = await openFolderStore(storage);
    const engine = new Docker();
    return await withController(storage, ['--compute', 'docker'], async () => {
      await product(store, storage, 'warm-up');
      const rounds = [];
      for (let n = 0; n < PAIRS; n++) {
        const raw = await bare(engine, dir, `raw-${n}`, ['true']);
        const worker = await bare(engine, dir, `worker-${n}`, undefined);
        rounds.push({ raw, worker, ...(await product(store, storage, `run-${n}`)) });
      }
      const rawMs = median(rounds.map((round) => round.raw));
      const row = (what: string, ms: number): Row => ({
        what,
        pairs: PAIRS,
        ms: round(ms),
        rawMs: round(rawMs),
        ratioToRaw: round(ms / rawMs),
      });
      return [
        row('item: dispatched to done', median(rounds.map((round) => round.item))),
        row('item: file dropped to done', median(rounds.map((round) => round.dropped))),
        row('worker alone', median(rounds.map((round) => round.worker))),
      ];
    });
  });
}

async function missing(): Promise<string | undefined> {
  if (!(await dockerAnswers())) return 'no Docker engine answers (scripts/docker-engine.sh up starts one)';
  try {
    await createDockerProvider({ deployment: 'bench', image: WORKER_IMAGE }).resolveImage(undefined);
    return undefined;
  } catch {
    return `the image ${WORKER_IMAGE} is missing (scripts/images.sh worker builds it)`;
  }
}

/** By the times in the run log: when the item's dispatch was sealed, and when its end was recorded. */
async function product(store: ObjectStore, storage: string, id: string): Promise<{ item: number; dropped: number }> {
  const droppedAt = Date.now();
  const spec = JSON.stringify({ id, items: [{ id: 'a', pipeline: PIPELINE }] });
  await store.put(inboxKey(submissionName('service:bench', id)), spec);
  await until(`the seal of ${id}`, 60, () => existsSync(join(storage, sealKey(id))), 10);
  const events = readFileSync(join(storage, eventsKey(id)), 'utf8')
    .trimEnd()
    .split('\n');
  const at = new Map(events.map((line) => JSON.parse(line) as RunEvent).map((event) => [event.kind, event]));
  const end = at.get('item.reconciled')!;
  if (!('status' in end) || end.status !== 'done') throw new Error(`the item of ${id} did not succeed`);
  const doneAt = Date.parse(end.at);
  return { item: doneAt - Date.parse(at.get('item.fired')!.at), dropped: doneAt - droppedAt };
}

/** Without an entry point of ours it is the worker on a standalone task. Removal is not counted. */
async function bare(engine: Docker, dir: string, name: string, entrypoint: string[] | undefined): Promise<number> {
  const task = startOf(dir, name);
  const { Env = [], ...settings } = containerOptions(task, 'bench', WORKER_IMAGE);
  const own = entrypoint
    ? { Env, Entrypoint: entrypoint }
    : { Env: Env.filter((entry) => !entry.startsWith('PANGOLIN_MANIFEST_SHA256=')) };
  let container: Docker.Container | undefined;
  try {
    return await timed(async () => {
      container = await engine.createContainer({ ...settings, ...own });
      await container.start();
      const { StatusCode } = (await container.wait()) as { readonly StatusCode: number };
      if (StatusCode !== 0) throw new Error(`the container ${name} ended with ${StatusCode}`);
    });
  } finally {
    await container?.remove({ force: true, v: true });
  }
}

function startOf(dir: string, name: string): TaskStart {
  const [inDir, outDir] = [join(dir, name, 'in'), join(dir, name, 'out')];
  for (const folder of [inDir, outDir]) mkdirSync(folder, { recursive: true });
  chmodSync(outDir, 0o777);
  writeFileSync(join(inDir, 'task.json'), JSON.stringify({ schema: 'standalone-task/1', pipeline: PIPELINE }));
  const ref = { runId: 'bench', itemId: name, attempt: 1 };
  const sandbox = enforcedSandbox({});
  return {
    name: `pangolin-bench-${process.pid}-${name}`,
    ref,
    inDir,
    outDir,
    manifestSha256: '',
    sandbox,
    graceMs: 10_000,
  };
}
