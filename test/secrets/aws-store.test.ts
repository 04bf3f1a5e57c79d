/** Secrets of AWS Secrets Manager, as moto serves it. */
import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { describe, test, before } from 'node:test';
import { SecretsManager } from '@aws-sdk/client-secrets-manager';
import { isPangolinError } from '@pangolin/contracts/errors';
import { createAwsSecrets } from '@pangolin/controller/secrets/aws-store';
import { moto } from '../storage/s3-servers.ts';

const region = 'eu-central-1';
const prefix = `test-${randomBytes(4).toString('hex')}/`;
const code = (wanted: string) => (error: unknown) => {
  assert.ok(isPangolinError(error) && error.code === wanted, String(error));
  assert.doesNotMatch(`${error.message} ${error.hint}`, /value-of/);
  return true;
};

describe('the AWS Secrets Manager store', { skip: moto.skip ?? false }, () => {
  const endpoint = moto.endpoint;
  const store = createAwsSecrets({ region, endpoint, prefix });
  let admin: SecretsManager;
  before(async () => {
    Object.assign(process.env, { AWS_ACCESS_KEY_ID: 'testaccess', AWS_SECRET_ACCESS_KEY: 'testsecret' });
    admin = new SecretsManager({ region, endpoint });
    await admin.createSecret({ Name: `${prefix}npm-token`, SecretString: 'value-of-npm' });
    await admin.createSecret({ Name: `${prefix}db/password`, SecretBinary: Buffer.from('value-of\ndb') });
    await admin.createSecret({ Name: `${prefix}short`, SecretString: 'short' });
    await admin.createSecret({ Name: `${prefix}leaving`, SecretString: 'value-of-leaving' });
    await admin.deleteSecret({ SecretId: `${prefix}leaving` });
  });

  test('gives the value of a name, whole, and the newest', async () => {
    assert.equal(await store.get('npm-token'), 'value-of-npm');
    assert.equal(await store.get('db/password'), 'value-of\ndb');
    await admin.putSecretValue({ SecretId: `${prefix}npm-token`, SecretString: 'value-of-npm-2' });
    assert.equal(await store.get('npm-token'), 'value-of-npm-2');
  });

  test('refuses what is not there, is to be deleted, or cannot be used', async () => {
    await assert.rejects(store.get('missing'), code('NOT_FOUND'));
    await assert.rejects(store.get('leaving'), code('DENIED'));
    await assert.rejects(store.get('short'), code('INVALID'));
  });

  test('says UNAVAILABLE when nobody answers', async () => {
    const nowhere = createAwsSecrets({ region, endpoint: 'http://127.0.0.1:1', prefix });
    await assert.rejects(nowhere.get('npm-token'), code('UNAVAILABLE'));
  });
});
