/** Holds items to their shapes where admission could not: what a run grows by, and what an attempt says it yielded. */
import { parseCanonical } from '@pangolin/contracts/canonical';
import type { BlockOutput } from '@pangolin/contracts/block-output';
import { edgeProblems, sourcesOf, type NamedShape } from '@pangolin/contracts/edges';
import { mismatches } from '@pangolin/contracts/json-schema';
import type { Output } from '@pangolin/contracts/output';
import type { AdmittedItem, Pin } from '@pangolin/contracts/admitted-run';
import type { Shape } from '@pangolin/contracts/shape';
import { thingBytes } from '@pangolin/storage/registry';
import type { RunRow } from '../store/rows.ts';
import { specOf, type Engine } from './engine.ts';
import type { Collection } from './task-files.ts';

/** Shapes that are kept; they are small, and named by digest. */
const KEPT_MAX = 500;

/** @throws PangolinError when the store does not answer, or has lost what was pinned. */
async function shapeOf({ store, memory: { shapes } }: Engine, { ref, sha256 }: Pin): Promise<NamedShape> {
  let spec = shapes.get(sha256);
  if (!spec) {
    // It was checked when it was pinned, and its digest has not changed.
    spec = parseCanonical(await thingBytes(store, sha256)) as Shape;
    if (shapes.size >= KEPT_MAX) shapes.clear();
    shapes.set(sha256, spec);
  }
  return { ref, spec };
}

/** The first thing in which items that join a run do not keep to their shapes, as one sentence. */
export async function growthProblem(
  engine: Engine,
  run: RunRow,
  items: readonly AdmittedItem[],
): Promise<{ readonly index: number; readonly message: string } | undefined> {
  const added = new Map(items.map((item) => [item.id, item]));
  const specById = (id: string): AdmittedItem | undefined => {
    const row = added.has(id) ? undefined : engine.state.item(run.rn, id);
    return added.get(id) ?? (row && specOf(row));
  };
  for (const [index, item] of items.entries()) {
    if (!item.shape) continue;
    const shape = await shapeOf(engine, item.shape);
    const [mismatch] = shape.spec.inputs ? mismatches(shape.spec.inputs, item.params ?? {}, 1) : [];
    if (mismatch) {
      const message = `the inputs of ${item.id} are not those of its shape ${shape.ref}: at ${mismatch.path || '/'} they ${mismatch.message}`;
      return { index, message };
    }
    const sources = new Map<string, NamedShape>();
    for (const { from } of Object.values(item.needs ?? {}).flatMap(sourcesOf)) {
      const pin = specById(from)?.shape;
      if (pin) sources.set(from, await shapeOf(engine, pin));
    }
    const [problem] = edgeProblems(item, shape, (id) => sources.get(id));
    if (problem) return { index, message: problem.message };
  }
  return undefined;
}

/** A success whose word on itself is not of the shape of the item is none; what it left is kept as partial. */
export async function heldToShape<C extends Collection>(engine: Engine, spec: AdmittedItem, collected: C): Promise<C> {
  const { output, invalid } = collected;
  if (!spec.shape || invalid || output?.status !== 'succeeded') return collected;
  const message = outputProblem(await shapeOf(engine, spec.shape), output);
  if (message === undefined) return collected;
  return { ...collected, partial: true, invalid: { reason: 'OutputSchemaMismatch', message } };
}

function outputProblem({ ref, spec }: NamedShape, { asserted = {} }: Output): string | undefined {
  const { output, intents = [] }: BlockOutput = asserted;
  if (intents.length > 0 && spec.effects !== 'write-impure')
    return `the shape ${ref} is ${spec.effects}, and its blocks ask for effects (intents)`;
  if (spec.output === undefined) return undefined;
  if (output === undefined) return `the shape ${ref} wants an \`output\` in .pangolin/output.json, and there is none`;
  // The first one: whoever wrote the value may have made it fail a million times.
  const [mismatch] = mismatches(spec.output, output, 1);
  return mismatch && `the output is not that of the shape ${ref}: /output${mismatch.path} ${mismatch.message}`;
}
