/** What shows that a run was opened after the times of witnesses: the checkpoint that it names, and that the log of its seal continues that. */
import { formatConsistency } from '@pangolin/contracts/consistency';
import { sha256 } from '@pangolin/contracts/digest';
import { PangolinError } from '@pangolin/contracts/errors';
import { casKey, historyProofKey } from '@pangolin/contracts/layout';
import { consistencyProof } from '@pangolin/contracts/tlog';
import type { ObjectStore } from '@pangolin/storage/object-store';
import type { EvidenceStore, SealRow } from '../store/evidence.ts';
import { putOnce } from './put-once.ts';

/** The same bytes every time. Writes nothing for a run whose checkpoint no witness had cosigned. From `checkpointed` on. */
export async function putHistory(row: SealRow, evidence: EvidenceStore, store: ObjectStore): Promise<void> {
  const { run_id: runId, checkpoint_size: size } = row;
  const first = evidence.event(runId, 0);
  const after = first.kind === 'run.submitted' ? first.after : undefined;
  if (!after?.note) return;
  const { log } = evidence;
  const { sha256: digest } = after.note;
  const note = log.cosignedNote(digest);
  if (note === undefined) throw new PangolinError('INTEGRITY', `the checkpoint ${digest} that ${runId} names is lost`);
  const hashes = consistencyProof(after.size, size!, log.hashAt);
  const proof = Buffer.from(formatConsistency({ oldSize: after.size, hashes }), 'utf8');
  await putOnce(store, casKey(digest), digest, () => Buffer.from(note, 'utf8'));
  await putOnce(store, historyProofKey(runId), sha256(proof), () => proof);
}
