import assert from 'node:assert/strict';
import { test } from 'node:test';
import { LogLines } from '@pangolin/verify/log-lines';
import { parseStrict } from '@pangolin/verify/strict-json';
import { joinLines, mth, sha } from './forge.ts';

test('the tree in place has the root of RFC 6962, at every size', () => {
  const leaves = Array.from({ length: 70 }, (_, at) => Buffer.from(`leaf ${at} ${'é'.repeat(at)}`));
  for (let size = 1; size <= leaves.length; size++) {
    const some = leaves.slice(0, size);
    const log = joinLines(some);
    const lines = new LogLines(Buffer.from(log));
    assert.equal(lines.root(), mth(some).toString('hex'), `${size} leaves`);
    assert.equal(lines.sha256(), sha(log), 'hashing the tree leaves the bytes as they were');
    assert.deepEqual(lines.prefixRoots([1, size]), [mth(some.slice(0, 1)).toString('hex'), mth(some).toString('hex')]);
    assert.equal(lines.text(size - 1), some.at(-1)!.toString());
  }
});

for (const [name, bytes] of Object.entries({
  'no bytes': Buffer.alloc(0),
  'no line feed at its end': Buffer.from('a\nb'),
  'an empty line': Buffer.from('a\n\nb\n'),
  'an empty first line': Buffer.from('\na\n'),
  'bytes that are not UTF-8': Buffer.of(0x61, 0xff, 0x0a),
})) {
  test(`a log with ${name} is refused`, () => {
    assert.throws(() => new LogLines(bytes), { name: 'Refusal' });
  });
}

const strict: readonly [string, string, boolean][] = [
  ['sorted keys', '{"a":1,"b":2}', true],
  ['unsorted keys', '{"b":2,"a":1}', false],
  ['keys that look like numbers, in the order of strings', '{"10":1,"9":2}', true],
  ['keys that look like numbers, in the order of numbers', '{"9":2,"10":1}', false],
  ['a duplicate key', '{"a":1,"a":1}', false],
  ['__proto__', '{"__proto__":1}', true],
  ['__proto__ twice', '{"__proto__":1,"__proto__":1}', false],
  ['white space', '{"a": 1}', false],
  ['a trailing zero', '[1.0]', false],
  ['an exponent', '[1e0]', false],
  ['minus zero', '[-0]', false],
  ['an escape that is not needed', '["\\u0061"]', false],
  ['a lone surrogate', '["\\ud800"]', false],
  ['a solidus with an escape', '["\\/"]', false],
  ['a control character with its escape', '["\\u0001\\n"]', true],
  ['a control character with another escape', '["\\u000a"]', false],
  ['an astral character', '["😀"]', true],
  ['a byte order mark', '\ufeff[]', false],
  ['deep nesting', `${'['.repeat(100_000)}${']'.repeat(100_000)}`, false],
  ['keys sorted by UTF-16', '{"😀":1,"ﬀ":2}', true],
];

for (const [name, text, accepted] of strict) {
  test(`strict JSON ${accepted ? 'takes' : 'refuses'} ${name}`, () => {
    if (accepted) assert.deepEqual(parseStrict('it', text), JSON.parse(text));
    else assert.throws(() => parseStrict('it', text), { name: 'Refusal' });
  });
}
