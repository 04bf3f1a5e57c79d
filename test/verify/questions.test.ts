/** Questions and answers in a bundle: forged by somebody who holds every key, none of them verifies. */
import assert from 'node:assert/strict';
import { before, test } from 'node:test';
import { memoryReader } from '@pangolin/verify/readers/memory';
import type { Report } from '@pangolin/verify/report';
import { verifyBundle } from '@pangolin/verify/verify';
import { forgeKeys, renumber, resealed, sha, trustOf, type Files, type Json } from './forge.ts';
import { Harness, type Mutant } from './harness.ts';
import { formMutants, logMutants } from './operator-mutants.ts';
import { tell } from './story.ts';

const keys = forgeKeys();
const trust = trustOf(keys);
const told = (answer: (honest: Json) => Json): Files => tell(keys, 'run-1', {}, answer).files;
const honest = (answer: Json): Json => answer;
const files = told(honest);
let base: Report;

before(async () => {
  base = await verifyBundle(memoryReader(files), trust);
  assert.equal(base.verdict, 'verified', JSON.stringify(base.checks, null, 1));
});

/** The log tells another story of the question. */
function* storyMutants(): Generator<Mutant> {
  const is =
    (kind: string, attempt = 1) =>
    (event: Json): boolean =>
      event.kind === kind && event.itemId === 'ask' && event.attempt === attempt;
  const edits: readonly [string, (events: Json[]) => Json[] | void][] = [
    ['removed', (events) => events.filter((event) => !is('item.answered')(event))],
    ['given twice', (events) => events.flatMap((event) => (is('item.answered')(event) ? [event, event] : [event]))],
    ['moved before the question', (events) => moved(events, is('item.answered'), is('item.reconciled'))],
    ['moved behind the attempt that got it', (events) => moved(events, is('item.fired', 2), is('item.answered'))],
    ['to another attempt', (events) => void (events.find(is('item.answered')).attempt = 2)],
    ['to another item', (events) => void (events.find(is('item.answered')).itemId = 'lint')],
    [
      'of the deadline, which may not answer',
      (events) => void (events.find(is('item.answered')).reason = 'InputTimedOut'),
    ],
    ['altered', (events) => void (events.find(is('item.answered')).answer.sha256 = sha('other'))],
    ['altered where it was given to', (events) => void (events.find(is('item.fired', 2)).answer.sha256 = sha('other'))],
    ['kept from the attempt', (events) => void delete events.find(is('item.fired', 2)).answer],
    ['given to the attempt that asked', (events) => void (events.find(is('item.fired')).answer = { sha256: sha('x') })],
    [
      'to what failed',
      (events) => void Object.assign(events.find(is('item.reconciled')), { status: 'failed', reason: 'Lost' }),
    ],
    ['to a question of no result', (events) => void delete events.find(is('item.reconciled')).result],
  ];
  for (const [name, edit] of edits) {
    const changed = resealed(keys, files, (events) => renumber(edit(events) ?? events));
    yield { name: `an answer ${name}`, files: changed, failure: ['events'] };
  }
  const forged = { sha256: sha('forged') };
  const everywhere = resealed(keys, files, (events) => {
    events.find(is('item.answered')).answer = forged;
    events.find(is('item.fired', 2)).answer = forged;
  });
  yield { name: 'an answer that the dispatch does not have', files: everywhere, failure: ['blob'] };
}

function moved(events: Json[], which: (event: Json) => boolean, to: (event: Json) => boolean): Json[] {
  const event = events.find(which);
  const rest = events.filter((each) => each !== event);
  return rest.toSpliced(rest.findIndex(to), 0, event);
}

/** Log, manifest and signatures agree on an answer that nobody can have given. */
function* answerMutants(): Generator<Mutant> {
  const answers: Readonly<Record<string, (answer: Json) => Json>> = {
    'that is no option': (answer) => ({ ...answer, answer: 'green' }),
    'without options': ({ options: _options, ...answer }) => ({ ...answer, answer: 'green' }),
    'among options that were not offered': (answer) => ({ ...answer, options: ['red', 'green'], answer: 'green' }),
    'to another question': (answer) => ({ ...answer, question: 'May I?' }),
    'to another attempt': (answer) => ({ ...answer, attempt: 2 }),
    'with another partial state': (answer) => ({ ...answer, partial_state: [2] }),
    'without the partial state': ({ partial_state: _state, ...answer }) => answer,
    'that nobody gave': (answer) => ({ ...answer, answer: null }),
    'with something besides': (answer) => ({ ...answer, approved: true }),
    'of another schema': (answer) => ({ ...answer, schema: 'answer/2' }),
    'that is none': () => 'blue',
  };
  for (const [name, forge] of Object.entries(answers))
    yield { name: `an answer ${name}`, files: told(forge), failure: ['blob'] };
}

const classes: readonly [string, number, () => Iterable<Mutant>][] = [
  ['the log, sealed by the operator', 14, storyMutants],
  ['the answer, signed and sealed by the operator', 11, answerMutants],
  ['any event of a run with a question', 140, () => logMutants(keys, files)],
  ['the form of any event of it', 400, () => formMutants(keys, files)],
];
for (const [name, atLeast, mutants] of classes) {
  test(`a change of ${name} is noticed`, async (t) => {
    await new Harness(trust, base).tryAll(mutants(), atLeast, t);
  });
}

test('another option would have been as good an answer', async () => {
  const report = await verifyBundle(memoryReader(told((answer) => ({ ...answer, answer: 'red' }))), trust);
  assert.equal(report.verdict, 'verified');
});
