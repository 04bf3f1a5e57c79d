import { command } from '../../command.ts';
import { alone, originFlag, printKeys, stateDirOf, stateFlag } from '../../deployment-keys.ts';

export const newOrigin = command({
  description: 'Begin a new log with new keys and an empty run-state, when the old ones are lost or behind',
  args: { origin: originFlag, state: stateFlag },
  async run({ origin, state }, context) {
    const dir = await stateDirOf(context, state);
    const { beginNewOrigin } = await import('@pangolin/controller/audit/new-origin');
    const { keys, aside } = await alone(dir, () => beginNewOrigin(dir, origin, Date.now()));
    await printKeys(keys, context);
    context.note(
      `What there was is in ${aside}: old bundles verify with the trust.json there, or with the one that auditors have.`,
    );
    context.note('Runs that had not ended are not taken over. Give auditors and witnesses the new document of `pangolin trust export`.'); // prettier-ignore
  },
});
