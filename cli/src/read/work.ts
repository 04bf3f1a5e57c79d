/** What an item did and was given: from the output.json that the controller accepted, its egress log, and its pipeline. */
import type { AdmittedItem, AdmittedRun, Extension } from '@pangolin/contracts/admitted-run';
import type { BlockOutput } from '@pangolin/contracts/block-output';
import type { EgressLine, EgressRefusal } from '@pangolin/contracts/egress';
import type { EnvBundle } from '@pangolin/contracts/env-bundle';
import { eventsKey, specKey } from '@pangolin/contracts/layout';
import type { BlockResult, Output } from '@pangolin/contracts/output';
import type { PipelineSpec } from '@pangolin/contracts/pipeline';
import type { RunEvent } from '@pangolin/contracts/run-log';
import { grantsOf } from '@pangolin/contracts/secrets';
import type { ItemStatus } from '@pangolin/contracts/status';
import type { ObjectStore } from '@pangolin/storage/object-store';
import { productBytes } from './products.ts';

/** One destination that the blocks tried. */
export interface Destination {
  readonly host: string;
  readonly port: number;
  /** Connections that were let through, and the bytes of those that have ended. */
  readonly allowed: number;
  readonly sent: number;
  readonly received: number;
  /** Why connections were refused or cut → how many. */
  readonly refused: Readonly<Partial<Record<EgressRefusal, number>>>;
}

/** A secret that blocks are granted: by its name, never its value. */
export interface SecretGrant {
  readonly ref: string;
  /** The variable with the value, or with the path of the file that has it. */
  readonly variable: string;
  readonly as: 'env' | 'file';
  /** Ids or indexes of the blocks. */
  readonly blocks: readonly string[];
}

export interface Work {
  readonly asserted?: BlockOutput;
  readonly blocks?: readonly BlockResult[];
  readonly destinations?: readonly Destination[];
  readonly secrets?: readonly SecretGrant[];
}

const RECORD_BYTES_MAX = 2 ** 31;

/** @throws PangolinError INTEGRITY, NOT_FOUND. */
export async function workOf(store: ObjectStore, run: string, item: ItemStatus): Promise<Work> {
  const [output, egress, secrets] = await Promise.all([
    outputOf(store, item),
    item.egress === undefined ? undefined : productBytes(store, { sha256: item.egress }),
    secretsGranted(store, run, item.id),
  ]);
  return {
    ...(output?.asserted && { asserted: output.asserted }),
    ...(output && { blocks: output.blocks }),
    ...(egress && { destinations: destinationsOf(egress.toString('utf8')) }),
    ...(secrets.length > 0 && { secrets }),
  };
}

/** What its blocks say of their work; undefined when they say nothing. @throws PangolinError INTEGRITY, NOT_FOUND. */
export async function assertedOf(store: ObjectStore, item: ItemStatus): Promise<BlockOutput | undefined> {
  return (await outputOf(store, item))?.asserted;
}

async function outputOf(store: ObjectStore, { result }: ItemStatus): Promise<Output | undefined> {
  if (result === undefined) return undefined;
  return JSON.parse((await productBytes(store, { sha256: result })).toString('utf8')) as Output;
}

/** Of an egress log, in the order of the first attempt. */
export function destinationsOf(log: string): readonly Destination[] {
  type Counted = { -readonly [Field in keyof Omit<Destination, 'refused'>]: Destination[Field] } & {
    readonly refused: Partial<Record<EgressRefusal, number>>;
  };
  const all = new Map<string, Counted>();
  const open = new Map<number, Counted>();
  const refuse = (at: Counted, reason: EgressRefusal): void =>
    void (at.refused[reason] = (at.refused[reason] ?? 0) + 1);
  // A proxy that was killed leaves half a line.
  for (const text of log.split('\n').slice(0, -1)) {
    const line = JSON.parse(text) as EgressLine;
    if (line.event === 'end') continue;
    if (line.event === 'closed') {
      const at = open.get(line.connection);
      if (at === undefined) continue;
      at.sent += line.sent;
      at.received += line.received;
      if (line.reason !== undefined) refuse(at, line.reason);
      continue;
    }
    const { host, port } = line;
    const key = `${host}:${port}`;
    const at = all.get(key) ?? { host, port, allowed: 0, sent: 0, received: 0, refused: {} };
    all.set(key, at);
    if (line.event === 'refused') refuse(at, line.reason);
    else {
      at.allowed += 1;
      open.set(line.connection, at);
    }
  }
  return [...all.values()];
}

async function secretsGranted(store: ObjectStore, run: string, id: string): Promise<readonly SecretGrant[]> {
  for await (const { items, pipelines } of admittedIn(store, run)) {
    const item = items.find((each) => each.id === id);
    if (item === undefined) continue;
    const pipeline = item.pipeline && pipelines[item.pipeline.sha256];
    return pipeline === undefined ? [] : grantsIn(pipeline, await bundlesOf(store, item));
  }
  return [];
}

/** The items as they were admitted: with the run, and what joined it later, which its log names once it is sealed. */
async function* admittedIn(store: ObjectStore, run: string): AsyncGenerator<Pick<Extension, 'items' | 'pipelines'>> {
  const limit = { maxBytes: RECORD_BYTES_MAX };
  // Not there, or not for this reader: the rest of the status is shown all the same.
  const spec = await store.get(specKey(run), limit).catch(() => undefined);
  if (spec !== undefined) yield JSON.parse(spec.toString('utf8')) as AdmittedRun;
  const log = await store.get(eventsKey(run), limit).catch(() => undefined);
  for (const line of log?.toString('utf8').split('\n') ?? []) {
    if (!line.includes('"run.extended"')) continue;
    const event = JSON.parse(line) as RunEvent;
    if (event.kind !== 'run.extended') continue;
    yield JSON.parse((await productBytes(store, event.items)).toString('utf8')) as Extension;
  }
}

async function bundlesOf(store: ObjectStore, { env = [] }: AdmittedItem): Promise<readonly EnvBundle[]> {
  const bytes = await Promise.all(env.map((pin) => productBytes(store, pin)));
  return bytes.map((each) => JSON.parse(each.toString('utf8')) as EnvBundle);
}

/** By secret and variable, with the blocks that have it. */
function grantsIn({ blocks }: PipelineSpec, bundles: readonly EnvBundle[]): readonly SecretGrant[] {
  const grants = new Map<string, SecretGrant>();
  for (const [index, block] of blocks.entries()) {
    if (block.kind === 'capture') continue;
    for (const [variable, { ref, as = 'env' }] of Object.entries(grantsOf(block, bundles))) {
      const key = [ref, variable, as].join('\0');
      const before = grants.get(key)?.blocks ?? [];
      grants.set(key, { ref, variable, as, blocks: [...before, block.id ?? String(index)] });
    }
  }
  return [...grants.values()];
}
