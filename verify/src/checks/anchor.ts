import { anchorKey } from '@pangolin/contracts/layout';
import { isPangolinError, messageOf } from '@pangolin/contracts/errors';
import { parseNote } from '@pangolin/contracts/note';
import { predicateTypes, type RunSeal, type Statement } from '@pangolin/contracts/statement';
import type { TrustedAnchor } from '@pangolin/contracts/trust';
import type { AnchorReader, LockedObject } from '../anchor/anchor.ts';
import type { Context } from '../context.ts';
import { lack, Refusal, refuse, Unavailable } from '../refusal.ts';
import { isLowS, isSigned, readSigstoreFile, signerOf, type SigstoreFile } from '../sigstore-file.ts';
import { NO_TRUST, notApplicable, passed, plural, UNREACHED, UNSEALED, type Check } from './check.ts';

const DAY_MS = 24 * 3600 * 1000;

export const anchor: Check = {
  id: 'anchor',
  title: 'The seal is the one that was put out of the reach of the operator',
  failure: 'anchor-missing',
  async run(context) {
    const { sealFile, seal, trust, openAnchor } = context;
    if (!sealFile) return UNSEALED;
    if (!seal) return UNREACHED;
    const { anchor: expected } = seal.expects;
    if (expected.length > 0 && (!openAnchor || !trust || trust.anchors.length === 0)) {
      context.find(
        'anchor-not-checked',
        `The seal was to be anchored in ${expected.join(', ')}; that was not looked at.`,
      );
    }
    if (!trust) return NO_TRUST;
    if (trust.anchors.length === 0) return notApplicable('The trust file names no anchor, so none was looked at.');
    if (!openAnchor) return notApplicable('It was not looked at: ask for it with --anchor live.');
    const places: string[] = [];
    const unreachable: string[] = [];
    for (const each of trust.anchors) {
      try {
        await checkAnchor(context, each, openAnchor(each));
        places.push(each.bucket);
      } catch (error) {
        if (!isPangolinError(error)) throw error;
        unreachable.push(`${each.bucket} gave no answer (${messageOf(error)})`);
      }
    }
    // Somebody asked for it, so that it was not done is no footnote.
    if (unreachable.length > 0) lack(unreachable.join(', and '));
    const { snapshotOf } = context;
    if (snapshotOf !== undefined) {
      context.find(
        'anchor-snapshot',
        `The anchors themselves were not looked at: what the snapshot of ${snapshotOf} says is the word of whoever took it, and raises no guarantee.`,
      );
      return passed(
        `By a snapshot of ${snapshotOf}: in ${places.join(', ')}, the oldest seal of this run, and locked.`,
      );
    }
    context.anchored = true;
    return passed(`In ${places.join(', ')}, the oldest seal of this run, and locked.`);
  },
};

/** The oldest version that is a validly signed seal of this run is the anchor, whatever else lies there. */
async function checkAnchor(context: Context, trusted: TrustedAnchor, reader: AnchorReader): Promise<void> {
  const { origin } = context.trust!;
  const key = `${trusted.prefix ?? ''}${anchorKey(origin, context.seal!.runId)}`;
  let anchored: { readonly file: SigstoreFile; readonly object: LockedObject } | undefined;
  let foreign = 0;
  let equivocates = false;
  for (const { versionId, deleteMarker } of await reader.versions(key)) {
    const object = deleteMarker ? undefined : await reader.get(key, versionId);
    const file = object && sealIn(context, object.body);
    if (!file) foreign++;
    else if (!anchored) anchored = { file, object };
    else if (!isSame(file, anchored.file)) equivocates = true;
  }
  if (foreign > 0) {
    context.find(
      'anchor-foreign-version',
      `The anchor in ${trusted.bucket} has ${plural(foreign, 'version')} besides that are no seals of this run.`,
    );
  }
  if (equivocates) {
    context.find(
      'equivocation',
      `The anchor in ${trusted.bucket} holds a second, different seal of this run: its key was used to tell two stories.`,
    );
  }
  if (!anchored) return refuse(`${trusted.bucket} holds no seal of this run`, 'anchor-missing');
  const { file, object } = anchored;
  if (!isSame(file, context.sealFile!)) {
    refuse(`the seal is another one than was put into ${trusted.bucket} first`, 'root-mismatch');
  }
  checkLock(trusted, object);
  checkComplete(context, trusted, file);
}

function checkLock({ bucket, minRetentionDays }: TrustedAnchor, object: LockedObject): void {
  const { lockMode, retainUntil, lastModified } = object;
  if (lockMode !== 'COMPLIANCE' || retainUntil === undefined || lastModified === undefined) {
    refuse(`the seal in ${bucket} is not locked so that its owner cannot replace it`, 'anchor-weak');
  }
  if (retainUntil! < lastModified! + minRetentionDays * DAY_MS) {
    refuse(`the seal in ${bucket} is locked for less than ${minRetentionDays} days`, 'anchor-weak');
  }
}

/** What was anchored with the seal and is not in the bundle was taken out of it. */
function checkComplete({ sealFile, checkpoint }: Context, { bucket }: TrustedAnchor, anchored: SigstoreFile): void {
  const lacksToken = anchored.timestamps.some((token) => !sealFile!.timestamps.some((each) => each.equals(token)));
  const names = new Set(checkpoint!.signatures.map(({ name }) => name));
  const lacksWitness = signersOf(anchored).some((name) => !names.has(name));
  if (lacksToken || lacksWitness) {
    refuse(`the seal in ${bucket} has a time stamp or cosignature that was taken out of this bundle`, 'stripped');
  }
}

function signersOf(file: SigstoreFile): string[] {
  try {
    return parseNote(file.entry!.checkpoint).signatures.map(({ name }) => name);
  } catch {
    // Nobody but the log's own key holder can have put an unreadable note there.
    return [];
  }
}

const isSame = (a: SigstoreFile, b: SigstoreFile): boolean =>
  a.payload.equals(b.payload) && a.signature.equals(b.signature);

/** The version's content, if it is a seal of this run under a key that is trusted to seal. */
function sealIn({ trust, seal }: Context, body: Buffer): SigstoreFile | undefined {
  try {
    const file = readSigstoreFile('an anchored seal', body, 'logged');
    if (!isSigned(file, signerOf('an anchored seal', file, trust!, 'seal')) || !isLowS(file.signature))
      return undefined;
    const { predicateType, predicate } = JSON.parse(file.payload.toString('utf8')) as Statement<RunSeal>;
    const isOurs = predicateType === predicateTypes.runSeal && predicate.runId === seal!.runId;
    return isOurs && predicate.logOrigin === seal!.logOrigin ? file : undefined;
  } catch (error) {
    if (
      error instanceof Refusal ||
      error instanceof Unavailable ||
      error instanceof SyntaxError ||
      error instanceof TypeError
    )
      return undefined;
    throw error;
  }
}
