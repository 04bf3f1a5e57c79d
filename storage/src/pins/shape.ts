/** What an item with a shape comes to: which one it is, what that brings to run, and whether the item keeps to it. */
import { edgeProblems, type NamedShape } from '@pangolin/contracts/edges';
import type { Finding } from '@pangolin/contracts/explain';
import { show } from '@pangolin/contracts/formats';
import { mismatches } from '@pangolin/contracts/json-schema';
import type { ItemPointers, NormalisedItem } from '@pangolin/contracts/read-items';
import type { AdmittedItem, Pin } from '@pangolin/contracts/admitted-run';
import type { Shape } from '@pangolin/contracts/shape';
import type { Subagent } from '@pangolin/contracts/subagent';
import { pointerTo } from '@pangolin/contracts/text-place';
import type { Report } from './agent.ts';
import type { ThingPins } from './things.ts';

/** Problems of one item's inputs that are said at once. */
const MISMATCHES_SHOWN_MAX = 20;

export interface PinnedThing<Spec> {
  readonly pin: Pin;
  readonly spec: Spec;
}

/** The item as its shape completes it; what is wrong is reported. @throws PangolinError UNAVAILABLE. */
export async function pinInterface(
  item: NormalisedItem,
  pins: ThingPins,
  report: Report,
): Promise<{ readonly shape?: PinnedThing<Shape>; readonly subagent?: PinnedThing<Subagent> }> {
  const named = item.subagentShape === undefined ? undefined : await pins.thing('shape', item.subagentShape);
  if (named?.ok === false) report('subagentShape', named.refusal);
  const shape = named?.ok ? named : undefined;
  const ref = item.subagent ?? shape?.spec.subagent;
  const found = ref === undefined ? undefined : await pins.thing('subagent', ref);
  if (found?.ok === false) {
    const of = `which the shape ${show(item.subagentShape)} names`;
    if (item.subagent !== undefined) report('subagent', found.refusal);
    else report('subagentShape', { ...found.refusal, message: `${found.refusal.message}, ${of}` });
  }
  const subagent = found?.ok ? found : undefined;
  const own = subagent?.spec.shape === undefined ? undefined : await pins.thing('shape', subagent.spec.shape);
  if (own?.ok === false) {
    const message = `${own.refusal.message}, which the subagent ${show(ref)} names`;
    report('subagent', { ...own.refusal, message });
  }
  if (own?.ok && shape && own.pin.sha256 !== shape.pin.sha256) {
    const message = `the subagent ${show(ref)} is of the shape ${show(own.pin.ref)}, and the item of ${show(shape.pin.ref)}`;
    report('subagentShape', {
      code: 'ShapeConflict',
      message,
      hint: 'Leave `subagentShape` out, or name another subagent.',
    });
  }
  const used = shape ?? (own?.ok ? own : undefined);
  return { ...(used && { shape: used }), ...(subagent && { subagent }) };
}

/** `isTemplate`: a pattern completes its inputs, and they are checked when it has. */
export function checkShaped(
  item: NormalisedItem,
  { pin, spec }: PinnedThing<Shape>,
  isTemplate: boolean,
  report: Report,
): void {
  if (spec.effects === 'pure' && item.network !== undefined && item.network !== 'none') {
    const message = `the shape ${show(pin.ref)} is pure and runs without a network, and ${show(item.id)} asks for one`;
    report('network', { code: 'EffectTierExceeded', message, hint: 'Write `network: none` in the item.' });
  }
  if (isTemplate || spec.inputs === undefined) return;
  for (const { path, message } of mismatches(spec.inputs, item.params ?? {}, MISMATCHES_SHOWN_MAX)) {
    const what = path === '' ? 'they' : `at ${path} they`;
    report(
      'inputs',
      {
        code: 'InputSchemaMismatch',
        message: `the inputs of ${show(item.id)} are not those of the shape ${show(pin.ref)}: ${what} ${message}`,
        hint: `\`pangolin shape show ${pin.ref}\` prints the schema.`,
      },
      path,
    );
  }
}

/** What a pure shape leaves open is closed. */
export const networkOf = (
  item: NormalisedItem,
  shape: PinnedThing<Shape> | undefined,
): Pick<AdmittedItem, 'network'> =>
  shape?.spec.effects === 'pure' && item.network === undefined ? { network: 'none' } : {};

/** Edges between the items of one file. Sources that it does not hold are looked at when it is applied. */
export function checkEdges(
  items: readonly Pick<AdmittedItem, 'id' | 'needs' | 'shape'>[],
  at: ItemPointers,
  pins: ThingPins,
): Finding[] {
  const byId = new Map(items.map((item) => [item.id, item]));
  const shapeOf = (id: string): NamedShape | undefined => pins.shapeOf(byId.get(id)?.shape);
  return items.flatMap((item, index) => {
    const shape = pins.shapeOf(item.shape);
    const problems = shape ? edgeProblems(item, shape, shapeOf) : [];
    return problems.map(({ key, ...refusal }) => ({
      path: at.own(index, 'needs', item.needs?.[key] === undefined ? '' : pointerTo('', key)),
      ...refusal,
    }));
  });
}
