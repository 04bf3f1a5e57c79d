import assert from 'node:assert/strict';
import { generateKeyPairSync } from 'node:crypto';
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { formatVkey, NOTE_COSIGNATURE, NOTE_ED25519 } from '@pangolin/contracts/note';
import { readConfig } from '@pangolin/contracts/read-config';
import { evidenceOptions, trustedSurroundings } from '@pangolin/controller/audit/evidence-options';
import { Lag } from '@pangolin/controller/audit/lag';
import { loadConfig } from '@pangolin/controller/config';
import { parseWitnessPolicy } from '@pangolin/verify/witness-policy';
import { openWorld } from './world.ts';

const publicKey = generateKeyPairSync('ed25519').publicKey.export({ type: 'spki', format: 'der' }).subarray(12);
const vkeyOf = (name: string, type = NOTE_COSIGNATURE): string => formatVkey({ name, type, publicKey });
const YAML = `evidence:
  timestamp: [{ id: tsa, url: 'https://tsa.example/' }]
  witnesses:
    - { name: one, url: 'https://one.example', vkey: '${vkeyOf('one.example')}' }
    - { name: two, url: 'https://two.example/w', vkey: '${vkeyOf('two.example/w')}' }
  anchors:
    - { id: worm, type: s3-object-lock, bucket: worm-1, region: eu-west-1, prefix: team/, retentionDays: 365 }
`;
const read = (text: string) => readConfig(Buffer.from(text), 'pangolin.yaml');

test('a configuration names who vouches, and the trust document says so', async () => {
  await using world = await openWorld();
  const result = read(YAML);
  assert.ok(result.ok, JSON.stringify(result));
  const evidence = result.config.evidence!;
  const lag = new Lag({ db: world.evidence, store: world.store, now: Date.now });
  const options = evidenceOptions(evidence, { keys: world.keys, now: Date.now, lag, onGivenUp: () => {} });
  assert.deepEqual(options.timestamps.map(({ id }) => id), ['tsa']); // prettier-ignore
  assert.deepEqual(options.witnesses.map(({ name }) => name), ['one.example', 'two.example/w']); // prettier-ignore
  assert.deepEqual(options.anchors.map(({ id }) => id), ['worm']); // prettier-ignore
  for (const short of [
    { headEvery: '0s' },
    { timestamp: [{ id: 'tsa', url: 'https://tsa.example/', timeout: '999ms' }] },
  ]) {
    assert.throws(() => evidenceOptions(short, { keys: world.keys, now: Date.now, lag, onGivenUp: () => {} }), { code: 'INVALID' }); // prettier-ignore
  }
  const { witnessPolicy, anchors } = trustedSurroundings(evidence);
  const policy = parseWitnessPolicy(witnessPolicy!, 'log.example');
  assert.equal(policy.isMet(new Set(['one.example'])), false);
  assert.equal(policy.isMet(new Set(['one.example', 'two.example/w'])), true);
  assert.deepEqual(anchors, [
    { type: 's3-object-lock', bucket: 'worm-1', region: 'eu-west-1', prefix: 'team/', minRetentionDays: 365 },
  ]);
  assert.deepEqual(trustedSurroundings({}), {});
});

const refused: Readonly<Record<string, string>> = {
  'an unknown field': YAML.replace('id: tsa', 'name: tsa'),
  'an unknown section': 'evidence: {}\nqueues: {}\n',
  'a URL with a password': YAML.replace('https://tsa', 'https://me:secret@tsa'),
  'a file URL': YAML.replace('https://tsa.example/', 'file:///etc/passwd'),
  'a key of a log for a witness': YAML.replace(vkeyOf('one.example'), vkeyOf('one.example', NOTE_ED25519)),
  'a key with a wrong id': YAML.replace(vkeyOf('one.example'), vkeyOf('one.example').replace(/\+[0-9a-f]{8}\+/, '+00000000+')), // prettier-ignore
  'two witnesses of one key name': YAML.replace(vkeyOf('two.example/w'), vkeyOf('one.example')),
  'two witnesses of one name': YAML.replace('name: two', 'name: one'),
  'an anchor of another type': YAML.replace('s3-object-lock', 's3'),
  'no retention': YAML.replace(', retentionDays: 365', ''),
  'no YAML': 'evidence: [',
};
for (const [what, text] of Object.entries(refused)) {
  test(`${what} is refused, and no secret of it is repeated`, () => {
    assert.notEqual(text, YAML);
    const result = read(text);
    assert.ok(!result.ok);
    assert.ok(result.problems.length > 0 && result.problems[0]!.line !== undefined);
    assert.ok(!JSON.stringify(result.problems).includes('secret@'));
  });
}

test('the configuration is the named one, else that of the state directory, else that of the storage', async (t) => {
  const dir = mkdtempSync(join(tmpdir(), 'pangolin-config-'));
  t.after(() => rmSync(dir, { recursive: true, force: true }));
  const store = { localPath: (key: string) => join(dir, 'storage', key) };
  const state = join(dir, 'state');
  for (const each of ['storage', 'state']) mkdirSync(join(dir, each));
  const bucketOf = async (named?: string) => (await loadConfig(named, state, store)).evidence?.anchors?.[0]?.bucket;
  const put = (path: string, bucket: string): void => writeFileSync(join(dir, path), YAML.replace('worm-1', bucket));
  assert.equal(await bucketOf(), undefined);
  put('storage/pangolin.yaml', 'of-storage');
  assert.equal(await bucketOf(), 'of-storage');
  put('state/pangolin.yaml', 'of-state');
  assert.equal(await bucketOf(), 'of-state');
  put('named.yaml', 'of-name');
  assert.equal(await bucketOf(join(dir, 'named.yaml')), 'of-name');
  await assert.rejects(bucketOf(join(dir, 'nowhere.yaml')), { code: 'NOT_FOUND' });
  writeFileSync(join(state, 'pangolin.yaml'), 'evidence: 3\n');
  await assert.rejects(bucketOf(), (error: Error & { code: string }) => /pangolin\.yaml:1:/.test(error.message) && error.code === 'INVALID'); // prettier-ignore
  writeFileSync(join(state, 'pangolin.yaml'), '# nothing\n');
  assert.equal(await bucketOf(), undefined);
});
