/** The kinds of things that can be registered: what they are called where, and what their schemas cannot say. */
import { canonicalBytes } from './canonical.ts';
import { checkCapability } from './check-capability.ts';
import { checkPipeline, readDuration } from './check-pipeline.ts';
import { checkShape } from './check-shape.ts';
import { credentialPattern } from './credentials.ts';
import { sha256, type Sha256 } from './digest.ts';
import type { Finding } from './explain.ts';
import { show } from './formats.ts';
import { located } from './located.ts';
import { parseDocument } from './parse.ts';
import { conforms, findingsOf, type Kind, type Valid } from './schema.ts';
import type { Problem } from './status.ts';
import { pointerTo } from './text-place.ts';

/** Name of the kind in keys and commands → `kind` of its file, its schemas, and the check beyond the schema. */
const kinds = {
  pipeline: { kind: 'Pipeline', noun: 'pipeline', file: 'pipeline', spec: 'pipelineSpec', check: checkPipeline },
  subagent: { kind: 'Subagent', noun: 'subagent', file: 'subagent', spec: 'subagentSpec', check: checkSubagent },
  capability: {
    kind: 'Capability',
    noun: 'capability',
    file: 'capability',
    spec: 'capabilitySpec',
    check: checkCapability,
  },
  env: { kind: 'EnvBundle', noun: 'env bundle', file: 'env', spec: 'envSpec', check: checkEnv },
  shape: { kind: 'Shape', noun: 'shape', file: 'shape', spec: 'shapeSpec', check: checkShape },
} as const satisfies Record<string, { kind: string; noun: string; file: Kind; spec: Kind; check: unknown }>;

export type ThingKind = keyof typeof kinds;
export type SpecOf<K extends ThingKind> = Valid<(typeof kinds)[K]['spec']>;
type ThingSpec = SpecOf<ThingKind>;

export const thingKinds = Object.keys(kinds) as readonly ThingKind[];
export const nounOf = (kind: ThingKind): string => kinds[kind].noun;

/** The kind whose files say `kind: <written>`, if there is one. */
export function thingKindOf(written: unknown): ThingKind | undefined {
  return thingKinds.find((kind) => kinds[kind].kind === written);
}

/** Whether the spec is one of that kind and holds. Cheap: no explanation is made. */
export function isSpec<K extends ThingKind>(kind: K, spec: unknown): spec is SpecOf<K> {
  return conforms(kinds[kind].spec, spec) && checkSpec(kind, spec, '').length === 0;
}

function checkSpec(kind: ThingKind, spec: ThingSpec, at: string): Finding[] {
  return (kinds[kind].check as (spec: ThingSpec, at: string) => Finding[])(spec, at);
}

export type ReadThing =
  | {
      readonly ok: true;
      readonly name: string;
      readonly spec: ThingSpec;
      /** Canonical JSON of the spec, and its digest: what an item that names the thing is pinned to. */
      readonly bytes: Buffer;
      readonly sha256: Sha256;
    }
  | { readonly ok: false; readonly problems: readonly Problem[] };

/** A file (`kind: Pipeline`, …) from bytes to a checked, content-addressed spec. Never throws. `file` is only named in the problems. */
export function readThing(kind: ThingKind, bytes: Uint8Array, file: string): ReadThing {
  const parsed = parseDocument(bytes, file);
  if (!parsed.ok) return parsed;
  const { value, locate } = parsed;
  const refuse = (findings: readonly Finding[]): ReadThing => ({
    ok: false,
    problems: located(findings, file, locate),
  });
  const schema = kinds[kind].file;
  if (!conforms(schema, value)) return refuse(findingsOf(schema, value));
  const findings = checkSpec(kind, value.spec, '/spec');
  if (findings.length > 0) return refuse(findings);
  const canonical = canonicalBytes(value.spec);
  return { ok: true, name: value.metadata.name, spec: value.spec, bytes: canonical, sha256: sha256(canonical) };
}

function checkSubagent(spec: SpecOf<'subagent'>, at: string): Finding[] {
  const findings: Finding[] = [];
  if (spec.model !== undefined && spec.level !== undefined) {
    const message = 'the subagent gives a model and a level';
    findings.push({ path: `${at}/level`, code: 'GivenTwice', message, hint: 'Keep one of them.', at: 'key' });
  }
  if (spec.runtime.kind === 'claude-code' && /^(fast|standard|max)$/.test(spec.model ?? '')) {
    const message = `${show(spec.model)} is a level, and no model`;
    findings.push({ path: `${at}/model`, code: 'InvalidValue', message, hint: `Write \`level: ${spec.model}\`.` });
  }
  if (spec.tools && spec.runtime.kind !== 'claude-code') {
    const message = `the runtime ${spec.runtime.kind} cannot be told which tools it has`;
    findings.push({ path: `${at}/tools`, code: 'InvalidValue', message, hint: 'Leave `tools` out.', at: 'key' });
  }
  readDuration(spec.timeout, `${at}/timeout`, findings);
  for (const [index, path] of (spec.contextRequires?.paths ?? []).entries()) {
    if (!path.startsWith('/') && !path.split('/').includes('..')) continue;
    const message = `${show(path)} is not a path inside the workspace`;
    findings.push({ path: `${at}/contextRequires/paths/${index}`, code: 'InvalidValue', message });
  }
  return findings;
}

/** A value that looks like a credential is named by its pattern and by nothing else. */
function checkEnv(spec: SpecOf<'env'>, at: string): Finding[] {
  const findings: Finding[] = [];
  const values = spec.values ?? {};
  for (const [name, value] of Object.entries(values)) {
    const path = pointerTo(`${at}/values`, name);
    const pattern = credentialPattern(name, value);
    if (name.startsWith('PANGOLIN_')) findings.push(reserved(name, path));
    if (pattern === undefined) continue;
    const message = `the value of ${name} looks like a credential (${pattern})`;
    const hint = `Put it into the secret store and write \`secrets: { ${name}: { ref: … } }\`.`;
    findings.push({ path, code: 'CredentialInValue', message, hint });
  }
  for (const name of Object.keys(spec.secrets ?? {})) {
    const path = pointerTo(`${at}/secrets`, name);
    if (name.startsWith('PANGOLIN_')) findings.push(reserved(name, path));
    if (!Object.hasOwn(values, name)) continue;
    const message = `${name} is a value and a secret`;
    findings.push({ path, code: 'GivenTwice', message, hint: 'Keep one of them.', at: 'key' });
  }
  return findings;
}

function reserved(name: string, path: string): Finding {
  const message = `${name} is a name of the worker's own`;
  return { path, code: 'InvalidValue', message, hint: 'Use one that does not start with PANGOLIN_.', at: 'key' };
}
