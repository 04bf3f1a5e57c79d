/** Tells readers which queues there are, so that a file can be checked against them before it is submitted. */
import { messageOf } from '@pangolin/contracts/errors';
import { QUEUES } from '@pangolin/contracts/layout';
import type { QueuesStatus } from '@pangolin/contracts/queue';
import type { Engine } from './engine.ts';

export class QueuePublisher {
  readonly #engine: Engine;
  #published = 0;
  /** A pass that failed reads the queues again and changes nothing. */
  #text = '';

  constructor(engine: Engine) {
    this.#engine = engine;
  }

  get settled(): boolean {
    return this.#published === this.#engine.memory.queues.revision;
  }

  /** Outside of a transaction. Answers whether what is there is what is known. */
  async publish(): Promise<boolean> {
    const { memory, store, log } = this.#engine;
    if (this.settled) return true;
    const { revision } = memory.queues;
    const queues = memory.queues.names().toSorted();
    const status: QueuesStatus = {
      schema: 'queues/1',
      queues: queues.map((name) => {
        const { spec, pausedBy } = memory.queues.get(name);
        return { name, ...spec, ...(pausedBy !== null && { pausedBy }) };
      }),
    };
    const text = `${JSON.stringify(status, null, 2)}\n`;
    try {
      if (text !== this.#text) await store.put(QUEUES, text);
      this.#text = text;
      this.#published = revision;
    } catch (error) {
      log.warn({ err: error }, `the queues could not be published: ${messageOf(error)}`);
    }
    return this.settled;
  }
}
