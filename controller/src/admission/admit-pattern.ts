/** Pins the pattern of a run's queue to the run: its templates are admitted like items, with the run's own defaults. */
import type { Finding } from '@pangolin/contracts/explain';
import { show } from '@pangolin/contracts/formats';
import type { AdmittedPattern, AdmittedTemplate } from '@pangolin/contracts/pattern';
import type { NormalisedItem } from '@pangolin/contracts/read-items';
import { mapTemplates, rolesOf, unknownRole, type GrowingPattern } from '@pangolin/contracts/read-pattern';
import type { ReadRun } from '@pangolin/contracts/read-run';
import type { AdmittedItem } from '@pangolin/contracts/admitted-run';
import { planRun } from '../plan/patterns/patterns.ts';

type Read = Extract<ReadRun, { ok: true }>;
type PinTemplates = (
  templates: readonly NormalisedItem[],
  path: string,
  findings: Finding[],
) => Promise<AdmittedItem[]>;

/** What items say of themselves that the pattern does not know, or that it cannot follow. */
export function checkRoles({ run, at }: Read, pattern: GrowingPattern | undefined): Finding[] {
  const roles = pattern ? rolesOf(pattern) : [];
  const isChain = pattern !== undefined && 'pipeline' in pattern;
  const findings: Finding[] = [];
  const before = new Set<string>();
  for (const [index, { id, role, onExit, depends_on, needs }] of run.items.entries()) {
    if (role !== undefined && !roles.includes(role))
      findings.push({ path: at.own(index, 'role'), ...unknownRole(role, roles) });
    if (role !== undefined && onExit) {
      const message = `${show(id)} runs when everything else has ended: nothing can follow from it`;
      findings.push({ path: at.own(index, 'role'), code: 'InvalidValue', message, hint: 'Remove `role` or `onExit`.' });
    }
    const alternatives = Object.values(needs ?? {}).flatMap((need) => ('oneOf' in need ? need.oneOf : []));
    const late = [...depends_on, ...alternatives.map(({ from }) => from)].find((source) => !before.has(source));
    if (isChain && !onExit && late !== undefined) {
      const message = `in this queue items run in the order of the file, and ${show(late)} comes after ${show(id)}`;
      findings.push({ path: at.own(index, 'depends_on'), code: 'Cycle', message, hint: 'Move it to the front.' });
    }
    before.add(id);
  }
  return findings;
}

/** The items to begin with, and the pattern with what joins later. What is wrong is said of the run's `queue`. */
export async function admitPattern(
  read: Read,
  pattern: GrowingPattern,
  items: readonly AdmittedItem[],
  pinTemplates: PinTemplates,
  findings: Finding[],
): Promise<{ readonly items: readonly AdmittedItem[]; readonly pattern: AdmittedPattern }> {
  const templates: NormalisedItem[] = [];
  const needs: AdmittedTemplate['needs'][] = [];
  const blank = mapTemplates(pattern, (template, pointer) => {
    const { needs: own, ...fields } = template;
    const wrong: Finding[] = [];
    const normalised = read.template(fields, wrong);
    for (const { code, message, hint } of wrong) {
      const about = `the pattern of the queue ${show(read.run.queue)} at ${pointer}: ${message}`;
      findings.push({ path: read.at.queue, code, message: about, ...(hint !== undefined && { hint }) });
    }
    if (normalised) templates.push(normalised);
    needs.push(own);
    return {} as AdmittedTemplate;
  });
  if (findings.length > 0) return { items, pattern: blank };
  const pinned = await pinTemplates(templates, read.at.queue, findings);
  if (findings.length > 0) return { items, pattern: blank };
  let next = 0;
  const admitted = mapTemplates(pattern, () => {
    const own = needs[next];
    const { id: _id, depends_on: _depends, needs: _needs, ...template } = pinned[next++]!;
    return { ...template, ...(own && { needs: own }) };
  });
  const planned = planRun(items, admitted);
  const later = new Set(planned.pattern.kind === 'pipeline' ? planned.pattern.rest.map(({ id }) => id) : []);
  for (const [index, { onExit, depends_on }] of read.run.items.entries()) {
    const waited = onExit && depends_on.find((id) => later.has(id));
    if (!waited) continue;
    const message = `${show(waited)} joins the run only when a gate before it is green`;
    const hint = 'An `onExit` item waits for everything anyway.';
    findings.push({ path: read.at.own(index, 'depends_on'), code: 'InvalidValue', message, hint });
  }
  return planned;
}
