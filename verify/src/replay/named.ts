/** What a run log names by digest, and the attempts that it is of. */
import { dependencyFormatOf } from '@pangolin/contracts/dependency-document';
import { DigestIndex, DigestMap } from '../digest-index.ts';
import { pinnedBy, workspaceOf, type PlannedItem } from '../plan.ts';
import { refuse } from '../refusal.ts';
import type { Attempt, DependencyProduct, Of } from './result.ts';

export class Named {
  readonly attempts: Attempt[] = [];
  readonly dispatches = new DigestMap<Attempt>();
  readonly provenances = new DigestMap<Attempt>();
  readonly blobs = new DigestIndex();
  readonly dependencies: DependencyProduct[] = [];
  /** Attempts that a policy allowed. */
  authorized = 0;
  readonly #running = new Map<string, Attempt>();
  /** Those that have ended with a question, by item. */
  readonly #asking = new Map<string, Attempt>();

  declared(items: readonly PlannedItem[]): void {
    for (const item of items) {
      const workspace = workspaceOf(item);
      if (workspace !== undefined) this.blobs.add(workspace);
      for (const digest of pinnedBy(item)) this.blobs.add(digest);
    }
  }

  /** @throws Refusal when another attempt has used its dispatch statement. */
  fired(where: string, { itemId, attempt: number, seq, dispatch, inputs, authz }: Of<'item.fired'>): void {
    const attempt = { itemId, attempt: number, firedLine: seq };
    if (!this.dispatches.add(dispatch.sha256, attempt)) refuse(`${where}: its dispatch statement was used before`);
    this.attempts.push(attempt);
    this.#running.set(itemId, attempt);
    for (const { from, sha256 } of Object.values(inputs)) if (from === 'submission') this.blobs.add(sha256);
    if (!authz) return;
    this.authorized++;
    this.blobs.add(authz.policy.sha256);
  }

  denied({ authz }: Of<'item.denied'>): void {
    if (authz) this.blobs.add(authz.policy.sha256);
  }

  /** Of the attempt of the item that runs. @throws Refusal when another attempt has used its provenance statement. */
  reconciled(where: string, { itemId, seq, status, provenance, result, egress, outputs }: Of<'item.reconciled'>): void {
    const attempt = this.#running.get(itemId)!;
    attempt.reconciledLine = seq;
    this.#running.delete(itemId);
    if (status === 'waiting') this.#asking.set(itemId, attempt);
    if (provenance && !this.provenances.add(provenance.sha256, attempt)) {
      refuse(`${where}: its provenance statement was used before`);
    }
    if (result) {
      attempt.result = result.sha256;
      this.blobs.add(result.sha256);
    }
    if (egress) {
      this.blobs.add(egress.sha256);
      attempt.egress = egress.sha256;
    }
    for (const name in outputs) {
      const { sha256 } = outputs[name]!;
      this.blobs.add(sha256);
      const format = dependencyFormatOf(name);
      if (format) this.dependencies.push({ attempt, name, format, sha256 });
    }
  }

  /** To the question of the item that asks. */
  answered({ itemId, seq, answer }: Of<'item.answered'>): void {
    this.#asking.get(itemId)!.answeredLine = seq;
    this.blobs.add(answer.sha256);
  }
}
