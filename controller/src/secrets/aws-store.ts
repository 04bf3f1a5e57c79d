/** Secrets of AWS Secrets Manager: `npm-token` is PREFIX + `npm-token`; its text, else its bytes, is the value. */
import type { SecretsManager } from '@aws-sdk/client-secrets-manager';
import { messageOf, PangolinError } from '@pangolin/contracts/errors';
import { checkedSecret, type SecretStore } from './secret-store.ts';

export interface AwsSecretsOptions {
  readonly region: string;
  /** Instead of the region's own. */
  readonly endpoint?: string;
  readonly prefix?: string;
}

const ATTEMPTS_MAX = 4;
const CONNECT_MS = 5000;
const ANSWER_MS = 10_000;

/** Error name → what it means for us and what to do; anything else may pass. No message of theirs holds a value. */
const refusals: Readonly<Record<string, readonly ['NOT_FOUND' | 'DENIED', string]>> = {
  ResourceNotFoundException: [
    'NOT_FOUND',
    'aws secretsmanager create-secret makes it; see prefix and region of `secrets`.',
  ],
  InvalidRequestException: ['DENIED', 'It is to be deleted: aws secretsmanager restore-secret.'],
  InvalidParameterException: ['NOT_FOUND', 'Names there have letters, digits and /_+=.@- only.'],
  ValidationException: ['NOT_FOUND', 'Names there have letters, digits and /_+=.@- only.'],
  AccessDeniedException: [
    'DENIED',
    'The controller needs secretsmanager:GetSecretValue on it, and kms:Decrypt on its key.',
  ],
  DecryptionFailure: ['DENIED', 'The controller needs kms:Decrypt on the key of the secret.'],
  CredentialsProviderError: [
    'DENIED',
    'Give the controller AWS credentials: a role, or AWS_ACCESS_KEY_ID and its secret.',
  ],
};

export function createAwsSecrets({ region, endpoint, prefix = '' }: AwsSecretsOptions): SecretStore {
  const place = `AWS Secrets Manager in ${region}`;
  let client: Promise<SecretsManager> | undefined;
  return {
    place,
    async get(ref) {
      const manager = await (client ??= connect(region, endpoint));
      const { SecretString, SecretBinary } = await manager
        .getSecretValue({ SecretId: prefix + ref })
        .catch((cause: unknown) => {
          const [code, hint] = refusals[(cause as Error).name] ?? ['UNAVAILABLE' as const, 'It is asked again.'];
          throw new PangolinError(code, `${place} gives no secret ${prefix}${ref}: ${messageOf(cause).slice(0, 300)}`, {
            cause,
            hint,
          });
        });
      return checkedSecret(ref, Buffer.from(SecretString ?? SecretBinary ?? ''), place);
    },
  };
}

/** Loaded here only. */
async function connect(region: string, endpoint: string | undefined): Promise<SecretsManager> {
  const { SecretsManager: Client } = await import('@aws-sdk/client-secrets-manager');
  return new Client({
    region,
    maxAttempts: ATTEMPTS_MAX,
    requestHandler: { connectionTimeout: CONNECT_MS, requestTimeout: ANSWER_MS },
    ...(endpoint !== undefined && { endpoint }),
  });
}
