import { command } from '../../command.ts';
import { changeKeys, nextKeyFlags, nextKeyOf, stateFlag } from '../../deployment-keys.ts';

export const rotate = command({
  description: 'Replace a key; what the old one signed stays valid',
  args: {
    role: {
      type: 'enum',
      options: ['seal', 'attest'],
      required: true,
      description: 'Which key. That of the log cannot be replaced: another key is another log.',
    },
    ...nextKeyFlags,
    state: stateFlag,
  },
  async run({ role, state, ...args }, context) {
    const next = nextKeyOf(args);
    const { rotateKey } = await import('@pangolin/controller/audit/key-changes');
    await changeKeys(context, state, (dir) => rotateKey(dir, role, Date.now(), next));
    context.note('Give auditors the new document of `pangolin trust export`: theirs does not know the new key.');
  },
});
