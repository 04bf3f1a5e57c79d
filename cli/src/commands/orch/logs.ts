import type { LogLine } from '@pangolin/contracts/output';
import { isTerminal } from '@pangolin/contracts/reasons';
import type { ItemStatus } from '@pangolin/contracts/status';
import type { ObjectStore } from '@pangolin/storage/object-store';
import { command } from '../../command.ts';
import type { Context } from '../../context.ts';
import { AttemptLog } from '../../read/attempt-log.ts';
import { readItem, readItems, readStatus } from '../../read/runs.ts';
import { parseTarget, type Target } from '../../read/target.ts';
import { Pace } from '../../read/wait.ts';
import { printable } from '../../terminal.ts';

export const logs = command({
  description: 'Print what the blocks of a run or an item printed',
  args: {
    target: { type: 'positional', description: 'RUN or RUN/ITEM.' },
    follow: { type: 'boolean', alias: 'f', description: 'Go on until the item, or the run, is terminal.' },
    attempt: { type: 'string', number: { min: 1, max: 1_000_000 }, description: 'Which attempt. Else the latest.' },
  },
  async run(args, context) {
    const target = parseTarget(args.target);
    const store = await context.open();
    if (target.item === undefined) await readStatus(store, target.run);
    else await readItem(store, { run: target.run, item: target.item });
    await new LogPrinter(context, store, target, args.attempt).run(args.follow);
  },
});

class LogPrinter {
  readonly #context: Context;
  readonly #store: ObjectStore;
  readonly #target: Target;
  readonly #attempt: number | undefined;
  readonly #logs = new Map<string, AttemptLog>();
  /** Items with nothing more to come. */
  readonly #finished = new Set<string>();
  #lines = 0;

  constructor(context: Context, store: ObjectStore, target: Target, attempt: number | undefined) {
    this.#context = context;
    this.#store = store;
    this.#target = target;
    this.#attempt = attempt;
  }

  async run(follow: boolean): Promise<void> {
    const pace = new Pace(this.#store);
    for (;;) {
      // Looked at before the logs: an item that is terminal here has written its last line.
      const items = await this.#items();
      const ended = items.length > 0 && items.every(({ phase }) => isTerminal(phase));
      const before = this.#lines;
      for (const item of items) await this.#printItem(item);
      if (!follow || ended) break;
      if (this.#lines > before) pace.changed();
      await pace.pause();
    }
    if (this.#lines === 0) this.#context.note('No log lines.');
  }

  async #items(): Promise<readonly ItemStatus[]> {
    const items = await readItems(this.#store, this.#target.run);
    return this.#target.item === undefined ? items : items.filter(({ id }) => id === this.#target.item);
  }

  async #printItem(item: ItemStatus): Promise<void> {
    if (this.#finished.has(item.id)) return;
    if (isTerminal(item.phase)) this.#finished.add(item.id);
    const attempt = this.#attempt ?? item.attempts;
    if (attempt === 0) return;
    const last = this.#logs.get(item.id);
    if (last && last.attempt !== attempt) await this.#printAttempt(item.id, last);
    let log = last?.attempt === attempt ? last : undefined;
    if (!log) {
      log = new AttemptLog(this.#store, { runId: this.#target.run, itemId: item.id, attempt });
      this.#logs.set(item.id, log);
    }
    await this.#printAttempt(item.id, log);
  }

  async #printAttempt(item: string, log: AttemptLog): Promise<void> {
    for await (const line of log.newLines()) {
      this.#lines += 1;
      if (this.#context.json) await this.#context.printLine({ item, attempt: log.attempt, ...line });
      else await this.#context.print(this.#text(item, line));
    }
  }

  #text(item: string, { line, stream }: LogLine): string {
    const { paint } = this.#context;
    const prefix = this.#target.item === undefined ? `${paint('cyan', item)} | ` : '';
    return `${prefix}${stream === 'worker' ? paint('dim', `[worker] ${printable(line)}`) : printable(line)}`;
  }
}
