/** The secret seam: names in, values out. Values go to tasks and nowhere else (law 6). */
import { isPangolinError, PangolinError } from '@pangolin/contracts/errors';
import { SECRET_BYTES_MAX, SECRET_BYTES_MIN } from '@pangolin/contracts/secrets';

export interface SecretStore {
  /** For messages: where its secrets are. */
  readonly place: string;
  /**
   * The value. No message holds it.
   * @throws PangolinError NOT_FOUND for a name that it does not know, DENIED for one that may not be read or is not kept
   * safely, INVALID for a value that cannot be used, UNAVAILABLE when it does not answer
   */
  get(ref: string): Promise<string>;
}

/** @throws PangolinError INVALID for a value that is no text, or outside of the limits */
export function checkedSecret(ref: string, bytes: Buffer, place: string): string {
  const size = bytes.length;
  const invalid = (why: string): PangolinError =>
    new PangolinError('INVALID', `the secret ${ref} of ${place} ${why}`, {
      hint: 'Store another value under that name.',
    });
  if (size < SECRET_BYTES_MIN)
    throw invalid(`has ${size} bytes, and ${SECRET_BYTES_MIN} is the least that can be kept out of logs`);
  if (size > SECRET_BYTES_MAX) throw invalid(`has more than ${SECRET_BYTES_MAX} bytes`);
  try {
    const text = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true }).decode(bytes);
    if (text.includes('\0')) throw invalid('holds a null character');
    return text;
  } catch (cause) {
    throw isPangolinError(cause) ? cause : invalid('is not UTF-8');
  }
}
