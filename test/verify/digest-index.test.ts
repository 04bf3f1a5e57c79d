import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { test } from 'node:test';
import fc from 'fast-check';
import { DigestIndex, DigestMap } from '@pangolin/verify/digest-index';

const digest = (of: number): string => createHash('sha256').update(String(of)).digest('hex');

test('an index of digests is a set that knows the order', () => {
  fc.assert(
    fc.property(fc.array(fc.integer({ min: 0, max: 400 }), { maxLength: 900 }), (numbers) => {
      const index = new DigestIndex();
      const model: string[] = [];
      for (const each of numbers.map(digest)) {
        assert.equal(index.add(each), !model.includes(each));
        if (!model.includes(each)) model.push(each);
      }
      assert.equal(index.size, model.length);
      for (let each = 0; each <= 400; each++) assert.equal(index.indexOf(digest(each)), model.indexOf(digest(each)));
    }),
    { numRuns: 30 },
  );
});

test('digests that differ in one bit, and many of them, are told apart', () => {
  const map = new DigestMap<number>();
  const base = Buffer.alloc(32);
  for (let bit = 0; bit < 256; bit++) {
    const bytes = Buffer.from(base);
    bytes[bit >> 3]! ^= 1 << (bit & 7);
    assert.equal(map.add(bytes.toString('hex'), bit), true);
    assert.equal(map.add(bytes.toString('hex'), -1), false);
    assert.equal(map.get(bytes.toString('hex')), bit);
  }
  assert.equal(map.get(base.toString('hex')), undefined);
  assert.equal(map.size, 256);
});
