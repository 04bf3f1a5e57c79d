/** What a pattern may know of a run, and what it answers when an item ends. Everything in this folder is a pure function. */
import type { AdmittedTemplate, Spawn } from '@pangolin/contracts/pattern';
import { classOf, type Phase, type Reason } from '@pangolin/contracts/reasons';
import type { AdmittedItem, AdmittedNeed } from '@pangolin/contracts/admitted-run';
import type { Select } from '@pangolin/contracts/run';

export interface KnownItem {
  readonly phase: Phase;
  readonly reason: Reason;
  /** It succeeded, and a block with lens verify did not. */
  readonly red: boolean;
  readonly spec: AdmittedItem;
  /** Whether it has yielded that product. */
  yields(select: Select): boolean;
}

/** An item at its end. */
export interface Ended extends KnownItem {
  /** Paths of its outputs. */
  readonly outputs: readonly string[];
}

/** Reads of the run as it is, with the ended item in it. */
export interface RunView {
  item(id: string): KnownItem | undefined;
  /** Of a splitter whose map items split again: how many there are, and how many have not come to an end that is known. */
  join(splitter: string): { readonly branches: number; readonly missing: number } | undefined;
}

export interface Growth {
  readonly items: readonly AdmittedItem[];
  /** A join to wait for: the splitter and its branches. */
  readonly join?: { readonly splitter: string; readonly branches: number };
  /** Splitters one of whose branches has an end that is known now, the innermost first. */
  readonly arrived?: readonly string[];
}

/** `fail`: the item that ended so may not count as done. Asked again with it failed, the pattern says what follows then. */
export type Decision = Growth | { readonly fail: { readonly reason: Reason; readonly message: string } };

export const NOTHING: Growth = { items: [] };

/** A gate or a reviewer that ended without saying no. */
export const isGreen = ({ phase, red }: KnownItem): boolean => phase === 'done' && !red;

/** It ran and said no; one that was lost, cancelled or skipped has said nothing. */
export const isRed = ({ phase, red, reason }: KnownItem): boolean =>
  phase === 'done' ? red : phase === 'failed' && (classOf(reason) === 'item' || verdicts.has(reason));
const verdicts: ReadonlySet<Reason> = new Set(['GateRed', 'QuorumNotReached', 'Rejected']);

/** What the pattern says of a role, if it knows that one. */
export const ofRole = <T>(entries: Readonly<Record<string, T>>, role: string | undefined): T | undefined =>
  role !== undefined && Object.hasOwn(entries, role) ? entries[role] : undefined;

export interface Wiring {
  readonly id: string;
  readonly spawn: Spawn;
  /** What the words of the template stand for. */
  readonly sources?: Readonly<Record<string, Source>>;
  readonly needs?: Readonly<Record<string, AdmittedNeed>>;
  readonly depends_on?: readonly string[];
  /** Parameters of the item that it came from, under those of the template. */
  readonly params?: AdmittedItem['params'];
  /** Parameters of its own, above those of the template. */
  readonly own?: AdmittedItem['params'];
}

export interface Source {
  readonly items: readonly KnownItem[];
  /** One item is inputs/<key>; of several each is inputs/<key>-<n>. */
  readonly several?: true;
  /** What an item has not yielded is left out. Without it such an item would be denied its start. */
  readonly optional?: true;
}

/** The item that a template becomes. */
export function spawned(template: AdmittedTemplate, wiring: Wiring): AdmittedItem {
  const { needs: wanted = {}, params: written, ...rest } = template;
  const needs = { ...wiring.needs, ...needsOf(wanted, wiring.sources ?? {}) };
  const params = { ...wiring.params, ...written, ...wiring.own };
  return {
    ...rest,
    id: wiring.id,
    depends_on: dependenciesOf(needs, wiring.depends_on ?? []),
    ...(Object.keys(needs).length > 0 && { needs }),
    ...(Object.keys(params).length > 0 && { params }),
    spawn: wiring.spawn,
  };
}

function needsOf(
  wanted: NonNullable<AdmittedTemplate['needs']>,
  sources: NonNullable<Wiring['sources']>,
): Record<string, AdmittedNeed> {
  const needs: Record<string, AdmittedNeed> = {};
  for (const [key, { from, select }] of Object.entries(wanted)) {
    const source = sources[from];
    const items = (source?.items ?? []).filter((item) => !source?.optional || item.yields(select));
    for (const [index, { spec }] of items.entries())
      needs[source?.several ? `${key}-${index + 1}` : key] = { from: spec.id, select };
  }
  return needs;
}

export function dependenciesOf(needs: Readonly<Record<string, AdmittedNeed>>, more: readonly string[]): string[] {
  const sources = Object.values(needs).flatMap((need) => ('from' in need ? [need.from] : []));
  return [...new Set([...sources, ...more])].sort();
}
