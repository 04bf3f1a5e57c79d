import { randomBytes } from 'node:crypto';
import { isPangolinError, messageOf, PangolinError } from '@pangolin/contracts/errors';
import { command } from '../command.ts';
import type { Context } from '../context.ts';
import { stateFlag, stateGiven } from '../deployment-keys.ts';
import { lagOf, readEvidenceStatus } from '../read/evidence.ts';
import { readLease, seemsServed } from '../read/receipts.ts';
import { printable } from '../terminal.ts';

/** `warn`: something works less well. `fail`: something does not work at all. */
interface Finding {
  readonly status: 'ok' | 'warn' | 'fail';
  readonly message: string;
  readonly hint?: string;
}

const ANSWER_MS = 5000;
const UNAVAILABLE_EXIT = 6;

export const doctor = command({
  description: 'Check this machine and this storage, and say what to do about what is missing',
  args: {
    live: {
      type: 'boolean',
      description: 'Only whether the controller of this machine or container goes round; 6 if not.',
    },
    state: stateFlag,
  },
  async run({ live, state }, context) {
    if (live) return await reportAlive(context, state);
    const checks = { node: nodeVersion, git: gitVersion, storage, docker, controller, evidence };
    const found = await Promise.all(
      Object.entries(checks).map(async ([name, check]) => ({ name, ...(await check(context)) })),
    );
    if (context.json) await context.printJson({ checks: found });
    else for (const finding of found) await context.print(line(finding, context));
    return found.some(({ status }) => status === 'fail') ? UNAVAILABLE_EXIT : 0;
  },
});

/** Cheap enough for a health check: reads one file. @throws PangolinError UNAVAILABLE; USAGE when it is not known where */
async function reportAlive(context: Context, state: string | undefined): Promise<void> {
  const dir = stateGiven(state) ?? (await context.open()).localPath('controller');
  if (dir === undefined) throw new PangolinError('USAGE', 'remote storage needs --state DIR, or PANGOLIN_STATE');
  const { assertAlive } = await import('@pangolin/controller/alive');
  const silentMs = assertAlive(dir, Date.now());
  if (context.json) await context.printJson({ alive: true, silentMs });
  else await context.print(`alive: the loop came round ${Math.round(silentMs / 1000)} s ago`);
}

function line({ name, status, message, hint }: Finding & { readonly name: string }, { paint }: Context): string {
  const mark = paint(status === 'ok' ? 'green' : status === 'warn' ? 'yellow' : 'red', status.padEnd(4));
  return `${mark}  ${name.padEnd(10)}  ${printable(message)}${hint === undefined ? '' : `\n${' '.repeat(18)}${hint}`}`;
}

async function nodeVersion(): Promise<Finding> {
  return { status: 'ok', message: `Node ${process.versions.node}` };
}

async function gitVersion(): Promise<Finding> {
  const [{ execFile }, { promisify }] = await Promise.all([import('node:child_process'), import('node:util')]);
  try {
    const { stdout } = await promisify(execFile)('git', ['--version'], { timeout: ANSWER_MS });
    return { status: 'ok', message: stdout.trim() };
  } catch {
    return { status: 'fail', message: 'git does not start', hint: 'Install git; workspaces and patches need it.' };
  }
}

/** Put, get, delete: what everything else here does. */
async function storage(context: Context): Promise<Finding> {
  try {
    const store = await context.open();
    const key = `doctor/${randomBytes(8).toString('hex')}`;
    await store.put(key, 'ok', { ifAbsent: true });
    const read = (await store.get(key)).toString('utf8');
    await store.delete(key);
    if (read !== 'ok') return { status: 'fail', message: `${store.location} returned other bytes than were written` };
    return { status: 'ok', message: `${store.location} can be written` };
  } catch (error) {
    return {
      status: 'fail',
      message: messageOf(error),
      hint:
        isPangolinError(error) && error.hint !== undefined
          ? error.hint
          : 'Name a storage with --storage or PANGOLIN_STORAGE; `pangolin init` makes one here.',
    };
  }
}

async function docker(): Promise<Finding> {
  const info = await dockerInfo(process.env.DOCKER_HOST ?? 'unix:///var/run/docker.sock');
  if (info !== undefined) {
    const classes = Object.keys(info.Runtimes ?? {}).sort();
    const named = classes.map((name) => (name === info.DefaultRuntime ? `${name} (default)` : name));
    return {
      status: 'ok',
      message: `the Docker engine answers; runtime classes: ${named.join(', ') || 'its default'}`,
    };
  }
  const hint = 'Tasks would run as plain processes, hardly isolated. Start Docker, or set DOCKER_HOST.';
  return { status: 'warn', message: 'no Docker engine answers', hint };
}

/** Of `GET /info`: what an item may ask for as `sandbox.runtime`. */
interface DockerInfo {
  readonly Runtimes?: Readonly<Record<string, unknown>>;
  readonly DefaultRuntime?: string;
}

async function dockerInfo(host: string): Promise<DockerInfo | undefined> {
  const socketPath = /^unix:\/\/(.+)$/.exec(host)?.[1];
  const address = /^(?:tcp|http):\/\/([^:/]+):(\d+)/.exec(host);
  const where =
    socketPath !== undefined ? { socketPath } : address ? { host: address[1]!, port: Number(address[2]) } : undefined;
  if (!where) return undefined;
  const [{ request }, { json }] = await Promise.all([import('node:http'), import('node:stream/consumers')]);
  return await new Promise((resolve) => {
    const asked = request({ ...where, path: '/info', timeout: ANSWER_MS }, (response) => {
      if (response.statusCode !== 200) return (response.resume(), resolve(undefined));
      json(response).then((info) => resolve(info as DockerInfo), () => resolve(undefined)); // prettier-ignore
    });
    asked.on('timeout', () => asked.destroy());
    asked.on('error', () => resolve(undefined));
    asked.end();
  });
}

async function controller(context: Context): Promise<Finding> {
  const hint = 'Start one with `pangolin orch serve`; until then submissions wait in the inbox.';
  try {
    const store = await context.open();
    const lease = await readLease(store);
    if (!lease) return { status: 'warn', message: 'no controller has served this storage yet', hint };
    const since = ` since ${lease.since}: process ${lease.pid} of ${lease.host}`;
    if (await seemsServed(store)) return { status: 'ok', message: `a controller serves this storage${since}` };
    return { status: 'warn', message: 'the controller that served this storage last has ended', hint };
  } catch {
    return { status: 'warn', message: 'the storage cannot be read', hint };
  }
}

async function evidence(context: Context): Promise<Finding> {
  const hint = 'Work goes on and no seal is lost; see docs/operate.md, "Evidence that is behind".';
  try {
    const status = await readEvidenceStatus(await context.open());
    const behind = status ? lagOf(status) : [];
    if (behind.length > 0) return { status: 'warn', message: behind.join(' '), hint };
    const names = (status?.services ?? []).map(({ kind, id }) => `${kind} ${id}`);
    const vouch = names.length === 0 ? 'nobody outside vouches for seals' : `${names.join(', ')} vouch for seals`;
    return { status: 'ok', message: `no seal is behind; ${vouch}` };
  } catch {
    return { status: 'warn', message: 'the storage cannot be read' };
  }
}
