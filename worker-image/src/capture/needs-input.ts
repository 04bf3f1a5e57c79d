/** `.pangolin/needs_input.json`: a block asks a person. The blocks after it do not run, and the attempt ends with the question. */
import { canonical } from '@pangolin/contracts/canonical';
import { messageOf } from '@pangolin/contracts/errors';
import { NEEDS_INPUT_BYTES_MAX, OPTION_CHARS_MAX, OPTIONS_MAX, QUESTION_CHARS_MAX } from '@pangolin/contracts/limits';
import type { NeedsInput } from '@pangolin/contracts/needs-input';
import { isObject } from '../check-pipeline.ts';
import { AttemptFailure } from '../failure.ts';
import type { Places } from '../places.ts';
import { readOwnFile } from './own-file.ts';

export const NEEDS_INPUT_FILE = '.pangolin/needs_input.json';
const FIELDS = ['question', 'options', 'context', 'partial_state'];

/** Undefined when no block asks. @throws AttemptFailure NeedsInputInvalid */
export async function readNeedsInput(places: Places): Promise<NeedsInput | undefined> {
  try {
    const bytes = await readOwnFile(places, NEEDS_INPUT_FILE, NEEDS_INPUT_BYTES_MAX);
    return bytes === undefined ? undefined : parse(bytes);
  } catch (error) {
    throw new AttemptFailure('NeedsInputInvalid', `${NEEDS_INPUT_FILE}: ${messageOf(error)}`, { cause: error });
  }
}

function parse(bytes: Buffer): NeedsInput {
  const value: unknown = JSON.parse(new TextDecoder('utf-8', { fatal: true }).decode(bytes));
  if (!isObject(value)) throw new Error('it is not an object');
  const unknown = Object.keys(value).find((key) => !FIELDS.includes(key));
  if (unknown !== undefined) throw new Error(`it has an unknown field ${JSON.stringify(unknown.slice(0, 60))}`);
  const { question, options } = value;
  if (!isText(question, QUESTION_CHARS_MAX)) {
    throw new Error(`its \`question\` is not a text of 1 to ${QUESTION_CHARS_MAX} characters`);
  }
  const listed = Array.isArray(options) && options.length >= 1 && options.length <= OPTIONS_MAX;
  if (options !== undefined && !(listed && options.every((option) => isText(option, OPTION_CHARS_MAX)))) {
    throw new Error(`its \`options\` are not 1 to ${OPTIONS_MAX} texts of 1 to ${OPTION_CHARS_MAX} characters`);
  }
  // It is sealed with the output, so it has to have one canonical form.
  canonical(value);
  return value as unknown as NeedsInput;
}

const isText = (value: unknown, max: number): boolean =>
  typeof value === 'string' && value.length >= 1 && value.length <= max && value.isWellFormed();
