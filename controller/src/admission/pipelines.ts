/** Pins the pipelines of a run: a registered name to its current version, an inline one to its own digest. Each once. */
import { canonical, parseCanonical } from '@pangolin/contracts/canonical';
import { checkPipeline } from '@pangolin/contracts/check-pipeline';
import { sha256, type Sha256 } from '@pangolin/contracts/digest';
import { isPangolinError } from '@pangolin/contracts/errors';
import { show } from '@pangolin/contracts/formats';
import { nearest } from '@pangolin/contracts/nearest';
import type { PipelineSpec } from '@pangolin/contracts/pipeline';
import type { AdmittedItem } from '@pangolin/contracts/run';
import { conforms } from '@pangolin/contracts/schema';
import type { ObjectStore } from '@pangolin/storage/object-store';
import { listThings, resolveThing, thingBytes } from '@pangolin/storage/registry';
import type { Refusal } from './refusal.ts';

export type PinnedPipeline =
  | { readonly ok: true; readonly pin: NonNullable<AdmittedItem['pipeline']> }
  | { readonly ok: false; readonly refusal: Refusal };

export class PipelinePins {
  /** Every pinned spec by its digest. */
  readonly specs = new Map<Sha256, PipelineSpec>();
  readonly #store: ObjectStore;
  readonly #known = new Map<string | PipelineSpec, PinnedPipeline>();

  constructor(store: ObjectStore) {
    this.#store = store;
  }

  /** @throws PangolinError UNAVAILABLE when the store does not answer. */
  async pin(pipeline: string | PipelineSpec): Promise<PinnedPipeline> {
    let pinned = this.#known.get(pipeline);
    if (!pinned) {
      pinned = typeof pipeline === 'string' ? await this.#pinName(pipeline) : this.#pinInline(pipeline);
      this.#known.set(pipeline, pinned);
    }
    return pinned;
  }

  /** The same for the same pipelines, in whatever order they were met. */
  sorted(): Record<Sha256, PipelineSpec> {
    return Object.fromEntries([...this.specs].sort(([a], [b]) => (a < b ? -1 : 1)));
  }

  #pinInline(spec: PipelineSpec): PinnedPipeline {
    const digest = sha256(canonical(spec));
    if (!this.specs.has(digest)) this.specs.set(digest, spec);
    return { ok: true, pin: { sha256: digest } };
  }

  async #pinName(ref: string): Promise<PinnedPipeline> {
    const refused = (code: string, message: string, hint?: string): PinnedPipeline => ({
      ok: false,
      refusal: { code, message, ...(hint !== undefined && { hint }) },
    });
    try {
      const digest = await resolveThing(this.#store, 'pipeline', ref);
      if (digest === undefined) {
        const names = (await listThings(this.#store, 'pipeline')).map((thing) => thing.name);
        const meant = nearest(ref.split('@')[0]!, names);
        const hint =
          meant === undefined ? 'Register it: `pangolin pipeline register FILE`.' : `Did you mean \`${meant}\`?`;
        return refused('NotRegistered', `the pipeline ${show(ref)} is not registered`, hint);
      }
      const spec = parseCanonical(await thingBytes(this.#store, digest));
      if (!conforms('pipelineSpec', spec) || checkPipeline(spec, '').length > 0) {
        return refused(
          'PipelineInvalid',
          `the registered pipeline ${show(ref)} is not valid here`,
          'Register it again.',
        );
      }
      this.specs.set(digest, spec);
      return { ok: true, pin: { ref, sha256: digest } };
    } catch (error) {
      if (isPangolinError(error) && ['NOT_FOUND', 'INTEGRITY', 'INVALID'].includes(error.code)) {
        return refused('PipelineDamaged', `the registered pipeline ${show(ref)} cannot be read`, 'Register it again.');
      }
      throw error;
    }
  }
}
