/**
 * A proposal goes to its reviewers. When enough of them approve it is committed; when not enough can any more, it is
 * revised, and the revision is a new proposal:
 *
 *     draft ─▶ draft.review.1 … draft.review.m ─▶ draft.commit
 *                                              └▶ draft.revise.1 ─▶ draft.revise.1.review.1 …
 */
import type { AdmittedPattern, AdmittedQuorum } from '@pangolin/contracts/pattern';
import { isTerminal } from '@pangolin/contracts/reasons';
import type { AdmittedItem } from '@pangolin/contracts/admitted-run';
import {
  isGreen,
  NOTHING,
  ofRole,
  spawned,
  type Decision,
  type Ended,
  type KnownItem,
  type RunView,
} from './growth.ts';

type Quorum = Extract<AdmittedPattern, { kind: 'quorum' }>;

const reviewId = (proposal: string, n: number): string => `${proposal}.review.${n}`;

export function quorum({ quorums }: Quorum, ended: Ended, view: RunView): Decision {
  const { spec, phase } = ended;
  const own = ofRole(quorums, spec.role);
  if (own) return phase === 'done' ? { items: reviewsOf(own, ended) } : NOTHING;
  if (spec.spawn?.as !== 'review') return NOTHING;
  const proposal = view.item(spec.spawn.of);
  const rules = proposal && ofRole(quorums, proposal.spec.role);
  return rules ? count(rules, proposal, ended, view) : NOTHING;
}

function reviewsOf({ reviewers }: AdmittedQuorum, ended: Ended): AdmittedItem[] {
  const proposal = ended.spec;
  return reviewers.map((reviewer, index) =>
    spawned(reviewer, {
      id: reviewId(proposal.id, index + 1),
      spawn: { of: proposal.id, as: 'review', n: index + 1 },
      sources: { proposal: { items: [ended] } },
      depends_on: [proposal.id],
      params: proposal.params,
    }),
  );
}

function count(rules: AdmittedQuorum, proposed: KnownItem, ended: Ended, view: RunView): Decision {
  const proposal = proposed.spec;
  const ids = rules.reviewers.map((_, index) => reviewId(proposal.id, index + 1));
  const reviews = ids.map((id) => [id, id === ended.spec.id ? ended : view.item(id)] as const);
  const approving = reviews.flatMap(([id, review]) => (review && isGreen(review) ? [id] : []));
  const open = reviews.filter(([, review]) => review && !isTerminal(review.phase)).length;
  const { origin, round } = roundOf(proposal);
  const commit = `${proposal.id}.commit`;
  const revise = `${origin}.revise.${round + 1}`;
  // Decided before: the reviews that come after that change nothing.
  if (view.item(commit) || view.item(revise)) return NOTHING;
  const done = reviews.flatMap(([, review]) => (review?.phase === 'done' ? [review] : []));
  const reviewed = { items: done, several: true, optional: true } as const;
  const wiring = { sources: { proposal: { items: [proposed] }, reviews: reviewed }, params: proposal.params };
  const committed = (depends_on: readonly string[]): Decision => ({
    items: [
      spawned(rules.commit, { ...wiring, id: commit, spawn: { of: proposal.id, as: 'commit', n: 1 }, depends_on }),
    ],
  });
  if (approving.length >= rules.approve) return committed([proposal.id, ...approving]);
  if (approving.length + open >= rules.approve) return NOTHING;
  if (rules.revise && round < rules.rounds) {
    const spawn = { of: origin, as: 'revise', n: round + 1 } as const;
    const again = spawned(rules.revise, { ...wiring, id: revise, spawn, depends_on: [proposal.id] });
    return { items: [{ ...again, ...(proposal.role !== undefined && { role: proposal.role }) }] };
  }
  if (ended.phase === 'done') {
    const message = `${approving.length} of ${ids.length} reviewers approve ${proposal.id}, and ${rules.approve} have to`;
    return { fail: { reason: 'QuorumNotReached', message } };
  }
  // So that it is there to be seen as skipped.
  return committed([ended.spec.id]);
}

/** The first proposal, and how often it was revised. */
function roundOf({ id, spawn }: AdmittedItem): { readonly origin: string; readonly round: number } {
  return spawn?.as === 'revise' ? { origin: spawn.of, round: spawn.n } : { origin: id, round: 0 };
}
