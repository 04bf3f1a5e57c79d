/** Schedules: declared, paused and triggered by people; their due slots are dropped into the inbox like any other run. */
import { slotsOf } from '@pangolin/contracts/cron';
import { sha256 } from '@pangolin/contracts/digest';
import { messageOf } from '@pangolin/contracts/errors';
import { INBOX, inboxKey, scheduleKey } from '@pangolin/contracts/layout';
import { scheduledRun, scheduledRunId } from '@pangolin/contracts/read-schedule';
import type { AdmittedSchedule, ScheduleStatus, SlotStatus } from '@pangolin/contracts/schedule';
import type { Receipt } from '@pangolin/contracts/status';
import { submissionName } from '@pangolin/contracts/submission';
import { formatTime } from '@pangolin/contracts/units';
import { decideSlots, missedSlots } from '../plan/slots.ts';
import type { ScheduleRow, SlotRow } from '../store/schedules.ts';
import type { Engine } from './engine.ts';
import type { Pass } from './pass.ts';
import { cancelRun } from './transitions.ts';

const ACTOR = 'service:schedule';
const RETRY_MS = 1000;

const admittedOf = (row: ScheduleRow): AdmittedSchedule => JSON.parse(row.spec) as AdmittedSchedule;

function nextSlot({ cron, timeZone }: AdmittedSchedule, after: number): number | null {
  return slotsOf(cron, timeZone).next(after) ?? null;
}

export interface Declaration {
  readonly name: string;
  readonly schedule: AdmittedSchedule;
  readonly digest: string;
  /** Absent: as it is, and not paused when it is new. */
  readonly paused?: boolean;
  readonly actor: string;
}

/** Slots count from the declaration on, also when it replaces another one. False when nothing changed. */
export function declareSchedule(pass: Pass, { name, schedule, digest, paused, actor }: Declaration): boolean {
  const { schedules } = pass.engine.state;
  const known = schedules.get(name);
  const pausedNow = paused ?? known?.paused === 1;
  if (known?.digest === digest && (known.paused === 1) === pausedNow) return false;
  schedules.put({
    name,
    spec: JSON.stringify(schedule),
    digest,
    paused: pausedNow ? 1 : 0,
    seen_at: pass.now,
    next_at: pausedNow ? null : nextSlot(schedule, pass.now),
    actor,
  });
  return true;
}

/** Slots while it was paused are not caught up. */
export function pauseSchedule(pass: Pass, row: ScheduleRow, paused: boolean): void {
  pass.engine.state.schedules.advance(row.name, {
    paused: paused ? 1 : 0,
    seen_at: pass.now,
    next_at: paused ? null : nextSlot(admittedOf(row), pass.now),
  });
}

/** A run now, whatever the schedule's state and policies. Answers its id. */
export function triggerSchedule(pass: Pass, row: ScheduleRow, actor: string): string {
  let slot = pass.now;
  while (pass.engine.state.schedules.hasSlot(row.name, slot)) slot++;
  addDueSlot(pass, row, slot, actor);
  return scheduledRunId(row.name, slot);
}

/** Decides every slot that is due, and records each decision with it. */
export async function decideDueSlots(pass: Pass): Promise<void> {
  const { state } = pass.engine;
  for (const row of state.schedules.dueSchedules(pass.now)) {
    await pass.guard({ schedule: row.name }, () => decide(pass, row));
  }
  submitDueSlots(pass);
}

function decide(pass: Pass, row: ScheduleRow): void {
  const { state } = pass.engine;
  const schedule = admittedOf(row);
  const slots = missedSlots(slotsOf(schedule.cron, schedule.timeZone), row.seen_at, pass.now);
  const open = state.schedules.openRuns(row.name);
  for (const { slot, skipped } of decideSlots({ slots, now: pass.now, policy: schedule, open })) {
    // A trigger in the very millisecond of a slot is that slot.
    if (state.schedules.hasSlot(row.name, slot)) continue;
    pass.tell({ schedule: row.name, slot: formatTime(slot), skipped }, 'slot due');
    if (skipped === undefined) {
      if (schedule.overlap === 'replace') for (const run of open) replace(pass, run, scheduledRunId(row.name, slot));
      addDueSlot(pass, row, slot);
    } else {
      const decision = { schedule: row.name, slot, run_id: scheduledRunId(row.name, slot), why: skipped };
      state.schedules.addSlot({ ...decision, outcome: 'skipped', actor: null, submission: null, document: null });
    }
  }
  state.schedules.advance(row.name, { paused: 0, seen_at: pass.now, next_at: nextSlot(schedule, pass.now) });
}

function replace(pass: Pass, runId: string, by: string): void {
  const run = pass.engine.state.run(runId);
  if (run) cancelRun(pass, run, { reason: 'Cancelled', comment: `replaced by ${by}`, actor: ACTOR });
}

/** The name and the bytes of the file depend on the slot alone: however often it is dropped, it is one run. */
function addDueSlot(pass: Pass, row: ScheduleRow, slot: number, actor?: string): void {
  const unique = `${formatTime(slot).replaceAll(/[-:]/g, '')}-${sha256(row.name).slice(0, 12)}`;
  pass.engine.state.schedules.addSlot({
    schedule: row.name,
    slot,
    run_id: scheduledRunId(row.name, slot),
    outcome: 'due',
    why: null,
    actor: actor ?? null,
    submission: submissionName(actor ?? ACTOR, unique),
    document: scheduledRun(row.name, admittedOf(row), slot),
  });
}

/** Drops the files of due slots: once per life of a controller, and again when one was not answered for long. */
function submitDueSlots(pass: Pass): void {
  const { state, store, memory, log, wake, admission } = pass.engine;
  for (const { submission, document } of state.schedules.dueSlots()) {
    if (memory.slotsSubmitted.has(submission!)) continue;
    memory.slotsSubmitted.add(submission!);
    const submit = async (): Promise<void> => {
      try {
        await store.put(inboxKey(submission!), document!);
        admission.hint(INBOX);
        wake();
      } catch (error) {
        log.warn({ submission, err: error }, `a due slot could not be submitted yet: ${messageOf(error)}`);
        memory.slotsSubmitted.delete(submission!);
        setTimeout(wake, RETRY_MS).unref();
      }
    };
    // Crash before or after this: the slot is due still, and its file is dropped again under the same name.
    pass.effects.push({ kind: 'submit', submit });
  }
}

/** The file of a slot got its receipt. */
export function settleSlot(pass: Pass, submission: string, receipt: Pick<Receipt, 'verdict' | 'errors'>): void {
  const { state, memory } = pass.engine;
  const accepted = receipt.verdict === 'accepted';
  const why = accepted ? null : (receipt.errors[0]?.message ?? 'rejected');
  const slot = state.schedules.answer(submission, accepted ? 'submitted' : 'rejected', why);
  if (!slot) return;
  memory.slotsSubmitted.delete(submission);
  const row = state.schedules.get(slot.schedule);
  if (accepted && row && admittedOf(row).overlap === 'replace' && state.schedules.isOvertaken(slot))
    replace(pass, slot.run_id, 'a later slot');
}

/** Writes `schedules/<name>.json` of every schedule that changed; removes it with its schedule. Outside of a transaction. */
export async function publishSchedules({ state, store, now, log }: Engine): Promise<boolean> {
  let whole = true;
  for (const row of state.schedules.changed()) {
    try {
      const status = `${JSON.stringify(statusOf(row, state.schedules.recentSlots(row.name), now()), null, 2)}\n`;
      if (row.removed === 1) await store.delete(scheduleKey(row.name));
      else await store.put(scheduleKey(row.name), status);
      // Crash here: written and not marked. It is written again.
      state.schedules.markPublished(row);
    } catch (error) {
      whole = false;
      log.warn({ schedule: row.name, err: error }, `a schedule could not be published: ${messageOf(error)}`);
    }
  }
  return whole;
}

function statusOf(row: ScheduleRow, slots: readonly SlotRow[], now: number): ScheduleStatus {
  const { cron, timeZone, catchUp, overlap } = admittedOf(row);
  const recent = slots.map(slotStatus);
  const lastRun = recent.find(({ outcome }) => outcome !== 'skipped');
  const lastSkipped = recent.find(({ outcome }) => outcome === 'skipped');
  return {
    schema: 'schedule-status/1',
    schedule: row.name,
    cron,
    timeZone,
    catchUp,
    overlap,
    paused: row.paused === 1,
    actor: row.actor,
    ...(row.next_at !== null && { nextSlot: formatTime(row.next_at) }),
    ...(lastRun && { lastRun }),
    ...(lastSkipped && { lastSkipped }),
    recent,
    updatedAt: formatTime(now),
  };
}

function slotStatus({ slot, run_id, outcome, why, actor }: SlotRow): SlotStatus {
  return {
    slot: formatTime(slot),
    ...(outcome !== 'skipped' && { run: run_id }),
    outcome,
    ...(why !== null && { why }),
    ...(actor !== null && { actor }),
  };
}
