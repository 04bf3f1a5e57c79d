/** Class A of evidence.md §8 for one JSON text: every member of every object, every value, several ways each. */
export interface TextMutant {
  readonly name: string;
  readonly text: string;
}

type Path = readonly (string | number)[];

/** Canonical text of `value` in which the text at `path` is replaced. */
function write(value: unknown, path: Path, edit: (text: string) => string): string {
  const [step, ...rest] = path;
  if (step === undefined) return edit(plain(value));
  if (Array.isArray(value)) {
    return `[${value.map((each, at) => (at === step ? write(each, rest, edit) : plain(each))).join(',')}]`;
  }
  const members = entries(value).map(([key, each]) => {
    return `${JSON.stringify(key)}:${key === step ? write(each, rest, edit) : plain(each)}`;
  });
  return `{${members.join(',')}}`;
}

const entries = (value: unknown): [string, unknown][] =>
  Object.entries(value as Record<string, unknown>).sort(([a], [b]) => (a < b ? -1 : 1));

function plain(value: unknown): string {
  if (Array.isArray(value)) return `[${value.map(plain).join(',')}]`;
  if (typeof value !== 'object' || value === null) return JSON.stringify(value);
  return `{${entries(value)
    .map(([key, each]) => `${JSON.stringify(key)}:${plain(each)}`)
    .join(',')}}`;
}

function* paths(value: unknown, at: Path = []): Generator<readonly [Path, unknown]> {
  yield [at, value];
  if (Array.isArray(value)) for (const [index, each] of value.entries()) yield* paths(each, [...at, index]);
  else if (typeof value === 'object' && value !== null)
    for (const [key, each] of entries(value)) yield* paths(each, [...at, key]);
}

const WRONG = ['null', 'true', '0', '-1', '""', '"x"', '[]', '{}', '1.5', '1e400', ''];

function* ofString(text: string): Generator<string> {
  const inner = text.slice(1, -1);
  const flip = (at: number): string => `"${inner.slice(0, at)}${inner[at] === 'a' ? 'b' : 'a'}${inner.slice(at + 1)}"`;
  if (inner.length > 0 && !inner.includes('\\')) {
    yield* [flip(0), flip(inner.length - 1), flip(inner.length >> 1)];
    yield `"\\u${inner.charCodeAt(0).toString(16).padStart(4, '0')}${inner.slice(1)}"`;
    yield `"${inner.slice(1)}"`;
  }
  yield* [`"${inner} "`, `" ${inner}"`, `"${inner.toUpperCase()}"`, `"${inner.toLowerCase()}"`];
  yield* [
    `"${inner}\\u0301"`,
    `"${inner}\u0301"`,
    `"${inner}\\u0000"`,
    `"${inner}\\ud800"`,
    `"${inner}${inner}"`,
    `["${inner}"]`,
  ];
  yield `"${inner.normalize('NFD')}\u00e9"`;
}

function* ofNumber(text: string): Generator<string> {
  const value = Number(text);
  yield* [
    String(value + 1),
    String(value - 1),
    `0${text}`,
    `${text}e0`,
    `${text}.0`,
    `-${text}`,
    `+${text}`,
    `"${text}"`,
  ];
  yield '9007199254740993';
}

function* ofArray(value: readonly unknown[]): Generator<string> {
  for (const at of value.keys()) {
    yield plain(value.toSpliced(at, 1));
    yield plain(value.toSpliced(at, 0, value[at]));
  }
  yield plain(value.toReversed());
  yield plain([...value, 'x']);
}

function* ofObject(value: object): Generator<string> {
  const members = entries(value).map(([key, each]) => `${JSON.stringify(key)}:${plain(each)}`);
  for (const [at, [key, each]] of entries(value).entries()) {
    yield `{${members.toSpliced(at, 1).join(',')}}`;
    yield `{${members.toSpliced(at, 0, `${JSON.stringify(key)}:"evil"`).join(',')}}`;
    yield `{${members.toSpliced(at + 1, 0, `${JSON.stringify(key)}:"evil"`).join(',')}}`;
    yield `{${members.with(at, `${JSON.stringify(`${key} `)}:${plain(each)}`).join(',')}}`;
  }
  for (const key of ['x', '__proto__', 'constructor', '']) {
    yield `{${[...members, `"${key}":1`].sort().join(',')}}`;
    yield `{${[...members, `"${key}":1`].join(',')}}`;
  }
  yield `{${members.toReversed().join(',')}}`;
  yield `{ ${members.join(',')}}`;
}

/** Of a canonical JSON text. None equals it; each differs in one place. */
export function* jsonMutants(original: string): Generator<TextMutant> {
  const root = JSON.parse(original) as unknown;
  const seen = new Set([original]);
  for (const [path, value] of paths(root)) {
    const text = plain(value);
    const own =
      typeof value === 'string'
        ? ofString(text)
        : typeof value === 'number'
          ? ofNumber(text)
          : Array.isArray(value)
            ? ofArray(value)
            : typeof value === 'object' && value !== null
              ? ofObject(value)
              : [];
    for (const instead of [...own, ...WRONG]) {
      const mutant = write(root, path, () => instead);
      if (seen.has(mutant)) continue;
      seen.add(mutant);
      yield { name: `${path.join('.')} = ${instead.slice(0, 60)}`, text: mutant };
    }
  }
}

/** Class A for a file as bytes: white space, marks, line ends, invalid UTF-8, and one flipped bit in every `stride`th byte. */
export function* byteMutants(
  original: Buffer,
  stride = 1,
): Generator<{ readonly name: string; readonly bytes: Buffer }> {
  const around: readonly [string, string, string][] = [
    ['space before', ' ', ''],
    ['space after', '', ' '],
    ['line feed after', '', '\n'],
    ['carriage return after', '', '\r\n'],
    ['NUL after', '', '\0'],
    ['byte order mark', '\ufeff', ''],
  ];
  for (const [name, before, after] of around) {
    yield { name, bytes: Buffer.concat([Buffer.from(before), original, Buffer.from(after)]) };
  }
  yield {
    name: 'invalid UTF-8',
    bytes: Buffer.concat([original.subarray(0, 9), Buffer.of(0xff), original.subarray(9)]),
  };
  yield { name: 'empty', bytes: Buffer.alloc(0) };
  for (const length of [1, original.length >> 1, original.length - 1]) {
    yield { name: `cut to ${length}`, bytes: Buffer.from(original.subarray(0, length)) };
  }
  for (let at = 0; at < original.length; at += stride) {
    const bytes = Buffer.from(original);
    bytes[at]! ^= 1 << (at % 8);
    yield { name: `bit ${at % 8} of byte ${at}`, bytes };
  }
}

/** Class B: other texts for the bytes of a base64 text, and other bytes. */
export function* base64Mutants(text: string): Generator<TextMutant> {
  const bytes = Buffer.from(text, 'base64');
  for (const at of [0, 1, bytes.length >> 1, bytes.length - 2, bytes.length - 1].filter(
    (each) => each >= 0 && each < bytes.length,
  )) {
    const flipped = Buffer.from(bytes);
    flipped[at]! ^= 4;
    yield { name: `byte ${at} flipped`, text: flipped.toString('base64') };
  }
  const spellings: [string, string][] = [
    ['no padding', text.replace(/=+$/, '')],
    ['more padding', `${text}=`],
    ['URL alphabet', text.replaceAll('+', '-').replaceAll('/', '_')],
    ['line feed within', `${text.slice(0, 4)}\n${text.slice(4)}`],
    ['star within', `${text.slice(0, 4)}*${text.slice(4)}`],
    ['trailing byte', Buffer.concat([bytes, Buffer.of(0)]).toString('base64')],
    ['byte missing', bytes.subarray(0, -1).toString('base64')],
    [
      'other trailing bits',
      text.replace(/([A-Za-z0-9+/])(=+)$/, (_, last: string, pad: string) => `${next(last)}${pad}`),
    ],
  ];
  for (const [name, spelling] of spellings) if (spelling !== text) yield { name, text: spelling };
}

const ALPHABET = 'ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/';
const next = (character: string): string => ALPHABET[(ALPHABET.indexOf(character) + 1) % 64]!;
