/** What an item names of the registry, pinned and checked against what it is for. */
import { PROBLEMS_MAX, type Finding } from '@pangolin/contracts/explain';
import { show } from '@pangolin/contracts/formats';
import type { ItemPointers, NormalisedItem, OwnField, PinnedField } from '@pangolin/contracts/read-items';
import type { AdmittedItem, Pins } from '@pangolin/contracts/admitted-run';
import { defaultPipeline, pinAgent, type Report } from './agent.ts';
import { checkShaped, networkOf, pinInterface } from './shape.ts';
import type { Refusal, ThingPins } from './things.ts';

const isOwn = (field: PinnedField | OwnField): field is OwnField =>
  field === 'inputs' || field === 'needs' || field === 'network';

export type RegisteredPins = Pick<AdmittedItem, 'pipeline' | 'network' | keyof Pins>;

/** Where items stand in their file. `template`: they are no items yet, and a pattern completes their inputs. */
export type Places = ItemPointers & { readonly template?: true };

/** Says at a place of the file what is wrong there. */
export type Tell = (path: string, refusal: Refusal) => void;

/** What several items take from one place of the file is said once, and no more than PROBLEMS_MAX in all. */
export function tellInto(findings: Finding[]): Tell {
  const told = new Set<string>();
  return (path, refusal) => {
    if (told.has(path) || findings.length >= PROBLEMS_MAX) return;
    told.add(path);
    findings.push({ path, ...refusal });
  };
}

/**
 * What the item, number `index` of its file, names of the registry; undefined exactly when something was told.
 * @throws PangolinError UNAVAILABLE when the store does not answer.
 */
export async function pinRegistered(
  item: NormalisedItem,
  index: number,
  at: Places,
  pins: ThingPins,
  tell: Tell,
): Promise<RegisteredPins | undefined> {
  if (item.executor === 'approval') return {};
  let refused = false;
  const report: Report = (...args) => {
    refused = true;
    const [named, refusal, place = ''] = args;
    const field = named === 'subagent' && item.subagent === undefined ? 'subagentShape' : named;
    const rest = typeof place === 'number' ? `/${place}` : place;
    tell(isOwn(field) ? at.own(index, field, rest) : at.item(index, field) + rest, refusal);
  };
  const { shape, subagent: agent } = await pinInterface(item, pins, report);
  const written = item.pipeline ?? shape?.spec.pipeline ?? (agent && defaultPipeline(agent.spec));
  const pipeline = written === undefined ? undefined : await pins.pipeline(written);
  if (pipeline?.ok === false) report(item.pipeline === undefined ? 'subagentShape' : 'pipeline', pipeline.refusal);
  if (!refused && pipeline === undefined) report('subagentShape', nothingToRun(item));
  if (refused || pipeline?.ok !== true) return undefined;
  // The agent of the shape is for the pipelines that have a place for one.
  const isWanted = item.subagent !== undefined || pipeline.spec.blocks.some(({ kind }) => kind === 'agent');
  const subagent = isWanted ? agent : undefined;
  if (shape) checkShaped(item, shape, at.template === true, report);
  const rest = await pinAgent(item, subagent, pipeline.spec, shape, pins, report);
  return refused ? undefined : { pipeline: pipeline.pin, ...rest, ...networkOf(item, shape) };
}

function nothingToRun({ id, subagentShape }: NormalisedItem): Refusal {
  const message = `the shape ${show(subagentShape)} of ${show(id)} has no pipeline and no subagent, and neither has the item`;
  return { code: 'MissingPipeline', message, hint: 'Write `subagent: NAME` or `pipeline: …` in the item.' };
}
