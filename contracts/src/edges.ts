/** Edges between items with shapes: whether what one yields is what the other one takes. Pure. */
import { show } from './formats.ts';
import type { AdmittedItem } from './admitted-run.ts';
import type { Need, Select } from './run.ts';
import type { Shape } from './shape.ts';

export interface EdgeProblem {
  /** Key in `needs` of the item. */
  readonly key: string;
  readonly code: 'EdgeTypeMismatch' | 'EdgeUndeclared' | 'EdgeMissing';
  readonly message: string;
  readonly hint: string;
}

/** A shape with the name that messages call it by. */
export interface NamedShape {
  readonly ref: string;
  readonly spec: Shape;
}

/** What is known of another item: undefined when it has no shape, and takes part in no check. */
export type ShapeOf = (itemId: string) => NamedShape | undefined;

/**
 * What is wrong with the needs of an item of this shape. An item without a shape yields what it yields: only what both
 * ends declare is compared.
 */
export function edgeProblems(
  item: Pick<AdmittedItem, 'id' | 'needs'>,
  shape: NamedShape,
  shapeOf: ShapeOf,
): EdgeProblem[] {
  const { needs: declared } = shape.spec;
  if (declared === undefined) return [];
  const problems: EdgeProblem[] = [];
  const given = Object.entries(item.needs ?? {});
  for (const [name, { type, optional }] of Object.entries(declared)) {
    if (optional || given.some(([key]) => matches(name, key))) continue;
    const message = `${show(item.id)} lacks the input ${show(name)} (${type}) that its shape ${show(shape.ref)} takes`;
    const key = name.endsWith('*') ? `${name.slice(0, -1)}1` : name;
    const hint = `Write \`needs: { ${key}: { from: …, select: … } }\`.`;
    problems.push({ key, code: 'EdgeMissing', message, hint });
  }
  for (const [key, need] of given) {
    const wanted = lookUp(declared, key)?.type;
    if (wanted === undefined) {
      const message = `the shape ${show(shape.ref)} of ${show(item.id)} takes no input ${show(key)}`;
      const hint = `It takes ${Object.keys(declared).map(show).join(', ') || 'none'}.`;
      problems.push({ key, code: 'EdgeUndeclared', message, hint });
      continue;
    }
    for (const { from, select } of sourcesOf(need)) {
      const source = shapeOf(from);
      if (source === undefined) continue;
      const yielded = productType(source.spec, select);
      if (yielded === wanted) continue;
      const what = select.kind === 'patch' ? 'a patch' : `outputs/${select.path}`;
      const gap = yielded === undefined ? `declares no type for ${what}` : `yields ${what} as ${yielded}`;
      const message = `inputs/${key} of ${show(item.id)} takes ${wanted}, and ${show(from)} (${source.ref}) ${gap}`;
      const hint = `Put an item between them that takes ${yielded ?? 'what there is'} and yields ${wanted}, or select another product.`;
      problems.push({ key, code: 'EdgeTypeMismatch', message, hint });
    }
  }
  return problems;
}

/** The type that a shape gives to one of its products; a path may end with `*` itself. */
export function productType({ products }: Shape, select: Select): string | undefined {
  return select.kind === 'patch' ? products?.patch : lookUp(products?.outputs ?? {}, select.path);
}

/** The entry of that name, or the one with the longest beginning before its `*`. */
function lookUp<T>(entries: Readonly<Record<string, T>>, name: string): T | undefined {
  if (Object.hasOwn(entries, name)) return entries[name];
  const names = Object.keys(entries).filter((each) => each.endsWith('*') && matches(each, name));
  const [longest] = names.sort((a, b) => b.length - a.length);
  return longest === undefined ? undefined : entries[longest];
}

const matches = (declared: string, name: string): boolean =>
  declared.endsWith('*') ? name.startsWith(declared.slice(0, -1)) : name === declared;

/** The products that may become this input, in order of preference. */
export function sourcesOf(need: NonNullable<AdmittedItem['needs']>[string]): readonly Need[] {
  if ('submission' in need) return [];
  return 'oneOf' in need ? need.oneOf : [need];
}
