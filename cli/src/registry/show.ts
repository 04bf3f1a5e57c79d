import type { CommandDef } from 'citty';
import { formatDigest } from '@pangolin/contracts/digest';
import { PangolinError } from '@pangolin/contracts/errors';
import { nearest } from '@pangolin/contracts/nearest';
import type { ThingKind } from '@pangolin/contracts/things';
import { command } from '../command.ts';
import { wordsOf } from './words.ts';

export function show(kind: ThingKind): CommandDef {
  const { one } = wordsOf(kind);
  return command({
    description: `Print a registered ${one} and its history as JSON`,
    args: { name: { type: 'positional', description: 'NAME, or NAME@sha256:HEX for an older version.' } },
    async run({ name: ref }, context) {
      const { listThings, resolveThing, showThing, thingBytes } = await import('@pangolin/storage/registry');
      const store = await context.open();
      const digest = await resolveThing(store, kind, ref);
      if (digest === undefined) {
        const names = (await listThings(store, kind)).map((thing) => thing.name);
        const guess = nearest(ref, names);
        throw new PangolinError('NOT_FOUND', `no ${one} ${ref} is registered`, {
          hint: guess === undefined ? `\`pangolin ${kind} list\` lists them.` : `Did you mean ${guess}?`,
        });
      }
      const at = ref.lastIndexOf('@');
      const name = at === -1 ? ref : ref.slice(0, at);
      const spec: unknown = JSON.parse((await thingBytes(store, digest)).toString('utf8'));
      const versions = (await showThing(store, kind, name))?.versions ?? [];
      await context.printJson({ name, digest: formatDigest(digest), spec, versions });
    },
  });
}
