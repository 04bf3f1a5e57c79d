/** What operators ask for under control/. */
import type { Control } from '@pangolin/contracts/control';
import { messageOf } from '@pangolin/contracts/errors';
import { isTerminal } from '@pangolin/contracts/reasons';
import { validateControl } from '@pangolin/contracts/schema';
import type { Problem, Receipt } from '@pangolin/contracts/status';
import type { ScheduleRow } from '../store/schedules.ts';
import type { ItemRow, RunRow } from '../store/rows.ts';
import type { Pass } from './pass.ts';
import { setQueuePaused, setRunPaused } from './pausing.ts';
import { answerItem, isAsking, questionOf } from './questions.ts';
import { Refusal } from './refusal.ts';
import { retryRun } from './retry-run.ts';
import { pauseSchedule, triggerSchedule } from './schedules.ts';
import { cancelItem, cancelRun, decideApproval } from './transitions.ts';

export type ReadControl = Control;

export function readControl(bytes: Buffer, name: string): Control | { readonly problems: readonly Problem[] } {
  const problem = (message: string): { problems: readonly Problem[] } => ({
    problems: [
      {
        file: name,
        path: '',
        code: 'InvalidControl',
        message,
        hint: 'Use the CLI, or see schemas/control.v1.schema.json.',
      },
    ],
  });
  try {
    const value: unknown = JSON.parse(bytes.toString('utf8'));
    const wrong = validateControl(value);
    return wrong === undefined ? (value as Control) : problem(wrong);
  } catch (error) {
    return problem(`not JSON: ${messageOf(error)}`);
  }
}

type Answer = Partial<Receipt> & Pick<Receipt, 'verdict'>;

export async function applyControl(pass: Pass, control: Control, name: string): Promise<Answer> {
  const about = { kind: 'Control' as const, ...(control.run !== undefined && { run: control.run }) };
  try {
    if (pass.engine.state.controlled(name)) return { verdict: 'accepted', ...about, duplicate: true };
    const run = await verbs[control.verb](pass, control, name);
    pass.engine.state.claimControl(name, pass.now);
    return { verdict: 'accepted', ...about, ...(run !== undefined && { run }) };
  } catch (error) {
    if (!(error instanceof Refusal)) throw error;
    const { code, message, hint } = error;
    return {
      verdict: 'rejected',
      ...about,
      errors: [{ file: name, path: '', code, message, ...(hint !== undefined && { hint }) }],
    };
  }
}

/** Answers the run that the control is about, where it is another one than it names. */
type Verb = (pass: Pass, control: Control, name: string) => Promise<string | void> | string | void;

const verbs: Readonly<Record<Control['verb'], Verb>> = {
  cancel: (pass, control) => {
    const run = runOf(pass, control);
    const cancel = { reason: 'Cancelled', comment: control.reason, actor: control.actor } as const;
    if (control.item !== undefined) {
      const item = itemOf(pass, control, run);
      if (isTerminal(item.phase)) throw new Refusal('Finished', `item ${item.item_id} is ${item.phase} already`);
      cancelItem(pass, item, run, cancel, false);
      return;
    }
    if (run.finished_at !== null) throw new Refusal('Finished', `run ${run.run_id} is ${run.phase} already`);
    cancelRun(pass, run, cancel);
  },
  retry,
  pause: (pass, control) => setPaused(pass, control, true),
  resume: (pass, control) => setPaused(pass, control, false),
  approve: (pass, control) => decide(pass, control, true),
  reject: (pass, control) => decide(pass, control, false),
  answer,
  close: (pass, control) => {
    const run = runOf(pass, control);
    if (run.open_ended === 0) throw new Refusal('NotOpenEnded', `run ${run.run_id} takes no extensions`);
    pass.event(run.run_id, { kind: 'run.closed' }, control.actor);
    pass.engine.state.closeRun(run.rn);
    pass.engine.memory.touched.add(run.rn);
  },
  trigger: (pass, control) => triggerSchedule(pass, scheduleOf(pass, control), control.actor),
  remove: (pass, control) => pass.engine.state.schedules.remove(scheduleOf(pass, control).name),
};

function scheduleOf(pass: Pass, control: Control): ScheduleRow {
  if (control.schedule === undefined) throw new Refusal('MissingField', `${control.verb} needs a schedule`);
  const row = pass.engine.state.schedules.get(control.schedule);
  if (!row) throw new Refusal('NotFound', `there is no schedule ${control.schedule}`);
  return row;
}

function runOf(pass: Pass, control: Control): RunRow {
  if (control.run === undefined) throw new Refusal('MissingField', `${control.verb} needs a run`);
  const run = pass.engine.state.run(control.run);
  if (!run) throw new Refusal('NotFound', `there is no run ${control.run}`);
  return run;
}

function itemOf(pass: Pass, control: Control, run: RunRow): ItemRow {
  if (control.item === undefined) throw new Refusal('MissingField', `${control.verb} needs an item`);
  const item = pass.engine.state.item(run.rn, control.item);
  if (!item) throw new Refusal('NotFound', `run ${run.run_id} has no item ${control.item}`);
  return item;
}

function setPaused(pass: Pass, control: Control, paused: boolean): void {
  const { memory } = pass.engine;
  if (control.schedule !== undefined) return pauseSchedule(pass, scheduleOf(pass, control), paused);
  if (control.queue !== undefined) {
    if (!memory.queues.has(control.queue)) throw new Refusal('NotFound', `there is no queue ${control.queue}`);
    return setQueuePaused(pass, control.queue, paused, control.actor);
  }
  const run = runOf(pass, control);
  if (run.finished_at !== null) throw new Refusal('Finished', `run ${run.run_id} is ${run.phase} already`);
  setRunPaused(pass, run, paused, control.actor);
}

function decide(pass: Pass, control: Control, approved: boolean): void {
  const run = runOf(pass, control);
  const item = itemOf(pass, control, run);
  if (item.phase !== 'waiting' || item.reason !== 'WaitingForApproval') {
    throw new Refusal('NotWaiting', `item ${item.item_id} is ${item.phase} and waits for no approval`);
  }
  const comment = control.reason === undefined ? {} : { comment: control.reason };
  decideApproval(pass, item, run, {
    approved,
    reason: approved ? 'Approved' : 'Rejected',
    actor: control.actor,
    ...comment,
  });
}

async function answer(pass: Pass, control: Control): Promise<void> {
  const run = runOf(pass, control);
  const item = itemOf(pass, control, run);
  if (control.answer === undefined) throw new Refusal('MissingField', 'answer needs an answer');
  if (!isAsking(item)) throw new Refusal('NotWaiting', `item ${item.item_id} is ${item.phase} and asks nothing`);
  const { options } = questionOf(item);
  if (options && !options.includes(control.answer)) {
    throw new Refusal('NotAnOption', 'the question has options, and this is none', `Answer ${options.join(' | ')}.`);
  }
  await answerItem(pass, item, run, { answer: control.answer, actor: control.actor });
}

async function retry(pass: Pass, control: Control, name: string): Promise<string> {
  const run = runOf(pass, control);
  const item = control.item === undefined ? undefined : itemOf(pass, control, run);
  return await retryRun(pass, run, { only: item?.item_id, as: control.as, actor: control.actor, submission: name });
}
