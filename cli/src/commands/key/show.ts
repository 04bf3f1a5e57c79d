import { command } from '../../command.ts';
import { existingKeys, printKeys, stateDirOf, stateFlag } from '../../deployment-keys.ts';

export const show = command({
  description: 'List the keys of a deployment, the replaced ones too; never a private one',
  args: { state: stateFlag },
  async run({ state }, context) {
    await printKeys(await existingKeys(await stateDirOf(context, state)), context);
  },
});
