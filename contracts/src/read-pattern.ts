/** Patterns beyond their schema: what is wrong with one, the roles that it knows, and its templates admitted. */
import { checkPipeline } from './check-pipeline.ts';
import type { Finding } from './explain.ts';
import { show } from './formats.ts';
import { nearest } from './nearest.ts';
import { normaliseItem } from './normalise.ts';
import type { AdmittedPattern, AdmittedTemplate, Pattern } from './pattern.ts';
import type { Item } from './run.ts';
import { pointerTo } from './text-place.ts';

export type GrowingPattern = Exclude<Pattern, 'static-dag'>;

/** A template as written. */
export type Template = Omit<Item, 'id' | 'needs' | 'depends_on'> & Pick<AdmittedTemplate, 'needs'>;

/** The names that items of its runs may have as their `role`. */
export function rolesOf(pattern: GrowingPattern): string[] {
  if ('pipeline' in pattern) return Object.keys(pattern.pipeline.gates ?? {});
  return Object.keys('quorum' in pattern ? pattern.quorum : pattern['map-reduce']);
}

/** `at`: the pointer of the pattern. */
export function checkPattern(pattern: GrowingPattern, at: string): Finding[] {
  const findings: Finding[] = [];
  for (const [pointer, template] of templatesOf(pattern, at)) {
    const { needs: _needs, ...fields } = template;
    const places = { item: pointer, defaults: pointer, spec: pointer };
    normaliseItem({ id: 'template', ...fields }, [], { items: [] }, places, findings);
    if (typeof fields.pipeline === 'object') findings.push(...checkPipeline(fields.pipeline, `${pointer}/pipeline`));
  }
  // What the template leaves open comes from the run.
  const own = findings.filter(({ code }) => code !== 'MissingPipeline');
  if ('quorum' in pattern) {
    for (const [role, { approve, reviewers }] of Object.entries(pattern.quorum)) {
      if (approve <= reviewers.length) continue;
      const message = `${approve} have to approve, and there are ${reviewers.length} reviewers`;
      const path = `${pointerTo(`${at}/quorum`, role)}/approve`;
      own.push({ path, code: 'InvalidValue', message, hint: 'Lower it, or add reviewers.' });
    }
  }
  if ('map-reduce' in pattern) {
    const splits = pattern['map-reduce'];
    for (const [role, { map }] of Object.entries(splits)) {
      if (map.role === undefined || Object.hasOwn(splits, map.role)) continue;
      const path = `${pointerTo(`${at}/map-reduce`, role)}/map/role`;
      own.push({ path, ...unknownRole(map.role, Object.keys(splits)) });
    }
  }
  return own;
}

export function unknownRole(role: string, known: readonly string[]): Omit<Finding, 'path'> {
  const meant = nearest(role, known);
  const hint =
    meant !== undefined
      ? `Did you mean \`${meant}\`?`
      : known.length === 0
        ? 'Remove it, or declare a pattern with the queue.'
        : `It knows ${known.map((name) => `\`${name}\``).join(', ')}.`;
  return { code: 'UnknownRole', message: `the pattern of the queue knows no role ${show(role)}`, hint };
}

function templatesOf(pattern: GrowingPattern, at: string): [string, Template][] {
  const found: [string, Template][] = [];
  const collect = (template: Template, pointer: string): AdmittedTemplate => {
    found.push([at + pointer, template]);
    return template as unknown as AdmittedTemplate;
  };
  mapTemplates(pattern, collect);
  return found;
}

/** The pattern in its admitted form, each of its templates through `admit`, which gets its pointer from the pattern on. */
export function mapTemplates(
  pattern: GrowingPattern,
  admit: (template: Template, pointer: string) => AdmittedTemplate,
): AdmittedPattern {
  if ('pipeline' in pattern) {
    const gates = byRole(pattern.pipeline.gates ?? {}, '/pipeline/gates', (gate, at) =>
      gate.onRed === 'advance' ? gate : { ...gate, fix: admit(gate.fix, `${at}/fix`) },
    );
    return { kind: 'pipeline', gates, rest: [] };
  }
  if ('map-reduce' in pattern) {
    const splits = byRole(pattern['map-reduce'], '/map-reduce', (split, at) => ({
      ...split,
      map: admit(split.map, `${at}/map`),
      reduce: admit(split.reduce, `${at}/reduce`),
    }));
    return { kind: 'map-reduce', splits };
  }
  const quorums = byRole(pattern.quorum, '/quorum', ({ revise, ...quorum }, at) => ({
    ...quorum,
    reviewers: quorum.reviewers.map((reviewer, index) => admit(reviewer, `${at}/reviewers/${index}`)),
    commit: admit(quorum.commit, `${at}/commit`),
    ...(revise && { revise: admit(revise, `${at}/revise`) }),
    rounds: quorum.rounds ?? 1,
  }));
  return { kind: 'quorum', quorums };
}

/** Without a prototype: an item may have any name as its role. */
function byRole<T, U>(
  entries: Readonly<Record<string, T>>,
  at: string,
  map: (entry: T, pointer: string) => U,
): Readonly<Record<string, U>> {
  const made = Object.create(null) as Record<string, U>;
  for (const role of Object.keys(entries).sort()) made[role] = map(entries[role]!, pointerTo(at, role));
  return made;
}
