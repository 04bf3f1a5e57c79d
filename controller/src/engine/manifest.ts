/** The signed statements of an attempt: what it is about to run, and what came of it. */
import { canonicalBytes } from '@pangolin/contracts/canonical';
import { sha256, type DigestSet } from '@pangolin/contracts/digest';
import { signEnvelope } from '@pangolin/contracts/dsse';
import type { AttemptRef } from '@pangolin/contracts/ids';
import type { AdmittedItem } from '@pangolin/contracts/admitted-run';
import type { Need, Select } from '@pangolin/contracts/run';
import type { DispatchManifest, InputRef, Sandbox } from '@pangolin/contracts/task';
import { formatTime } from '@pangolin/contracts/units';
import { dispatchStatement, provenanceStatement } from '../audit/statements.ts';
import type { ItemRow, RunRow } from '../store/rows.ts';
import { ENGINE } from './engine.ts';
import type { Pass } from './pass.ts';
import type { Collected } from './transitions.ts';

export const outputName = (select: Select): string => (select.kind === 'patch' ? 'patch' : `outputs/${select.path}`);

/** Resolves `needs` to the products that exist now, or says which one does not. */
export function resolveInputs(
  pass: Pass,
  item: ItemRow,
  spec: AdmittedItem,
): { readonly inputs: Record<string, InputRef> } | { readonly missing: string } {
  const inputs: Record<string, InputRef> = {};
  for (const [key, need] of Object.entries(spec.needs ?? {})) {
    if ('submission' in need) {
      inputs[key] = { sha256: need.submission.sha256, from: 'submission' };
      continue;
    }
    const found = findProduct(pass, item.rn, 'oneOf' in need ? need.oneOf : [need]);
    if ('missing' in found) return { missing: `${found.missing}, which inputs/${key} needs` };
    inputs[key] = found;
  }
  return { inputs };
}

/** The product of the first source that is done; alternatives are in order of preference. */
function findProduct(pass: Pass, rn: number, needs: readonly Need[]): InputRef | { readonly missing: string } {
  let missing = 'no source of it is done';
  for (const { from, select } of needs) {
    const source = pass.engine.state.sourceItem(rn, from);
    const output = outputName(select);
    // Evidence accepts products of done items only; what a failed one left is for people.
    if (source?.phase !== 'done') continue;
    const product = pass.engine.state.product(source.iid, output);
    if (product !== undefined) return { sha256: product, from: { itemId: from, output } };
    missing = `${from} yielded no ${output}`;
    break;
  }
  return { missing };
}

export async function signDispatch(
  pass: Pass,
  ref: AttemptRef,
  spec: AdmittedItem,
  given: {
    readonly task: string;
    readonly answer: DigestSet | undefined;
    readonly inputs: Record<string, InputRef>;
    readonly secrets: readonly string[];
    readonly asked: Partial<Sandbox>;
    readonly enforced: Sandbox;
    readonly image: { readonly ref: string; readonly id?: string } | undefined;
  },
): Promise<{ readonly sha256: string; readonly statement: number }> {
  const { engine } = pass;
  const manifest: DispatchManifest = {
    schema: 'dispatch/1',
    ...ref,
    engine: ENGINE,
    provider: engine.provider.name,
    task: given.task,
    ...(engine.files.store && { store: engine.files.store }),
    pipeline: { ...spec.pipeline!, spec: engine.state.pipeline(spec.pipeline!.sha256) },
    ...(given.image && { image: given.image }),
    ...(spec.workspace && { workspace: spec.workspace }),
    ...(spec.shape && { shape: spec.shape }),
    ...(spec.subagent && { subagent: spec.subagent }),
    ...(spec.capabilities && { capabilities: spec.capabilities }),
    ...(spec.env && { env: spec.env }),
    inputs: given.inputs,
    ...(given.answer && { answer: given.answer }),
    ...(spec.params && { params: { sha256: sha256(canonicalBytes(spec.params)) } }),
    ...(given.secrets.length > 0 && { secrets: given.secrets }),
    limits: {
      timeoutMs: spec.timeoutMs,
      ...(spec.idleTimeoutMs !== undefined && { idleTimeoutMs: spec.idleTimeoutMs }),
      graceMs: engine.config.graceMs,
    },
    sandbox: { asked: given.asked, enforced: given.enforced },
  };
  const statement = dispatchStatement(manifest);
  const envelope = await signEnvelope(engine.attest, statement.payload);
  const number = engine.evidence.addDispatch({ manifest, envelope, sha256: statement.sha256 });
  return { sha256: statement.sha256, statement: number };
}

/** Signs the SLSA provenance of an attempt's products and keeps it. Answers its payload digest. */
export async function signProvenance(
  pass: Pass,
  item: ItemRow,
  run: RunRow,
  spec: AdmittedItem,
  collected: Collected,
  outputs: Record<string, DigestSet>,
): Promise<string> {
  const { engine } = pass;
  const { manifest } = engine.evidence.dispatch(item.statement!, item.dispatch!);
  const statement = provenanceStatement({
    manifest,
    dispatch: item.dispatch!,
    logOrigin: engine.logOrigin,
    outputs,
    ...(collected.result && { result: collected.result }),
    ...(spec.params && { params: spec.params }),
    startedOn: formatTime(item.started_at ?? run.submitted_at),
    finishedOn: formatTime(pass.now),
  });
  const envelope = await signEnvelope(engine.attest, statement.payload);
  engine.evidence.addStatement(run.run_id, envelope);
  return statement.sha256;
}
