import { mkdirSync } from 'node:fs';
import { PangolinError } from '@pangolin/contracts/errors';
import { command } from '../../command.ts';
import { keysDirOf, originFlag, printKeys, stateDirOf, stateFlag } from '../../deployment-keys.ts';

export const init = command({
  description: 'Make the keys of a deployment, unless it has some',
  args: {
    origin: originFlag,
    state: stateFlag,
    'kms-seal': { type: 'string', valueHint: 'ARN', description: 'AWS KMS key (ECC_NIST_P256) that closes runs.' },
    'kms-attest': {
      type: 'string',
      valueHint: 'ARN',
      description: 'AWS KMS key (ECC_NIST_P256) that signs dispatches and provenance.',
    },
    'kms-log': {
      type: 'string',
      valueHint: 'ARN',
      description: 'AWS KMS key (ECC_NIST_EDWARDS25519) that signs checkpoints of the log, for good.',
    },
    'kms-endpoint': { type: 'string', valueHint: 'URL', description: 'Instead of the region’s own.' },
  },
  async run({ origin, state, ...args }, context) {
    const dir = await stateDirOf(context, state);
    mkdirSync(dir, { recursive: true, mode: 0o700 });
    const { openKeys } = await import('@pangolin/controller/audit/keys');
    for (const role of ['seal', 'attest', 'log'] as const) {
      const arn = args[`kms-${role}`];
      if (arn === undefined) continue;
      const { useKmsKey } = await import('@pangolin/controller/audit/kms-key-file');
      await useKmsKey(keysDirOf(dir), role, arn, args['kms-endpoint']);
    }
    const keys = await openKeys(keysDirOf(dir), origin === undefined ? {} : { origin });
    if (origin !== undefined && keys.origin !== origin) {
      throw new PangolinError('CONFLICT', `this deployment is called ${keys.origin} already`, {
        hint: '`pangolin key new-origin` begins a new log; everything that was sealed keeps the old name.',
      });
    }
    await printKeys(keys, context);
  },
});
