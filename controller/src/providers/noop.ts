/** Tasks that run nothing, in memory: for benches and property tests of the engine. */
import type { Sandbox } from '@pangolin/contracts/task';
import type { ComputeProvider, SandboxRequest, TaskObservation, TaskStart } from './provider.ts';

/** How a task ended, as a backend would say it. */
export type NoopOutcome = Pick<TaskObservation, 'exitCode' | 'reason' | 'message'>;

export interface NoopProviderOptions {
  /**
   * Called once for each task, in place of running it. What it returns is how the task ended; it may write the attempt's files
   * first. `running` keeps the task running until `end`, `stop` or `remove`. A throw makes `start` fail without a task.
   * Without this hook a task ends at once with exit code 0 and has written nothing.
   */
  readonly run?: (task: TaskStart) => NoopOutcome | 'running' | Promise<NoopOutcome | 'running'>;
}

export interface NoopProvider extends ComputeProvider {
  readonly name: 'noop';
  /** Ends a running task. Nothing happens to one that has ended or is not known. */
  end(name: string, outcome: NoopOutcome): void;
}

/** Accepts every request and says that it enforces it: there is nothing to confine. */
export function createNoopProvider(options: NoopProviderOptions = {}): NoopProvider {
  const tasks = new Map<string, Promise<void> | TaskObservation>();
  const listeners = new Set<(name: string) => void>();

  // Never inside the caller's own call, as with a real backend.
  const changed = (name: string): void => {
    if (listeners.size > 0) setImmediate(() => listeners.forEach((listener) => listener(name)));
  };

  async function begin(task: TaskStart): Promise<void> {
    try {
      const outcome = (await options.run?.(task)) ?? { exitCode: 0 };
      const state = outcome === 'running' ? { state: 'running' as const } : { state: 'ended' as const, ...outcome };
      tasks.set(task.name, { name: task.name, ...state });
    } catch (error) {
      tasks.delete(task.name);
      throw error;
    }
    changed(task.name);
  }

  function end(name: string, outcome: NoopOutcome): void {
    const task = tasks.get(name);
    if (!task || task instanceof Promise || task.state === 'ended') return;
    tasks.set(name, { name, state: 'ended', ...outcome });
    changed(name);
  }

  return {
    name: 'noop',
    enforce: (request: SandboxRequest): Sandbox => ({
      network: request.network ?? 'none',
      rootfs: 'read-only',
      user: 'separate',
      noNewPrivileges: true,
      runtime: 'noop',
      ...(request.cpuMillis === undefined ? {} : { cpuMillis: request.cpuMillis }),
      ...(request.memoryBytes === undefined ? {} : { memoryBytes: request.memoryBytes }),
    }),
    resolveImage: async (image) => (image === undefined ? undefined : { ref: image }),
    async start(task) {
      const known = tasks.get(task.name);
      if (known) return known instanceof Promise ? await known : undefined;
      const starting = begin(task);
      tasks.set(task.name, starting);
      await starting;
    },
    observe: async (names) =>
      names.map((name) => {
        const task = tasks.get(name);
        if (task instanceof Promise) return { name, state: 'starting' };
        return task ?? { name, state: 'gone' };
      }),
    list: async () => [...tasks.keys()],
    // What a process that dies of SIGTERM leaves.
    stop: async (name) => end(name, { exitCode: 143 }),
    remove: async (name) => void (tasks.delete(name) && changed(name)),
    async watch(onChange) {
      listeners.add(onChange);
      return async () => void listeners.delete(onChange);
    },
    end,
  };
}
