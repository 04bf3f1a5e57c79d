/** Applies what admission has read, inside the transaction, and answers every file with a receipt. */
import { isPangolinError } from '@pangolin/contracts/errors';
import { unknownRole } from '@pangolin/contracts/read-pattern';
import type { Extension } from '@pangolin/contracts/admitted-run';
import type { Receipt } from '@pangolin/contracts/status';
import { formatTime } from '@pangolin/contracts/units';
import { rolesOf } from '../plan/patterns/patterns.ts';
import type { RunRow } from '../store/rows.ts';
import type { Document, Submission } from './admission.ts';
import { applyControl } from './controls.ts';
import { withNamesOf } from './growing.ts';
import { extendRun } from './growth.ts';
import { insertRun } from './insert-run.ts';
import type { Pass } from './pass.ts';
import { setQueuePaused } from './pausing.ts';
import { declareSchedule, settleSlot } from './schedules.ts';

type Answer = Partial<Receipt> & Pick<Receipt, 'verdict'>;

export async function applySubmissions(pass: Pass, submissions: readonly Submission[]): Promise<void> {
  const { admission } = pass.engine;
  for (const submission of submissions) {
    let answer: Answer = rejected(submission.name, 'Internal', 'the controller could not apply it; its log says why');
    await pass.guard({ submission: submission.name }, async () => {
      answer = await apply(pass, submission);
    });
    const receipt: Receipt = {
      schema: 'receipt/1',
      submission: submission.name,
      sha256: submission.sha256,
      at: formatTime(pass.now),
      kind: kindOf(submission),
      actor: submission.actor,
      errors: [],
      ...answer,
    };
    settleSlot(pass, submission.name, receipt);
    pass.tell({ submission: receipt.submission, run: receipt.run, verdict: receipt.verdict }, 'submission');
    // Crash before this: the file is read again, and what exists by then answers it the same way.
    pass.effects.push({ kind: 'acknowledge', done: () => admission.acknowledge(submission, receipt) });
  }
}

function kindOf(submission: Submission): Receipt['kind'] {
  if (submission.kind === 'control') return 'Control';
  return submission.kind === 'document' ? submission.document.kind : submission.of;
}

const rejected = (file: string, code: string, message: string, hint?: string, path = ''): Answer => ({
  verdict: 'rejected',
  errors: [{ file, path, code, message, ...(hint !== undefined && { hint }) }],
});

async function apply(pass: Pass, submission: Submission): Promise<Answer> {
  switch (submission.kind) {
    case 'control':
      return applyControl(pass, submission.control, submission.name);
    case 'rejected':
      return {
        verdict: 'rejected',
        errors: submission.problems,
        ...(submission.run !== undefined && { run: submission.run }),
      };
    case 'document':
      return applyDocument(pass, submission, submission.document);
  }
}

type DocumentSubmission = Extract<Submission, { kind: 'document' }>;

async function applyDocument(pass: Pass, submission: DocumentSubmission, document: Document): Promise<Answer> {
  switch (document.kind) {
    case 'Run':
      return admitRun(pass, submission, document.run);
    case 'Queue':
      return declareQueue(pass, document, submission.actor);
    case 'Schedule': {
      const changed = declareSchedule(pass, { ...document, actor: submission.actor });
      return { verdict: 'accepted', ...(!changed && { duplicate: true }) };
    }
    case 'Extension':
      return extend(pass, submission, document);
  }
}

function admitRun(pass: Pass, submission: DocumentSubmission, run: Extract<Document, { kind: 'Run' }>['run']): Answer {
  const existing = pass.engine.state.run(run.id);
  if (existing?.spec === run.spec) {
    const again = existing.submission !== submission.name;
    return { verdict: 'accepted', run: run.id, ...(again && { duplicate: true }) };
  }
  if (existing) {
    const hint = 'The run id is the idempotency key; give the changed spec a new one.';
    return { ...rejected(submission.name, 'Conflict', `a run ${run.id} with another spec exists`, hint), run: run.id };
  }
  const { name, actor, sha256: submissionDigest } = submission;
  insertRun(pass, { run, plan: submission.plan!, actor, submission: name, submissionDigest });
  return { verdict: 'accepted', run: run.id };
}

/** Declaring a queue again changes it; it stays paused or not when it does not say. Nothing that runs is stopped. */
function declareQueue(pass: Pass, declared: Extract<Document, { kind: 'Queue' }>, actor: string): Answer {
  const { name, queue, paused } = declared;
  const { state, memory } = pass.engine;
  state.turns.putQueue(name, JSON.stringify(queue));
  memory.queues.reload();
  if (paused !== undefined) setQueuePaused(pass, name, paused, actor);
  return { verdict: 'accepted' };
}

async function extend(
  pass: Pass,
  submission: DocumentSubmission,
  document: Extract<Document, { kind: 'Extension' }>,
): Promise<Answer> {
  const { state } = pass.engine;
  const run = state.run(document.run);
  const refuse = (...why: [code: string, message: string, hint?: string, path?: string]): Answer => ({
    ...rejected(submission.name, ...why),
    run: document.run,
  });
  if (!run) return refuse('NotFound', `there is no run ${document.run}`);
  const accepted = { verdict: 'accepted', run: run.run_id } as const;
  // Read twice after a crash, or sent twice by somebody who got no answer: its items are there already.
  if (state.controlled(submission.name) || isPartOf(pass, run, document.extension))
    return { ...accepted, duplicate: true };
  if (run.finished_at !== null) return refuse('Finished', `run ${run.run_id} is ${run.phase} already`);
  if (run.open_ended === 0)
    return refuse(
      'NotOpenEnded',
      `run ${run.run_id} takes no extensions`,
      'Submit it with `openEnded: true`, and extend it before it is closed.',
    );
  const roles = run.patterned === 1 ? rolesOf(state.patterns.of(run.rn)) : [];
  const stranger = document.extension.items.findIndex(({ role }) => role !== undefined && !roles.includes(role));
  if (stranger !== -1) {
    const { code, message, hint } = unknownRole(document.extension.items[stranger]!.role!, roles);
    return refuse(code, message, hint, `/spec/items/${stranger}/role`);
  }
  try {
    await extendRun(pass, run, { extension: document.extension, actor: submission.actor });
  } catch (error) {
    if (!isPangolinError(error, 'CONFLICT')) throw error;
    const { path } = error.details as { readonly path: string };
    const hint = 'Runs only grow: new items have ids of their own and point at items that are there.';
    return refuse('Conflict', error.message, hint, `/spec${path}`);
  }
  const inherited = state.patterns.inherited(run.rn);
  if (inherited) state.patterns.inherit(run.rn, withNamesOf(inherited, document.extension.items));
  state.claimControl(submission.name, pass.now);
  return accepted;
}

function isPartOf(pass: Pass, run: RunRow, { items }: Extension): boolean {
  return items.every((item) => pass.engine.state.item(run.rn, item.id)?.spec === JSON.stringify(item));
}
