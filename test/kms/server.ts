/** A KMS that signs: its answers are those of AWS's model, its signatures those of node:crypto's curve. */
import { createECDH, createHash, generateKeyPairSync, sign, type KeyObject } from 'node:crypto';
import type { GetPublicKeyCommandInput, SignCommandInput } from '@aws-sdk/client-kms';
import { AwsError, serveJson, type JsonServer } from '../aws/json-server.ts';
import { ServiceModel } from '../aws/service-model.ts';

const ORDER = 0xffffffff00000000ffffffffffffffffbce6faada7179e84f3b9cac2fc632551n;
const RAW_MAX = 4096;
const ARN = 'arn:aws:kms:eu-central-1:123456789012:key/';

const ALGORITHMS = {
  ECC_NIST_P256: 'ECDSA_SHA_256',
  ECC_NIST_EDWARDS25519: 'ED25519_SHA_512',
  RSA_2048: 'RSASSA_PSS_SHA_256',
} as const;

interface Key {
  readonly spec: keyof typeof ALGORITHMS;
  readonly pair: { readonly publicKey: KeyObject; readonly privateKey: KeyObject };
  enabled: boolean;
}

export interface KmsServer extends JsonServer {
  readonly keys: ReadonlyMap<string, Key>;
  /** Makes a key; its ARN. */
  createKey(spec?: Key['spec']): string;
}

export async function serveKms(): Promise<KmsServer> {
  const keys = new Map<string, Key>();
  const find = (id: string | undefined): [string, Key] => {
    const arn = id?.startsWith('arn:') ? id : ARN + id;
    const key = keys.get(arn);
    if (key === undefined) throw new AwsError('NotFoundException', `Key '${arn}' does not exist`);
    if (!key.enabled) throw new AwsError('DisabledException', `${arn} is disabled.`);
    return [arn, key];
  };
  const server = await serveJson(new ServiceModel('kms', '2014-11-01'), {
    GetPublicKey: ({ KeyId }: GetPublicKeyCommandInput) => {
      const [arn, { spec, pair }] = find(KeyId);
      return {
        KeyId: arn,
        KeySpec: spec,
        KeyUsage: 'SIGN_VERIFY',
        PublicKey: pair.publicKey.export({ type: 'spki', format: 'der' }).toString('base64'),
        SigningAlgorithms: [ALGORITHMS[spec]],
      };
    },
    // On the wire a blob is base64.
    Sign: ({
      KeyId,
      Message,
      MessageType = 'RAW',
      SigningAlgorithm,
    }: Omit<SignCommandInput, 'Message'> & { Message: string }) => {
      const [arn, { spec, pair }] = find(KeyId);
      if (spec === 'RSA_2048' || SigningAlgorithm !== ALGORITHMS[spec])
        throw new AwsError('InvalidKeyUsageException', `${arn} does not sign with ${SigningAlgorithm}`);
      const message = Buffer.from(Message, 'base64');
      if (MessageType === 'RAW' && message.length > RAW_MAX)
        throw new AwsError('ValidationException', `a raw message has at most ${RAW_MAX} bytes`);
      if (spec === 'ECC_NIST_EDWARDS25519') {
        if (MessageType !== 'RAW')
          throw new AwsError('ValidationException', 'ED25519_SHA_512 takes the message, not its digest');
        return { KeyId: arn, SigningAlgorithm, Signature: sign(null, message, pair.privateKey).toString('base64') };
      }
      if (MessageType === 'DIGEST' && message.length !== 32)
        throw new AwsError('ValidationException', 'Digest is invalid length for algorithm ECDSA_SHA_256.');
      const digest = MessageType === 'DIGEST' ? message : createHash('sha256').update(message).digest();
      return { KeyId: arn, SigningAlgorithm, Signature: signDigest(pair.privateKey, digest).toString('base64') };
    },
  });
  return Object.assign(server, {
    keys,
    createKey: (spec: Key['spec'] = 'ECC_NIST_P256') => {
      const pair =
        spec === 'ECC_NIST_P256'
          ? generateKeyPairSync('ec', { namedCurve: 'P-256' })
          : spec === 'ECC_NIST_EDWARDS25519'
            ? generateKeyPairSync('ed25519')
            : generateKeyPairSync('rsa', { modulusLength: 2048 });
      const arn = `${ARN}${crypto.randomUUID()}`;
      keys.set(arn, { spec, pair, enabled: true });
      return arn;
    },
  });
}

/** ECDSA over a digest, which node:crypto offers for messages only. Always the larger s, as KMS gives it half of the time. */
function signDigest(key: KeyObject, digest: Buffer): Buffer {
  const d = toBigInt(Buffer.from(key.export({ format: 'jwk' }).d!, 'base64url'));
  const nonce = createECDH('prime256v1');
  // Uncompressed: 4, x, y.
  const r = toBigInt(nonce.generateKeys().subarray(1, 33)) % ORDER;
  const k = toBigInt(nonce.getPrivateKey());
  const s = (power(k, ORDER - 2n) * (toBigInt(digest) + r * d)) % ORDER;
  const [one, two] = [r, s > ORDER / 2n ? s : ORDER - s].map(derInteger) as [Buffer, Buffer];
  return Buffer.concat([Buffer.of(0x30, one.length + two.length), one, two]);
}

const toBigInt = (bytes: Uint8Array): bigint => BigInt(`0x${Buffer.from(bytes).toString('hex') || '0'}`);

function power(base: bigint, exponent: bigint): bigint {
  let result = 1n;
  for (let [b, e] = [base % ORDER, exponent]; e > 0n; e >>= 1n, b = (b * b) % ORDER)
    if (e & 1n) result = (result * b) % ORDER;
  return result;
}

function derInteger(value: bigint): Buffer {
  const hex = value.toString(16);
  const bytes = Buffer.from(hex.length % 2 === 0 ? hex : `0${hex}`, 'hex');
  const content = bytes[0]! >= 0x80 ? Buffer.concat([Buffer.of(0), bytes]) : bytes;
  return Buffer.concat([Buffer.of(2, content.length), content]);
}
