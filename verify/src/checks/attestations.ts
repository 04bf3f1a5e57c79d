import { bundleFile } from '@pangolin/contracts/bundle';
import { sha256, type Sha256 } from '@pangolin/contracts/digest';
import { PAYLOAD_TYPE } from '@pangolin/contracts/dsse';
import { sigstoreBundleBytes } from '@pangolin/contracts/sigstore-bundle';
import type { Context } from '../context.ts';
import { checkKeyUse } from '../key-use.ts';
import { lack, quote, refuse } from '../refusal.ts';
import type { Attempt } from '../replay/result.ts';
import {
  isLowS,
  isSigned,
  readSigstoreFile,
  signerOf,
  SIGSTORE_BYTES_MAX,
  type SigstoreFile,
} from '../sigstore-file.ts';
import { readLine } from './events.ts';
import { NO_TRUST, notApplicable, passed, plural, UNREACHED, type Check } from './check.ts';

export const attestations: Check = {
  id: 'attestations',
  title: 'The statements are signed by a key that you trust to attest',
  failure: 'attestation',
  async run(context) {
    const { replay, files, seal } = context;
    if (!replay) return UNREACHED;
    const names = [...files.keys()].filter((name) => name.startsWith('attestations/'));
    const lacking = new Set<string>();
    for (const name of names) {
      const digest = name.slice('attestations/'.length, -'.sigstore.json'.length);
      const attempt = replay.dispatches.get(digest) ?? replay.provenances.get(digest);
      if (!attempt) return refuse(`no event names ${quote(name)}`);
      const unknown = await checkAttestation(context, name, digest, attempt);
      if (unknown === undefined) context.statements.signed++;
      else lacking.add(unknown);
    }
    if (seal?.attestations === 'none' && names.length > 0)
      refuse('the seal says that statements of this run are not signed');
    if (seal?.attestations === 'signed') {
      const unsigned = statementsIn(context).find((digest) => !files.has(bundleFile.attestation(digest)));
      if (unsigned !== undefined) refuse(`the signature of the statement ${unsigned} was removed`);
    }
    if (names.length === 0)
      return notApplicable('No statement of the bundle is signed by itself; the sealed log names them.');
    if (!context.trust) return NO_TRUST;
    if (lacking.size > 0) lack(`the trust file has no key ${[...lacking].map(quote).join(', ')}`);
    return passed(`${plural(names.length, 'signature')}.`);
  },
};

function statementsIn({ files }: Context): Sha256[] {
  return [...files.keys()].flatMap((name) => /^(?:dispatch|provenance)\/([0-9a-f]{64})\.json$/.exec(name)?.[1] ?? []);
}

/** The key id when the trust file has no such key. @throws Refusal */
async function checkAttestation(
  context: Context,
  name: string,
  digest: Sha256,
  attempt: Attempt,
): Promise<string | undefined> {
  const { files } = context;
  if (files.get(name)! > SIGSTORE_BYTES_MAX) refuse(`${quote(name)} is too large`);
  const file = readSigstoreFile(quote(name), await context.reader.read(name), 'unlogged');
  if (sha256(file.payload) !== digest) refuse(`${quote(name)} holds another statement than its name says`);
  if (!files.has(bundleFile.dispatch(digest)) && !files.has(bundleFile.provenance(digest))) {
    refuse(`${quote(name)} is the signature of a statement that is not in the bundle`);
  }
  const isDispatch = context.replay!.dispatches.get(digest) === attempt;
  const line = readLine(context.lines!, isDispatch ? attempt.firedLine : attempt.reconciledLine!);
  return checkSigned(context, quote(name), file, Date.parse(line.at));
}

/**
 * That a statement is signed as it has to be. The key id when the trust file has no such key.
 * @param at milliseconds since 1970: when the log says that it was made.
 * @throws Refusal
 */
export function checkSigned(context: Context, what: string, file: SigstoreFile, at: number): string | undefined {
  const { trust } = context;
  if (file.timestamps.length > 0) refuse(`${what} carries a time stamp, which cannot be checked by this version`);
  if (!rebuilt(file).equals(file.bytes)) refuse(`${what} holds something besides its signed statement`);
  if (!isLowS(file.signature)) refuse(`the signature in ${what} is not in the form that is written`);
  if (!trust) return undefined;
  if (!trust.signers.has(file.keyid)) return file.keyid;
  const key = signerOf(what, file, trust, 'attest');
  if (!isSigned(file, key)) refuse(`the signature in ${what} is not one of its key over its content`);
  checkKeyUse(context.trustedTimes, what, key, at);
  return undefined;
}

/** The hint is the key id of the signature, and there is nothing else to say. */
function rebuilt(file: SigstoreFile): Buffer {
  return sigstoreBundleBytes({
    envelope: {
      payload: file.payload.toString('base64'),
      payloadType: PAYLOAD_TYPE,
      signatures: [{ keyid: file.keyid, sig: file.signature.toString('base64') }],
    },
  });
}
