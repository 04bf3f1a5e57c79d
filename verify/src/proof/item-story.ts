/** What the events of one item tell by themselves: the part of replay.ts that needs no other item. */
import type { Sha256 } from '@pangolin/contracts/digest';
import { isCancellation } from '@pangolin/contracts/reasons';
import type { RunEvent } from '@pangolin/contracts/run-log';
import { quote, refuse } from '../refusal.ts';
import type { AttemptView } from '../statements.ts';

export interface ItemStory {
  readonly outcome: string;
  /** In their order, each with its end. */
  readonly attempts: readonly Required<Pick<AttemptView, 'fired' | 'reconciled'>>[];
  /** Payload digests of the statements that the events name, in their order. */
  readonly statements: readonly Sha256[];
}

type Fired = AttemptView['fired'];

/** @throws Refusal unless the events are those of an item that has ended. */
export function itemStory(itemId: string, events: readonly RunEvent[]): ItemStory {
  let phase = 'waiting';
  let running: Fired | undefined;
  let reason: string | undefined;
  let answer: Sha256 | undefined;
  const attempts: ItemStory['attempts'][number][] = [];
  const statements: Sha256[] = [];
  for (const event of events) {
    const where = `event ${event.seq} (${event.kind})`;
    if (!('itemId' in event) || event.itemId !== itemId) return refuse(`${where} is not of the item ${quote(itemId)}`);
    const demand = (holds: boolean): void => {
      if (!holds) refuse(`${where}: the item was ${phase} after ${attempts.length} attempts`);
    };
    switch (event.kind) {
      case 'item.fired':
        demand(phase === 'waiting' && event.attempt === attempts.length + 1 && event.answer?.sha256 === answer);
        running = event;
        phase = 'running';
        statements.push(event.dispatch.sha256);
        break;
      case 'item.reconciled':
        demand(phase === 'running' && event.attempt === running!.attempt);
        attempts.push({ fired: running!, reconciled: event });
        phase = event.status === 'waiting' ? 'asking' : event.status;
        reason = event.reason;
        if (event.provenance) statements.push(event.provenance.sha256);
        break;
      case 'item.retried':
        demand(phase === 'failed' && event.attempt === attempts.length && event.reason === reason);
        phase = 'waiting';
        break;
      case 'item.answered':
        demand(phase === 'asking' && event.attempt === attempts.length);
        answer = event.answer.sha256;
        phase = 'waiting';
        break;
      case 'item.skipped':
      case 'item.denied':
        demand((phase === 'waiting' || phase === 'asking') && event.attempt === attempts.length);
        phase = event.kind === 'item.denied' ? 'denied' : isCancellation(event.reason) ? 'cancelled' : 'skipped';
        break;
      case 'item.decided':
        demand(phase === 'waiting' && attempts.length === 0);
        phase = event.decision === 'approved' ? 'done' : 'failed';
        break;
    }
  }
  if (['waiting', 'running', 'asking'].includes(phase)) refuse(`the events leave ${quote(itemId)} ${phase}`);
  return { outcome: phase, attempts, statements };
}
