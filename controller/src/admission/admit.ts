/** Turns a submitted file into an admitted run, or into items for one: read, checked, and everything that it names pinned to a digest (law 7). */
import { canonical, canonicalBytes } from '@pangolin/contracts/canonical';
import { PROBLEMS_MAX, type Finding } from '@pangolin/contracts/explain';
import { show } from '@pangolin/contracts/formats';
import { located } from '@pangolin/contracts/located';
import type { Existing } from '@pangolin/contracts/graph';
import { readExtension } from '@pangolin/contracts/read-extension';
import type { NormalisedItem } from '@pangolin/contracts/read-items';
import type { AdmittedQueue } from '@pangolin/contracts/queue';
import { readRun, type ReadRun } from '@pangolin/contracts/read-run';
import type { AdmittedItem, AdmittedRun, Extension, Inherited } from '@pangolin/contracts/admitted-run';
import type { PinnedWorkspace, Workspace } from '@pangolin/contracts/workspace';
import type { Problem } from '@pangolin/contracts/status';
import type { ObjectStore } from '@pangolin/storage/object-store';
import { pinRegistered, tellInto, type Places, type RegisteredPins } from '@pangolin/storage/pins/registered';
import { checkEdges } from '@pangolin/storage/pins/shape';
import { ThingPins } from '@pangolin/storage/pins/things';
import { patternEdges } from './pattern-edges.ts';
import { admitPattern, checkRoles } from './admit-pattern.ts';
import { ImagePins, type ResolveImage } from './image-pins.ts';
import type { PackedWorkspace } from './workspace.ts';

export interface AdmitContext {
  readonly store: ObjectStore;
  /** Undefined when there is no such queue. */
  queue(name: string): AdmittedQueue | undefined;
  /** The items of a run that is to be extended; `unknown` while there is no such run. */
  itemsOf(run: string): Existing;
  /** What items of that run have in common. */
  inheritedFrom(run: string): Inherited | undefined;
  /** Pins a workspace to bytes in cas/. @throws PangolinError UNAVAILABLE when the store does not answer. */
  packWorkspace(workspace: Workspace): Promise<PackedWorkspace>;
  /**
   * What the backend knows an image as, its own without a name. Undefined when it cannot tell now: then the dispatch records what
   * it finds, because an engine that is down is no reason to refuse a run.
   */
  readonly resolveImage: ResolveImage;
}

export type Admitted =
  | {
      readonly ok: true;
      readonly run: AdmittedRun;
      /** `runs/<run>/spec.json`: the canonical JSON of `run`. */
      readonly specBytes: Buffer;
    }
  /** `run`: the id that the file gives, when it gives a legal one. */
  | { readonly ok: false; readonly run?: string; readonly problems: readonly Problem[] };

/**
 * Every problem of the file at once, up to PROBLEMS_MAX; what it names is looked up only when the file itself is right.
 * Repeatable. @throws PangolinError UNAVAILABLE when the store does not answer: the file may be fine, try again.
 */
export async function admit(bytes: Uint8Array, file: string, context: AdmitContext): Promise<Admitted> {
  const read = readRun(bytes, file, (queue) => context.queue(queue)?.defaults);
  if (!read.ok) return { ok: false, ...(read.id !== undefined && { run: read.id }), problems: read.problems };
  const { run, digest, at, locate } = read;
  const findings: Finding[] = [];
  const queue = context.queue(run.queue);
  if (queue) findings.push(...checkRoles(read, queue.pattern));
  else {
    const hint = 'Leave `queue` out for the default one, or drop a file with `kind: Queue` of that name first.';
    findings.push({ path: at.queue, code: 'UnknownQueue', message: `there is no queue ${show(run.queue)}`, hint });
  }
  const pins = new ThingPins(context.store);
  const workspaces = new WorkspacePins(context);
  const images = new ImagePins(context.resolveImage);
  const pinAll = async (normalised: readonly NormalisedItem[], where: Places): Promise<AdmittedItem[]> =>
    await images.pin(await pinItems(normalised, where, pins, workspaces, findings));
  const items = await pinAll(run.items, at);
  if (findings.length === 0) findings.push(...checkEdges(items, at, pins));
  const pinTemplates = (templates: readonly NormalisedItem[], path: string): Promise<AdmittedItem[]> =>
    pinAll(templates, { item: () => path, own: () => path, template: true });
  const planned =
    queue?.pattern && findings.length === 0
      ? await admitPattern(read, queue.pattern, items, pinTemplates, findings)
      : { items };
  if (findings.length === 0 && 'pattern' in planned)
    findings.push(...patternEdges(items, planned.pattern, at, (pin) => pins.shapeOf(pin)));
  const inherited =
    run.openEnded && findings.length === 0 && (await inheritedOf(read, { pins, workspaces, images }, findings));
  if (findings.length > 0) return { ok: false, run: run.id, problems: located(findings, file, locate) };
  const admitted: AdmittedRun = {
    schema: 'admitted-run/1',
    id: run.id,
    queue: run.queue,
    labels: run.labels,
    spec: digest,
    pipelines: pins.sorted(),
    ...planned,
    ...(run.openEnded && { openEnded: true as const }),
    ...(inherited && { inherited }),
    ...(run.timeoutMs !== undefined && { timeoutMs: run.timeoutMs }),
  };
  return { ok: true, run: admitted, specBytes: canonicalBytes(admitted) };
}

/** What an Extension takes over is pinned with the run, also where none of its own items has it. */
async function inheritedOf(
  { common, template, at }: Extract<ReadRun, { ok: true }>,
  {
    pins,
    workspaces,
    images,
  }: { readonly pins: ThingPins; readonly workspaces: WorkspacePins; readonly images: ImagePins },
  findings: Finding[],
): Promise<Inherited> {
  const { workspace: ofDefaults, ...defaults } = common.defaults ?? {};
  const written = ofDefaults ?? common.workspace;
  const workspace = written && (await workspaces.pin(written));
  if (workspace?.ok === false) findings.push({ path: at.workspace, ...workspace.refusal });
  // An item with nothing of its own. What it lacks to be whole, those that join will have.
  const blank = template({}, []);
  if (blank) await pinItems([blank], { item: () => '', own: () => '', template: true }, pins, workspaces, []);
  for (const image of [undefined, defaults.image]) await images.of(image);
  return {
    ...(Object.keys(defaults).length > 0 && { defaults }),
    ...(workspace?.ok && { workspace: workspace.workspace }),
    pins: pins.named(),
    images: images.named(),
  };
}

export type AdmittedExtension =
  { readonly ok: true; readonly run: string; readonly extension: Extension } | Extract<Admitted, { ok: false }>;

/**
 * Undefined when the file is no Extension. Whether the run takes it is decided when it is applied; what is wrong with it
 * on its own, and with what it says of items that the run has now, is said here with its place.
 * @throws PangolinError UNAVAILABLE when the store does not answer.
 */
export async function admitExtension(
  bytes: Uint8Array,
  file: string,
  context: AdmitContext,
): Promise<AdmittedExtension | undefined> {
  const existing = (run: string): Existing => context.itemsOf(run);
  const read = readExtension(bytes, file, existing, (run) => context.inheritedFrom(run)?.defaults);
  if (!read?.ok) return read;
  if (existing(read.run) === 'unknown') {
    const problem = { path: '/spec/run', code: 'NotFound', message: `there is no run ${read.run}` };
    return { ok: false, run: read.run, problems: located([problem], file, read.locate) };
  }
  const findings: Finding[] = [];
  const inherited = context.inheritedFrom(read.run);
  const pins = new ThingPins(context.store, inherited?.pins);
  const pinned = await pinItems(read.items, read.at, pins, new WorkspacePins(context), findings);
  const images = new ImagePins(context.resolveImage, inherited?.images);
  const items = await images.pin(pinned.map((item) => inWorkspace(item, inherited)));
  if (findings.length === 0) findings.push(...checkEdges(items, read.at, pins));
  if (findings.length > 0) return { ok: false, run: read.run, problems: located(findings, file, read.locate) };
  return { ok: true, run: read.run, extension: { schema: 'extension/1', items, pipelines: pins.sorted() } };
}

const inWorkspace = (item: AdmittedItem, { workspace }: Partial<Inherited> = {}): AdmittedItem =>
  item.executor === 'dispatch' && !item.workspace && workspace ? { ...item, workspace } : item;

async function pinItems(
  normalised: readonly NormalisedItem[],
  at: Places,
  pins: ThingPins,
  workspaces: WorkspacePins,
  findings: Finding[],
): Promise<AdmittedItem[]> {
  const items: AdmittedItem[] = [];
  const report = tellInto(findings);
  for (const [index, item] of normalised.entries()) {
    if (findings.length >= PROBLEMS_MAX) break;
    const pinned = await pinRegistered(item, index, at, pins, report);
    const workspace = item.workspace && (await workspaces.pin(item.workspace));
    if (workspace?.ok === false) report(at.item(index, 'workspace'), workspace.refusal);
    if (pinned && workspace?.ok !== false) items.push(admitItem(item, pinned, workspace?.workspace));
  }
  return items;
}

function admitItem(item: NormalisedItem, pins: RegisteredPins, workspace: PinnedWorkspace | undefined): AdmittedItem {
  const {
    workspace: _workspace,
    pipeline: _pipeline,
    subagent: _subagent,
    subagentShape: _shape,
    env: _env,
    capabilities: _capabilities,
    addCapabilities: _addCapabilities,
    ...rest
  } = item;
  return { ...rest, ...pins, ...(workspace && { workspace }) };
}

/** Items with the same workspace share one look at it, so a branch that moves meanwhile is one commit for all of them. */
class WorkspacePins {
  readonly #context: AdmitContext;
  readonly #byObject = new Map<Workspace, PackedWorkspace>();
  readonly #byText = new Map<string, PackedWorkspace>();

  constructor(context: AdmitContext) {
    this.#context = context;
  }

  async pin(workspace: Workspace): Promise<PackedWorkspace> {
    const known = this.#byObject.get(workspace);
    if (known) return known;
    const text = canonical(workspace);
    const packed = this.#byText.get(text) ?? (await this.#context.packWorkspace(workspace));
    this.#byText.set(text, packed);
    this.#byObject.set(workspace, packed);
    return packed;
  }
}
