/** `.pangolin/output.json`: what the blocks say about their own work. Its form is checked here; what it says, by the shape of the item. */
import { canonical } from '@pangolin/contracts/canonical';
import { messageOf } from '@pangolin/contracts/errors';
import { isId } from '@pangolin/contracts/ids';
import { BLOCK_OUTPUT_BYTES_MAX, INTENTS_MAX, SIGNALS_MAX, SUMMARY_CHARS_MAX } from '@pangolin/contracts/limits';
import type { BlockOutput } from '@pangolin/contracts/block-output';
import { isObject } from '../check-pipeline.ts';
import { AttemptFailure } from '../failure.ts';
import type { Places } from '../places.ts';
import { readOwnFile } from './own-file.ts';

export const BLOCK_OUTPUT_FILE = '.pangolin/output.json';

/** Undefined when there is none. @throws AttemptFailure OutputSchemaMismatch */
export async function readBlockOutput(
  places: Places,
  redact: (text: string) => string,
): Promise<BlockOutput | undefined> {
  try {
    const bytes = await readOwnFile(places, BLOCK_OUTPUT_FILE, BLOCK_OUTPUT_BYTES_MAX);
    if (bytes === undefined) return undefined;
    const written: unknown = JSON.parse(new TextDecoder('utf-8', { fatal: true }).decode(bytes));
    // Of the values, not of the text: in JSON a character can be written in several ways.
    const value: unknown = JSON.parse(redact(canonical(written)));
    const problem = blockOutputProblem(value);
    if (problem !== undefined) throw new Error(problem);
    return value as BlockOutput;
  } catch (error) {
    throw new AttemptFailure('OutputSchemaMismatch', `${BLOCK_OUTPUT_FILE}: ${messageOf(error)}`, { cause: error });
  }
}

type Check = (value: unknown) => string | undefined;

const text: Check = (value) =>
  typeof value === 'string' && [...value].length <= SUMMARY_CHARS_MAX
    ? undefined
    : `is not a text of at most ${SUMMARY_CHARS_MAX} characters`;
const name: Check = (value) => (isId(value) ? undefined : 'is no name: letters, digits and ._@:~+-');
const object: Check = (value) => (isObject(value) ? undefined : 'is not an object');
const anything: Check = () => undefined;

const list =
  (max: number, required: string, fields: Readonly<Record<string, Check>>): Check =>
  (value) => {
    if (!Array.isArray(value) || value.length > max) return `is not a list of at most ${max}`;
    for (const [index, entry] of value.entries()) {
      const lacks = isObject(entry) && entry[required] === undefined;
      const problem = lacks ? `it lacks \`${required}\`` : fieldsProblem(fields, entry);
      if (problem !== undefined) return `has something wrong at ${index}: ${problem}`;
    }
    return undefined;
  };

const fields: Readonly<Record<string, Check>> = {
  summary: text,
  output: anything,
  intents: list(INTENTS_MAX, 'kind', { kind: name, summary: text, params: object }),
  signals: list(SIGNALS_MAX, 'name', { name, value: anything, message: text }),
};

/** The same rules as the schema in contracts/block-output, which a test holds it to. */
export const blockOutputProblem = (value: unknown): string | undefined => fieldsProblem(fields, value);

function fieldsProblem(known: Readonly<Record<string, Check>>, value: unknown): string | undefined {
  if (!isObject(value)) return 'it is not an object';
  for (const [key, entry] of Object.entries(value)) {
    if (!Object.hasOwn(known, key))
      return `it has a field ${JSON.stringify(key.slice(0, 100))}, and may have ${Object.keys(known).join(', ')}`;
    const problem = known[key]!(entry);
    if (problem !== undefined) return `\`${key}\` ${problem}`;
  }
  return undefined;
}
