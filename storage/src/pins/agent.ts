/** What an item with a subagent comes to: its pipeline, capabilities and env bundles, checked against each other. */
import { show } from '@pangolin/contracts/formats';
import type { PipelineSpec } from '@pangolin/contracts/pipeline';
import type { NormalisedItem, OwnField, PinnedField } from '@pangolin/contracts/read-items';
import type { Pin, Pins } from '@pangolin/contracts/admitted-run';
import type { Shape } from '@pangolin/contracts/shape';
import type { Subagent } from '@pangolin/contracts/subagent';
import { DEFAULT_PROMPT, missingIn } from '@pangolin/contracts/template';
import type { SpecOf } from '@pangolin/contracts/things';
import type { PinnedThing } from './shape.ts';
import type { Refusal, ThingPins } from './things.ts';

/** A field of the item, or a place in it: an entry of a list, or a pointer. */
export type Report = (field: PinnedField | OwnField, refusal: Refusal, place?: number | string) => void;

/** Of an item that names a subagent and no pipeline. */
export function defaultPipeline({ verify }: Subagent): PipelineSpec {
  return {
    blocks: [
      { kind: 'agent', id: 'agent' },
      { kind: 'capture', what: 'patch' },
      ...(verify === undefined
        ? []
        : [{ kind: 'script' as const, id: 'verify', lens: 'verify' as const, command: verify }]),
      { kind: 'capture', what: 'outputs' },
    ],
  };
}

/** The pins besides the pipeline; what is wrong is reported. @throws PangolinError UNAVAILABLE. */
export async function pinAgent(
  item: NormalisedItem,
  subagent: PinnedThing<Subagent> | undefined,
  pipeline: PipelineSpec,
  shape: PinnedThing<Shape> | undefined,
  pins: ThingPins,
  report: Report,
): Promise<Pins> {
  checkSubagent(item, subagent, pipeline, report);
  const all = async (
    kind: 'capability' | 'env',
    field: PinnedField,
    refs: readonly string[] = [],
    namedBy?: string,
  ) => {
    const found: { readonly pin: Pin; readonly spec: SpecOf<'capability' | 'env'> }[] = [];
    for (const [entry, ref] of refs.entries()) {
      const pinned = await pins.thing(kind, ref);
      if (pinned.ok) found.push(pinned);
      else if (namedBy === undefined) report(field, pinned.refusal, entry);
      else report(field, { ...pinned.refusal, message: `${pinned.refusal.message}, which ${namedBy} names` });
    }
    return found;
  };
  const bySubagent = `the subagent ${show(subagent?.pin.ref)}`;
  const capabilities = [
    ...(await all('capability', 'subagentShape', shape?.spec.capabilities, `the shape ${show(shape?.pin.ref)}`)),
    ...(item.capabilities === undefined
      ? await all('capability', 'subagent', subagent?.spec.capabilities, bySubagent)
      : await all('capability', 'capabilities', item.capabilities)),
    ...(await all('capability', 'addCapabilities', item.addCapabilities)),
  ];
  const ownEnv = await all('env', 'env', item.env);
  for (const { pin, spec } of ownEnv) checkReach(pin, spec as SpecOf<'env'>, pipeline, report);
  const env = [...(await all('env', 'subagent', subagent?.spec.env, bySubagent)), ...ownEnv];
  return {
    ...(shape && { shape: shape.pin }),
    ...(subagent && { subagent: subagent.pin }),
    ...(capabilities.length > 0 && { capabilities: distinct(capabilities) }),
    ...(env.length > 0 && { env: distinct(env) }),
  };
}

function checkSubagent(
  item: NormalisedItem,
  subagent: PinnedThing<Subagent> | undefined,
  pipeline: PipelineSpec,
  report: Report,
): void {
  const hasAgent = pipeline.blocks.some(({ kind }) => kind === 'agent');
  if (hasAgent && !subagent) {
    const message = 'the pipeline has an agent block, and the item names no subagent';
    report('pipeline', { code: 'MissingSubagent', message, hint: 'Write `subagent: NAME` in the item.' });
  }
  if (!subagent) return;
  if (!hasAgent) {
    const message = `the pipeline of the item has no agent block that could run the subagent ${show(subagent.pin.ref)}`;
    report('subagent', { code: 'SubagentUnused', message, hint: 'Add `{ kind: agent }`, or leave `pipeline` out.' });
  }
  const missing = missingIn(subagent.spec.prompt ?? DEFAULT_PROMPT, item.params ?? {});
  if (missing.length === 0) return;
  const message = `the prompt of the subagent ${show(subagent.pin.ref)} needs ${missing.map(show).join(', ')}, and the item’s inputs do not have it`;
  report('subagent', {
    code: 'InputsMissing',
    message,
    hint: `Write \`inputs: { ${missing[0]!.split('.')[0]}: … }\`.`,
  });
}

/** A bundle that no block is given is a mistake: the values would silently be missing. */
function checkReach(pin: Pin, { blocks = ['agent'] }: SpecOf<'env'>, pipeline: PipelineSpec, report: Report): void {
  if (pipeline.blocks.some(({ kind }) => (blocks as readonly string[]).includes(kind))) return;
  const message = `the env bundle ${show(pin.ref)} is for ${blocks.join(' and ')} blocks, and the pipeline has none`;
  report('env', { code: 'EnvUnused', message, hint: 'Write `blocks: [script]` in the bundle to give it to scripts.' });
}

/** Each version once, at its first place. */
function distinct(found: readonly { readonly pin: Pin }[]): Pin[] {
  return [...new Map(found.map(({ pin }) => [pin.sha256, pin] as const)).values()];
}
