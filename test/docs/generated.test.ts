import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { test } from 'node:test';
import { Item, RunSpec } from '@pangolin/contracts/run';
import { AgentBlock, CaptureBlock, ScriptBlock } from '@pangolin/contracts/pipeline';
import { QueueFile } from '@pangolin/contracts/queue';

const root = dirname(dirname(import.meta.dirname));

test('the pages on reasons and limits say what the code does', () => {
  const script = join(root, 'scripts', 'generate-docs.mjs');
  const args = ['--disable-warning=ExperimentalWarning', script, '--check'];
  const { status, stderr } = spawnSync(process.execPath, args, { encoding: 'utf8' });
  assert.equal(stderr, '');
  assert.equal(status, 0);
});

test('the page on the Run spec names every field that there is', () => {
  const page = readFileSync(join(root, 'docs', 'run-spec.md'), 'utf8');
  const schemas = [RunSpec, Item, ScriptBlock, CaptureBlock, AgentBlock, QueueFile.properties.spec];
  const fields = schemas.flatMap(({ properties }) => Object.keys(properties));
  assert.ok(fields.length > 30);
  for (const field of new Set(fields)) {
    if (field === 'kind') continue;
    assert.ok(
      page.includes(`\`${field}\``) || page.includes(`\`${field}:`),
      `docs/run-spec.md says nothing of ${field}`,
    );
  }
});
