/** The story again, opened after a checkpoint that witnesses had cosigned, and sealed in a log that they cosigned later. */
import { sign } from 'node:crypto';
import { cosignatureText, formatVkey, NOTE_COSIGNATURE, noteKeyId } from '@pangolin/contracts/note';
import {
  consistencyPath,
  eventsOf,
  jcs,
  leavesOf,
  logOf,
  mth,
  noteLine,
  ORIGIN,
  sealOf,
  sha,
  signNote,
  type Files,
  type ForgeKey,
  type ForgeKeys,
  type Json,
} from './forge.ts';

export interface ForgedWitness {
  readonly name: string;
  readonly key: ForgeKey;
  /** Seconds since 1970: when it saw the log that the run names, and that of the seal. */
  readonly opened: number;
  readonly sealed: number;
}

const noteKeyOf = ({ name, key }: Pick<ForgedWitness, 'name' | 'key'>) => ({
  name,
  type: NOTE_COSIGNATURE,
  publicKey: key.spki.subarray(-32),
});

/** Ways to bend it, each followed by everything that depends on it, digests and signatures included. */
export interface HistoryBend {
  /** The lines of the note before its blank line. */
  readonly text?: (text: string) => string;
  /** Its signature lines: of the log, then of witnesses. */
  readonly lines?: (lines: string[], text: string) => string[];
  readonly after?: (after: Json) => void;
  readonly proof?: (text: string) => string;
  /** Instead of the log that the run was opened after: its entries. */
  readonly before?: readonly Buffer[];
}

export function cosign(witness: ForgedWitness, seconds: number, text: string): string {
  const time = Buffer.alloc(8);
  time.writeBigUInt64BE(BigInt(seconds));
  const signature = sign(null, Buffer.from(cosignatureText(BigInt(seconds), text)), witness.key.privateKey);
  return noteLine(witness.name, noteKeyId(noteKeyOf(witness)), Buffer.concat([time, signature]));
}

export function policyOf(witnesses: readonly ForgedWitness[], threshold: string): string {
  const lines = witnesses.map((each) => `witness ${each.name} ${formatVkey(noteKeyOf(each))}`);
  const names = witnesses.map(({ name }) => name).join(' ');
  return [...lines, `group them ${threshold} ${names}`, 'quorum them', ''].join('\n');
}

/** @param files of the story. @param witnesses in the order of their names. */
export function opened(
  keys: ForgeKeys,
  files: Files,
  witnesses: readonly ForgedWitness[],
  bend: HistoryBend = {},
): Files {
  const before = bend.before ?? leavesOf(3);
  const honest = `${ORIGIN}\n${before.length}\n${mth(before).toString('base64')}\n`;
  const text = bend.text?.(honest) ?? honest;
  const signed = [signNote(keys.log, text), ...witnesses.map((each) => cosign(each, each.opened, text))];
  const note = `${text}\n${(bend.lines?.(signed, text) ?? signed).join('')}`;
  const events = eventsOf(files);
  const after = { size: before.length, root: mth(before).toString('hex'), note: { sha256: sha(note) } };
  bend.after?.(after);
  events[0].after = after;
  const log = logOf(events);
  const cosigned = (sealed: string, line: string): string =>
    [sealed, '\n', line, ...witnesses.map((each) => cosign(each, each.sealed, sealed))].join('');
  const seal = sealOf(keys, log, { note: cosigned });
  const path = consistencyPath(before.length, leavesIn(seal));
  const proof = [`old ${before.length}`, ...path.map((hash) => hash.toString('base64')), ''].join('\n');
  return new Map(files)
    .set('events.jsonl', log)
    .set('seal.sigstore.json', seal)
    .set(`history/${sha(note)}`, Buffer.from(note))
    .set(`history/${sha(note)}.proof`, Buffer.from(bend.proof?.(proof) ?? proof));
}

/** The log that a forged seal is in. */
function leavesIn(seal: Buffer): Buffer[] {
  const entry = (JSON.parse(seal.toString()) as Json).verificationMaterial.tlogEntries[0];
  const { treeSize } = entry.inclusionProof;
  return leavesOf(Number(treeSize), Number(entry.logIndex), Buffer.from(entry.canonicalizedBody, 'base64'));
}

/** With the seal's own checkpoint cosigned by these alone, or not at all. */
export function sealedBy(files: Files, witnesses: readonly ForgedWitness[]): Files {
  const seal = JSON.parse(files.get('seal.sigstore.json')!.toString()) as Json;
  const { checkpoint } = seal.verificationMaterial.tlogEntries[0].inclusionProof;
  const [text, lines] = (checkpoint.envelope as string).split('\n\n') as [string, string];
  const own = `${lines.split('\n')[0]}\n`;
  checkpoint.envelope = `${text}\n\n${own}${witnesses.map((each) => cosign(each, each.sealed, `${text}\n`)).join('')}`;
  return new Map(files).set('seal.sigstore.json', jcs(seal));
}
