/** DER (X.690) as far as time stamps and certificates need it: one-byte tags, definite lengths in their shortest form. */
import { PangolinError } from './errors.ts';

export const TAG = {
  boolean: 0x01,
  integer: 0x02,
  bitString: 0x03,
  octetString: 0x04,
  null: 0x05,
  oid: 0x06,
  utcTime: 0x17,
  generalizedTime: 0x18,
  sequence: 0x30,
  set: 0x31,
} as const;

/** Tag of `[n]`, constructed or primitive. */
export const context = (n: number, constructed = true): number => (constructed ? 0xa0 : 0x80) | n;

export interface Der {
  readonly tag: number;
  readonly content: Buffer;
  /** Tag, length and content as they stand. */
  readonly bytes: Buffer;
}

const invalid = (why: string): PangolinError => new PangolinError('INVALID', `not DER: ${why}`);

/** The element at the start of `bytes`. @throws PangolinError INVALID */
function readFirst(bytes: Buffer): Der {
  const [tag, first] = bytes;
  if (tag === undefined || first === undefined) throw invalid('it is cut off');
  if ((tag & 0x1f) === 0x1f) throw invalid('a tag of more than one byte');
  const extra = first < 0x80 ? 0 : first & 0x7f;
  // 0x80 alone is BER's indefinite length; four bytes are 4 GiB.
  if (first === 0x80 || extra > 4 || bytes.length < 2 + extra) throw invalid('a length of a wrong form');
  const length = extra === 0 ? first : bytes.readUIntBE(2, extra);
  if (extra > 0 && (length < 0x80 || bytes[2] === 0)) throw invalid('a length that is not in its shortest form');
  const end = 2 + extra + length;
  if (end > bytes.length) throw invalid('an element longer than what holds it');
  return { tag, content: bytes.subarray(2 + extra, end), bytes: bytes.subarray(0, end) };
}

/** Reads elements one after the other and insists on their tags. */
export class DerReader {
  #rest: Buffer;

  constructor(content: Buffer) {
    this.#rest = content;
  }

  /** Of exactly one element. @throws PangolinError INVALID also for bytes behind it */
  static one(bytes: Buffer, tag: number): Der {
    const reader = new DerReader(bytes);
    const element = reader.next(tag);
    reader.end();
    return element;
  }

  /** Of the elements inside the next one. */
  into(tag: number): DerReader {
    return new DerReader(this.next(tag).content);
  }

  /** @throws PangolinError INVALID unless there is one more, with this tag. */
  next(tag?: number): Der {
    const element = readFirst(this.#rest);
    if (tag !== undefined && element.tag !== tag) throw invalid(`the tag ${element.tag} where ${tag} belongs`);
    this.#rest = this.#rest.subarray(element.bytes.length);
    return element;
  }

  /** The next element if it has this tag. */
  optional(tag: number): Der | undefined {
    return this.#rest[0] === tag ? this.next(tag) : undefined;
  }

  all(tag?: number): Der[] {
    const elements: Der[] = [];
    while (this.#rest.length > 0) elements.push(this.next(tag));
    return elements;
  }

  /** @throws PangolinError INVALID when something is left. */
  end(): void {
    if (this.#rest.length > 0) throw invalid('bytes behind the last element');
  }
}

/** One element of these parts. */
export function der(tag: number, ...parts: readonly Uint8Array[]): Buffer {
  const content = Buffer.concat(parts);
  if (content.length < 0x80) return Buffer.concat([Buffer.of(tag, content.length), content]);
  const length = Buffer.from(hexOf(content.length), 'hex');
  return Buffer.concat([Buffer.of(tag, 0x80 | length.length), length, content]);
}

export const sequence = (...parts: readonly Uint8Array[]): Buffer => der(TAG.sequence, ...parts);

/** A SET OF: elements in the order of their bytes. */
export function setOf(elements: readonly Uint8Array[], tag: number = TAG.set): Buffer {
  return der(tag, ...[...elements].sort(Buffer.compare));
}

/** An INTEGER that is not negative. */
export function unsigned(value: bigint): Buffer {
  const bytes = Buffer.from(hexOf(value), 'hex');
  return der(TAG.integer, ...(bytes[0]! >= 0x80 ? [Buffer.of(0)] : []), bytes);
}

/** The value of the content of an INTEGER. @throws PangolinError INVALID when negative, empty or not in shortest form. */
export function readUnsigned(content: Buffer): bigint {
  const [first, second] = content;
  if (first === undefined || first >= 0x80 || (first === 0 && second !== undefined && second < 0x80)) {
    throw invalid('a number of a wrong form');
  }
  return BigInt(`0x${content.toString('hex')}`);
}

function hexOf(value: number | bigint): string {
  const hex = value.toString(16);
  return hex.length % 2 === 0 ? hex : `0${hex}`;
}

/** `1.2.840.113549.1.7.2` → OBJECT IDENTIFIER. Comparing elements avoids every way to misread long arcs. */
export function oid(dotted: string): Buffer {
  const [first = 0, second = 0, ...rest] = dotted.split('.').map(Number);
  const bytes = [first * 40 + second, ...rest].flatMap((arc) => {
    const digits = [arc % 128];
    for (let high = Math.floor(arc / 128); high > 0; high = Math.floor(high / 128)) digits.unshift(0x80 | (high % 128));
    return digits;
  });
  return der(TAG.oid, Buffer.from(bytes));
}

/** Milliseconds since 1970 of a GeneralizedTime as RFC 3161 §2.4.2 restricts it: UTC, no trailing zero in a fraction. */
export function readGeneralizedTime({ content }: Der): number {
  const text = content.toString('latin1');
  const [, year, month, day, hour, minute, second, fraction = ''] =
    /^(\d{4})(\d\d)(\d\d)(\d\d)(\d\d)(\d\d)(?:\.(\d{0,8}[1-9]))?Z$/.exec(text) ?? [];
  const millis = `${fraction}000`.slice(0, 3);
  const iso = `${year}-${month}-${day}T${hour}:${minute}:${second}.${millis}Z`;
  const at = Date.parse(iso);
  if (year === undefined || Number.isNaN(at) || new Date(at).toISOString() !== iso)
    throw invalid('a time of a wrong form');
  return at;
}
