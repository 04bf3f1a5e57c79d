/** Taking products out: patch, outputs and the evidence bundle. */
import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { existsSync, mkdirSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { casKey, eventsKey, sealKey, statementsKey } from '@pangolin/contracts/layout';
import { exampleStorage, pangolin, PATCH, SEALED, tempDir, type StorageFolder } from './harness.ts';

const at = (storage: StorageFolder, ...args: string[]) => pangolin(['--storage', storage.dir, ...args]);
const done = { phase: 'done', reason: 'Succeeded', attempts: 1 } as const;

function repository(): string {
  const dir = tempDir();
  execFileSync('git', ['init', '-q', dir]);
  return dir;
}

test('patch prints the bytes of the patch and nothing else', async () => {
  const storage = exampleStorage();
  assert.deepEqual(await at(storage, 'orch', 'patch', 'good/edit'), { code: 0, stdout: PATCH, stderr: '' });
  const json = JSON.parse((await at(storage, 'orch', 'patch', 'good/edit', '-o', 'json')).stdout) as {
    base64: string;
    size: number;
    sha256: string;
  };
  assert.equal(Buffer.from(json.base64, 'base64').toString(), PATCH);
  assert.match(json.sha256, /^sha256:[0-9a-f]{64}$/);
});

for (const [where, prepare] of [
  ['the top of a repository', (): string => repository()],
  ['a folder in a repository', (): string => join(repository(), 'sub')],
  ['a directory without a repository', (): string => tempDir()],
] as const) {
  test(`patch --apply works in ${where}`, async () => {
    const dir = prepare();
    mkdirSync(dir, { recursive: true });
    writeFileSync(join(dir, 'hello.txt'), 'hello\n');
    const { code, stderr, stdout } = await at(exampleStorage(), 'orch', 'patch', 'good/edit', '--apply', dir);
    assert.deepEqual([code, stdout], [0, ''], stderr);
    assert.equal(readFileSync(join(dir, 'hello.txt'), 'utf8'), 'hi\n');
  });
}

test('a patch that does not apply is a conflict and changes nothing', async () => {
  const storage = exampleStorage();
  const dir = repository();
  writeFileSync(join(dir, 'first.txt'), 'one\n');
  writeFileSync(join(dir, 'hello.txt'), 'something else\n');
  const both = `diff --git a/first.txt b/first.txt\n--- a/first.txt\n+++ b/first.txt\n@@ -1 +1 @@\n-one\n+two\n${PATCH}`;
  storage.run('two', { ...SEALED }, [{ id: 'edit', ...done, patch: storage.product(both) }]);
  const { code, stderr } = await at(storage, 'orch', 'patch', 'two/edit', '--apply', dir);
  assert.equal(code, 4);
  assert.match(stderr, /the patch does not apply to .*: patch failed: hello\.txt:1 \[CONFLICT\]/);
  assert.equal(readFileSync(join(dir, 'first.txt'), 'utf8'), 'one\n');
});

test('an empty patch applies, a missing directory is not found', async () => {
  const storage = exampleStorage();
  storage.run('empty', { ...SEALED }, [{ id: 'edit', ...done, patch: storage.product('') }]);
  assert.equal((await at(storage, 'orch', 'patch', 'empty/edit', '--apply', tempDir())).code, 0);
  assert.equal((await at(storage, 'orch', 'patch', 'good/edit', '--apply', '/no/such/dir')).code, 3);
});

test('bytes that are not their digest are never handed on', async () => {
  const storage = exampleStorage();
  const patch = storage.product(PATCH);
  storage.put(casKey(patch.sha256), PATCH.replace('+hi', '+evil'));
  const printed = await at(storage, 'orch', 'patch', 'good/edit');
  assert.deepEqual([printed.code, printed.stdout], [1, '']);
  assert.match(printed.stderr, /other bytes under sha256:[0-9a-f]{64} \[INTEGRITY\]/);
  const report = storage.product('fine\n');
  storage.put(casKey(report.sha256), 'forged');
  const to = tempDir();
  assert.equal((await at(storage, 'orch', 'outputs', 'good/edit', '--to', to)).code, 1);
  assert.equal(existsSync(join(to, 'report.txt')), false);
  assert.deepEqual(
    readdirSync(to).filter((name) => name.includes('partial')),
    [],
  );
});

test('outputs are listed, or written under their own names byte for byte', async () => {
  const storage = exampleStorage();
  const { outputs } = JSON.parse((await at(storage, 'orch', 'outputs', 'good/edit', '-o', 'json')).stdout) as {
    outputs: { path: string; size: number }[];
  };
  assert.deepEqual(
    outputs.map(({ path, size }) => [path, size]),
    [
      ['deep/er/raw.bin', 3],
      ['report.txt', 5],
    ],
  );
  const to = join(tempDir(), 'new');
  const { code, stderr } = await at(storage, 'orch', 'outputs', 'good/edit', '--to', to);
  assert.equal(code, 0, stderr);
  assert.deepEqual(readFileSync(join(to, 'deep/er/raw.bin')), Buffer.of(0, 255, 10));
  assert.equal(readFileSync(join(to, 'report.txt'), 'utf8'), 'fine\n');
});

for (const name of ['../escape', '/absolute', 'a/../../b', 'a\\b', 'a//b', 'new\nline']) {
  test(`an output named ${JSON.stringify(name)} is refused before anything is written`, async () => {
    const storage = exampleStorage();
    const outputs = { aaa: storage.product('a'), [name]: storage.product('x') };
    storage.run('evil', { ...SEALED }, [{ id: 'edit', ...done, outputs }]);
    const to = join(tempDir(), 'a', 'b');
    const { code, stderr } = await at(storage, 'orch', 'outputs', 'evil/edit', '--to', to);
    assert.equal(code, 2);
    assert.match(stderr, /not a plain relative path/);
    assert.equal(existsSync(to), false);
  });
}

test('audit exports the evidence of a sealed run in the shape that the name asks for', async () => {
  const storage = exampleStorage();
  const plan = storage.product('{}');
  const submitted = JSON.stringify({ kind: 'run.submitted', plan: { sha256: plan.sha256 } });
  storage.put(eventsKey('good'), `${submitted}\n`);
  storage.put(statementsKey('good'), '');
  storage.put(sealKey('good'), '{"seal":true}');
  const cwd = tempDir();
  const audit = (...args: string[]) => pangolin(['--storage', storage.dir, 'orch', 'audit', 'good', ...args], { cwd });
  const { code, stdout, stderr } = await audit();
  assert.deepEqual([code, stdout], [0, 'good.bundle.json\n'], stderr);
  const { files } = JSON.parse(readFileSync(join(cwd, 'good.bundle.json'), 'utf8')) as {
    files: Record<string, string>;
  };
  assert.deepEqual(Object.keys(files), [`blobs/${plan.sha256}`, 'events.jsonl', 'seal.sigstore.json']);
  assert.equal((await audit('--out', 'lean', '--lean')).code, 0);
  assert.deepEqual(readdirSync(join(cwd, 'lean')).sort(), ['events.jsonl', 'seal.sigstore.json']);
  assert.deepEqual(JSON.parse((await audit('--out', 'x.tar', '-o', 'json')).stdout), {
    run: 'good',
    bundle: 'x.tar',
    lean: false,
  });
  assert.equal(readFileSync(join(cwd, 'x.tar')).toString('latin1', 257, 262), 'ustar');
  assert.equal((await audit('--out', 'lean')).code, 4);
});

test('verify says where its trust comes from and answers with the exit code of the verdict', async () => {
  const storage = exampleStorage();
  const dir = tempDir();
  writeFileSync(join(dir, 'bundle.json'), '{"files":{"events.jsonl":""}}');
  const bundle = join(dir, 'bundle.json');
  const bare = await at(storage, 'verify', bundle, '-o', 'json');
  assert.match(bare.stderr, /No trust file/);
  assert.ok([1, 4].includes(bare.code ?? 0), `exit ${bare.code}`);
  assert.equal(typeof (JSON.parse(bare.stdout) as { verdict: unknown }).verdict, 'string');
  storage.put('controller/trust.json', 'not trust');
  const own = await at(storage, 'verify', bundle);
  assert.equal(own.code, 2);
  assert.match(own.stderr, /Trusting the keys that the storage itself publishes[^]*error: /);
  const named = await pangolin(['--storage', storage.dir, 'verify', bundle], {
    env: { PANGOLIN_TRUST: join(dir, 'none') },
  });
  assert.equal(named.code, 2);
  assert.match(named.stderr, /the trust file .*none/);
  assert.doesNotMatch(named.stderr, /Trusting the keys/);
});
