/** Keys that never leave AWS KMS: ECDSA P-256 for statements, Ed25519 for the log. What KMS signs is verified here before it is used. */
import { createPublicKey, verify } from 'node:crypto';
import type { KMS } from '@aws-sdk/client-kms';
import { keyIdOf, type Signer } from '@pangolin/contracts/dsse';
import { sha256 } from '@pangolin/contracts/digest';
import { messageOf, PangolinError } from '@pangolin/contracts/errors';
import type { SignerRole } from '@pangolin/contracts/trust';

export type KeyRole = SignerRole | 'log';

/** Which key; kept in place of the private key. */
export interface KmsKey {
  /** `arn:aws:kms:REGION:ACCOUNT:key/ID`. No alias: somebody could turn it to another key. */
  readonly arn: string;
  /** SubjectPublicKeyInfo, DER, base64: what the key was when the deployment was made. */
  readonly publicKey: string;
  /** Instead of the region's own. */
  readonly endpoint?: string;
}

export interface KmsSigner extends Signer {
  readonly arn: string;
}

/** What a statement's and the log's key have to be, and how each signs. Notes fit in the 4 KiB that KMS takes, statements do not. */
const kinds = {
  statement: {
    spec: 'ECC_NIST_P256',
    hash: 'sha256',
    request: (bytes: Uint8Array) =>
      ({
        Message: Buffer.from(sha256(bytes), 'hex'),
        MessageType: 'DIGEST',
        SigningAlgorithm: 'ECDSA_SHA_256',
      }) as const,
  },
  log: {
    spec: 'ECC_NIST_EDWARDS25519',
    hash: null,
    request: (bytes: Uint8Array) =>
      ({ Message: bytes, MessageType: 'RAW', SigningAlgorithm: 'ED25519_SHA_512' }) as const,
  },
} as const;
const kindOf = (role: KeyRole) => kinds[role === 'log' ? 'log' : 'statement'];

const ARN = /^arn:aws[a-z-]*:kms:([a-z0-9-]{1,40}):\d{12}:key\/[A-Za-z0-9-]{1,128}$/;
const ATTEMPTS_MAX = 5;
const CONNECT_MS = 5000;
const ANSWER_MS = 10_000;

/** @throws PangolinError INVALID for anything but the ARN of a key */
export function regionOf(arn: string): string {
  const region = ARN.exec(arn)?.[1];
  if (region !== undefined) return region;
  throw new PangolinError('INVALID', `not the ARN of a KMS key: ${arn.slice(0, 200)}`, {
    hint: 'arn:aws:kms:REGION:ACCOUNT:key/ID; an alias could be turned to another key.',
  });
}

/**
 * Asks KMS for the public key.
 * @throws PangolinError INVALID when the key cannot sign as its role has to; UNAVAILABLE, NOT_FOUND or DENIED
 */
export async function describeKmsKey(arn: string, role: KeyRole, endpoint?: string): Promise<KmsKey> {
  const { spec } = kindOf(role);
  const kms = await connect({ arn, ...(endpoint !== undefined && { endpoint }) });
  const { KeySpec, KeyUsage, PublicKey } = await asked(arn, () => kms.getPublicKey({ KeyId: arn }));
  if (KeySpec !== spec || KeyUsage !== 'SIGN_VERIFY' || PublicKey === undefined) {
    throw new PangolinError('INVALID', `${arn} is a ${KeySpec} key for ${KeyUsage}`, {
      hint: `Make one with \`aws kms create-key --key-spec ${spec} --key-usage SIGN_VERIFY\`.`,
    });
  }
  return { arn, publicKey: Buffer.from(PublicKey).toString('base64'), ...(endpoint !== undefined && { endpoint }) };
}

/** Makes no request before it signs. */
export function kmsSigner(key: KmsKey, role: KeyRole): KmsSigner {
  const { hash, request } = kindOf(role);
  const publicKey = Buffer.from(key.publicKey, 'base64');
  const verifier = createPublicKey({ key: publicKey, format: 'der', type: 'spki' });
  let kms: Promise<KMS> | undefined;
  return {
    arn: key.arn,
    keyid: keyIdOf(publicKey),
    publicKey,
    async sign(bytes) {
      const client = await (kms ??= connect(key));
      const { Signature } = await asked(key.arn, () => client.sign({ KeyId: key.arn, ...request(bytes) }));
      const signature = Buffer.from(Signature ?? []);
      if (verify(hash, bytes, verifier, signature)) return signature;
      throw new PangolinError('INTEGRITY', `${key.arn} gave a signature that its public key does not verify`, {
        hint: 'Nothing was signed. Check that the endpoint is KMS, and the key the one of this deployment.',
      });
    },
  };
}

/** Loaded here only. */
async function connect({ arn, endpoint }: Pick<KmsKey, 'arn' | 'endpoint'>): Promise<KMS> {
  const region = regionOf(arn);
  const { KMS: Client } = await import('@aws-sdk/client-kms');
  return new Client({
    region,
    maxAttempts: ATTEMPTS_MAX,
    requestHandler: { connectionTimeout: CONNECT_MS, requestTimeout: ANSWER_MS },
    ...(endpoint !== undefined && { endpoint }),
  });
}

/** Error name of KMS → what it means for us and what to do; anything else may pass. */
const refusals: Readonly<Record<string, readonly ['NOT_FOUND' | 'DENIED', string]>> = {
  NotFoundException: ['NOT_FOUND', 'Check the ARN, its region and its account.'],
  AccessDeniedException: ['DENIED', 'The controller needs kms:Sign and kms:GetPublicKey on this key.'],
  CredentialsProviderError: [
    'DENIED',
    'Give the controller AWS credentials: a role, or AWS_ACCESS_KEY_ID and its secret.',
  ],
  DisabledException: ['DENIED', 'Enable the key: aws kms enable-key.'],
  KMSInvalidStateException: ['DENIED', 'The key is to be deleted, or its import is pending.'],
  InvalidKeyUsageException: ['DENIED', 'The key is of another kind than its role needs.'],
};

async function asked<T>(arn: string, call: () => Promise<T>): Promise<T> {
  try {
    return await call();
  } catch (cause) {
    const [code, hint] = refusals[(cause as Error).name] ?? [
      'UNAVAILABLE' as const,
      'See the health page of the region.',
    ];
    throw new PangolinError(code, `KMS did not answer for ${arn}: ${messageOf(cause).slice(0, 300)}`, { cause, hint });
  }
}
