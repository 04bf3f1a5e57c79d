/**
 * Names of dropped files. The Run schema is closed, so the actor of a submission travels in the name of its object:
 *
 * ```
 * inbox/20261123T100000.000Z-5b1f0c2e9a7d~human%3Aalice.json
 * ```
 */
import { PangolinError } from './errors.ts';
import { decodeSegment, encodeSegment } from './ids.ts';

/** Who asks: a kind and a name. Nothing vouches for it but the right to write into the storage. */
export const ACTOR_PATTERN = '^(human|agent|service):[^\\u0000-\\u001f]{1,200}$';
const ACTOR = new RegExp(ACTOR_PATTERN);

/** Encoded, so that the name and the name of its receipt (which encodes each `%` again) stay within 255 bytes. */
const ENCODED_ACTOR_MAX = 120;

/**
 * @param unique sorts by time and is never used twice: `20261123T100000.000Z-5b1f0c2e9a7d`, of `[A-Za-z0-9.-]`.
 * @throws PangolinError INVALID for an actor that is malformed or too long for a file name.
 */
export function submissionName(actor: string, unique: string): string {
  if (!ACTOR.test(actor) || !actor.isWellFormed()) {
    throw new PangolinError('INVALID', `${JSON.stringify(actor.slice(0, 60))} is not an actor`, {
      hint: 'Write human:NAME, agent:NAME or service:NAME.',
    });
  }
  const encoded = encodeSegment(actor);
  if (encoded.length > ENCODED_ACTOR_MAX) {
    throw new PangolinError('INVALID', 'the name of the actor is too long to submit under', {
      hint: `Percent-encoded it may have ${ENCODED_ACTOR_MAX} bytes.`,
    });
  }
  return `${unique}~${encoded}.json`;
}

/** The actor in a name made by `submissionName`; undefined for every other name, `notes~1.yaml` and `run.yaml~` included. */
export function actorOfSubmission(name: string): string | undefined {
  const encoded = /^[^~]*~(.+)\.json$/.exec(name)?.[1];
  if (encoded === undefined || encoded.length > ENCODED_ACTOR_MAX) return undefined;
  try {
    const actor = decodeSegment(encoded);
    return ACTOR.test(actor) ? actor : undefined;
  } catch {
    // Not percent-encoded UTF-8: somebody's own file name.
    return undefined;
  }
}
