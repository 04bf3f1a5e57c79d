import { PangolinError } from '@pangolin/contracts/errors';
import { command } from '../../command.ts';
import { changeKeys, nextKeyFlags, nextKeyOf, stateFlag } from '../../deployment-keys.ts';

export const revoke = command({
  description: 'Declare that a key was in wrong hands from a time on',
  args: {
    key: { type: 'positional', description: 'A key id, SHA256:….' },
    at: { type: 'string', valueHint: 'TIME', description: 'RFC 3339, for example 2026-11-23T12:00:00Z. Else now.' },
    ...nextKeyFlags,
    state: stateFlag,
  },
  async run({ key, at, state, ...args }, context) {
    const next = nextKeyOf(args);
    const now = Date.now();
    const time = at === undefined ? now : Date.parse(at);
    if (at !== undefined && (!/^\d{4}-\d\d-\d\dT\d\d:\d\d/.test(at) || Number.isNaN(time))) {
      throw new PangolinError('USAGE', `${at} is not a time`, { hint: 'Write it as 2026-11-23T12:00:00Z.' });
    }
    const { revokeKey } = await import('@pangolin/controller/audit/key-changes');
    await changeKeys(context, state, (dir) => revokeKey(dir, key, time, now, next));
    context.note(
      'Give auditors the new document of `pangolin trust export`. What the key sealed before counts only with a time stamp.',
    );
  },
});
