/** The secret store that pangolin.yaml names; without one, the folder `secrets` of the state directory. */
import { join, resolve } from 'node:path';
import type { SecretsConfig } from '@pangolin/contracts/config';
import { createAwsSecrets } from './aws-store.ts';
import { createEnvSecrets } from './env-store.ts';
import { createFileSecrets } from './file-store.ts';
import type { SecretStore } from './secret-store.ts';

export function openSecrets(config: SecretsConfig | undefined, stateDir: string): SecretStore {
  switch (config?.store) {
    case 'environment':
      return createEnvSecrets(config.prefix);
    case 'file':
      return createFileSecrets(resolve(stateDir, config.directory ?? 'secrets'));
    case 'aws-secrets-manager':
      return createAwsSecrets(config);
    case undefined:
      return createFileSecrets(join(stateDir, 'secrets'));
  }
}
