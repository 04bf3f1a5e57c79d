/** The compute seam: process, Docker, Fargate and Kubernetes pass one conformance suite. */
import type { AttemptRef } from '@pangolin/contracts/ids';
import type { Sha256 } from '@pangolin/contracts/digest';
import type { Reason } from '@pangolin/contracts/reasons';
import type { Sandbox } from '@pangolin/contracts/task';

/** From SIGTERM to SIGKILL of a task, in ms: what a deployment has that says nothing, and the most that it may say. */
export const GRACE_MS = 10_000;
export const GRACE_MS_MAX = 3_600_000;

/** What an item asks for explicitly; what it leaves out takes the backend's strongest default. */
export interface SandboxRequest extends Partial<Sandbox> {
  readonly image?: string;
  /** The pipeline has an agent block. */
  readonly agent?: boolean;
}

export interface TaskStart {
  /** From `taskName`: deterministic, so a repeated start finds the first one. */
  readonly name: string;
  readonly ref: AttemptRef;
  /** Holds task.json and the files that its grants name; read-only for the task. Absolute path on this machine. */
  readonly inDir: string;
  /**
   * The attempt prefix: the only place the task may write. Absolute path on this machine; it exists. Absent on a store
   * that cannot be mounted: the grants in task.json lead there.
   */
  readonly outDir?: string;
  /** Then, for tasks of this machine: directory with `store.sock`, over which requests to the store go. Read-only for the task. */
  readonly storeDir?: string;
  /** Then, for tasks that run elsewhere: task.json itself is behind this URL. A repeated start gets the same one. */
  readonly taskGrant?: { readonly url: string; readonly sha256: Sha256 };
  /** Payload digest of the dispatch statement; the worker refuses another task.json. */
  readonly manifestSha256: string;
  readonly sandbox: Sandbox;
  readonly image?: string;
  /** SIGTERM to SIGKILL. */
  readonly graceMs: number;
}

export interface TaskObservation {
  readonly name: string;
  /** `gone`: the backend does not know the task (never started, or removed). */
  readonly state: 'starting' | 'running' | 'ended' | 'gone';
  readonly exitCode?: number;
  /** The backend's own word on why it ended, where it has one (OOMKilled, ImageUnavailable, CapacityUnavailable …). */
  readonly reason?: Reason;
  readonly message?: string;
}

export interface ComputeProvider {
  readonly name: 'process' | 'docker' | 'fargate' | 'kubernetes' | 'noop';
  /** Starts that may wait for the backend at once; without it any number. More items stay ready: those wait without a deadline. */
  readonly startsMax?: number;
  /** Tasks run where directories and sockets of this machine do not reach. */
  readonly elsewhere?: true;
  /**
   * What the backend will enforce for such a request; goes into the manifest.
   * @throws PangolinError UNSUPPORTED naming the field, when it cannot honour something asked for (law 9).
   */
  enforce(request: SandboxRequest): Sandbox;
  /** The image a task would run: reference and local id (sha256:…) when the backend knows; undefined for processes. */
  resolveImage(image: string | undefined): Promise<{ readonly ref: string; readonly id?: string } | undefined>;
  /**
   * Idempotent by `name`: an existing task of that name, running or ended, is left alone and counts as started.
   * @throws PangolinError UNAVAILABLE with `details: {reason: Reason}` for ImageUnavailable, CapacityUnavailable, StartFailed.
   */
  start(task: TaskStart): Promise<void>;
  /** One observation for each name asked, in that order. Costs what is asked, not what exists. */
  observe(names: readonly string[]): Promise<readonly TaskObservation[]>;
  /**
   * What an ended task with an allow-list reached and tried to reach, as the backend saw it: the egress log (contracts/egress).
   * Closes it; undefined for a task that has none, or whose log is lost.
   */
  egressLog?(name: string): Promise<Buffer | undefined>;
  /** Every task of this deployment that exists in the backend, ended ones included: for adoption and sweeping. */
  list(): Promise<readonly string[]>;
  /** SIGTERM, then SIGKILL after the grace. Returns once asked, not once dead; stopping a task that is gone succeeds. */
  stop(name: string, graceMs: number): Promise<void>;
  /** Removes an ended task with its volumes; kills it first if it still runs. Idempotent. */
  remove(name: string): Promise<void>;
  /** Calls back with a task's name when its state may have changed. A hint: the caller observes. Returns stop. */
  watch(onChange: (name: string) => void): Promise<() => Promise<void>>;
}
