/** Keys in KMS: made into a deployment by the shipped command, used by a served run, and refused when they lie. */
import assert from 'node:assert/strict';
import { createPublicKey, verify } from 'node:crypto';
import {
  copyFileSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, describe, it } from 'node:test';
import { KMSClient, CreateKeyCommand, GetPublicKeyCommand } from '@aws-sdk/client-kms';
import { lowS } from '@pangolin/contracts/dsse';
import { isPangolinError } from '@pangolin/contracts/errors';
import { revokeKey, rotateKey, type NextKey } from '@pangolin/controller/audit/key-changes';
import { openKeys, signersOf } from '@pangolin/controller/audit/keys';
import { useKmsKey } from '@pangolin/controller/audit/kms-key-file';
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
    const key = await describeKmsKey(kms.createKey(), 'seal', kms.endpoint);
    const signer = kmsSigner(key, 'seal');
    const publicKey = createPublicKey({ key: signer.publicKey, format: 'der', type: 'spki' });
    for (const length of [0, 1, 4096, 100_000]) {
      const bytes = Buffer.alloc(length, 7);
      const signature = Buffer.from(await signer.sign(bytes));
      assert.notDeepEqual(lowS(signature), signature);
      assert.ok(verify('sha256', bytes, publicKey, lowS(signature)));
    }
  });

  it('of the log sign notes as they are, and no key signs for the other kind of role', async () => {
    const [edwards, p256] = [kms.createKey('ECC_NIST_EDWARDS25519'), kms.createKey()];
    const signer = kmsSigner(await describeKmsKey(edwards, 'log', kms.endpoint), 'log');
    const publicKey = createPublicKey({ key: signer.publicKey, format: 'der', type: 'spki' });
    const note = Buffer.from('log.example\n1\nroot\n');
    assert.ok(verify(null, note, publicKey, Buffer.from(await signer.sign(note))));
    await assert.rejects(describeKmsKey(edwards, 'seal', kms.endpoint), code('INVALID'));
    await assert.rejects(describeKmsKey(p256, 'log', kms.endpoint), code('INVALID'));
  });

  it('are refused when they are of another kind, disabled, not there, or named by an alias', async () => {
    await assert.rejects(describeKmsKey(kms.createKey('RSA_2048'), 'seal', kms.endpoint), code('INVALID'));
    const arn = kms.createKey();
    const signer = kmsSigner(await describeKmsKey(arn, 'seal', kms.endpoint), 'seal');
    kms.keys.get(arn)!.enabled = false;
    await assert.rejects(Promise.resolve(signer.sign(Buffer.of(1))), code('DENIED'));
    await assert.rejects(describeKmsKey(`${arn.slice(0, -4)}ffff`, 'seal', kms.endpoint), code('NOT_FOUND'));
    await assert.rejects(
      describeKmsKey('arn:aws:kms:eu-central-1:123456789012:alias/seal', 'seal', kms.endpoint),
      code('INVALID'),
    );
  });

  it('are asked again after a throttle, and a lost answer', async () => {
    const signer = kmsSigner(await describeKmsKey(kms.createKey(), 'seal', kms.endpoint), 'seal');
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
    const signer = kmsSigner({ arn, publicKey, endpoint: moto.endpoint }, 'seal');
    await assert.rejects(Promise.resolve(signer.sign(Buffer.from('a run'))), code('INTEGRITY'));
  });

  it('follow each other and files, are never used twice, and a rotation that was cut off is finished or undone', async () => {
    const dir = mkdtempSync(join(tmpdir(), 'pangolin-kms-'));
    try {
      const [first, second, attest] = [kms.createKey(), kms.createKey(), kms.createKey()];
      await useKmsKey(dir, 'seal', first, kms.endpoint);
      await assert.rejects(useKmsKey(dir, 'attest', first, kms.endpoint), code('CONFLICT'));
      await openKeys(dir);
      const at = Date.now() + 1000;
      const to = (arn: string) => ({ arn, endpoint: kms.endpoint });
      const untouched = async (next: NextKey | undefined, wanted: string): Promise<void> => {
        const before = readdirSync(dir).map((name) => [name, readFileSync(join(dir, name), 'utf8')]);
        await assert.rejects(rotateKey(dir, 'seal', at, next), code(wanted));
        assert.deepEqual(
          readdirSync(dir).map((name) => [name, readFileSync(join(dir, name), 'utf8')]),
          before,
        );
      };
      await untouched(undefined, 'USAGE');
      await untouched(to(first), 'CONFLICT');
      await untouched(to(kms.createKey('ECC_NIST_EDWARDS25519')), 'INVALID');
      await untouched(to(`${first.slice(0, -4)}ffff`), 'NOT_FOUND');

      const old = readFileSync(join(dir, 'seal.kms.json'));
      const rotated = await rotateKey(dir, 'seal', at, to(second));
      assert.equal(rotated.seal.arn, second);
      await untouched(to(first), 'CONFLICT');
      // Decided and not yet in its place; then not decided.
      copyFileSync(join(dir, 'seal.kms.json'), join(dir, 'seal.kms.json.next'));
      writeFileSync(join(dir, 'seal.kms.json'), old);
      assert.equal((await openKeys(dir)).seal.arn, second);
      writeFileSync(join(dir, 'seal.kms.json.next'), old);
      assert.equal((await openKeys(dir)).seal.arn, second);
      assert.ok(!existsSync(join(dir, 'seal.kms.json.next')));

      // From KMS to a file and from a file to KMS; cut off before the place of the old one was cleared.
      const moved = await rotateKey(dir, 'seal', at + 1000, 'file');
      assert.equal(moved.seal.arn, undefined);
      assert.ok(!existsSync(join(dir, 'seal.kms.json')));
      writeFileSync(join(dir, 'seal.kms.json'), old);
      assert.equal((await openKeys(dir)).seal.keyid, moved.seal.keyid);
      assert.ok(!existsSync(join(dir, 'seal.kms.json')));
      assert.equal((await rotateKey(dir, 'attest', at, to(attest))).attest.arn, attest);
      assert.ok(!existsSync(join(dir, 'attest.pem')), 'the private half of the old one is gone');

      const revoked = await revokeKey(dir, moved.attest.keyid, at, at + 2000);
      assert.equal(revoked.attest.arn, attest, 'the one in use stays');
      await assert.rejects(revokeKey(dir, revoked.attest.keyid, at, at + 2000), code('USAGE'));
      const replaced = await revokeKey(dir, revoked.attest.keyid, at, at + 2000, to(kms.createKey()));
      const states = signersOf(replaced).map(({ role, arn, end, revokedAt }) => [role, arn ?? 'file', end !== undefined, revokedAt !== undefined]); // prettier-ignore
      assert.deepEqual(states, [
        ['seal', first, true, false],
        ['attest', 'file', true, true],
        ['seal', second, true, false],
        ['seal', 'file', false, false],
        ['attest', attest, true, true],
        ['attest', replaced.attest.arn, false, false],
      ]);
    } finally {
      rmSync(dir, { recursive: true, force: true });
    }
  });

  it('seal, attest and log what the shipped verifier accepts, before and after a rotation, and leave no private key here', async () => {
    const deployment = new Deployment('process');
    try {
      const [seal, attest, second, third] = [kms.createKey(), kms.createKey(), kms.createKey(), kms.createKey()];
      const log = kms.createKey('ECC_NIST_EDWARDS25519');
      const keys = join(deployment.storage, 'controller', 'keys');
      mkdirSync(join(deployment.storage, 'controller'), { recursive: true });
      const command = async (exit: number, ...args: readonly string[]): Promise<string> => {
        const { code, stdout, stderr } = await pangolin([...args, '--storage', deployment.storage], {
          env: credentials,
        });
        assert.equal(code, exit, stderr);
        return stdout;
      };
      const at = ['--kms-endpoint', kms.endpoint];
      const init = ['key', 'init', '--kms-seal', seal, '--kms-attest', attest, '--kms-log', log, ...at];
      await command(0, ...init);
      assert.deepEqual(readdirSync(keys).sort(), [
        'attest.kms.json',
        'deployment.json',
        'log.kms.json',
        'seal.kms.json',
      ]);
      await command(0, ...init);
      await command(4, 'key', 'init', '--kms-seal', attest, ...at);
      await command(2, 'key', 'rotate', '--role', 'seal');
      await command(2, 'key', 'rotate', '--role', 'seal', '--kms', second, '--file');

      const signed = (arn: string): number =>
        kms.calls.filter(({ action, input }) => action === 'Sign' && (input as { KeyId: string }).KeyId === arn).length;
      /** Seals the run and gives its bundle. */
      const seals = async (run: string): Promise<string> => {
        const item = { id: 'a', ...blocks(script('echo more >>src/a.txt'), patch) };
        deployment.drop(`${run}.json`, runOf(run, deployment.repo, [item]));
        await deployment.settle({ env: credentials });
        return await deployment.verified(run);
      };
      /** What an auditor says of both bundles with the document of now. */
      const judged = async (...bundles: readonly string[]): Promise<(number | null)[]> => {
        const trust = join(deployment.dir, 'trust.json');
        writeFileSync(trust, await command(0, 'trust', 'export'));
        const answers = bundles.map((bundle) => deployment.cli('verify', bundle, '--trust', trust));
        return (await Promise.all(answers)).map(({ code }) => code);
      };
      const before = await seals('before');
      assert.ok(signed(attest) >= 2, 'dispatch and provenance');
      assert.ok(signed(seal) >= 1 && signed(log) >= 1);
      await command(0, 'key', 'rotate', '--role', 'seal', '--kms', second, ...at);
      // The old one need not be there any more.
      kms.keys.get(seal)!.enabled = false;
      const after = await seals('after');
      assert.ok(signed(second) >= 1);
      assert.deepEqual(await judged(before, after), [0, 0]);
      const { keys: shown } = JSON.parse(await command(0, 'key', 'show', '-o', 'json')) as {
        keys: { role: string; keyid: string; state: string; arn?: string }[];
      };
      const arns = shown.map(({ role, state, arn }) => [role, state, arn]);
      assert.deepEqual(arns, [['seal', 'retired', seal], ['attest', 'in use', attest], ['seal', 'in use', second], ['log', 'in use', log]]); // prettier-ignore

      await command(2, 'key', 'revoke', shown[2]!.keyid);
      await command(0, 'key', 'revoke', shown[2]!.keyid, '--kms', third, ...at);
      // Neither has a time stamp: what the revoked key sealed counts no more, what came before it does.
      assert.deepEqual(await judged(before, after), [0, 1]);
    } finally {
      await deployment.dispose();
    }
  });
});
