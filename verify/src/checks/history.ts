import { isUtf8 } from 'node:buffer';
import { bundleFile } from '@pangolin/contracts/bundle';
import { parseConsistency } from '@pangolin/contracts/consistency';
import { sha256 } from '@pangolin/contracts/digest';
import { verifyConsistency } from '@pangolin/contracts/merkle';
import { NOTE_BYTES_MAX } from '@pangolin/contracts/note';
import { formatTime } from '@pangolin/contracts/units';
import type { Context } from '../context.ts';
import { checkKeyUse } from '../key-use.ts';
import { quote, reading, refuse } from '../refusal.ts';
import { checkSignedCheckpoint, readSignedCheckpoint, type SignedCheckpoint } from '../signed-checkpoint.ts';
import { enoughSince } from '../time-bracket.ts';
import type { Trust } from '../trust-file.ts';
import { NO_TRUST, notApplicable, passed, plural, UNREACHED, UNSEALED, type Check } from './check.ts';

type After = Pick<SignedCheckpoint, 'size' | 'root'>;

const WHAT = 'the checkpoint that the run was opened after';
const cannot = (because: string) => notApplicable(`It cannot be checked because ${because}.`);

export const history: Check = {
  id: 'history',
  title: 'The run was opened after witnesses had seen the log that it was sealed in',
  failure: 'history',
  async run(context) {
    const { replay, sealFile, trust, checkpoint } = context;
    if (!replay) return UNREACHED;
    const { after, at } = replay.submitted;
    const digest = after?.note?.sha256;
    const [note, proof] = await readNamed(context, digest);
    if (note !== undefined && sha256(note) !== digest) refuse(`${WHAT} is another one than the log of the run names`);
    if (!sealFile) return UNSEALED;
    if (!trust) return NO_TRUST;
    if (!after) return cannot('the log of the deployment was empty when the run was opened');
    if (digest === undefined) return cannot(`no witness had cosigned ${WHAT}`);
    if (!checkpoint) return UNREACHED;
    const stated = { size: after.size, root: Buffer.from(after.root, 'hex') };
    if (proof !== undefined) checkContinued(proof, stated, checkpoint);
    const since = note === undefined ? undefined : witnessedSince(context, trust, note, stated, Date.parse(at));
    if (note === undefined || proof === undefined)
      return cannot(`the bundle withholds ${note === undefined ? WHAT : `the proof that the log continues ${WHAT}`}`);
    context.openedAfter = since;
    if (!trust.witnesses) return cannot('the trust file names no witness');
    if (since === undefined) return cannot(`too few of the witnesses ${trust.witnesses.quorum} had cosigned ${WHAT}`);
    return passed(`Enough witnesses had seen ${plural(stated.size, 'entry', 'entries')} of the log at ${formatTime(since)}.`); // prettier-ignore
  },
};

/** The note and the proof, as far as they are there; nothing else may be. @throws Refusal */
async function readNamed({ files, reader }: Context, digest: string | undefined): Promise<(string | undefined)[]> {
  const names = digest === undefined ? [] : [bundleFile.history(digest), bundleFile.historyProof(digest)];
  const stray = [...files.keys()].find((name) => name.startsWith('history/') && !names.includes(name));
  if (stray !== undefined) refuse(`no event names ${quote(stray)}`);
  return await Promise.all(
    names.map(async (name) => {
      const size = files.get(name);
      if (size === undefined) return undefined;
      if (size > NOTE_BYTES_MAX) refuse(`${quote(name)} is too large`);
      const bytes = await reader.read(name);
      if (!isUtf8(bytes)) refuse(`${quote(name)} is not UTF-8`);
      return bytes.toString('utf8');
    }),
  );
}

function checkContinued(text: string, after: After, sealed: After): void {
  const { oldSize, hashes } = reading(`the proof that the log continues ${WHAT}`, () => parseConsistency(text));
  if (oldSize !== after.size || !verifyConsistency(after.size, sealed.size, hashes, after.root, sealed.root))
    refuse(`the log that the run was sealed in does not continue ${WHAT}`);
}

/** Since when enough witnesses had cosigned it, in milliseconds since 1970. @throws Refusal, Unavailable */
function witnessedSince(context: Context, trust: Trust, note: string, after: After, openedAt: number) {
  const checkpoint = readSignedCheckpoint(WHAT, note, trust);
  if (checkpoint.size !== after.size || !checkpoint.root.equals(after.root))
    refuse(`${WHAT} is of another state of the log than the run names`);
  const cosignatures = checkSignedCheckpoint(context, trust, WHAT, checkpoint);
  const since = enoughSince(cosignatures, trust.witnesses);
  checkKeyUse(since === undefined ? [] : [since], 'the log', checkpoint.logKey!, openedAt);
  return since;
}
