/**
 * A strict reader of JSON text (RFC 8259) that builds no values: it refuses what `JSON.parse` lets pass (duplicate keys,
 * numbers that lose digits, lone surrogates, endless nesting), and it knows the place of everything it read.
 */
import { pointerSegments } from './text-place.ts';

export interface TextFault {
  /** UTF-16 units from the start of the text. */
  readonly offset: number;
  readonly code: string;
  readonly message: string;
  readonly hint?: string;
}

interface Child {
  readonly key: number;
  readonly value: number;
}

const NUMBER = /-?(?:0|[1-9]\d*)(?:\.\d+)?(?:[eE][+-]?\d+)?/y;
const [QUOTE, BACKSLASH, OPEN, CLOSE, OPEN_LIST, CLOSE_LIST, COMMA, COLON] = [...'"\\{}[],:'].map((c) =>
  c.charCodeAt(0),
) as [number, number, number, number, number, number, number, number];

const CUT = 'It may be cut off: compare its size with the original.';

class Stop extends Error {
  readonly fault: TextFault;
  constructor(fault: TextFault) {
    super(fault.message);
    this.fault = fault;
  }
}

/** The first fault of the text, or undefined: then `JSON.parse` accepts it and loses nothing. */
export function scanJson(text: string, depthMax: number): TextFault | undefined {
  try {
    new Scanner(text, depthMax).document();
    return undefined;
  } catch (error) {
    if (error instanceof Stop) return error.fault;
    throw error;
  }
}

/** Offsets by JSON pointer in a text that `scanJson` accepts. What a container holds is found once and kept. */
export function jsonLocator(text: string): (pointer: string, at: 'value' | 'key') => number | undefined {
  const scanner = new Scanner(text, Number.POSITIVE_INFINITY);
  const known = new Map<number, ReadonlyMap<string, Child>>();
  const childrenAt = (offset: number): ReadonlyMap<string, Child> => {
    const children = known.get(offset) ?? scanner.childrenAt(offset);
    known.set(offset, children);
    return children;
  };
  return (pointer, at) => {
    let here: Child = { key: scanner.start(), value: scanner.start() };
    for (const segment of pointerSegments(pointer)) {
      const child = childrenAt(here.value).get(segment);
      if (!child) return undefined;
      here = child;
    }
    return here[at];
  };
}

class Scanner {
  readonly #text: string;
  readonly #depthMax: number;
  #at = 0;
  /** One set of keys per depth, reused: an object's keys are only needed while it is open. */
  readonly #keys: Set<string>[] = [];

  constructor(text: string, depthMax: number) {
    this.#text = text;
    this.#depthMax = depthMax;
  }

  document(): void {
    this.#value(0);
    this.#space();
    if (this.#at < this.#text.length) this.#fail('Syntax', 'there is more text after the end of the document');
  }

  start(): number {
    this.#at = 0;
    this.#space();
    return this.#at;
  }

  childrenAt(offset: number): ReadonlyMap<string, Child> {
    const children = new Map<string, Child>();
    this.#at = offset;
    const first = this.#text.charCodeAt(offset);
    if (first !== OPEN && first !== OPEN_LIST) return children;
    this.#container(0, (key, child) => children.set(key, child));
    return children;
  }

  #value(depth: number): void {
    this.#space();
    const code = this.#text.charCodeAt(this.#at);
    if (code === QUOTE) return void this.#string(false);
    if (code === OPEN || code === OPEN_LIST) {
      if (depth >= this.#depthMax) this.#fail('TooDeep', `it nests deeper than ${this.#depthMax} levels`);
      return this.#container(depth);
    }
    for (const word of ['true', 'false', 'null']) {
      if (this.#text.startsWith(word, this.#at)) return void (this.#at += word.length);
    }
    this.#number();
  }

  #container(depth: number, onChild?: (key: string, child: Child) => void): void {
    const opened = this.#at;
    const list = this.#text.charCodeAt(this.#at) === OPEN_LIST;
    const close = list ? CLOSE_LIST : CLOSE;
    const keys = (this.#keys[depth] ??= new Set());
    keys.clear();
    this.#at += 1;
    this.#space();
    if (this.#take(close)) return;
    for (let index = 0; ; index += 1) {
      this.#space();
      const keyAt = this.#at;
      const key = list ? String(index) : this.#key(keys, opened);
      this.#space();
      const valueAt = this.#at;
      this.#value(depth + 1);
      onChild?.(key, { key: list ? valueAt : keyAt, value: valueAt });
      this.#space();
      if (this.#take(close)) return;
      if (!this.#take(COMMA)) this.#unexpected(list ? '`,` or `]`' : '`,` or `}`', opened);
    }
  }

  #key(keys: Set<string>, opened: number): string {
    const at = this.#at;
    if (this.#text.charCodeAt(at) !== QUOTE) this.#unexpected('a key in double quotes', opened);
    const key = this.#string(true);
    if (keys.has(key)) {
      this.#fail('DuplicateKey', `the key ${JSON.stringify(key.slice(0, 60))} is there twice`, 'Keep one of them.', at);
    }
    keys.add(key);
    this.#space();
    if (!this.#take(COLON)) this.#unexpected('`:`', opened);
    return key;
  }

  /** The text of a key; for a value only its checks, because nobody needs it. */
  #string(wanted: boolean): string {
    const start = this.#at;
    let escaped = false;
    for (let at = start + 1; ; at += 1) {
      const code = this.#text.charCodeAt(at);
      if (code === QUOTE) {
        this.#at = at + 1;
        break;
      }
      if (code === BACKSLASH) {
        escaped = true;
        at += 1;
      } else if (code < 0x20) {
        this.#fail('Syntax', 'a string holds a raw control character', 'Write it as an escape such as \\n.', at);
      } else if (Number.isNaN(code)) {
        this.#fail('Truncated', 'the file ends inside a string', CUT, start);
      }
    }
    if (!escaped) return wanted ? this.#text.slice(start + 1, this.#at - 1) : '';
    return this.#unescape(start);
  }

  #unescape(start: number): string {
    let value: string;
    try {
      value = JSON.parse(this.#text.slice(start, this.#at)) as string;
    } catch {
      return this.#fail('Syntax', 'a string holds an escape that JSON does not know', undefined, start);
    }
    if (!value.isWellFormed()) {
      this.#fail('Syntax', 'a string holds half of a surrogate pair, which is no character', undefined, start);
    }
    return value;
  }

  #number(): void {
    NUMBER.lastIndex = this.#at;
    const token = NUMBER.exec(this.#text)?.[0];
    if (token === undefined) return this.#unexpected('a value');
    if (token.length > 15 && losesDigits(token)) {
      this.#fail('NumberTooLarge', `the number ${token.slice(0, 40)} cannot be kept exactly`, 'Write it as a string.');
    }
    if (!Number.isFinite(Number(token))) this.#fail('NumberTooLarge', `the number ${token} is too large`);
    this.#at += token.length;
  }

  #take(code: number): boolean {
    if (this.#text.charCodeAt(this.#at) !== code) return false;
    this.#at += 1;
    return true;
  }

  #space(): void {
    for (;;) {
      const code = this.#text.charCodeAt(this.#at);
      if (code !== 0x20 && code !== 0x0a && code !== 0x0d && code !== 0x09) return;
      this.#at += 1;
    }
  }

  #unexpected(wanted: string, opened?: number): never {
    if (this.#at >= this.#text.length) {
      const what =
        opened === undefined ? '' : this.#text.charCodeAt(opened) === OPEN ? ' inside an object' : ' inside a list';
      this.#fail('Truncated', `the file ends${what}`, CUT, opened);
    }
    const found = JSON.stringify(String.fromCodePoint(this.#text.codePointAt(this.#at)!));
    this.#fail('Syntax', `expected ${wanted}, found ${found}`);
  }

  #fail(code: string, message: string, hint?: string, offset: number = this.#at): never {
    throw new Stop({ offset, code, message, ...(hint === undefined ? {} : { hint }) });
  }
}

function losesDigits(token: string): boolean {
  return /^-?\d+$/.test(token) && !Number.isSafeInteger(Number(token));
}
