/** What each notation of the schemas means, for people: one entry per pattern. */
import { CRON_PATTERN, TIME_ZONE_PATTERN } from './cron.ts';
import { ID_PATTERN } from './ids.ts';
import { ENV_NAME_PATTERN } from './pipeline.ts';
import { HOST_PATTERN, IMAGE_PATTERN } from './policy.ts';
import { LABEL_KEY_PATTERN, LOCK_PATTERN, NEED_KEY_PATTERN } from './run.ts';
import { COMMIT_PATTERN, DIGEST_PATTERN } from './workspace.ts';
import { EDGE_TYPE_PATTERN, NEED_NAME_PATTERN } from './shape.ts';
import { CPU_PATTERN, DURATION_PATTERN, SIZE_PATTERN } from './units.ts';

export interface Format {
  /** Completes "must be …". */
  readonly what: string;
  readonly hint: string;
  /** Says what is wrong with this text, where more than `what` can be said. */
  readonly why?: (text: string) => string;
}

const formats: Readonly<Record<string, Format>> = {
  [ID_PATTERN]: {
    what: 'an id',
    hint: 'Ids have 1 to 200 letters, digits and ._@:~+-, start with a letter or digit, and never hold `..`.',
    why: whyNotId,
  },
  [DURATION_PATTERN]: { what: 'a duration', hint: 'Write 90s, 15m or 1h30m, the larger unit first.' },
  [SIZE_PATTERN]: { what: 'a size', hint: 'Write bytes or a quantity such as 512Mi or 2Gi.' },
  [CPU_PATTERN]: { what: 'an amount of CPU', hint: 'Write 500m for half a CPU, or 2 for two.' },
  [DIGEST_PATTERN]: { what: 'a digest', hint: 'Write sha256: and 64 lower-case hexadecimal digits.' },
  [COMMIT_PATTERN]: {
    what: 'a commit',
    hint: 'Write 7 to 64 lower-case hexadecimal digits; a branch or tag goes in `ref`.',
  },
  [HOST_PATTERN]: {
    what: 'a host',
    hint: 'Write host.example, *.host.example or host.example:8443, without a scheme; names of other scripts in their xn-- form.',
  },
  [IMAGE_PATTERN]: { what: 'an image reference', hint: 'Write registry/name:tag or registry/name@sha256:….' },
  [LOCK_PATTERN]: { what: 'a lock name', hint: 'Locks have 1 to 512 characters and no control characters.' },
  [NEED_KEY_PATTERN]: {
    what: 'an input name',
    hint: 'Input names have 1 to 100 letters, digits and ._-, and start with a letter or digit.',
  },
  [EDGE_TYPE_PATTERN]: { what: 'a type', hint: 'Write pack/what in lower case, such as dev/patch.' },
  [NEED_NAME_PATTERN]: {
    what: 'an input name',
    hint: 'Input names have letters, digits and ._-; a `*` at the end stands for all that begin so.',
  },
  [CRON_PATTERN]: {
    what: 'five cron fields',
    hint: 'Write minute, hour, day of month, month and day of week with one space between them, such as `30 6 * * MON-FRI`.',
  },
  [TIME_ZONE_PATTERN]: { what: 'a time zone', hint: 'Write an IANA name such as Europe/Berlin, or UTC.' },
  [LABEL_KEY_PATTERN]: {
    what: 'a label name',
    hint: 'Label names have letters, digits and ._/-, letters or digits at both ends.',
  },
  [ENV_NAME_PATTERN]: {
    what: 'a variable name',
    hint: 'Variable names have letters, digits and _, and start with no digit.',
  },
};

export function formatOf(pattern: string): Format {
  return formats[pattern] ?? { what: 'of the documented form', hint: `It must match ${pattern}` };
}

/** Scripts whose letters pass for Latin ones. */
const lookAlikes = [
  [/\p{Script=Cyrillic}/u, 'Cyrillic'],
  [/\p{Script=Greek}/u, 'Greek'],
  [/\p{Script=Armenian}/u, 'Armenian'],
  [/\p{Script=Cherokee}/u, 'Cherokee'],
  [/[\uff00-\uffef]/u, 'full-width'],
] as const;

function whyNotId(text: string): string {
  if (text === '') return 'it is empty';
  if (text.length > 200) return `it has ${text.length} characters, and 200 are the most`;
  if (text.includes('..')) return 'it holds `..`';
  const wrong = [...text].find((character) => !/[A-Za-z0-9._@:~+-]/.test(character));
  if (wrong === undefined) return `it starts with \`${text[0]}\``;
  return `it holds ${nameCharacter(wrong)}`;
}

/** `%` as it is, everything that may deceive the eye by its code point. */
export function nameCharacter(character: string): string {
  const code = character.codePointAt(0)!;
  const point = `U+${code.toString(16).toUpperCase().padStart(4, '0')}`;
  if (code === 0x20) return 'a space';
  if (code > 0x20 && code < 0x7f) return `\`${character}\``;
  if (/\p{Cc}|\p{Cf}/u.test(character)) return `${point}, an invisible control character`;
  const script = lookAlikes.find(([pattern]) => pattern.test(character))?.[1];
  return script === undefined ? `${point}` : `${point}, a ${script} character that looks like another one`;
}

/** A value in a message: one line, short, nothing invisible. */
export function show(value: unknown): string {
  if (value === undefined) return 'nothing';
  if (Array.isArray(value)) return `a list of ${value.length}`;
  if (typeof value === 'object' && value !== null) return 'an object';
  if (typeof value !== 'string') return String(value);
  const points = [...value.slice(0, 80)];
  const shown = points
    .slice(0, 40)
    .map((c) => (/[\p{C}\p{Z}]/u.test(c) && c !== ' ' ? `\\u{${c.codePointAt(0)!.toString(16)}}` : c))
    .join('');
  return `"${shown}${points.length > 40 ? '…' : ''}"`;
}
