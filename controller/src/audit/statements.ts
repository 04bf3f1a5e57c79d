/** Builds the in-toto Statements that we sign (evidence.md §3.4). Signing them is the caller's. */
import { sha256, type DigestSet, type Sha256 } from '@pangolin/contracts/digest';
import {
  BUILD_TYPE,
  BUILDER_ID,
  predicateTypes,
  statementBytes,
  type RunHead,
  type RunSeal,
  type Subject,
} from '@pangolin/contracts/statement';
import { pinsOf } from '@pangolin/contracts/pins';
import type { DispatchManifest } from '@pangolin/contracts/task';
import { bundleFile } from '@pangolin/contracts/bundle';

export interface BuiltStatement {
  /** Canonical JSON: the DSSE payload. */
  readonly payload: Buffer;
  /** Digest of `payload`: how events name the statement. */
  readonly sha256: Sha256;
}

/** What one dispatch brings together is its subject; the manifest is its predicate. */
export function dispatchStatement(manifest: DispatchManifest): BuiltStatement {
  return built(statementBytes(predicateTypes.dispatch, materialsOf(manifest), manifest));
}

/** A pipeline is always there, so the subject is never empty. An image without a known id cannot be named by digest. */
function materialsOf(manifest: DispatchManifest): Subject[] {
  const { image, pipeline, workspace, params, answer, inputs } = manifest;
  const imageDigest = image?.id?.startsWith('sha256:') ? image.id.slice(7) : undefined;
  return [
    ...(imageDigest !== undefined ? [{ name: 'image', digest: { sha256: imageDigest } }] : []),
    { name: 'pipeline', digest: { sha256: pipeline.sha256 } },
    ...pinsOf(manifest).map(([name, digest]) => ({ name, digest: { sha256: digest } })),
    ...(workspace ? [{ name: 'workspace', digest: { sha256: workspace.sha256 } }] : []),
    ...(params ? [{ name: 'params', digest: { sha256: params.sha256 } }] : []),
    ...(answer ? [{ name: 'answer', digest: { sha256: answer.sha256 } }] : []),
    ...Object.keys(inputs)
      .sort()
      .map((key) => ({ name: `input:${key}`, digest: { sha256: inputs[key]!.sha256 } })),
  ];
}

export interface ProvenanceFacts {
  readonly manifest: DispatchManifest;
  /** Payload digest of the dispatch statement. */
  readonly dispatch: Sha256;
  readonly logOrigin: string;
  /** `patch` and `outputs/<path>` → digest. At least one. */
  readonly outputs: Readonly<Record<string, DigestSet>>;
  /** Digest of the worker's output.json. */
  readonly result?: Sha256;
  /** The item's `inputs`, as submitted. */
  readonly params?: Readonly<Record<string, unknown>>;
  /** RFC 3339. */
  readonly startedOn: string;
  readonly finishedOn: string;
}

/**
 * SLSA Provenance v1 of an attempt's products. `externalParameters` is what the submitter controls and
 * `internalParameters` what we set; what the worker says about itself is only a by-product, by digest.
 */
export function provenanceStatement(facts: ProvenanceFacts): BuiltStatement {
  const { manifest, outputs } = facts;
  const { runId, itemId, attempt } = manifest;
  const subject = Object.keys(outputs)
    .sort()
    .map((name) => ({ name, digest: { sha256: outputs[name]!.sha256 } }));
  const predicate = {
    buildDefinition: {
      buildType: BUILD_TYPE,
      externalParameters: { runId, itemId, attempt, ...(facts.params && { params: facts.params }) },
      internalParameters: { provider: manifest.provider, limits: manifest.limits, sandbox: manifest.sandbox },
      resolvedDependencies: [
        { name: 'dispatch', digest: { sha256: facts.dispatch } },
        ...materialsOf(manifest).filter(({ name }) => name !== 'params'),
      ],
    },
    runDetails: {
      builder: { id: BUILDER_ID, version: { [manifest.engine.name]: manifest.engine.version } },
      metadata: {
        invocationId: `${facts.logOrigin}/${runId}/${itemId}/${attempt}`,
        startedOn: facts.startedOn,
        finishedOn: facts.finishedOn,
      },
      ...(facts.result !== undefined && {
        byproducts: [{ name: 'output.json', digest: { sha256: facts.result } }],
      }),
    },
  };
  return built(statementBytes(predicateTypes.provenance, subject, predicate));
}

/** Closes a run: its subject is events.jsonl, by the digest of the whole file. */
export function runSealStatement(events: Sha256, seal: RunSeal): BuiltStatement {
  return built(statementBytes(predicateTypes.runSeal, [{ name: bundleFile.events, digest: { sha256: events } }], seal));
}

/** Commits to how a run began: its subject is that part of events.jsonl, by digest. */
export function runHeadStatement(beginning: Sha256, head: RunHead): BuiltStatement {
  return built(
    statementBytes(predicateTypes.runHead, [{ name: bundleFile.events, digest: { sha256: beginning } }], head),
  );
}

function built(payload: Buffer): BuiltStatement {
  return { payload, sha256: sha256(payload) };
}
