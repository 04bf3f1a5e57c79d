/**
 * The images: what they weigh, and how long a cold start takes beside `true` in the same image. A start of the controller is over
 * when it serves; one of a worker when it has run a no-op task.
 */
import { execFileSync, spawn } from 'node:child_process';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { WORKER_IMAGE } from '@pangolin/controller/providers/open';
import { inTemporary, median, round, timed, type Row } from './figures.ts';

const STARTS = 7;
const CONTROLLER_IMAGE = WORKER_IMAGE.replace('worker', 'controller');
const HARDENED = ['--read-only', '--tmpfs', '/tmp', '--network', 'none'];

export async function image(): Promise<Row[]> {
  try {
    for (const name of [WORKER_IMAGE, CONTROLLER_IMAGE]) docker('image', 'inspect', name);
  } catch {
    return [{ skipped: `there is no ${WORKER_IMAGE} or ${CONTROLLER_IMAGE} (scripts/images.sh builds them)` }];
  }
  return await inTemporary(async (dir) => {
    const task = { schema: 'standalone-task/1', pipeline: { blocks: [{ kind: 'script', command: 'true' }] } };
    writeFileSync(join(dir, 'task.json'), JSON.stringify(task));
    const mounts = ['-v', `${dir}:/pangolin/in:ro`, '--tmpfs', '/pangolin/out', '-v', '/work'];
    const worker = async (): Promise<number> =>
      await timed(() => docker('run', '--rm', ...HARDENED, ...mounts, WORKER_IMAGE));
    return [await figures(WORKER_IMAGE, worker), await figures(CONTROLLER_IMAGE, serving)];
  });
}

async function figures(name: string, start: () => Promise<number>): Promise<Row> {
  const [starts, floors] = [[] as number[], [] as number[]];
  for (let n = 0; n <= STARTS; n++) {
    const floor = await timed(() => docker('run', '--rm', ...HARDENED, '--entrypoint', 'true', name));
    const ours = await start();
    // The first of each warms the page cache.
    if (n === 0) continue;
    starts.push(ours);
    floors.push(floor);
  }
  const bytes = Number(docker('image', 'inspect', '-f', '{{.Size}}', name));
  const own = docker('history', '--human=false', '--format', '{{.Size}} {{.CreatedBy}}', name)
    .split('\n')
    .find((line) => /ADD/.test(line));
  return {
    image: name,
    starts: STARTS,
    MB: round(bytes / 1e6),
    ownMB: round(Number(own?.split(' ')[0] ?? 0) / 1e6),
    coldMs: round(median(starts)),
    trueMs: round(median(floors)),
    ratio: round(median(starts) / median(floors)),
  };
}

async function serving(): Promise<number> {
  const name = `pangolin-bench-${process.pid}`;
  const started = performance.now();
  const child = spawn(
    'docker',
    ['run', '--rm', '--name', name, ...HARDENED, CONTROLLER_IMAGE, 'orch', 'serve', '--compute', 'process'],
    { stdio: ['ignore', 'ignore', 'pipe'] },
  );
  try {
    for await (const chunk of child.stderr) if (String(chunk).includes('"serving"')) return performance.now() - started;
    throw new Error('the controller did not serve');
  } finally {
    docker('rm', '-f', '-v', name);
  }
}

function docker(...args: readonly string[]): string {
  return execFileSync('docker', args, { encoding: 'utf8', stdio: ['ignore', 'pipe', 'ignore'] }).trim();
}
