import assert from 'node:assert/strict';
import { readFileSync, writeFileSync } from 'node:fs';
import { test } from 'node:test';
import { readRun } from '@pangolin/contracts/read-run';
import { findingsOf } from '@pangolin/contracts/schema';
import { PROBLEMS_MAX } from '@pangolin/contracts/explain';
import type { Problem } from '@pangolin/contracts/status';
import { cases } from './cases.ts';

const golden = new URL('./golden/problems.txt', import.meta.url);

function print(problem: Problem): string {
  const place = `${problem.file}:${problem.line}:${problem.column}`;
  const hint = problem.hint === undefined ? '' : `\n    ${problem.hint}`;
  return `  ${place} ${problem.code} ${problem.path || '(document)'}\n    ${problem.message}${hint}`;
}

test('every wrong submission is refused with the documented problems, each at its place', () => {
  const sections = cases.map(([name, file, text]) => {
    const read = readRun(Buffer.from(text as string), file);
    assert.ok(!read.ok, `${name}: accepted`);
    for (const problem of read.problems) {
      assert.ok(problem.line! >= 1 && problem.column! >= 1, `${name}: a problem without a place`);
      assert.doesNotMatch(problem.message, /[\p{Cc}\p{Cf}]/u, `${name}: an invisible character in the message`);
      assert.ok(problem.message.length < 600, `${name}: a message of ${problem.message.length} characters`);
    }
    return `${name}\n${read.problems.map(print).join('\n')}\n`;
  });
  const text = sections.join('\n');
  if (process.env['UPDATE_GOLDEN'] === '1') writeFileSync(golden, text);
  assert.equal(text, readFileSync(golden, 'utf8'));
});

test('all problems of a file are collected, in the order of the text', () => {
  const read = readRun(Buffer.from('id: a/b\nqueue: 1\nitems:\n  - id: x\n    timeout: soon\n    foo: 1\n'), 'x.yaml');
  assert.ok(!read.ok);
  assert.deepEqual(
    read.problems.map(({ line, code }) => [line, code]),
    [
      [1, 'InvalidValue'],
      [2, 'WrongType'],
      [5, 'InvalidValue'],
      [6, 'UnknownField'],
    ],
  );
});

test('a file with more problems than anyone reads reports the first hundred', () => {
  const items = Array.from({ length: 5000 }, (_, index) => ({ id: `i${index}`, pipeline: 'p', timeot: '1m' }));
  const read = readRun(Buffer.from(JSON.stringify({ id: 'r', items })), 'x.json');
  assert.ok(!read.ok);
  assert.equal(read.problems.length, PROBLEMS_MAX);
  const fields = Object.fromEntries(items.map(({ id }) => [id, 1]));
  assert.equal(findingsOf('plan', fields).length, PROBLEMS_MAX);
});

test('a refused file still tells its run id, when it has a legal one', () => {
  const read = (text: string): string | undefined => {
    const result = readRun(Buffer.from(text), 'x.yaml');
    assert.ok(!result.ok);
    return result.id;
  };
  assert.equal(read('id: good\nitems: 3\n'), 'good');
  assert.equal(read('kind: Run\nmetadata: { name: also-good }\n'), 'also-good');
  assert.equal(read('id: ../bad\nitems: 3\n'), undefined);
});
