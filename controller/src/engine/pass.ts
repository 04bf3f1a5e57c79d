/** One pass: everything it changes is one transaction, everything it causes happens after the commit. */
import type { RunEventBody } from '@pangolin/contracts/run-log';
import { messageOf } from '@pangolin/contracts/errors';
import { stateError } from '../store/sqlite-errors.ts';
import { ACTOR, type Engine } from './engine.ts';

/** Something to do in the outside world once the transaction is durable. Repeatable: a crash before it is repaired by the next pass. */
export type Effect =
  | { readonly kind: 'start'; readonly task: string }
  | { readonly kind: 'stop'; readonly task: string }
  | { readonly kind: 'remove'; readonly task: string }
  | { readonly kind: 'submit'; readonly submit: () => Promise<void> }
  | { readonly kind: 'acknowledge'; readonly done: () => Promise<void> };

export class Pass {
  readonly engine: Engine;
  readonly now: number;
  effects: Effect[] = [];
  /** Items that have ended in this step, for the patterns of their runs. */
  endings: number[] = [];
  #told: { readonly about: Record<string, unknown>; readonly message: string }[] = [];
  #events: { readonly runId: string; readonly actor: string; readonly body: RunEventBody }[] = [];

  readonly #grow: (pass: Pass) => Promise<void>;

  /** @param grow what a step does about the items that it has ended */
  constructor(engine: Engine, grow: (pass: Pass) => Promise<void>) {
    this.engine = engine;
    this.#grow = grow;
    this.now = engine.now();
  }

  event(runId: string, body: RunEventBody, actor: string = ACTOR): void {
    this.#events.push({ runId, actor, body });
  }

  /** A line of the controller's log, once what it says is durable. */
  tell(about: Record<string, unknown>, message: string): void {
    this.#told.push({ about, message });
  }

  /**
   * Runs one step so that its failure undoes that step alone: one poisonous run must not stop the others.
   * Answers false when it failed.
   */
  async guard(what: Record<string, unknown>, step: () => Promise<void> | void): Promise<boolean> {
    const { state } = this.engine;
    const before = { effects: this.effects.length, events: this.#events.length, told: this.#told.length };
    state.savepoint();
    try {
      await step();
      await this.#grow(this);
      state.release();
      return true;
    } catch (error) {
      // What no step is to blame for, as a full disk: the whole pass fails and is repeated, instead of rejecting what somebody submitted.
      const ofState = stateError(error, state.db.name);
      if (ofState !== error) throw ofState;
      state.rollbackToSavepoint();
      this.effects.length = before.effects;
      this.#events.length = before.events;
      this.#told.length = before.told;
      this.endings = [];
      this.engine.memory.rebuild(this.engine.state);
      this.engine.log.error({ ...what, err: error }, `a step of the pass failed: ${messageOf(error)}`);
      return false;
    }
  }

  /** Opens the transaction, runs `body`, appends the run logs and commits (law 2). */
  async transaction(body: () => Promise<void>): Promise<void> {
    const { state, evidence, memory } = this.engine;
    state.begin();
    try {
      await body();
      const byRun = Map.groupBy(this.#events, (event) => event.runId);
      for (const [runId, events] of byRun) {
        evidence.appendEvents(
          runId,
          events.map(({ actor, body }) => ({ at: this.now, actor, body })),
        );
      }
      state.commit();
    } catch (error) {
      state.rollback();
      this.effects = [];
      memory.rebuild(state);
      throw error;
    }
    for (const { about, message } of this.#told) this.engine.log.info(about, message);
  }
}
