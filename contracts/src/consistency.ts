/**
 * The proof that a log continues an earlier state of it, as text: the first lines of a C2SP tlog-witness request.
 *
 * ```
 * old 3
 * <base64 of a hash of RFC 9162 §2.1.4>
 * ```
 */
import { decodeBase64 } from './dsse.ts';
import { PangolinError } from './errors.ts';

export interface Consistency {
  /** Entries of the earlier log. */
  readonly oldSize: number;
  readonly hashes: readonly Buffer[];
}

/** Of any two sizes: a proof has at most two hashes a level. */
const HASHES_MAX = 128;

export function formatConsistency({ oldSize, hashes }: Consistency): string {
  return [`old ${oldSize}`, ...hashes.map((hash) => hash.toString('base64')), ''].join('\n');
}

/** @throws PangolinError INVALID unless formatting the result gives `text` again. */
export function parseConsistency(text: string): Consistency {
  const [first = '', ...rest] = text.split('\n');
  const size = /^old ([1-9][0-9]{0,15})$/.exec(first)?.[1];
  const hashes = rest.slice(0, -1).map((line) => decodeBase64(line));
  const whole = hashes.filter((hash) => hash?.length === 32) as Buffer[];
  const proof = { oldSize: Number(size), hashes: whole };
  if (size === undefined || whole.length > HASHES_MAX || formatConsistency(proof) !== text)
    throw new PangolinError('INVALID', 'not a consistency proof');
  return proof;
}
