import assert from 'node:assert/strict';
import { existsSync, globSync, readFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { test } from 'node:test';
import { readConfig } from '@pangolin/contracts/read-config';
import { readExtension } from '@pangolin/contracts/read-extension';
import { readQueue } from '@pangolin/contracts/read-queue';
import { readRun } from '@pangolin/contracts/read-run';
import { readSchedule } from '@pangolin/contracts/read-schedule';
import { readThing, thingKindOf } from '@pangolin/contracts/things';

const root = dirname(dirname(import.meta.dirname));
const pages = [...globSync('docs/*.md', { cwd: root }), 'README.md', 'ARCHITECTURE.md', 'worker-image/README.md'];

const readAny = (bytes: Buffer, file: string) =>
  (/^(compute|egress|evidence|git|notifications|secrets):/m.test(bytes.toString())
    ? readConfig(bytes, file)
    : undefined) ??
  readRegistered(bytes, file) ??
  readQueue(bytes, file) ??
  readSchedule(bytes, file) ??
  readExtension(bytes, file, () => 'unknown') ??
  readRun(bytes, file);

function readRegistered(bytes: Buffer, file: string) {
  const kind = thingKindOf(/^kind: (\w+)$/m.exec(bytes.toString())?.[1]);
  return kind && readThing(kind, bytes, file);
}

test('every YAML example of the documentation is valid', () => {
  let seen = 0;
  for (const page of pages) {
    for (const [, yaml] of readFileSync(join(root, page), 'utf8').matchAll(/^```yaml\n([^]*?)^```/gm)) {
      const read = readAny(Buffer.from(yaml!), page);
      assert.deepEqual(read.ok ? [] : read.problems, [], page);
      seen++;
    }
  }
  assert.ok(seen >= 3, `saw only ${seen} examples`);
});

test('every shipped example is valid', () => {
  const examples = globSync('examples/**/*.yaml', { cwd: root });
  assert.ok(examples.length >= 8);
  for (const file of examples) {
    const read = readAny(readFileSync(join(root, file)), file);
    assert.deepEqual(read.ok ? [] : read.problems, [], file);
  }
});

test('every link of the documentation leads to a file', () => {
  for (const page of pages) {
    const prose = readFileSync(join(root, page), 'utf8').replace(/^```[^]*?^```/gm, '');
    for (const [, target] of prose.matchAll(/\]\((?!https?:|#)([^)#]+)/g)) {
      assert.ok(existsSync(join(root, dirname(page), target!)), `${page} links to ${target}`);
    }
  }
});
