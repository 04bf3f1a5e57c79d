/** Items that ask a person: they wait without a task, a slot or a lock, and go on as a new attempt with the answer. */
import { canonicalBytes } from '@pangolin/contracts/canonical';
import { sha256 } from '@pangolin/contracts/digest';
import { casKey } from '@pangolin/contracts/layout';
import type { Answer, NeedsInput } from '@pangolin/contracts/needs-input';
import type { ItemRow, RunRow } from '../store/rows.ts';
import { makeReady } from './dependencies.ts';
import { ACTOR, specOf } from './engine.ts';
import type { Pass } from './pass.ts';
import { denyItem } from './transitions.ts';

export const isAsking = (item: ItemRow): boolean => item.phase === 'waiting' && item.reason === 'WaitingForInput';

/** What an asking item asks. */
export const questionOf = (item: ItemRow): NeedsInput => JSON.parse(item.question!) as NeedsInput;

export interface Reply {
  /** null: nobody answered in time. */
  readonly answer: string | null;
  readonly actor: string;
}

/** The item goes on: its next attempts get the answer, and the partial state of the one that asked. */
export async function answerItem(pass: Pass, item: ItemRow, run: RunRow, { answer, actor }: Reply): Promise<void> {
  const { state, store } = pass.engine;
  const { question, options, partial_state } = questionOf(item);
  const document: Answer = {
    schema: 'answer/1',
    attempt: item.attempt,
    question,
    ...(options && { options }),
    ...(partial_state !== undefined && { partial_state }),
    answer,
  };
  const bytes = canonicalBytes(document);
  const digest = sha256(bytes);
  // Named by the event, so it is durable before the event is.
  await store.put(casKey(digest), bytes);
  pass.event(
    run.run_id,
    {
      kind: 'item.answered',
      itemId: item.item_id,
      attempt: item.attempt,
      answer: { sha256: digest },
      reason: answer === null ? 'InputTimedOut' : 'Answered',
    },
    actor,
  );
  state.change(item, { question: null, answer: bytes.toString('utf8') });
  makeReady(pass, item, run);
}

/** Nobody answered in time. */
export async function questionDue(pass: Pass, item: ItemRow, run: RunRow): Promise<void> {
  if (specOf(item).needsInput?.onTimeout === 'continue')
    return await answerItem(pass, item, run, { answer: null, actor: ACTOR });
  denyItem(pass, item, run, 'InputTimedOut', 'nobody answered in time');
}
