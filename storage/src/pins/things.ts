/** Pins what a run names of the registry: a name to its current version, an inline pipeline to its own digest. Each once. */
import { canonical, parseCanonical } from '@pangolin/contracts/canonical';
import { sha256, type Sha256 } from '@pangolin/contracts/digest';
import { isPangolinError } from '@pangolin/contracts/errors';
import { show } from '@pangolin/contracts/formats';
import { nearest } from '@pangolin/contracts/nearest';
import type { PipelineSpec } from '@pangolin/contracts/pipeline';
import type { NamedShape } from '@pangolin/contracts/edges';
import type { AdmittedItem, Inherited, Pin } from '@pangolin/contracts/admitted-run';
import { isSpec, nounOf, type SpecOf, type ThingKind } from '@pangolin/contracts/things';
import type { Finding } from '@pangolin/contracts/explain';
import type { ObjectStore } from '../object-store.ts';
import { listThings, resolveThing, thingBytes } from '../registry.ts';

/** Why something is not pinned. Its place is that of what names it. */
export type Refusal = Omit<Finding, 'path'>;

export type Pinned<K extends ThingKind> =
  | { readonly ok: true; readonly pin: Pin; readonly spec: SpecOf<K> }
  | { readonly ok: false; readonly refusal: Refusal };

export type PinnedPipeline =
  | { readonly ok: true; readonly pin: NonNullable<AdmittedItem['pipeline']>; readonly spec: PipelineSpec }
  | { readonly ok: false; readonly refusal: Refusal };

export class ThingPins {
  /** Every pinned pipeline by its digest. */
  readonly #pipelines = new Map<Sha256, PipelineSpec>();
  readonly #store: ObjectStore;
  readonly #named = new Map<string, Pinned<ThingKind>>();
  readonly #inline = new Map<PipelineSpec, PinnedPipeline>();

  readonly #known: ReadonlyMap<string, Sha256>;

  /** `known`: what was pinned before, and is not looked up again. */
  constructor(store: ObjectStore, known: Inherited['pins'] = []) {
    this.#store = store;
    this.#known = new Map(known.map(({ kind, ref, sha256: digest }) => [`${kind} ${ref}`, digest]));
  }

  /** Everything that was named so far. */
  named(): Inherited['pins'] {
    const all = [...this.#named].sort(([a], [b]) => (a < b ? -1 : 1));
    return all.flatMap(([key, pinned]) =>
      pinned.ok ? [{ kind: key.slice(0, key.indexOf(' ')) as ThingKind, ...pinned.pin }] : [],
    );
  }

  /** The pipelines as a run or an extension carries them. */
  sorted(): Record<Sha256, PipelineSpec> {
    return Object.fromEntries([...this.#pipelines].sort(([a], [b]) => (a < b ? -1 : 1)));
  }

  /** @throws PangolinError UNAVAILABLE when the store does not answer. */
  async pipeline(pipeline: string | PipelineSpec): Promise<PinnedPipeline> {
    if (typeof pipeline === 'string') {
      const pinned = await this.thing('pipeline', pipeline);
      if (pinned.ok) this.#pipelines.set(pinned.pin.sha256, pinned.spec);
      return pinned;
    }
    let pinned = this.#inline.get(pipeline);
    if (!pinned) {
      const digest = sha256(canonical(pipeline));
      if (!this.#pipelines.has(digest)) this.#pipelines.set(digest, pipeline);
      pinned = { ok: true, pin: { sha256: digest }, spec: this.#pipelines.get(digest)! };
      this.#inline.set(pipeline, pinned);
    }
    return pinned;
  }

  /** @throws PangolinError UNAVAILABLE when the store does not answer. */
  async thing<K extends ThingKind>(kind: K, ref: string): Promise<Pinned<K>> {
    const key = `${kind} ${ref}`;
    const pinned = this.#named.get(key) ?? (await this.#pin(kind, ref));
    this.#named.set(key, pinned);
    return pinned as Pinned<K>;
  }

  /** Of a pin that this has made. */
  shapeOf(pin: Pin | undefined): NamedShape | undefined {
    const pinned = pin && (this.#named.get(`shape ${pin.ref}`) as Pinned<'shape'> | undefined);
    return pinned?.ok ? { ref: pin!.ref, spec: pinned.spec } : undefined;
  }

  async #pin(kind: ThingKind, ref: string): Promise<Pinned<ThingKind>> {
    const refused = (code: string, message: string, hint: string): Pinned<ThingKind> => ({
      ok: false,
      refusal: { code, message: `the ${nounOf(kind)} ${show(ref)} ${message}`, hint },
    });
    try {
      const digest = this.#known.get(`${kind} ${ref}`) ?? (await resolveThing(this.#store, kind, ref));
      if (digest === undefined) {
        const names = (await listThings(this.#store, kind)).map((thing) => thing.name);
        const meant = nearest(ref.split('@')[0]!, names);
        const hint =
          meant === undefined ? `Register it: \`pangolin ${kind} register FILE\`.` : `Did you mean \`${meant}\`?`;
        return refused('NotRegistered', 'is not registered', hint);
      }
      const spec = parseCanonical(await thingBytes(this.#store, digest));
      if (!isSpec(kind, spec))
        return refused('ThingInvalid', 'is registered, but not valid here', 'Register it again.');
      return { ok: true, pin: { ref, sha256: digest }, spec };
    } catch (error) {
      if (isPangolinError(error) && ['NOT_FOUND', 'INTEGRITY', 'INVALID'].includes(error.code)) {
        return refused('ThingDamaged', 'is registered, but cannot be read', 'Register it again.');
      }
      throw error;
    }
  }
}
