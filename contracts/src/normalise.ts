/** One item with the defaults of its run merged in and its units resolved to milliseconds, bytes and thousandths of a CPU. */
import { readDuration } from './check-pipeline.ts';
import type { Finding } from './explain.ts';
import { show } from './formats.ts';
import type { ItemsSpec, NormalisedItem } from './read-items.ts';
import { lockKey, type AdmittedLock, type RetryRule, type When } from './admitted-run.ts';
import { DEFAULTS, type Item } from './run.ts';
import { parseCpu, parseSize } from './units.ts';

/** Below this no container engine starts a task. */
const MEMORY_BYTES_MIN = 6 * 2 ** 20;

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
  spec: ItemsSpec,
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
  const queueTimeoutMs = readDuration(item.queueTimeout ?? defaults.queueTimeout, pathOf('queueTimeout'), findings);
  const bootTimeoutMs = readDuration(item.bootTimeout ?? defaults.bootTimeout, pathOf('bootTimeout'), findings);
  const executor = item.executor ?? 'dispatch';
  const approval = readApproval(item, places.item, findings);
  const needsInput = readNeedsInput(item, places.item, findings);
  const when = readWhen(item, places.item, findings);
  const resourceLocks = readLocks(item, places.item, findings);
  const retry = readRetry(item, spec, places, findings);
  const subagent = item.subagent ?? defaults.subagent;
  const subagentShape = item.subagentShape ?? defaults.subagentShape;
  if (executor === 'dispatch' && (pipeline ?? subagent ?? subagentShape) === undefined)
    findings.push(missingPipeline(item.id, places.item));
  if (workspace && 'git' in workspace && workspace.git.commit !== undefined && workspace.git.ref !== undefined) {
    const path = item.workspace
      ? `${places.item}/workspace`
      : defaults.workspace
        ? pathOf('workspace')
        : `${places.spec}/workspace`;
    const message = 'the workspace gives a commit and a ref';
    findings.push({ path: `${path}/git/ref`, code: 'GivenTwice', message, hint: 'Keep one of them.', at: 'key' });
  }
  if (findings.length > before) return undefined;
  const image = item.image ?? defaults.image;
  const network = item.network ?? defaults.network;
  const sandbox = sandboxOf(item, defaults);
  const params = item.inputs;
  return {
    id: item.id,
    executor,
    ...(executor === 'dispatch' && {
      ...(pipeline !== undefined && { pipeline }),
      ...(subagent !== undefined && { subagent }),
      ...(subagentShape !== undefined && { subagentShape }),
      ...pickLists(item, defaults),
    }),
    ...(approval && { approval }),
    ...(needsInput && { needsInput }),
    ...(item.needs && Object.keys(item.needs).length > 0 && { needs: item.needs }),
    depends_on: dependencies,
    ...(when && { when }),
    ...(item.onExit && { onExit: true as const }),
    ...(item.role !== undefined && { role: item.role }),
    resourceLocks,
    ...(executor === 'dispatch' && workspace && { workspace }),
    ...(params && Object.keys(params).length > 0 && { params }),
    ...(image !== undefined && { image }),
    ...limits,
    ...(network !== undefined && { network }),
    ...(sandbox && { sandbox }),
    timeoutMs: timeoutMs ?? DEFAULTS.timeoutMs,
    ...(idleTimeoutMs !== undefined && { idleTimeoutMs }),
    ...(queueTimeoutMs !== undefined && { queueTimeoutMs }),
    ...(bootTimeoutMs !== undefined && { bootTimeoutMs }),
    retry,
    priority: item.priority ?? defaults.priority ?? DEFAULTS.priority,
    ...(item.labels && { labels: item.labels }),
  };
}

/** A list of the item stands instead of the one of the defaults. */
function pickLists(item: Item, defaults: NonNullable<ItemsSpec['defaults']>): Partial<NormalisedItem> {
  const lists = (['env', 'capabilities', 'addCapabilities'] as const).flatMap((field) => {
    const list = item[field] ?? defaults[field];
    return list === undefined ? [] : [[field, list] as const];
  });
  return Object.fromEntries(lists);
}

/** Field by field, as for `retry`. */
function sandboxOf(item: Item, defaults: Pick<Item, 'sandbox'>): NonNullable<NormalisedItem['sandbox']> | undefined {
  const { disk, ...rest } = { ...defaults.sandbox, ...item.sandbox };
  const asked = { ...rest, ...(disk !== undefined && { diskBytes: parseSize(disk) }) };
  return Object.keys(asked).length === 0 ? undefined : asked;
}

/** What an approval has no use for: it runs nothing. */
const ofTasks = [
  'pipeline',
  'subagent',
  'subagentShape',
  'env',
  'capabilities',
  'addCapabilities',
  'workspace',
  'needs',
  'resourceLocks',
  'needsInput',
] as const;

function readApproval(item: Item, path: string, findings: Finding[]): NormalisedItem['approval'] {
  if (item.executor !== 'approval') {
    if (item.approval === undefined) return undefined;
    const message = '`approval` belongs to an item that waits for a person';
    findings.push({
      path: `${path}/approval`,
      code: 'InvalidValue',
      message,
      hint: 'Add `executor: approval`.',
      at: 'key',
    });
    return undefined;
  }
  for (const field of ofTasks) {
    if (item[field] === undefined) continue;
    const message = `an approval runs nothing and takes no \`${field}\``;
    findings.push({
      path: `${path}/${field}`,
      code: 'InvalidValue',
      message,
      hint: 'Put it into an item that depends on this one.',
      at: 'key',
    });
  }
  const timeoutMs = readDuration(item.approval?.timeout, `${path}/approval/timeout`, findings);
  return { ...(timeoutMs !== undefined && { timeoutMs }), onTimeout: item.approval?.onTimeout ?? 'reject' };
}

function readNeedsInput(item: Item, path: string, findings: Finding[]): NormalisedItem['needsInput'] {
  if (item.needsInput === undefined) return undefined;
  const { timeout, onTimeout = 'fail' } = item.needsInput;
  const timeoutMs = readDuration(timeout, `${path}/needsInput/timeout`, findings);
  return { ...(timeoutMs !== undefined && { timeoutMs }), onTimeout };
}

function readWhen(item: Item, path: string, findings: Finding[]): Readonly<Record<string, When>> | undefined {
  const rules = new Map<string, When | 'done'>();
  const needed = new Set(Object.values(item.needs ?? {}).flatMap((need) => ('from' in need ? [need.from] : [])));
  for (const [index, entry] of (item.depends_on ?? []).entries()) {
    const { item: id, when } = typeof entry === 'string' ? { item: entry, when: 'done' as const } : entry;
    const at = `${path}/depends_on/${index}`;
    const before = rules.get(id);
    if (before !== undefined && before !== when) {
      const message = `${show(id)} is awaited as ${before} and as ${when}`;
      findings.push({ path: at, code: 'GivenTwice', message, hint: 'Keep one of them.' });
    } else if (when !== 'done' && needed.has(id)) {
      const message = `the item needs a product of ${show(id)}, so that has to be done`;
      findings.push({ path: `${at}/when`, code: 'InvalidValue', message, hint: 'Leave `when` out, or the need.' });
    }
    rules.set(id, when);
  }
  const other = [...rules].filter((rule): rule is [string, When] => rule[1] !== 'done');
  return other.length === 0 ? undefined : Object.fromEntries(other.sort(([a], [b]) => (a < b ? -1 : 1)));
}

/** An exclusive object is the same as the string. */
function readLocks(item: Item, path: string, findings: Finding[]): AdmittedLock[] {
  const locks = new Map<string, AdmittedLock>();
  for (const [index, written] of (item.resourceLocks ?? []).entries()) {
    const at = `${path}/resourceLocks/${index}`;
    const lock: AdmittedLock =
      typeof written === 'string' || written.mode === 'exclusive'
        ? lockKey(written)
        : { key: written.key, ...(written.limit !== undefined && { limit: written.limit }) };
    if (typeof written !== 'string' && written.mode === 'exclusive' && written.limit !== undefined) {
      const message = 'an exclusive lock takes no `limit`';
      findings.push({ path: `${at}/limit`, code: 'InvalidValue', message, hint: 'Write `mode: shared`.', at: 'key' });
    }
    const before = locks.get(lockKey(lock));
    if (before !== undefined && JSON.stringify(before) !== JSON.stringify(lock)) {
      const message = `the lock ${show(lockKey(lock))} is taken in two ways`;
      findings.push({ path: at, code: 'GivenTwice', message, hint: 'Keep one of them.' });
    }
    locks.set(lockKey(lock), lock);
  }
  return [...locks].sort(([a], [b]) => (a < b ? -1 : 1)).map(([, lock]) => lock);
}

/** `path` is the pointer of the list. */
function readRules(
  rules: NonNullable<NonNullable<Item['retry']>['rules']>,
  path: string,
  findings: Finding[],
): RetryRule[] {
  return rules.map(({ delay, ...rule }, index) => {
    if (delay !== undefined && rule.action !== 'park') {
      const message = `\`delay\` is for \`action: park\`, and this rule says ${rule.action}`;
      findings.push({
        path: `${path}/${index}/delay`,
        code: 'InvalidValue',
        message,
        hint: 'Use `backoff` for retries.',
        at: 'key',
      });
    }
    const parkMs = readDuration(delay, `${path}/${index}/delay`, findings);
    return { ...rule, ...(parkMs !== undefined && { parkMs }) };
  });
}

function missingPipeline(id: string, path: string): Finding {
  return {
    path,
    code: 'MissingPipeline',
    message: `item ${show(id)} says nothing to run`,
    hint: 'Write `pipeline: { blocks: [ { kind: script, command: "…" }, { kind: capture, what: patch } ] }`, or the name of a registered pipeline, subagent or shape; `defaults` may hold it for all items.',
  };
}

function readResources(
  item: Item,
  spec: ItemsSpec,
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
function readRetry(item: Item, spec: ItemsSpec, places: Places, findings: Finding[]): NormalisedItem['retry'] {
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
  const written = item.retry?.rules ?? spec.defaults?.retry?.rules;
  const rulesAt = `${item.retry?.rules ? places.item : places.defaults}/retry/rules`;
  const rules = written && written.length > 0 ? readRules(written, rulesAt, findings) : undefined;
  return {
    maxAttempts: item.retry?.maxAttempts ?? spec.defaults?.retry?.maxAttempts ?? DEFAULTS.retry.maxAttempts,
    initialMs,
    factor: own?.factor ?? common?.factor ?? DEFAULTS.retry.factor,
    maxMs: maxMs ?? Math.max(initialMs, DEFAULTS.retry.maxMs),
    jitter: own?.jitter ?? common?.jitter ?? DEFAULTS.retry.jitter,
    ...(rules && { rules }),
  };
}
