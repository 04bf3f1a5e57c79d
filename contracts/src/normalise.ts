/** One item with the defaults of its run merged in and its units resolved to milliseconds, bytes and thousandths of a CPU. */
import { readDuration } from './check-pipeline.ts';
import type { Finding } from './explain.ts';
import { show } from './formats.ts';
import type { NormalisedItem } from './read-run.ts';
import { DEFAULTS, type Item, type Run } from './run.ts';
import { parseCpu, parseSize } from './units.ts';

/** Below this no container engine starts a task. */
const MEMORY_BYTES_MIN = 6 * 2 ** 20;

type Spec = Run['spec'];

/** Pointers of what the item's values may come from. */
export interface Places {
  readonly item: string;
  readonly defaults: string;
  readonly spec: string;
}

/** Undefined exactly when findings were added. `dependencies` are those of the graph. */
export function normaliseItem(
  item: Item,
  dependencies: readonly string[],
  spec: Spec,
  places: Places,
  findings: Finding[],
): NormalisedItem | undefined {
  const before = findings.length;
  const defaults = spec.defaults ?? {};
  const pathOf = (field: keyof typeof defaults): string =>
    `${item[field] === undefined ? places.defaults : places.item}/${field}`;
  const pipeline = item.pipeline ?? defaults.pipeline;
  const workspace = item.workspace ?? defaults.workspace ?? spec.workspace;
  const timeoutMs = readDuration(item.timeout ?? defaults.timeout, pathOf('timeout'), findings);
  const idleTimeoutMs = readDuration(item.idleTimeout ?? defaults.idleTimeout, pathOf('idleTimeout'), findings);
  const limits = readResources(item, spec, places, findings);
  const retry = readRetry(item, spec, places, findings);
  if (pipeline === undefined) findings.push(missingPipeline(item.id, places.item));
  if (workspace && 'git' in workspace && workspace.git.commit !== undefined && workspace.git.ref !== undefined) {
    const path = item.workspace
      ? `${places.item}/workspace`
      : defaults.workspace
        ? pathOf('workspace')
        : `${places.spec}/workspace`;
    const message = 'the workspace gives a commit and a ref';
    findings.push({ path: `${path}/git/ref`, code: 'GivenTwice', message, hint: 'Keep one of them.', at: 'key' });
  }
  if (findings.length > before || pipeline === undefined) return undefined;
  const image = item.image ?? defaults.image;
  const network = item.network ?? defaults.network;
  const params = item.inputs;
  return {
    id: item.id,
    executor: 'dispatch',
    pipeline,
    ...(item.needs && Object.keys(item.needs).length > 0 && { needs: item.needs }),
    depends_on: dependencies,
    resourceLocks: [...new Set(item.resourceLocks ?? [])].sort(),
    ...(workspace && { workspace }),
    ...(params && Object.keys(params).length > 0 && { params }),
    ...(image !== undefined && { image }),
    ...limits,
    ...(network !== undefined && { network }),
    timeoutMs: timeoutMs ?? DEFAULTS.timeoutMs,
    ...(idleTimeoutMs !== undefined && { idleTimeoutMs }),
    retry,
    priority: item.priority ?? defaults.priority ?? DEFAULTS.priority,
    ...(item.labels && { labels: item.labels }),
  };
}

function missingPipeline(id: string, path: string): Finding {
  return {
    path,
    code: 'MissingPipeline',
    message: `item ${show(id)} says nothing to run`,
    hint: 'Write `pipeline: { blocks: [ { kind: script, command: "…" }, { kind: capture, what: patch } ] }`, or the name of a registered pipeline; `defaults` may hold it for all items.',
  };
}

function readResources(
  item: Item,
  spec: Spec,
  places: Places,
  findings: Finding[],
): Pick<NormalisedItem, 'cpuMillis' | 'memoryBytes'> {
  const defaults = spec.defaults?.resources;
  const path = (own: unknown): string => `${own === undefined ? places.defaults : places.item}/resources`;
  const cpu = item.resources?.cpu ?? defaults?.cpu;
  const memory = item.resources?.memory ?? defaults?.memory;
  const cpuMillis = cpu === undefined ? undefined : parseCpu(String(cpu));
  const memoryBytes = memory === undefined ? undefined : parseSize(memory);
  if (cpuMillis !== undefined && cpuMillis < 1) {
    const message = `the CPU ${show(cpu)} is less than 1m, a thousandth`;
    findings.push({ path: `${path(item.resources?.cpu)}/cpu`, code: 'InvalidValue', message });
  }
  if (memoryBytes !== undefined && (memoryBytes < MEMORY_BYTES_MIN || !Number.isSafeInteger(memoryBytes))) {
    const message = `the memory ${show(memory)} is ${memoryBytes < MEMORY_BYTES_MIN ? 'less than 6Mi' : 'more than any machine has'}`;
    const hint = 'Write a quantity such as 512Mi or 2Gi.';
    findings.push({ path: `${path(item.resources?.memory)}/memory`, code: 'InvalidValue', message, hint });
  }
  return { ...(cpuMillis !== undefined && { cpuMillis }), ...(memoryBytes !== undefined && { memoryBytes }) };
}

/** Field by field: an item that sets `maxAttempts` keeps the backoff of the defaults. */
function readRetry(item: Item, spec: Spec, places: Places, findings: Finding[]): NormalisedItem['retry'] {
  const own = item.retry?.backoff;
  const common = spec.defaults?.retry?.backoff;
  const path = (value: unknown): string => `${value === undefined ? places.defaults : places.item}/retry/backoff`;
  const initialMs =
    readDuration(own?.initial ?? common?.initial, `${path(own?.initial)}/initial`, findings) ??
    DEFAULTS.retry.initialMs;
  const maxMs = readDuration(own?.max ?? common?.max, `${path(own?.max)}/max`, findings);
  if (maxMs !== undefined && maxMs < initialMs) {
    const message = 'the longest backoff is shorter than the first one';
    findings.push({
      path: `${path(own?.max)}/max`,
      code: 'InvalidValue',
      message,
      hint: 'Raise `max` or lower `initial`.',
    });
  }
  return {
    maxAttempts: item.retry?.maxAttempts ?? spec.defaults?.retry?.maxAttempts ?? DEFAULTS.retry.maxAttempts,
    initialMs,
    factor: own?.factor ?? common?.factor ?? DEFAULTS.retry.factor,
    maxMs: maxMs ?? Math.max(initialMs, DEFAULTS.retry.maxMs),
    jitter: own?.jitter ?? common?.jitter ?? DEFAULTS.retry.jitter,
  };
}
