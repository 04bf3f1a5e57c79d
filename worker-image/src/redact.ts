/**
 * Secret values out of whatever a block prints: as they are, and in the forms in which tools print them by themselves.
 * Somebody who wants to can always print a value in a form that is not one of these.
 */

export interface Needle {
  /** Name of the secret, for the mark in its place. */
  readonly ref: string;
  readonly bytes: Buffer;
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
  }
  return [...found.values()].sort((a, b) => b.bytes.length - a.bytes.length);
}

function formsOf(value: string): string[] {
  const lines = value.split(/\r?\n/).filter((line) => line.length >= LINE_CHARS_MIN);
  // Shells drop line ends at the end of a value.
  const texts = new Set([value, value.trim(), ...(lines.length > 1 ? lines : [])]);
  return [...texts].flatMap((text) => [
    text,
    ...urlForms(text),
    ...jsonForms(text),
    ...hexForms(text),
    ...base64Forms(text),
  ]);
}

function urlForms(text: string): string[] {
  const component = encodeURIComponent(text.toWellFormed());
  const strict = component.replace(/[!'()*]/g, (c) => `%${c.charCodeAt(0).toString(16).toUpperCase()}`);
  return [component, strict, strict.replaceAll('%20', '+'), encodeURI(text.toWellFormed())].flatMap((form) => [
    form,
    form.replace(/%[0-9A-F]{2}/g, (code) => code.toLowerCase()),
  ]);
}

function jsonForms(text: string): string[] {
  const plain = JSON.stringify(text).slice(1, -1);
  const slashes = plain.replaceAll('/', '\\/');
  const ascii = plain.replace(/[^ -~]/g, (c) => `\\u${c.charCodeAt(0).toString(16).padStart(4, '0')}`);
  const html = ascii.replace(/[<>&']/g, (c) => `\\u00${c.charCodeAt(0).toString(16)}`);
  // JSON in a JSON string, as logs of requests have it.
  return [plain, slashes, ascii, html, JSON.stringify(plain).slice(1, -1)];
}

function hexForms(text: string): string[] {
  const hex = Buffer.from(text).toString('hex');
  return [hex, hex.toUpperCase()];
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
    return this.#needles.find((needle) => bytes.includes(needle.bytes))?.ref;
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
  for (const { ref, bytes: needle } of needles) {
    for (let from = bytes.indexOf(needle); from !== -1; from = bytes.indexOf(needle, from + 1)) {
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
  for (const { bytes: needle } of needles) {
    const first = needle[0]!;
    let at = bytes.indexOf(first, Math.max(0, bytes.length - needle.length + 1));
    for (; at !== -1 && at < held; at = bytes.indexOf(first, at + 1)) {
      if (bytes.subarray(at).equals(needle.subarray(0, bytes.length - at))) held = at;
    }
  }
  return held;
}
