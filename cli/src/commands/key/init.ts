import { mkdirSync } from 'node:fs';
import { command } from '../../command.ts';
import { keysDirOf, printKeys, stateDirOf, stateFlag } from '../../deployment-keys.ts';

export const init = command({
  description: 'Make the keys of a deployment, unless it has some',
  args: { state: stateFlag },
  async run({ state }, context) {
    const dir = await stateDirOf(context, state);
    mkdirSync(dir, { recursive: true, mode: 0o700 });
    const { openKeys } = await import('@pangolin/controller/audit/keys');
    await printKeys(await openKeys(keysDirOf(dir)), context);
  },
});
