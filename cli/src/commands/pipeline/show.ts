import { formatDigest } from '@pangolin/contracts/digest';
import { PangolinError } from '@pangolin/contracts/errors';
import { nearest } from '@pangolin/contracts/nearest';
import { command } from '../../command.ts';

export const show = command({
  description: 'Print a registered pipeline and its history as JSON',
  args: { name: { type: 'positional', description: 'NAME, or NAME@sha256:HEX for an older version.' } },
  async run({ name: ref }, context) {
    const { listThings, resolveThing, showThing, thingBytes } = await import('@pangolin/storage/registry');
    const store = await context.open();
    const digest = await resolveThing(store, 'pipeline', ref);
    if (digest === undefined) {
      const guess = nearest(
        ref,
        (await listThings(store, 'pipeline')).map(({ name }) => name),
      );
      throw new PangolinError('NOT_FOUND', `no pipeline ${ref} is registered`, {
        hint: guess === undefined ? '`pangolin pipeline list` lists them.' : `Did you mean ${guess}?`,
      });
    }
    const at = ref.lastIndexOf('@');
    const name = at === -1 ? ref : ref.slice(0, at);
    const spec: unknown = JSON.parse((await thingBytes(store, digest)).toString('utf8'));
    const versions = (await showThing(store, 'pipeline', name))?.versions ?? [];
    await context.printJson({ name, digest: formatDigest(digest), spec, versions });
  },
});
