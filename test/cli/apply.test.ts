/** `pangolin apply` and `pangolin import`: folders become what the registry holds. */
import assert from 'node:assert/strict';
import { mkdirSync, symlinkSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { test } from 'node:test';
import { pangolin, StorageFolder, tempDir } from './harness.ts';

const document = (kind: string, name: string, spec: string): string =>
  `apiVersion: pangolin.dev/v1\nkind: ${kind}\nmetadata: { name: ${name} }\nspec: ${spec}\n`;

function lay(dir: string, files: Readonly<Record<string, string>>): void {
  for (const [path, text] of Object.entries(files)) {
    mkdirSync(dirname(join(dir, path)), { recursive: true });
    writeFileSync(join(dir, path), text);
  }
}

interface Applied {
  readonly changes: readonly { kind: string; name: string; change: string; diff: string[] }[];
}

test('a folder is applied once; a dry run prints the diff and changes nothing', async () => {
  const storage = new StorageFolder();
  const cwd = tempDir();
  const at = (...args: string[]) => pangolin(['--storage', storage.dir, ...args], { cwd });
  const subagent = (level: string): string =>
    document('Subagent', 'fixer', `{ runtime: { kind: claude-code }, level: ${level}, capabilities: [tools] }`);
  lay(join(cwd, 'things'), {
    'fixer.yaml': subagent('fast'),
    'env/model.yaml': document('EnvBundle', 'model', '{ values: { URL: "http://x" } }'),
    'capabilities/tools/bin/x': 'echo x\n',
    '.hidden.yaml': 'not: read',
  });
  const list = async (): Promise<string[]> => {
    const { changes } = JSON.parse((await at('apply', '-f', 'things', '-o', 'json')).stdout) as Applied;
    return changes.map(({ kind, name, change }) => `${kind} ${name} ${change}`);
  };
  const dry = await at('apply', '-f', 'things', '--dry-run');
  assert.match(
    dry.stdout,
    /^capability tools would be added: sha256:[0-9a-f]{64}\n {2}\+ \/files\/bin~1x\/mode: "0644"$/m,
  );
  assert.match((await at('subagent', 'list')).stderr, /No subagents/);
  assert.deepEqual(await list(), ['capability tools added', 'env model added', 'subagent fixer added']);
  assert.deepEqual(await list(), ['capability tools unchanged', 'env model unchanged', 'subagent fixer unchanged']);
  lay(join(cwd, 'things'), { 'fixer.yaml': subagent('max') });
  const changed = await at('apply', '-f', 'things', '--dry-run');
  assert.match(changed.stdout, /^subagent fixer would be changed: .*\n {2}- \/level: "fast"\n {2}\+ \/level: "max"\n$/);
  assert.match(changed.stderr, /1 would be registered, 2 unchanged/);
});

test('one wrong file, and nothing of the folder is applied', async () => {
  const storage = new StorageFolder();
  const cwd = tempDir();
  lay(cwd, {
    'a.yaml': document('Pipeline', 'p', '{ blocks: [ { kind: script, command: make } ] }'),
    'b.yaml': document('Pipeline', 'p', '{ blocks: [ { kind: script, comand: make } ] }'),
    'c.yaml': document('Run', 'r', '{}'),
    'd.yaml': document('Pipeline', 'p', '{ blocks: [ { kind: capture, what: patch } ] }'),
  });
  const { code, stderr } = await pangolin(['--storage', storage.dir, 'apply', '-f', '.'], { cwd });
  assert.equal(code, 2);
  assert.match(stderr, /^b\.yaml:4:\d+ UnknownField/m);
  assert.match(stderr, /^c\.yaml InvalidValue \/kind /m);
  assert.match(stderr, /^d\.yaml GivenTwice pipeline p is declared in a\.yaml already/m);
  assert.match((await pangolin(['--storage', storage.dir, 'pipeline', 'list'])).stderr, /No pipelines/);
});

test('what a repository has for Claude Code becomes capabilities and subagents', async () => {
  const storage = new StorageFolder();
  const cwd = tempDir();
  const at = (...args: string[]) => pangolin(['--storage', storage.dir, ...args], { cwd });
  lay(join(cwd, 'shop'), {
    'CLAUDE.md': 'Be careful.\n',
    'src/main.c': 'int x;\n',
    '.mcp.json': '{"mcpServers":{}}',
    '.claude/settings.json': '{"hooks":{}}',
    '.claude/settings.local.json': '{"mine":true}',
    '.claude/skills/deploy/SKILL.md': '# Deploy\n',
    '.claude/agents/reviewer.md':
      '---\nname: reviewer\ndescription: Reviews code\ntools: Read, Grep\nmodel: opus\n---\n\nYou review code.\n',
  });
  const { changes } = JSON.parse((await at('import', 'shop', '-o', 'json')).stdout) as Applied;
  assert.deepEqual(
    changes.map(({ kind, name }) => `${kind} ${name}`),
    ['capability shop.instructions', 'capability shop.skills', 'capability shop.settings', 'subagent shop.reviewer'],
  );
  const shown = async (kind: string, name: string): Promise<{ files: object }> =>
    (JSON.parse((await at(kind, 'show', name)).stdout) as { spec: { files: object } }).spec;
  assert.deepEqual(await shown('subagent', 'shop.reviewer'), {
    description: 'Reviews code',
    runtime: { kind: 'claude-code' },
    level: 'max',
    system: 'You review code.',
    tools: ['Read', 'Grep'],
    capabilities: ['shop.instructions', 'shop.skills'],
  });
  assert.deepEqual(Object.keys((await shown('capability', 'shop.settings')).files), [
    '.claude/settings.json',
    '.mcp.json',
  ]);
  lay(join(cwd, 'shop'), { '.claude/settings.json': '{"env":{"DB":"mysql://app:pw1234@db"}}' });
  const leak = await at('import', 'shop');
  assert.deepEqual([leak.code, /UrlPassword/.test(leak.stderr), leak.stderr.includes('pw1234')], [2, true, false]);
  symlinkSync('/etc', join(cwd, 'shop', '.claude', 'commands'));
  assert.equal((await at('import', 'shop')).code, 2);
  mkdirSync(join(cwd, 'bare'));
  assert.equal((await at('import', 'bare')).code, 3);
});
