/** What a task is as a container, and what a container says about a task: pure. */
import type { ContainerCreateOptions, ContainerInspectInfo } from 'dockerode';
import type { Sandbox } from '@pangolin/contracts/task';
import type { SandboxRequest, TaskObservation, TaskStart } from './provider.ts';

/** Limits of a task that asks for none. CPU time is shared fairly by the kernel, so it has no limit of its own. */
export const DEFAULT_MEMORY_BYTES = 2 * 2 ** 30;
export const PIDS_MAX = 512;
export const DEFAULT_DISK_BYTES = 10 * 2 ** 30;
export const DISK_FILES_MAX = 1_000_000;
/** Files in /tmp, which is in memory. */
export const TMP_FILES_MAX = 100_000;
/** The engine refuses less. */
export const MEMORY_BYTES_MIN = 6 * 2 ** 20;

export const LABEL = {
  deployment: 'dev.pangolin.deployment',
  run: 'dev.pangolin.run',
  item: 'dev.pangolin.item',
  attempt: 'dev.pangolin.attempt',
  task: 'dev.pangolin.task',
  /** On the egress proxy of a task: that task's name. */
  egress: 'dev.pangolin.egress',
} as const;

/**
 * What the runner, root in its container, needs to give blocks another uid: hand over the workspace and take it back, and end
 * whatever they leave. Blocks hold none of these.
 */
const CAPABILITIES = ['SETUID', 'SETGID', 'CHOWN', 'DAC_OVERRIDE', 'KILL'];
/** Whatever the engine runs containers with by itself. */
export const DEFAULT_RUNTIME = 'docker';
const PATHS = { in: '/pangolin/in', out: '/pangolin/out', store: '/pangolin/store', work: '/work' } as const;

export function enforcedSandbox(request: SandboxRequest): Sandbox {
  return {
    network: request.network ?? 'none',
    rootfs: request.rootfs === 'writable' ? 'writable' : 'read-only',
    user: 'separate',
    noNewPrivileges: true,
    capabilities: 'none',
    seccomp: 'default',
    memoryBytes: request.memoryBytes ?? DEFAULT_MEMORY_BYTES,
    ...(request.cpuMillis === undefined ? {} : { cpuMillis: request.cpuMillis }),
    pids: request.pids ?? PIDS_MAX,
    diskBytes: request.diskBytes ?? DEFAULT_DISK_BYTES,
    diskFiles: DISK_FILES_MAX,
    runtime: request.runtime ?? DEFAULT_RUNTIME,
  };
}

/** A worker image is expected: an init as entry point, the runner started as root, `/pangolin` and `/work` in place. */
export function containerOptions(task: TaskStart, deployment: string, image: string): ContainerCreateOptions {
  return {
    name: task.name,
    Image: image,
    User: '0:0',
    Env: [
      `PANGOLIN_IN=${PATHS.in}`,
      `PANGOLIN_OUT=${PATHS.out}`,
      `PANGOLIN_WORK=${PATHS.work}`,
      `PANGOLIN_MANIFEST_SHA256=${task.manifestSha256}`,
      `PANGOLIN_GRACE_MS=${task.graceMs}`,
      ...(task.storeDir === undefined ? [] : [`PANGOLIN_STORE_SOCKET=${PATHS.store}/store.sock`]),
    ],
    Labels: {
      [LABEL.deployment]: deployment,
      [LABEL.run]: task.ref.runId,
      [LABEL.item]: task.ref.itemId,
      [LABEL.attempt]: String(task.ref.attempt),
      [LABEL.task]: task.name,
    },
    StopTimeout: Math.ceil(task.graceMs / 1000),
    HostConfig: hostConfig(task),
  };
}

function hostConfig({
  sandbox,
  inDir,
  outDir,
  storeDir,
}: TaskStart): NonNullable<ContainerCreateOptions['HostConfig']> {
  const memory = sandbox.memoryBytes ?? DEFAULT_MEMORY_BYTES;
  return {
    ReadonlyRootfs: sandbox.rootfs === 'read-only',
    ...(sandbox.runtime === DEFAULT_RUNTIME ? {} : { Runtime: sandbox.runtime }),
    // Counts as memory of the task, so it can never hold more than that.
    Tmpfs: {
      '/tmp': `rw,nosuid,nodev,exec,mode=1777,size=${Math.floor(memory / 2)},nr_inodes=${TMP_FILES_MAX}`,
      '/run/secrets': 'rw,nosuid,nodev,noexec,mode=0711,size=8m',
    },
    Mounts: [
      bind(inDir, PATHS.in, true),
      ...(outDir === undefined ? [] : [bind(outDir, PATHS.out, false)]),
      // The directory: a controller that comes back makes a new socket in it.
      ...(storeDir === undefined ? [] : [bind(storeDir, PATHS.store, true)]),
      // Without a name: goes when the container is removed with its volumes.
      { Type: 'volume', Source: '', Target: PATHS.work, ReadOnly: false },
    ],
    CapDrop: ['ALL'],
    CapAdd: CAPABILITIES,
    SecurityOpt: ['no-new-privileges:true'],
    PidsLimit: sandbox.pids ?? PIDS_MAX,
    Memory: memory,
    // The same: no swap besides.
    MemorySwap: memory,
    ...(sandbox.cpuMillis === undefined ? {} : { NanoCpus: sandbox.cpuMillis * 1_000_000 }),
    // With an allow-list too: the way out is a socket in the input directory.
    NetworkMode: sandbox.network === 'open' ? 'bridge' : 'none',
    RestartPolicy: { Name: 'no' },
    AutoRemove: false,
    LogConfig: { Type: 'json-file', Config: { 'max-size': '1m', 'max-file': '2' } },
  };
}

const bind = (Source: string, Target: string, ReadOnly: boolean) =>
  ({ Type: 'bind', Source, Target, ReadOnly }) as const;

type State = ContainerInspectInfo['State'];

export function observationOf(name: string, state: State): TaskObservation {
  switch (state.Status) {
    case 'created':
      // The engine keeps a container that it could not start in this state for ever.
      return state.Error ? ended(name, state, 'StartFailed') : { name, state: 'starting' };
    case 'exited':
    case 'dead':
    case 'removing':
      return ended(name, state);
    default:
      return { name, state: 'running' };
  }
}

function ended(name: string, state: State, reason?: 'StartFailed'): TaskObservation {
  // Set too when the kernel killed some block and the runner lived to report it; then the exit code says how that went.
  const why = reason ?? (state.OOMKilled && state.ExitCode !== 0 ? 'OOMKilled' : undefined);
  return {
    name,
    state: 'ended',
    exitCode: state.ExitCode,
    ...(why === undefined ? {} : { reason: why }),
    ...(state.Error ? { message: state.Error.slice(0, 500) } : {}),
  };
}

/**
 * Whether a missing image is worth a pull. A name without a slash is a local build: the engine would look for
 * somebody else's image of that name on its default registry.
 */
export function isPullable(image: string): boolean {
  return image.includes('/') && !image.startsWith('sha256:');
}
