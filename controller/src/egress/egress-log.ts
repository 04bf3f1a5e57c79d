/** The egress log: a line for every destination that was tried, bounded, complete or refusing. */
import { writeSync } from 'node:fs';
import type { Destination, EgressLine, EgressRefusal } from '@pangolin/contracts/egress';

/** Connections of one task. Beyond, each is refused: what cannot be recorded does not happen. */
export const CONNECTIONS_MAX = 50_000;

export type Write = (line: EgressLine) => void;

export interface Attempted extends Destination {
  readonly method: string;
}

export class EgressLog {
  readonly #write: Write;
  #connections = 0;

  constructor(write: Write = toStdout) {
    this.#write = write;
  }

  /** The number of a new connection; undefined when there is no room for another. */
  open(): number | undefined {
    if (this.#connections >= CONNECTIONS_MAX) return undefined;
    return ++this.#connections;
  }

  allowed(connection: number, { method, host, port }: Attempted, address: string): void {
    this.#write({ t: now(), event: 'allowed', connection, method, host, port, address });
  }

  refused(connection: number, { method, host, port }: Attempted, reason: EgressRefusal): void {
    this.#write({ t: now(), event: 'refused', connection, method, host: host.slice(0, 253), port, reason });
  }

  closed(connection: number, sent: number, received: number, reason?: EgressRefusal): void {
    const why = reason === undefined ? {} : { reason };
    this.#write({ t: now(), event: 'closed', connection, sent, received, ...why });
  }

  end(): void {
    this.#write({ t: now(), event: 'end', connections: this.#connections });
  }
}

/** Synchronous: a line is out before the connection that it tells of goes on. */
function toStdout(line: EgressLine): void {
  writeSync(1, `${JSON.stringify(line)}\n`);
}

const now = (): string => new Date().toISOString();
