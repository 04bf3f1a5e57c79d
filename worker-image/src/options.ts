/** Where a worker finds its task, and as whom it runs blocks: the environment protocol between providers and worker. */
import { isSha256, type Sha256 } from '@pangolin/contracts/digest';

/** Blocks run as this user, without supplementary groups. The uid belongs to this worker alone: its processes are killed. */
export interface BlockUser {
  readonly uid: number;
  readonly gid: number;
}

export interface WorkerOptions {
  /** PANGOLIN_IN: task.json and what its grants name. Only read. */
  readonly inDir: string;
  /** PANGOLIN_TASK_URL and PANGOLIN_TASK_SHA256: task.json is read from there, and there is no `inDir`. */
  readonly task?: { readonly url: string; readonly sha256: Sha256 };
  /** PANGOLIN_STORE_SOCKET: unix socket over which requests go to the store; without it they go there directly. */
  readonly storeSocket?: string;
  /** PANGOLIN_OUT: the attempt prefix. Not used by a task with a grant for it. */
  readonly outDir: string;
  /** PANGOLIN_WORK: scratch; gets `private/` (0700), `workspace/`, `home/` and `tmp/`, which must not exist yet. */
  readonly workDir: string;
  /** PANGOLIN_SECRETS: a tmpfs for the secrets that blocks ask for as files. */
  readonly secretsDir: string;
  /** PANGOLIN_MANIFEST_SHA256: digest of the payload of the manifest that the task must carry. */
  readonly manifest?: Sha256;
  /** PANGOLIN_BLOCK_UID and PANGOLIN_BLOCK_GID (default: the uid); honoured only by root. */
  readonly blockUser?: BlockUser;
  /** PANGOLIN_GRACE_MS: from SIGTERM to the worker until it is killed. */
  readonly graceMs: number;
  /** PATH of the blocks and of git. */
  readonly path: string;
  /** Aborted when the worker is told to stop. */
  readonly cancel: AbortSignal;
}

const DEFAULT_GRACE_MS = 10_000;
const DEFAULT_PATH = '/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin';

/** @throws RangeError for a variable that is not what it must be. */
export function optionsFrom(env: NodeJS.ProcessEnv, cancel: AbortSignal): WorkerOptions {
  const manifest = digest(env, 'PANGOLIN_MANIFEST_SHA256');
  const taskUrl = env['PANGOLIN_TASK_URL'];
  const taskSha256 = digest(env, 'PANGOLIN_TASK_SHA256');
  if ((taskUrl === undefined) !== (taskSha256 === undefined)) {
    throw new RangeError('PANGOLIN_TASK_URL and PANGOLIN_TASK_SHA256 go together');
  }
  const storeSocket = env['PANGOLIN_STORE_SOCKET'];
  const blockUser = blockUserFrom(env);
  return {
    inDir: env['PANGOLIN_IN'] ?? '/pangolin/in',
    outDir: env['PANGOLIN_OUT'] ?? '/pangolin/out',
    workDir: env['PANGOLIN_WORK'] ?? '/work',
    secretsDir: env['PANGOLIN_SECRETS'] ?? '/run/secrets',
    graceMs: integer(env, 'PANGOLIN_GRACE_MS') ?? DEFAULT_GRACE_MS,
    path: env['PATH'] ?? DEFAULT_PATH,
    cancel,
    ...(manifest === undefined ? {} : { manifest }),
    ...(taskUrl === undefined || taskSha256 === undefined ? {} : { task: { url: taskUrl, sha256: taskSha256 } }),
    ...(storeSocket === undefined ? {} : { storeSocket }),
    ...(blockUser === undefined ? {} : { blockUser }),
  };
}

export function blockUserFrom(env: NodeJS.ProcessEnv): BlockUser | undefined {
  const uid = integer(env, 'PANGOLIN_BLOCK_UID');
  if (uid === undefined || process.getuid?.() !== 0) return undefined;
  const gid = integer(env, 'PANGOLIN_BLOCK_GID') ?? uid;
  if (uid === 0 || gid === 0) throw new RangeError('blocks cannot run as root: PANGOLIN_BLOCK_UID is 0');
  return { uid, gid };
}

function digest(env: NodeJS.ProcessEnv, name: string): Sha256 | undefined {
  const text = env[name];
  if (text === undefined || isSha256(text)) return text;
  throw new RangeError(`${name} is not a SHA-256 in lower-case hexadecimal`);
}

function integer(env: NodeJS.ProcessEnv, name: string): number | undefined {
  const text = env[name];
  if (text === undefined || text === '') return undefined;
  if (!/^\d{1,9}$/.test(text)) throw new RangeError(`${name} is not a whole number`);
  return Number(text);
}
