/** `RUN` and `RUN/ITEM` as users write them. Ids hold no `/`. */
import { PangolinError } from '@pangolin/contracts/errors';
import { isId } from '@pangolin/contracts/ids';

export interface Target {
  readonly run: string;
  readonly item: string | undefined;
}
export interface ItemTarget extends Target {
  readonly item: string;
}

/** @throws PangolinError INVALID unless both parts are ids. */
export function parseTarget(text: string): Target {
  const slash = text.indexOf('/');
  const run = checked('run', slash === -1 ? text : text.slice(0, slash));
  return { run, item: slash === -1 ? undefined : checked('item', text.slice(slash + 1)) };
}

/** @throws PangolinError INVALID without an item. */
export function parseItemTarget(text: string): ItemTarget {
  const { run, item } = parseTarget(text);
  if (item === undefined) {
    throw new PangolinError('INVALID', `${text} names a run; an item is needed`, { hint: `Write ${run}/ITEM.` });
  }
  return { run, item };
}

export function parseRunTarget(text: string): string {
  const { run, item } = parseTarget(text);
  if (item !== undefined)
    throw new PangolinError('INVALID', `${text} names an item; a run is needed`, { hint: `Write ${run}.` });
  return run;
}

function checked(what: 'run' | 'item', id: string): string {
  if (isId(id)) return id;
  const shown = JSON.stringify(String(id).slice(0, 100));
  throw new PangolinError('INVALID', `${shown} is not the id of ${what === 'run' ? 'a run' : 'an item'}`, {
    hint: 'Letters, digits and ._@:~+-, at most 200, never `..`. An item is written RUN/ITEM.',
  });
}
