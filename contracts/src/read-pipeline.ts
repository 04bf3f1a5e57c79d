/** A pipeline file (`kind: Pipeline`) from bytes to a checked, content-addressed spec. */
import { canonicalBytes } from './canonical.ts';
import { checkPipeline } from './check-pipeline.ts';
import { sha256, type Sha256 } from './digest.ts';
import { parseDocument } from './parse.ts';
import type { PipelineSpec } from './pipeline.ts';
import { located } from './located.ts';
import { conforms, findingsOf } from './schema.ts';
import type { Problem } from './status.ts';

export type ReadPipeline =
  | {
      readonly ok: true;
      readonly name: string;
      readonly spec: PipelineSpec;
      /** Canonical JSON of the spec, and its digest: what an item that names the pipeline is pinned to. */
      readonly bytes: Buffer;
      readonly sha256: Sha256;
    }
  | { readonly ok: false; readonly problems: readonly Problem[] };

/** Never throws. `file` is only named in the problems. */
export function readPipeline(bytes: Uint8Array, file: string): ReadPipeline {
  const parsed = parseDocument(bytes, file);
  if (!parsed.ok) return parsed;
  const { value, locate } = parsed;
  if (!conforms('pipeline', value))
    return { ok: false, problems: located(findingsOf('pipeline', value), file, locate) };
  const findings = checkPipeline(value.spec, '/spec');
  if (findings.length > 0) return { ok: false, problems: located(findings, file, locate) };
  const canonical = canonicalBytes(value.spec);
  return { ok: true, name: value.metadata.name, spec: value.spec, bytes: canonical, sha256: sha256(canonical) };
}
