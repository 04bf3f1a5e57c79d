import { readFile } from 'node:fs/promises';
import { PangolinError } from '@pangolin/contracts/errors';
import { command } from '../../command.ts';
import { existingKeys, stateDirOf, stateFlag } from '../../deployment-keys.ts';

export const exportTrust = command({
  description: 'Print the document that tells an auditor whose signatures count',
  args: {
    'tsa-certificates': {
      type: 'string',
      valueHint: 'FILE',
      description: 'PEM: root and intermediates of the time-stamping authorities that the auditor is to trust.',
    },
    config: {
      type: 'string',
      valueHint: 'FILE',
      description:
        'Names witnesses and anchors. Else pangolin.yaml in the state directory, else in the storage folder.',
    },
    state: stateFlag,
  },
  async run({ 'tsa-certificates': tsa, config, state }, context) {
    const dir = await stateDirOf(context, state);
    const keys = await existingKeys(dir);
    const [{ trustDocument }, { trustedSurroundings }, { loadConfig }, { loadTrust }] = await Promise.all([
      import('@pangolin/controller/audit/keys'),
      import('@pangolin/controller/audit/evidence-options'),
      import('@pangolin/controller/config'),
      import('@pangolin/verify/trust-file'),
    ]);
    const { evidence = {} } = await loadConfig(config, dir, await context.openOrCreate());
    const tsaRoots = tsa === undefined ? [] : [await readPem(tsa)];
    const document = {
      ...trustDocument(keys),
      ...trustedSurroundings(evidence),
      ...(tsaRoots.length > 0 && { tsaRoots }),
    };
    // Nobody should find out at an audit that the document cannot be used.
    loadTrust(document);
    await context.printJson(document);
  },
});

async function readPem(path: string): Promise<string> {
  return await readFile(path, 'utf8').catch((cause: unknown) => {
    throw new PangolinError('NOT_FOUND', `the certificates ${path} cannot be read`, { cause });
  });
}
