/** Gets a witness's line onto a checkpoint that is signed and published. */
import { formatNote, parseNote } from '@pangolin/contracts/note';
import { consistencyProof } from '@pangolin/contracts/tlog';
import type { EvidenceStore } from '../store/evidence.ts';
import type { Witness } from './outside.ts';

/** False when the checkpoint goes without: the witness gave none, or has seen a newer one, and it only looks forward. */
export async function cosignCheckpoint(evidence: EvidenceStore, witness: Witness, size: number): Promise<boolean> {
  const { log } = evidence;
  const oldSize = log.witnessedSize(witness.name);
  const { note } = log.checkpoint(size)!;
  if (oldSize >= size) return parseNote(note).signatures.some(({ name }) => name === witness.name);
  const proofFrom = (old: number): Buffer[] | undefined =>
    old > size ? undefined : old === 0 ? [] : consistencyProof(old, size, log.hashAt);
  const cosignature = await witness.cosign({ oldSize, proofFrom, note });
  if (!cosignature) return false;
  const { text, signatures } = parseNote(note);
  const [own, ...others] = signatures;
  // One line a witness: it may have signed before, and a crash kept us from noticing.
  const sorted = [...others.filter(({ name }) => name !== cosignature.name), cosignature].sort((a, b) => (a.name < b.name ? -1 : 1)); // prettier-ignore
  await evidence.transact(() => {
    log.setNote(size, formatNote({ text, signatures: [own!, ...sorted] }));
    log.setWitnessedSize(witness.name, size);
  });
  return true;
}
