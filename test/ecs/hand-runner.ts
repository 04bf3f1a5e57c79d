/** Runs nothing: a test says how and when each task ends. */
import type { Container, Ran, Runnable, TaskRunner } from './task.ts';

export class HandRunner implements TaskRunner {
  readonly started: string[] = [];
  readonly #end = new Map<string, (ran: Ran) => void>();
  readonly #runsFor: ((task: Runnable) => Promise<Ran>) | undefined;

  /** `runsFor`: how long each task runs, and how it ends; without it until `end`. */
  constructor(runsFor?: (task: Runnable) => Promise<Ran>) {
    this.#runsFor = runsFor;
  }

  async start(task: Runnable): Promise<Container> {
    this.started.push(task.name ?? task.arn);
    const ended = new Promise<Ran>((resolve) => {
      this.#end.set(task.name ?? task.arn, resolve);
      void this.#runsFor?.(task).then(resolve);
    });
    return { ended, stop: async () => this.end(task.name ?? task.arn, { exitCode: 143 }) };
  }

  end(name: string, ran: Ran): void {
    this.#end.get(name)?.(ran);
  }
}
