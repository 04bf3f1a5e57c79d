/** A witness over HTTP: C2SP tlog-witness, `add-checkpoint`. */
import { formatConsistency } from '@pangolin/contracts/consistency';
import { PangolinError } from '@pangolin/contracts/errors';
import {
  NOTE_BYTES_MAX,
  NOTE_COSIGNATURE,
  parseNote,
  parseVkey,
  verifyCosignature,
  type NoteKey,
  type NoteSignature,
} from '@pangolin/contracts/note';
import { assertNear } from './clocks.ts';
import { post, type Answer } from './http.ts';
import type { Witness } from './outside.ts';
import { Patient, type Patience } from './patience.ts';

/** How often its 409 may move the old size: once for what it knew, once for a submission that overtook ours. */
const MOVES_MAX = 2;

/**
 * @param url the submission prefix; `/add-checkpoint` comes behind it.
 * @param vkey what its cosignatures are checked with before they are kept (contracts/note).
 * @param now epoch milliseconds.
 * @throws PangolinError INVALID for a vkey that is not one of a witness.
 */
export function tlogWitness({
  url,
  vkey,
  now = Date.now,
  ...patience
}: { readonly url: string; readonly vkey: string; readonly now?: () => number } & Patience): Witness {
  const key = parseVkey(vkey);
  if (key.type !== NOTE_COSIGNATURE || key.publicKey.length !== 32) {
    throw new PangolinError('INVALID', `${key.name} is not a key of a witness`, {
      hint: 'Witnesses publish a verifier key of type 4 (cosignature/v1, Ed25519).',
    });
  }
  const patient = new Patient(`the witness ${key.name}`, patience);
  const submit = (old: number, proof: readonly Buffer[], note: string): Promise<Answer> => {
    return post({
      url: `${url.replace(/\/+$/, '')}/add-checkpoint`,
      contentType: 'text/plain; charset=utf-8',
      body: Buffer.from(`${formatConsistency({ oldSize: old, hashes: proof })}\n${note}`, 'utf8'),
      signal: patient.deadline(),
      bytesMax: NOTE_BYTES_MAX,
    });
  };
  return {
    name: key.name,
    cosign: ({ oldSize, proofFrom, note }) =>
      patient.ask(async () => {
        let old = oldSize;
        for (let moves = 0; ; moves++) {
          const proof = proofFrom(old);
          if (!proof) throw new PangolinError('PRECONDITION', `it says that it has seen ${old} entries of this log already, which are not there or later`, { hint: AHEAD_HINT }); // prettier-ignore
          const { status, body } = await submit(old, proof, note);
          if (status === 200) return cosignatureIn(body, note, key, now());
          if (status !== 409 || moves === MOVES_MAX) throw refusal(status);
          old = sizeIn(body);
        }
      }),
    async ahead(size, note) {
      // Equal sizes need no proof, so this says what it has seen and changes nothing there.
      const { status, body } = await submit(size, [], note);
      if (status === 200) return undefined;
      if (status !== 409) throw refusal(status);
      const seen = sizeIn(body);
      return seen < size ? undefined : seen;
    },
  };
}

const AHEAD_HINT =
  'Either it lies, or this database is older than what was published: then stop and restore the newest.';

const refusals: Readonly<Record<number, string>> = {
  400: 'it calls the request malformed',
  403: 'it does not trust the key of this log',
  404: 'it does not know this log',
  409: 'it names one size after the other',
  422: 'it says that this log is not an extension of the one that it has seen',
};

function refusal(status: number): PangolinError {
  const code = status >= 500 || status === 429 ? 'UNAVAILABLE' : 'DENIED';
  return new PangolinError(code, refusals[status] ?? `it answered with HTTP status ${status}`);
}

function sizeIn(body: Buffer): number {
  const [, digits] = /^(0|[1-9][0-9]{0,15})\n$/.exec(body.toString('latin1')) ?? [];
  const size = Number(digits);
  if (digits === undefined || !Number.isSafeInteger(size)) {
    throw new PangolinError('DENIED', 'it does not say how much of the log it has seen');
  }
  return size;
}

/** It may send lines of other keys too; only one that verifies under its key is kept. */
function cosignatureIn(body: Buffer, note: string, key: NoteKey, now: number): NoteSignature {
  const { text } = parseNote(note);
  let signatures: readonly NoteSignature[];
  try {
    signatures = parseNote(`${text}\n${body.toString('utf8')}`).signatures;
  } catch (cause) {
    throw new PangolinError('DENIED', 'its answer is no cosignature', { cause });
  }
  for (const each of signatures) {
    const at = verifyCosignature(text, each, key);
    if (at === undefined) continue;
    assertNear(at, now);
    return each;
  }
  throw new PangolinError('DENIED', 'its cosignature does not verify');
}
