/** What a person, or the deadline, answered to the question of an attempt (contracts/needs-input). */
import { canonical } from '@pangolin/contracts/canonical';
import type { RunEvent } from '@pangolin/contracts/run-log';
import type { WorkerResult } from './result.ts';
import { isObject } from './shape.ts';
import { parseStrict } from './strict-json.ts';

type Answered = Extract<RunEvent, { kind: 'item.answered' }>;

/**
 * What does not agree with the log and with what was asked, or undefined. @throws Refusal unless `bytes` are canonical JSON
 * @param asked undefined when the bundle withholds the result of the attempt
 */
export function answerProblem(bytes: Buffer, event: Answered, asked: WorkerResult | undefined): string | undefined {
  const value = parseStrict('the answer', bytes.toString('utf8'));
  if (!isObject(value) || value.schema !== 'answer/1') return 'is none';
  const { schema: _schema, attempt, answer, ...question } = value;
  if (attempt !== event.attempt) return 'is to another attempt';
  if (event.reason === 'InputTimedOut' ? answer !== null : typeof answer !== 'string')
    return `contradicts its reason ${event.reason}`;
  const { options } = question;
  if (answer !== null && Array.isArray(options) && !options.includes(answer)) return 'is none of the options';
  if (asked === undefined) return undefined;
  const { context: _context, ...said } = isObject(asked.needsInput) ? asked.needsInput : {};
  return canonical(question) === canonical(said) ? undefined : 'is to another question than was asked';
}
