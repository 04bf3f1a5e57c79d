/** Keys in KMS: made into a deployment by the shipped command, used by a served run, and refused when they lie. */
import assert from 'node:assert/strict';
import { createPublicKey, verify } from 'node:crypto';
import { existsSync, mkdirSync, readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { after, before, describe, it } from 'node:test';
import { KMSClient, CreateKeyCommand, GetPublicKeyCommand } from '@aws-sdk/client-kms';
import { lowS } from '@pangolin/contracts/dsse';
import { isPangolinError } from '@pangolin/contracts/errors';
import { describeKmsKey, kmsSigner } from '@pangolin/controller/audit/kms-signer';
import { modelsSkip } from '../aws/service-model.ts';
import { AwsError } from '../aws/json-server.ts';
import { serveKms, type KmsServer } from '../kms/server.ts';
import { pangolin } from '../cli/harness.ts';
import { moto } from '../storage/s3-servers.ts';
import { blocks, Deployment, patch, runOf, script } from '../spine/harness.ts';

const credentials = { AWS_ACCESS_KEY_ID: 'testaccess', AWS_SECRET_ACCESS_KEY: 'testsecret' };
const code = (wanted: string) => (error: unknown) => isPangolinError(error) && error.code === wanted;

describe('keys in KMS', { skip: modelsSkip() }, () => {
  let kms: KmsServer;
  before(async () => {
    Object.assign(process.env, credentials);
    kms = await serveKms();
  });
  after(async () => await kms.close());

  it('sign what verifies, of any length, and the smaller s is what we keep', async () => {
    const key = await describeKmsKey(kms.createKey(), kms.endpoint);
    const signer = kmsSigner(key);
    const publicKey = createPublicKey({ key: signer.publicKey, format: 'der', type: 'spki' });
    for (const length of [0, 1, 4096, 100_000]) {
      const bytes = Buffer.alloc(length, 7);
      const signature = Buffer.from(await signer.sign(bytes));
      assert.notDeepEqual(lowS(signature), signature);
      assert.ok(verify('sha256', bytes, publicKey, lowS(signature)));
    }
  });

  it('are refused when they are of another kind, disabled, not there, or named by an alias', async () => {
    await assert.rejects(describeKmsKey(kms.createKey('RSA_2048'), kms.endpoint), code('INVALID'));
    const arn = kms.createKey();
    const signer = kmsSigner(await describeKmsKey(arn, kms.endpoint));
    kms.keys.get(arn)!.enabled = false;
    await assert.rejects(Promise.resolve(signer.sign(Buffer.of(1))), code('DENIED'));
    await assert.rejects(describeKmsKey(`${arn.slice(0, -4)}ffff`, kms.endpoint), code('NOT_FOUND'));
    await assert.rejects(
      describeKmsKey('arn:aws:kms:eu-central-1:123456789012:alias/seal', kms.endpoint),
      code('INVALID'),
    );
  });

  it('are asked again after a throttle, and a lost answer', async () => {
    const signer = kmsSigner(await describeKmsKey(kms.createKey(), kms.endpoint));
    const faults = [new AwsError('ThrottlingException', 'Rate exceeded'), 'unanswered', 'lost'] as const;
    let at = 0;
    kms.fault = () => faults[at++];
    await signer.sign(Buffer.of(1));
    kms.fault = undefined;
    assert.equal(at, 4);
  });

  it('that sign something else are found out: moto signs the digest of the digest', { skip: moto.skip }, async () => {
    const client = new KMSClient({ region: 'eu-central-1', endpoint: moto.endpoint });
    const { KeyMetadata } = await client.send(
      new CreateKeyCommand({ KeySpec: 'ECC_NIST_P256', KeyUsage: 'SIGN_VERIFY' }),
    );
    const arn = KeyMetadata!.Arn!;
    // It names no KeySpec in its answer either, which describeKmsKey refuses.
    const { PublicKey } = await client.send(new GetPublicKeyCommand({ KeyId: arn }));
    const publicKey = Buffer.from(PublicKey!).toString('base64');
    const signer = kmsSigner({ arn, publicKey, endpoint: moto.endpoint });
    await assert.rejects(Promise.resolve(signer.sign(Buffer.from('a run'))), code('INTEGRITY'));
  });

  it('seal and attest a run that the shipped verifier accepts, and leave no private key here', async () => {
    const deployment = new Deployment('process');
    try {
      const [seal, attest] = [kms.createKey(), kms.createKey()];
      const keys = join(deployment.storage, 'controller', 'keys');
      mkdirSync(join(deployment.storage, 'controller'), { recursive: true });
      const init = ['key', 'init', '--kms-seal', seal, '--kms-attest', attest, '--kms-endpoint', kms.endpoint];
      const command = async (...args: readonly string[]) =>
        await pangolin([...args, '--storage', deployment.storage], { env: credentials });
      const made = await command(...init);
      assert.equal(made.code, 0, made.stderr);
      assert.deepEqual(readdirSync(keys).sort(), ['attest.kms.json', 'deployment.json', 'log.pem', 'seal.kms.json']);
      assert.equal((await command(...init)).code, 0, 'the same again changes nothing');
      const other = await command('key', 'init', '--kms-seal', attest, '--kms-endpoint', kms.endpoint);
      assert.equal(other.code, 4, other.stderr);
      const rotate = await deployment.cli('key', 'rotate', '--role', 'seal');
      assert.equal(rotate.code, 5, rotate.stderr);
      assert.ok(!existsSync(join(keys, 'seal.pem')));

      const signed = (): number => kms.calls.filter(({ action }) => action === 'Sign').length;
      const before = signed();
      deployment.drop(
        'run.json',
        runOf('kms', deployment.repo, [{ id: 'a', ...blocks(script('echo more >>src/a.txt'), patch) }]),
      );
      await deployment.settle({ env: credentials });
      const bundle = await deployment.verified('kms');
      assert.ok(signed() - before >= 3, 'dispatch, provenance and seal');
      const publicKey = (JSON.parse(readFileSync(join(keys, 'seal.kms.json'), 'utf8')) as { publicKey: string })
        .publicKey;
      const trust = await deployment.cli('trust', 'export');
      assert.ok(trust.stdout.includes(publicKey));
      assert.ok(readFileSync(bundle, 'utf8').includes('sigstore'));
    } finally {
      await deployment.dispose();
    }
  });
});
