/**
 * Bytes to a value with places: YAML 1.2 (core schema) or JSON, told apart by content. The only file that names `yaml`.
 *
 * Accepted: one document, UTF-8 without a byte order mark, unique keys, string keys, JSON values only. YAML aliases are
 * copied and bounded. Everything else is one located Problem. A key `__proto__` is refused, so no reader can trip on it.
 */
import { isUtf8 } from 'node:buffer';
import { Composer, isAlias, isMap, isScalar, isSeq, Parser } from 'yaml';
import type { Alias, Document, Pair, Scalar, YAMLMap, YAMLSeq } from 'yaml';
import { messageOf } from './errors.ts';
import { jsonLocator, scanJson, type TextFault } from './json-text.ts';
import type { Problem } from './status.ts';
import { placesOf, pointerSegments, type Locate } from './text-place.ts';

/** Bytes of one file. JSON is read fast; a YAML reader takes seconds per megabyte, and nothing else runs meanwhile. */
export const JSON_BYTES_MAX = 256 * 2 ** 20;
export const YAML_BYTES_MAX = 4 * 2 ** 20;
/** Lists and maps within each other. */
export const DEPTH_MAX = 64;
/** Values that a document may add to itself through aliases. */
export const ALIASED_VALUES_MAX = 10_000;

export type Parsed =
  | { readonly ok: true; readonly value: unknown; readonly locate: Locate }
  | { readonly ok: false; readonly problems: readonly Problem[] };

type Node = Alias | Scalar | YAMLMap | YAMLSeq;

/** Never throws. `file` is only named in the problems. */
export function parseDocument(bytes: Uint8Array, file: string): Parsed {
  const refuse = (text: string, fault: TextFault): Parsed => ({
    ok: false,
    problems: [{ file, ...placesOf(text)(fault.offset), path: '', ...withoutOffset(fault) }],
  });
  if (bytes.length > JSON_BYTES_MAX) return refuse('', tooLarge(bytes.length, JSON_BYTES_MAX));
  const decoded = decode(bytes);
  if (decoded.fault) return refuse(decoded.text, decoded.fault);
  const { text } = decoded;
  const place = placesOf(text);

  const json = parseJson(text, file);
  if (json.ok) {
    const locator = jsonLocator(text);
    return {
      ok: true,
      value: json.value,
      locate: (pointer, at = 'value') => {
        const offset = locator(pointer, at);
        return offset === undefined ? undefined : place(offset);
      },
    };
  }
  if (json.final) return refuse(text, json.fault);
  if (bytes.length > YAML_BYTES_MAX) {
    return refuse(text, json.likely ? json.fault : tooLarge(bytes.length, YAML_BYTES_MAX));
  }
  const yaml = parseYaml(text);
  if (!yaml.ok) return refuse(text, json.likely ? json.fault : yaml.fault);
  return {
    ok: true,
    value: yaml.value,
    locate: (pointer, at = 'value') => {
      const offset = yaml.offsetOf(pointer, at);
      return offset === undefined ? undefined : place(offset);
    },
  };
}

function withoutOffset({ code, message, hint }: TextFault): Pick<Problem, 'code' | 'message' | 'hint'> {
  return { code, message, ...(hint === undefined ? {} : { hint }) };
}

function tooLarge(bytes: number, max: number): TextFault {
  const yaml = max === YAML_BYTES_MAX;
  return {
    offset: 0,
    code: 'TooLarge',
    message: `the file has ${bytes} bytes; ${yaml ? 'YAML' : 'a file'} may have ${max}`,
    hint: yaml ? 'Write large runs as JSON.' : 'Split the run.',
  };
}

/* ---- bytes to text ---- */

function decode(bytes: Uint8Array): { readonly text: string; readonly fault?: TextFault } {
  const buffer = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const [first, second, third] = buffer;
  if ((first === 0xff && second === 0xfe) || (first === 0xfe && second === 0xff)) {
    return {
      text: '',
      fault: { offset: 0, code: 'NotUtf8', message: 'the file is UTF-16', hint: 'Save it as UTF-8.' },
    };
  }
  if (first === 0xef && second === 0xbb && third === 0xbf) {
    const message = 'the file starts with a byte order mark';
    return { text: '', fault: { offset: 0, code: 'ByteOrderMark', message, hint: 'Save it as UTF-8 without BOM.' } };
  }
  const text = buffer.toString('utf8');
  const nul = text.indexOf('\0');
  if (nul !== -1) {
    const hint = 'It looks like a binary file; a run is YAML or JSON text.';
    return { text, fault: { offset: nul, code: 'Binary', message: 'the file holds a NUL byte', hint } };
  }
  if (!isUtf8(buffer)) {
    const hint = 'It looks like a binary file or another encoding; save it as UTF-8.';
    const offset = firstInvalid(text, buffer);
    return { text, fault: { offset, code: 'NotUtf8', message: 'the file is not UTF-8 here', hint } };
  }
  if (/^\s*$/.test(text)) {
    return { text, fault: { offset: 0, code: 'Empty', message: 'the file is empty', hint: 'It may be half written.' } };
  }
  return { text };
}

/** Decoding replaced every invalid sequence by U+FFFD; the first one that the bytes do not spell out is the place. */
function firstInvalid(text: string, bytes: Buffer): number {
  let offset = 0;
  let byte = 0;
  for (let at = text.indexOf('\ufffd'); at !== -1; at = text.indexOf('\ufffd', at + 1)) {
    byte += Buffer.byteLength(text.slice(offset, at));
    if (bytes[byte] !== 0xef || bytes[byte + 1] !== 0xbf || bytes[byte + 2] !== 0xbd) return at;
    offset = at;
  }
  return text.length;
}

/* ---- JSON ---- */

type JsonResult =
  | { readonly ok: true; readonly value: unknown }
  /** `final`: it is JSON, with a fault that YAML would not cure. `likely`: the author meant JSON. */
  | { readonly ok: false; readonly fault: TextFault; readonly final: boolean; readonly likely: boolean };

function parseJson(text: string, file: string): JsonResult {
  let value: unknown;
  let valid = true;
  try {
    value = JSON.parse(text);
  } catch {
    valid = false;
  }
  const likely = /^\s*[{[]/.test(text) && (/\.json$/i.test(file) || /^\s*(\{\s*"|\[\s*[{"[])/.test(text));
  const fault = valid || likely ? scanJson(text, DEPTH_MAX) : undefined;
  if (valid && !fault) {
    const reserved = findReserved(text, value);
    return reserved ? { ok: false, fault: reserved, final: true, likely: true } : { ok: true, value };
  }
  const found = fault ?? { offset: 0, code: 'Syntax', message: 'not JSON' };
  return { ok: false, fault: found, final: valid || (likely && found.code !== 'Syntax'), likely };
}

function reservedKey(offset: number): TextFault {
  return { offset, code: 'ReservedKey', message: 'the key `__proto__` is not accepted anywhere', hint: 'Rename it.' };
}

/** Escapes can spell the key without its text being there, so a hit or a backslash-u costs a walk over the value. */
function findReserved(text: string, value: unknown): TextFault | undefined {
  if (!text.includes('__proto__') && !text.includes('\\u')) return undefined;
  const pending: { readonly value: unknown; readonly pointer: string }[] = [{ value, pointer: '' }];
  for (let next = pending.pop(); next; next = pending.pop()) {
    if (typeof next.value !== 'object' || next.value === null) continue;
    for (const key of Object.keys(next.value)) {
      const pointer = `${next.pointer}/${key.replaceAll('~', '~0').replaceAll('/', '~1')}`;
      if (key === '__proto__') return reservedKey(jsonLocator(text)(pointer, 'key') ?? 0);
      pending.push({ value: (next.value as Record<string, unknown>)[key], pointer });
    }
  }
  return undefined;
}

/* ---- YAML ---- */

class Stop extends Error {
  readonly fault: TextFault;
  constructor(offset: number, code: string, message: string, hint?: string) {
    super(message);
    this.fault = { offset, code, message, ...(hint === undefined ? {} : { hint }) };
  }
}

type YamlResult =
  | {
      readonly ok: true;
      readonly value: unknown;
      readonly offsetOf: (pointer: string, at: 'value' | 'key') => number | undefined;
    }
  | { readonly ok: false; readonly fault: TextFault };

function parseYaml(text: string): YamlResult {
  try {
    const document = compose(text);
    const reader = new YamlReader(text);
    const value = reader.read(document.contents as Node | null, 0);
    return { ok: true, value, offsetOf: (pointer, at) => offsetIn(document, reader.targets, pointer, at) };
  } catch (error) {
    if (error instanceof Stop) return { ok: false, fault: error.fault };
    // The composer recurses; nesting that the depth check cannot see in its tokens ends here.
    const message = error instanceof RangeError ? 'it nests too deep' : `it cannot be read: ${messageOf(error)}`;
    return { ok: false, fault: { offset: 0, code: error instanceof RangeError ? 'TooDeep' : 'Syntax', message } };
  }
}

/** By the parser's own code. */
const syntaxHints: Readonly<Record<string, string>> = {
  TAB_AS_INDENT: 'Indent with spaces.',
  BAD_INDENT: 'Indent this line as its neighbours are.',
  BLOCK_AS_IMPLICIT_KEY: 'Indent this line as its neighbours are, or put text that holds a colon in quotes.',
};

function compose(text: string): Document.Parsed {
  const tokens = [...new Parser().parse(text)];
  refuseDepth(tokens);
  const composer = new Composer({ strict: true, stringKeys: true, uniqueKeys: false, resolveKnownTags: false });
  let document: Document.Parsed | undefined;
  for (const next of composer.compose(tokens, true, text.length)) {
    if (document) {
      const hint = 'Put each run in a file of its own.';
      throw new Stop(next.range[0], 'MultipleDocuments', 'the file holds more than one YAML document', hint);
    }
    document = next as Document.Parsed;
    const fault = document.errors[0] ?? document.warnings[0];
    if (fault) {
      const atEnd = fault.pos[0] >= text.trimEnd().length;
      const hint = atEnd ? 'The file ends here; it may be cut off.' : syntaxHints[fault.code];
      throw new Stop(fault.pos[0], atEnd ? 'Truncated' : 'Syntax', sentence(fault.message), hint);
    }
    if (document.directives?.yaml.explicit === true && document.directives.yaml.version !== '1.2') {
      throw new Stop(0, 'Syntax', 'only YAML 1.2 is read', 'Remove the %YAML directive.');
    }
  }
  if (!document?.contents) throw new Stop(0, 'Empty', 'the file holds no document');
  return document;
}

function sentence(message: string): string {
  const line = message.split('\n')[0]!.trim();
  return line.length > 300 ? `${line.slice(0, 300)}…` : line;
}

interface Token {
  readonly offset?: number;
  readonly value?: unknown;
  readonly items?: readonly { readonly key?: unknown; readonly value?: unknown }[];
}

/** Over the token tree with a stack of its own, before anything recurses into it. */
function refuseDepth(tokens: readonly unknown[]): void {
  const pending = tokens.map((token) => ({ token, depth: 0 }));
  for (let next = pending.pop(); next; next = pending.pop()) {
    if (typeof next.token !== 'object' || next.token === null) continue;
    const { offset, value, items } = next.token as Token;
    if (next.depth > DEPTH_MAX) throw new Stop(offset ?? 0, 'TooDeep', `it nests deeper than ${DEPTH_MAX} levels`);
    pending.push({ token: value, depth: next.depth });
    for (const item of items ?? []) {
      pending.push({ token: item.key, depth: next.depth + 1 }, { token: item.value, depth: next.depth + 1 });
    }
  }
}

class YamlReader {
  /** Alias node → the node that it stands for. */
  readonly targets = new Map<unknown, Node>();
  readonly #text: string;
  readonly #anchors = new Map<string, Node>();
  readonly #open = new Set<Node>();
  #aliasDepth = 0;
  #aliased = 0;

  constructor(text: string) {
    this.#text = text;
  }

  read(node: Node | null, depth: number): unknown {
    if (node === null) return null;
    const at = node.range?.[0] ?? 0;
    if (depth >= DEPTH_MAX && !isScalar(node)) {
      throw new Stop(at, 'TooDeep', `it nests deeper than ${DEPTH_MAX} levels`);
    }
    if (this.#aliasDepth > 0 && (this.#aliased += 1) > ALIASED_VALUES_MAX) {
      const message = `aliases repeat more than ${ALIASED_VALUES_MAX} values`;
      throw new Stop(at, 'AliasBomb', message, 'Write the values out, or use `defaults`.');
    }
    if (isAlias(node)) return this.#alias(node.source, node, at, depth);
    if (node.anchor !== undefined && this.#aliasDepth === 0) this.#anchors.set(node.anchor, node);
    if (isScalar(node)) return this.#scalar(node, at);
    this.#open.add(node);
    const value = isMap(node) ? this.#map(node, depth) : isSeq(node) ? this.#list(node, depth) : null;
    this.#open.delete(node);
    return value;
  }

  #alias(name: string, node: Node, at: number, depth: number): unknown {
    const target = this.targets.get(node) ?? this.#anchors.get(name);
    if (!target) throw new Stop(at, 'UnknownAlias', `no anchor &${sentence(name)} comes before this alias`);
    if (this.#open.has(target)) throw new Stop(at, 'AliasBomb', `the alias *${sentence(name)} holds itself`);
    this.targets.set(node, target);
    this.#aliasDepth += 1;
    const value = this.read(target, depth);
    this.#aliasDepth -= 1;
    return value;
  }

  #scalar(node: Scalar, at: number): unknown {
    const { value } = node;
    if (typeof value === 'string') {
      if (!value.isWellFormed()) throw new Stop(at, 'Syntax', 'a string holds half of a surrogate pair');
      return value;
    }
    if (value === null || value === undefined) return null;
    if (typeof value === 'boolean') return value;
    const source = (node.source ?? this.#text.slice(at, node.range?.[1])).slice(0, 40);
    if (typeof value !== 'number' || !Number.isFinite(value)) {
      throw new Stop(at, 'NumberTooLarge', `${source} is not a JSON value`, 'Put it in quotes if it is text.');
    }
    if (Number.isInteger(value) && !Number.isSafeInteger(value) && /^[-+]?(0[xo])?[\da-fA-F]+$/.test(source)) {
      throw new Stop(at, 'NumberTooLarge', `the number ${source} cannot be kept exactly`, 'Put it in quotes.');
    }
    return value;
  }

  #map(node: YAMLMap, depth: number): Record<string, unknown> {
    const value: Record<string, unknown> = {};
    for (const pair of node.items as Pair<Node, Node | null>[]) {
      const at = pair.key?.range?.[0] ?? node.range?.[0] ?? 0;
      if (pair.key !== null && isAlias(pair.key)) throw new Stop(at, 'Syntax', 'a key cannot be an alias');
      const key = String(this.read(pair.key, depth + 1));
      if (key === '__proto__') throw new Stop(at, 'ReservedKey', reservedKey(at).message, 'Rename it.');
      if (Object.hasOwn(value, key)) {
        const message = `the key ${JSON.stringify(key.slice(0, 60))} is there twice`;
        throw new Stop(at, 'DuplicateKey', message, 'Keep one of them.');
      }
      value[key] = this.read(pair.value, depth + 1);
    }
    return value;
  }

  #list(node: YAMLSeq, depth: number): unknown[] {
    return (node.items as (Node | null)[]).map((item) => this.read(item, depth + 1));
  }
}

function offsetIn(
  document: Document.Parsed,
  targets: ReadonlyMap<unknown, Node>,
  pointer: string,
  at: 'value' | 'key',
): number | undefined {
  let node = document.contents as Node | null;
  let key: Node | null = null;
  for (const segment of pointerSegments(pointer)) {
    const container: Node | null = targets.get(node) ?? node;
    key = null;
    if (isMap(container)) {
      const pair = (container.items as Pair<Node, Node | null>[]).find(
        (entry) => isScalar(entry.key) && String(entry.key.value) === segment,
      );
      if (!pair) return undefined;
      key = pair.key;
      node = pair.value ?? pair.key;
    } else if (isSeq(container) && /^\d+$/.test(segment) && Number(segment) < container.items.length) {
      node = container.items[Number(segment)] as Node | null;
    } else return undefined;
  }
  return ((at === 'key' ? key : null) ?? node)?.range?.[0];
}
