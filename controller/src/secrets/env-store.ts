/** Secrets of the controller's own environment: `npm-token` is PREFIX + `NPM_TOKEN`. */
import { PangolinError } from '@pangolin/contracts/errors';
import { checkedSecret, type SecretStore } from './secret-store.ts';

export const ENV_PREFIX = 'PANGOLIN_SECRET_';

export function createEnvSecrets(prefix: string = ENV_PREFIX, env: NodeJS.ProcessEnv = process.env): SecretStore {
  const place = 'the environment of the controller';
  return {
    place,
    async get(ref) {
      const name = prefix + ref.toUpperCase().replace(/[^A-Z0-9]/g, '_');
      const value = env[name];
      if (value === undefined) {
        throw new PangolinError('NOT_FOUND', `there is no secret ${ref} in ${place}`, {
          hint: `Start it with ${name} set.`,
        });
      }
      return checkedSecret(ref, Buffer.from(value), place);
    },
  };
}
