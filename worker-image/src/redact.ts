/**
 * Secret values out of whatever a block prints: as they are, and in the forms in which tools print them by themselves.
 * Somebody who wants to can always print a value in a form that is not one of these.
 */

export interface Needle {
  /** Name of the secret, for the mark in its place. */
  readonly ref: string;
  /** With `fold` in lower case, and compared without regard to case. */
  readonly bytes: Buffer;
  readonly fold?: true;
}

/** Lines of a secret that has several are looked for alone as well, from this length. */
const LINE_CHARS_MIN = 16;
/** What `base64` and PEM wrap at. */
const WRAPS = [64, 76];

/** Every form of every value, longest first. */
export function needlesOf(secrets: ReadonlyMap<string, string>): Needle[] {
  const found = new Map<string, Needle>();
  for (const [ref, value] of secrets) {
    for (const text of formsOf(value)) {
      if (text.length > 0 && !found.has(text)) found.set(text, { ref, bytes: Buffer.from(text) });
    }
    for (const text of foldedForms(value)) {
      const key = `\0${text}`;
      if (text.length > 0 && !found.has(key)) found.set(key, { ref, bytes: folded(Buffer.from(text)), fold: true });
    }
  }
  return [...found.values()].sort((a, b) => b.bytes.length - a.bytes.length);
}

function formsOf(value: string): string[] {
  return textsOf(value).flatMap((text) => [text, ...urlForms(text), ...jsonForms(text), ...base64Forms(text)]);
}

/** Those that are written with hexadecimal digits, which may be in either case, each by itself. */
function foldedForms(value: string): string[] {
  return textsOf(value).flatMap((text) => {
    const bytes = Buffer.from(text);
    const every = (format: (byte: string) => string, of: Buffer, width: number): string =>
      (of.toString('hex').match(new RegExp(`.{${width}}`, 'g')) ?? []).map(format).join('');
    // Escapes name UTF-16 units, the high byte first.
    const units = Buffer.from(text, 'utf16le').swap16();
    return [
      ...urlForms(text).filter((form) => /%[0-9A-Fa-f]{2}/.test(form)),
      every((byte) => `%${byte}`, bytes, 2),
      every((unit) => `\\u${unit}`, units, 4),
      bytes.toString('hex'),
    ];
  });
}

/** The value, and what shells and wrapped files make of it. */
function textsOf(value: string): string[] {
  const lines = value.split(/\r?\n/).filter((line) => line.length >= LINE_CHARS_MIN);
  // Shells drop line ends at the end of a value.
  return [...new Set([value, value.trim(), ...(lines.length > 1 ? lines : [])])].filter((text) => text.length > 0);
}

function urlForms(text: string): string[] {
  const component = encodeURIComponent(text.toWellFormed());
  const strict = component.replace(/[!'()*]/g, (c) => `%${c.charCodeAt(0).toString(16).toUpperCase()}`);
  return [component, strict, strict.replaceAll('%20', '+'), encodeURI(text.toWellFormed())];
}

function jsonForms(text: string): string[] {
  const plain = JSON.stringify(text).slice(1, -1);
  const slashes = plain.replaceAll('/', '\\/');
  const ascii = plain.replace(/[^ -~]/g, (c) => `\\u${c.charCodeAt(0).toString(16).padStart(4, '0')}`);
  const html = ascii.replace(/[<>&']/g, (c) => `\\u00${c.charCodeAt(0).toString(16)}`);
  // JSON in a JSON string, as logs of requests have it.
  return [plain, slashes, ascii, html, JSON.stringify(plain).slice(1, -1)];
}

/** At each of the three places that it can have in a longer text, and alone over several lines. */
function base64Forms(text: string): string[] {
  const bytes = Buffer.from(text);
  const inside = [0, 1, 2].map((before) => {
    const encoded = Buffer.concat([Buffer.alloc(before), bytes]).toString('base64');
    // The characters that no neighbour has a part in.
    return encoded.slice(Math.ceil((before * 8) / 6), Math.floor(((before + bytes.length) * 8) / 6));
  });
  const alone = bytes.toString('base64');
  const wrapped = WRAPS.filter((width) => alone.length > width).flatMap((width) => {
    const lines = alone.match(new RegExp(`.{1,${width}}`, 'g')) ?? [];
    return [lines.join('\n'), ...lines.filter((line) => line.length >= LINE_CHARS_MIN)];
  });
  return [...inside, ...wrapped].flatMap((form) => [form, form.replaceAll('+', '-').replaceAll('/', '_')]);
}

/** In lower case, byte for byte. */
const folded = (bytes: Buffer): Buffer => Buffer.from(bytes.toString('latin1').toLowerCase(), 'latin1');

const markOf = (ref: string): string => `[secret ${ref}]`;

/** One stream of bytes. What could be the start of a value is held back until it is one or is not. */
export class Redactor {
  readonly #needles: readonly Needle[];
  #held: Buffer = Buffer.alloc(0);

  constructor(needles: readonly Needle[]) {
    this.#needles = needles;
  }

  push(chunk: Buffer): Buffer {
    if (this.#needles.length === 0) return chunk;
    const bytes = this.#held.length === 0 ? chunk : Buffer.concat([this.#held, chunk]);
    const matches = matchesIn(bytes, this.#needles);
    let end = heldFrom(bytes, this.#needles);
    // A match that reaches into what is held waits for it.
    for (const { from, to } of matches) if (from < end && to > end) end = from;
    this.#held = Buffer.from(bytes.subarray(end));
    return replaced(
      bytes.subarray(0, end),
      matches.filter(({ to }) => to <= end),
    );
  }

  end(): Buffer {
    const rest = this.#held;
    this.#held = Buffer.alloc(0);
    return replaced(rest, matchesIn(rest, this.#needles));
  }
}

export function redact(text: string, needles: readonly Needle[]): string {
  if (needles.length === 0) return text;
  const bytes = Buffer.from(text);
  const matches = matchesIn(bytes, needles);
  return matches.length === 0 ? text : replaced(bytes, matches).toString();
}

/** The first secret in the chunks of a stream, however they are cut. */
export class Scanner {
  readonly #needles: readonly Needle[];
  readonly #overlap: number;
  #rest: Buffer = Buffer.alloc(0);

  constructor(needles: readonly Needle[]) {
    this.#needles = needles;
    this.#overlap = Math.max(0, (needles[0]?.bytes.length ?? 0) - 1);
  }

  /** The name of a secret that the bytes so far hold. */
  push(chunk: Uint8Array): string | undefined {
    if (this.#needles.length === 0) return undefined;
    const bytes = Buffer.concat([this.#rest, chunk]);
    this.#rest = Buffer.from(bytes.subarray(Math.max(0, bytes.length - this.#overlap)));
    const lower = folded(bytes);
    return this.#needles.find((needle) => (needle.fold ? lower : bytes).includes(needle.bytes))?.ref;
  }
}

interface Match {
  readonly from: number;
  readonly to: number;
  readonly ref: string;
}

/** In order, overlapping ones joined. */
function matchesIn(bytes: Buffer, needles: readonly Needle[]): Match[] {
  const all: Match[] = [];
  const lower = folded(bytes);
  for (const { ref, bytes: needle, fold } of needles) {
    const text = fold ? lower : bytes;
    for (let from = text.indexOf(needle); from !== -1; from = text.indexOf(needle, from + 1)) {
      all.push({ from, to: from + needle.length, ref });
    }
  }
  all.sort((a, b) => a.from - b.from || b.to - a.to);
  const joined: Match[] = [];
  for (const match of all) {
    const last = joined.at(-1);
    if (last === undefined || match.from >= last.to) joined.push(match);
    else if (match.to > last.to) joined[joined.length - 1] = { ...last, to: match.to };
  }
  return joined;
}

function replaced(bytes: Buffer, matches: readonly Match[]): Buffer {
  if (matches.length === 0) return bytes;
  const parts: Buffer[] = [];
  let at = 0;
  for (const { from, to, ref } of matches) {
    parts.push(bytes.subarray(at, from), Buffer.from(markOf(ref)));
    at = to;
  }
  return Buffer.concat([...parts, bytes.subarray(at)]);
}

/** Where the longest end begins that is the start of a needle. */
function heldFrom(bytes: Buffer, needles: readonly Needle[]): number {
  let held = bytes.length;
  const lower = folded(bytes);
  for (const { bytes: needle, fold } of needles) {
    const text = fold ? lower : bytes;
    const first = needle[0]!;
    let at = text.indexOf(first, Math.max(0, text.length - needle.length + 1));
    for (; at !== -1 && at < held; at = text.indexOf(first, at + 1)) {
      if (text.subarray(at).equals(needle.subarray(0, text.length - at))) held = at;
    }
  }
  return held;
}
