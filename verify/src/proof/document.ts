/** Reads the evidence of one item (contracts/proof): shape and encodings, and that nothing else is in it. */
import { isUtf8 } from 'node:buffer';
import { canonicalBytes } from '@pangolin/contracts/canonical';
import { decodeBase64 } from '@pangolin/contracts/dsse';
import { isId } from '@pangolin/contracts/ids';
import { PROOF_BYTES_MAX, PROOF_SCHEMA, type ItemProof } from '@pangolin/contracts/proof';
import { refuse } from '../refusal.ts';
import { array, count, is, literal, object, text, type Check } from '../shape.ts';
import { readSigstoreFile, type SigstoreFile } from '../sigstore-file.ts';
import { parseStrict } from '../strict-json.ts';

export interface ProvenEvent {
  readonly index: number;
  readonly line: string;
  readonly path: readonly Buffer[];
}

export interface ProofDocument {
  readonly runId: string;
  readonly itemId: string;
  readonly seal: SigstoreFile;
  readonly events: readonly ProvenEvent[];
  readonly statements: readonly SigstoreFile[];
}

const id = is('an id', isId);
const hash = is('a hash in base64', (value) => decodeBase64(value)?.length === 32);
/** Read by its own reader. */
const later: Check = () => undefined;
const shape = object({
  schema: literal(PROOF_SCHEMA),
  runId: id,
  itemId: id,
  seal: later,
  events: array(object({ index: count, line: text(PROOF_BYTES_MAX), path: array(hash, { max: 64 }) }), {
    min: 1,
    max: 100_000,
  }),
  statements: array(later, { max: 100_000 }),
});

/** @throws Refusal unless `bytes` are such a document and writing what was read gives them again. */
export function readProof(bytes: Buffer): ProofDocument {
  if (bytes.length > PROOF_BYTES_MAX) refuse('the proof is too large');
  if (!isUtf8(bytes)) refuse('the proof is not UTF-8');
  const value = parseStrict('the proof', bytes.toString('utf8'));
  const problem = shape(value);
  if (problem !== undefined) refuse(`the proof${problem}`);
  const { runId, itemId, seal, events, statements } = value as ItemProof;
  const document = {
    runId,
    itemId,
    seal: readSigstoreFile('the seal', canonicalBytes(seal), 'logged'),
    events: events.map(({ index, line, path }) => ({ index, line, path: path.map((each) => decodeBase64(each)!) })),
    statements: statements.map((each, at) => readSigstoreFile(`statement ${at}`, canonicalBytes(each), 'unlogged')),
  };
  if (!rebuilt(document).equals(bytes)) refuse('the proof holds something besides what is read from it');
  return document;
}

function rebuilt({ runId, itemId, seal, events, statements }: ProofDocument): Buffer {
  const parsed = ({ bytes }: SigstoreFile): unknown => JSON.parse(bytes.toString('utf8'));
  return canonicalBytes({
    schema: PROOF_SCHEMA,
    runId,
    itemId,
    seal: parsed(seal),
    events: events.map(({ index, line, path }) => ({ index, line, path: path.map((each) => each.toString('base64')) })),
    statements: statements.map(parsed),
  });
}
