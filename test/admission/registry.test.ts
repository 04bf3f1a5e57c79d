import assert from 'node:assert/strict';
import { test } from 'node:test';
import { canonicalBytes } from '@pangolin/contracts/canonical';
import { formatDigest, sha256 } from '@pangolin/contracts/digest';
import { casKey, registryKey } from '@pangolin/contracts/layout';
import {
  listThings,
  registerThing,
  resolveThing,
  showThing,
  thingBytes,
  VERSIONS_MAX,
} from '@pangolin/storage/registry';
import { createMemoryStore } from '../fakes/memory-store.ts';

const content = (value: unknown): Buffer => canonicalBytes({ value });
const NOW = Date.parse('2026-11-23T10:00:00Z');

test('a name means its last version, and every version stays reachable by its digest', async () => {
  const store = createMemoryStore();
  for (const value of [1, 2]) await registerThing(store, 'pipeline', 'dev.build', content(value), 'human:ada', NOW);
  assert.equal(await resolveThing(store, 'pipeline', 'dev.build'), sha256(content(2)));
  assert.equal(
    await resolveThing(store, 'pipeline', `dev.build@${formatDigest(sha256(content(1)))}`),
    sha256(content(1)),
  );
  assert.deepEqual(await thingBytes(store, sha256(content(1))), content(1));
  const versions = (await showThing(store, 'pipeline', 'dev.build'))?.versions;
  assert.deepEqual(versions?.[1], { sha256: sha256(content(2)), at: '2026-11-23T10:00:00.000Z', actor: 'human:ada' });
});

test('registering the current version again changes nothing; an old one becomes current again', async () => {
  const store = createMemoryStore();
  const register = (value: number): ReturnType<typeof registerThing> =>
    registerThing(store, 'pipeline', 'p', content(value), 'human:ada', NOW);
  assert.deepEqual(
    [
      (await register(1)).changed,
      (await register(1)).changed,
      (await register(2)).changed,
      (await register(1)).changed,
    ],
    [true, false, true, true],
  );
  assert.equal((await showThing(store, 'pipeline', 'p'))?.versions.length, 3);
});

test('writers at the same time all get their version in', async () => {
  const store = createMemoryStore();
  const values = [1, 2, 3, 4, 5];
  await Promise.all(values.map((value) => registerThing(store, 'pipeline', 'p', content(value), 'human:ada', NOW)));
  const versions = (await showThing(store, 'pipeline', 'p'))?.versions.map((version) => version.sha256).sort();
  assert.deepEqual(versions, values.map((value) => sha256(content(value))).sort());
});

test('a writer that always comes too late gives up with a conflict', async () => {
  const store = createMemoryStore();
  let others = 0;
  const put: typeof store.put = async (key, ...rest) => {
    if (key.startsWith('registry/')) {
      others += 1;
      await registerThing(store, 'pipeline', 'p', content(`other ${others}`), 'human:bob', NOW);
    }
    return store.put(key, ...rest);
  };
  await assert.rejects(registerThing({ ...store, put }, 'pipeline', 'p', content(1), 'human:ada', NOW), {
    code: 'CONFLICT',
  });
});

test('a name keeps its newest versions when it has had too many', async () => {
  const store = createMemoryStore();
  const versions = Array.from({ length: VERSIONS_MAX }, (_, index) => ({
    sha256: sha256(String(index)),
    at: '',
    actor: '',
  }));
  await store.put(
    registryKey('pipeline', 'p'),
    canonicalBytes({ schema: 'registry/1', kind: 'pipeline', name: 'p', versions }),
  );
  const { thing } = await registerThing(store, 'pipeline', 'p', content(1), 'human:ada', NOW);
  assert.equal(thing.versions.length, VERSIONS_MAX);
  assert.equal(thing.versions.at(-1)?.sha256, sha256(content(1)));
});

test('things are listed by name, and what nobody registered is nothing', async () => {
  const store = createMemoryStore();
  for (const name of ['b', 'a:x', 'c']) await registerThing(store, 'pipeline', name, content(name), 'human:ada', NOW);
  assert.deepEqual(
    (await listThings(store, 'pipeline')).map((thing) => thing.name),
    ['a:x', 'b', 'c'],
  );
  for (const ref of ['nobody', 'b@sha256:short', `b@${formatDigest('0'.repeat(64))}`, '../b', '']) {
    assert.equal(await resolveThing(store, 'pipeline', ref), undefined, ref);
  }
});

test('an illegal name is refused before anything is written', async () => {
  const store = createMemoryStore();
  for (const name of ['../x', 'a@b', '', 'a/b']) {
    await assert.rejects(registerThing(store, 'pipeline', name, content(1), 'human:ada', NOW), { code: 'INVALID' });
  }
  assert.equal((await store.list('')).objects.length, 0);
});

test('a damaged record and damaged content are integrity errors', async () => {
  const store = createMemoryStore();
  const { version } = await registerThing(store, 'pipeline', 'p', content(1), 'human:ada', NOW);
  await store.put(casKey(version.sha256), 'other');
  await assert.rejects(thingBytes(store, version.sha256), { code: 'INTEGRITY' });
  await store.put(registryKey('pipeline', 'p'), '{"schema":"registry/1","versions":[]}');
  await assert.rejects(resolveThing(store, 'pipeline', 'p'), { code: 'INTEGRITY' });
});
