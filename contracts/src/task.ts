/** What a task is given: the dispatch manifest (the predicate of a signed in-toto Statement) and its grants. */
import type { Sha256, DigestSet } from './digest.ts';
import type { AttemptRef } from './ids.ts';
import type { PipelineSpec } from './pipeline.ts';
import type { PinnedWorkspace } from './run.ts';
import type { Envelope } from './dsse.ts';

/** Where a consumed product comes from (evidence.md §3.2). `output` is `patch` or `outputs/<path>`. */
export type InputRef = DigestSet & {
  readonly from: { readonly itemId: string; readonly output: string } | 'submission';
};

/** One sandbox profile, as asked by the item or as the backend enforces it. Integers only: it is sealed. */
export interface Sandbox {
  readonly network: 'none' | 'open' | { readonly allow: readonly string[] };
  readonly rootfs: 'read-only' | 'writable' | 'host';
  /** `separate`: blocks run as another uid than the runner. `same`: they do not. */
  readonly user: 'separate' | 'same';
  readonly noNewPrivileges: boolean;
  readonly cpuMillis?: number;
  readonly memoryBytes?: number;
  readonly pids?: number;
  readonly runtime: string;
}

/** Predicate of `<ns>/dispatch/v1`. Sealed and durable before the task starts (law 1). */
export interface DispatchManifest extends AttemptRef {
  readonly schema: 'dispatch/1';
  readonly engine: { readonly name: string; readonly version: string };
  readonly provider: string;
  readonly task: string;
  readonly pipeline: { readonly ref?: string; readonly sha256: Sha256; readonly spec: PipelineSpec };
  readonly image?: { readonly ref: string; readonly id?: string };
  readonly workspace?: PinnedWorkspace;
  readonly inputs: Readonly<Record<string, InputRef>>;
  /** Digest of the canonical JSON of the item's `inputs`. */
  readonly params?: DigestSet;
  readonly limits: { readonly timeoutMs: number; readonly idleTimeoutMs?: number; readonly graceMs: number };
  readonly sandbox: { readonly asked: Partial<Sandbox>; readonly enforced: Sandbox };
}

/** A place to read from: a path relative to the task's input directory, or a URL that needs no credential. */
export type Grant = { readonly path: string } | { readonly url: string };

/** `task.json` in the task's input directory. */
export interface Task {
  readonly schema: 'task/1';
  readonly manifest: Envelope;
  readonly grants: {
    readonly workspace?: Grant;
    readonly inputs: Readonly<Record<string, Grant>>;
  };
  /** The item's `inputs`; the manifest holds its digest. */
  readonly params?: Readonly<Record<string, unknown>>;
}

/**
 * `task.json` of a standalone worker, with no controller and no manifest. The workspace is `in/workspace/`
 * when that directory exists, and each file of `in/inputs/` is one input.
 */
export interface StandaloneTask {
  readonly schema: 'standalone-task/1';
  readonly pipeline: PipelineSpec;
  readonly params?: Readonly<Record<string, unknown>>;
  readonly timeout?: string;
  readonly idleTimeout?: string;
}
