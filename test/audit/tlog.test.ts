import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { test } from 'node:test';
import fc from 'fast-check';
import {
  append,
  emptyFrontier,
  leafHash,
  rootOf,
  verifyConsistency,
  verifyInclusion,
} from '@pangolin/contracts/merkle';
import {
  consistencyProof,
  encodeEntries,
  inclusionProof,
  tilePath,
  tilesBetween,
  treeRoot,
} from '@pangolin/contracts/tlog';

/** RFC 6962 §2.1 as it is written there, for nothing but comparison. */
const hash = (...parts: Uint8Array[]): Buffer => createHash('sha256').update(Buffer.concat(parts)).digest();
const split = (n: number): number => 2 ** Math.ceil(Math.log2(n) - 1);
function naiveRoot(leaves: readonly Buffer[]): Buffer {
  if (leaves.length === 0) return hash();
  if (leaves.length === 1) return hash(Buffer.of(0), leaves[0]!);
  const k = split(leaves.length);
  return hash(Buffer.of(1), naiveRoot(leaves.slice(0, k)), naiveRoot(leaves.slice(k)));
}
function naivePath(m: number, leaves: readonly Buffer[]): Buffer[] {
  if (leaves.length <= 1) return [];
  const k = split(leaves.length);
  return m < k
    ? [...naivePath(m, leaves.slice(0, k)), naiveRoot(leaves.slice(k))]
    : [...naivePath(m - k, leaves.slice(k)), naiveRoot(leaves.slice(0, k))];
}
function naiveSubproof(m: number, leaves: readonly Buffer[], known: boolean): Buffer[] {
  if (m === leaves.length) return known ? [] : [naiveRoot(leaves)];
  const k = split(leaves.length);
  return m <= k
    ? [...naiveSubproof(m, leaves.slice(0, k), known), naiveRoot(leaves.slice(k))]
    : [...naiveSubproof(m - k, leaves.slice(k), false), naiveRoot(leaves.slice(0, k))];
}

const hashAtOf =
  (leaves: readonly Buffer[]) =>
  (level: number, index: number): Buffer => {
    const range = leaves.slice(index * 2 ** level, (index + 1) * 2 ** level);
    assert.equal(range.length, 2 ** level, 'only complete subtrees are asked for');
    return naiveRoot(range);
  };
const leavesOf = (n: number): Buffer[] => Array.from({ length: n }, (_, at) => Buffer.from(`leaf ${at}`));

/** The eight leaves of the Certificate Transparency reference tests, and the roots of their prefixes. */
const ctLeaves = ['', '00', '10', '2021', '3031', '40414243', '5051525354555657', '606162636465666768696a6b6c6d6e6f'];
const ctRoots = [
  '6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d',
  'fac54203e7cc696cf0dfcb42c92a1d9dbaf70ad9e621f4bd8d98662f00e3c125',
  'aeb6bcfe274b70a14fb067a5e5578264db0fa9b51af5e0ba159158f329e06e77',
  'd37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7',
  '4e3bbb1f7b478dcfe71fb631631519a3bca12c9aefca1612bfce4c13a86264d4',
  '76e67dadbcdf1e10e1b74ddc608abd2f98dfb16fbce75277b5232a127f2087ef',
  'ddb89be403809e325750d3d263cd78929c2942b7942a34b77e122c9594a74c8c',
  '5dc9da79a70659a9ad559cb701ded9a2ab9d823aad2f4960cfe370eff4604328',
];

test('the roots of the Certificate Transparency tree come out, by appending and from stored subtrees', () => {
  const leaves = ctLeaves.map((hex) => Buffer.from(hex, 'hex'));
  let frontier = emptyFrontier;
  assert.equal(rootOf(frontier).toString('hex'), hash().toString('hex'));
  for (const [at, leaf] of leaves.entries()) {
    frontier = append(frontier, leaf);
    assert.equal(rootOf(frontier).toString('hex'), ctRoots[at]);
    assert.equal(treeRoot(at + 1, hashAtOf(leaves)).toString('hex'), ctRoots[at]);
  }
  assert.equal(treeRoot(0, hashAtOf([])).toString('hex'), hash().toString('hex'));
});

/** The proofs that transparency-dev/merkle publishes for that tree (its proof tests; sizes and indices from 0 here). */
const ctHashes = {
  a: '96a296d224f285c67bee93c30f8a309157f0daa35dc5b87e410b78630a09cfc7',
  b: '5f083f0a1a33ca076a95279832580db3e0ef4584bdff1f54c8a360f50de3031e',
  c: '6b47aaf29ee3c2af9af889bc1fb9254dabd31177f16232dd6aab035ca39bf6e4',
  d: 'bc1a0643b12e4d2d7c77918f44e0f4f79a838b6cf9ec5b5c283e1f4d88599e6b',
  e: 'ca854ea128ed050b41b35ffc1b87b8eb2bde461e9e3b5596ece6b9d5975a0ae0',
  f: '0ebc5d3437fbe2db158b9f126a1d118e308181031d0a949f8dededebc558ef6a',
} as const;
const { a, b, c, d, e, f } = ctHashes;
const [one, two, , four] = ctRoots as [string, string, string, string];
const ctInclusion: readonly [number, number, readonly string[]][] = [
  [0, 1, []],
  [0, 8, [a, b, c]],
  [5, 8, [d, e, four]],
  [2, 3, [two]],
  [1, 5, [one, b, d]],
];
const ctConsistency: readonly [number, number, readonly string[]][] = [
  [1, 1, []],
  [1, 8, [a, b, c]],
  [6, 8, [f, e, four]],
  [2, 5, [b, d]],
  [6, 7, [f, 'b08693ec2e721597130641e8211e7eedccb4c26413963eee6c1e2ed16ffb1a5f', four]],
];

test('the published proofs of the Certificate Transparency tree are made and verify', () => {
  const leaves = ctLeaves.map((hex) => Buffer.from(hex, 'hex'));
  const rootAt = (size: number): Buffer => Buffer.from(ctRoots[size - 1]!, 'hex');
  const bytes = (proof: readonly string[]): Buffer[] => proof.map((hash) => Buffer.from(hash, 'hex'));
  for (const [index, size, proof] of ctInclusion) {
    assert.deepEqual(inclusionProof(index, size, hashAtOf(leaves)), bytes(proof), `${index} of ${size}`);
    assert.equal(verifyInclusion(index, size, leafHash(leaves[index]!), bytes(proof), rootAt(size)), true);
  }
  for (const [first, second, proof] of ctConsistency) {
    assert.deepEqual(consistencyProof(first, second, hashAtOf(leaves)), bytes(proof), `${first} to ${second}`);
    assert.equal(verifyConsistency(first, second, bytes(proof), rootAt(first), rootAt(second)), true);
  }
});

/** The ways in which the vectors of transparency-dev/merkle (testdata/inclusion, testdata/consistency) bend these proofs, by their names. */
function bentProofs(
  proof: readonly Buffer[],
  roots: Readonly<Record<string, Buffer>>,
  bit: number,
): Record<string, Buffer[]> {
  const flip = (hash: Buffer): Buffer => Buffer.from(hash.map((byte, at) => (at === 0 ? byte ^ (1 << bit) : byte)));
  const named = Object.entries(roots).flatMap(([name, root]): [string, Buffer[]][] => [
    [`preceding ${name}`, [root, ...proof]],
    [`trailing ${name}`, [...proof, root]],
  ]);
  const whole = proof.length === 0 ? [] : [
    ['empty proof', []],
    ['truncated proof', proof.slice(0, -1)],
    ['removed component', proof.toSpliced(proof.length >> 1, 1)],
    ['preceding proof[0]', [proof[0]!, ...proof]],
  ] as [string, Buffer[]][]; // prettier-ignore
  return Object.fromEntries<Buffer[]>([
    ...named,
    ...whole,
    ['preceding garbage', [Buffer.alloc(0), ...proof]],
    ['trailing garbage', [...proof, Buffer.alloc(0)]],
    ['inserted component', proof.toSpliced(proof.length >> 1, 0, hash(Buffer.of(0)))],
    ...proof.map((each, at): [string, Buffer[]] => [`modified proof[${at}] bit ${bit}`, proof.with(at, flip(each))]),
  ]);
}

test('whatever the published vectors bend about those proofs is refused', (t) => {
  const leaves = ctLeaves.map((hex) => Buffer.from(hex, 'hex'));
  const rootAt = (size: number): Buffer => Buffer.from(ctRoots[size - 1]!, 'hex');
  const wrong = hash(Buffer.from('wrong'));
  let count = 0;
  const refused = (holds: boolean, name: string): void => {
    assert.equal(holds, false, name);
    count++;
  };
  for (const [index, size, hexes] of ctInclusion) {
    const proof = hexes.map((hex) => Buffer.from(hex, 'hex'));
    const [leaf, root] = [leafHash(leaves[index]!), rootAt(size)];
    for (const [name, path] of Object.entries(bentProofs(proof, { root }, 3))) {
      refused(verifyInclusion(index, size, leaf, path, root), `${index} of ${size}: ${name}`);
    }
    const [half, double] = [size / 2, size * 2];
    for (const [name, args] of Object.entries({
      'leafIdx - 1': [index - 1, size, leaf, root],
      'leafIdx + 1': [index + 1, size, leaf, root],
      'leafIdx ^ 2': [index ^ 2, size, leaf, root],
      'treeSize / 2': [index, half, leaf, root],
      'treeSize * 2': [index, double, leaf, root],
      'wrong leaf': [index, size, wrong, root],
      'empty root': [index, size, leaf, hash()],
      'random root': [index, size, leaf, wrong],
    } as Record<string, [number, number, Buffer, Buffer]>)) {
      const [at, of, of1, of2] = args;
      // Half of a tree of one is the tree of none; a path of no hash leads from a leaf to itself in any of those.
      refused(verifyInclusion(at, of, of1, proof, of2), `${index} of ${size}: ${name}`);
    }
  }
  for (const [first, second, hexes] of ctConsistency) {
    const proof = hexes.map((hex) => Buffer.from(hex, 'hex'));
    const [root1, root2] = [rootAt(first), rootAt(second)];
    const what = (name: string): string => `${first} to ${second}: ${name}`;
    for (const [name, path] of Object.entries(bentProofs(proof, { root1, root2 }, 4))) {
      refused(verifyConsistency(first, second, path, root1, root2), what(name));
    }
    const sizes = { 'size1 - 1': [first - 1, second], 'size1 + 1': [first + 1, second], 'size1 ^ 2': [first ^ 2, second], 'size2 * 2': [first, second * 2], 'size2 / 2': [first, second / 2] }; // prettier-ignore
    for (const [name, [from, to]] of Object.entries(sizes)) {
      refused(verifyConsistency(from!, to!, proof, root1, root2), what(name));
    }
    refused(verifyConsistency(first, second, proof, wrong, root2), what('wrong root1'));
    refused(verifyConsistency(first, second, proof, root1, wrong), what('wrong root2'));
    if (first !== second) refused(verifyConsistency(first, second, proof, root2, root1), what('swapped roots'));
  }
  refused(verifyConsistency(0, 1, [], hash(), rootAt(1)), 'the empty tree first');
  t.diagnostic(`${count} proofs`);
});

test('inclusion proofs are those of RFC 6962 for every leaf of every tree up to 40, and verify', () => {
  for (let size = 1; size <= 40; size++) {
    const leaves = leavesOf(size);
    const root = naiveRoot(leaves);
    for (let index = 0; index < size; index++) {
      const proof = inclusionProof(index, size, hashAtOf(leaves));
      assert.deepEqual(proof, naivePath(index, leaves), `${index} of ${size}`);
      assert.equal(verifyInclusion(index, size, leafHash(leaves[index]!), proof, root), true);
    }
  }
});

test('consistency proofs are those of RFC 6962 for every pair of sizes up to 24, and verify', () => {
  for (let second = 1; second <= 24; second++) {
    const leaves = leavesOf(second);
    for (let first = 1; first <= second; first++) {
      const proof = consistencyProof(first, second, hashAtOf(leaves));
      assert.deepEqual(proof, naiveSubproof(first, leaves, true), `${first} to ${second}`);
      const roots = [naiveRoot(leaves.slice(0, first)), naiveRoot(leaves)] as const;
      assert.equal(verifyConsistency(first, second, proof, ...roots), true);
    }
  }
});

test('proofs of anything outside the tree are refused', () => {
  const hashAt = hashAtOf(leavesOf(4));
  for (const [index, size] of [
    [4, 4],
    [-1, 4],
    [0, 0],
    [0.5, 4],
  ] as const) {
    assert.throws(() => inclusionProof(index, size, hashAt), { code: 'INVALID' });
  }
  for (const [first, second] of [
    [0, 4],
    [5, 4],
    [1.5, 4],
  ] as const) {
    assert.throws(() => consistencyProof(first, second, hashAt), { code: 'INVALID' });
  }
});

test('tiles are named as tlog-tiles says', () => {
  assert.equal(tilePath({ level: 0, index: 1_234_067, width: 256 }), 'tile/0/x001/x234/067');
  assert.equal(tilePath({ level: 'entries', index: 0, width: 256 }), 'tile/entries/000');
  assert.equal(tilePath({ level: 1, index: 1000, width: 1 }), 'tile/1/x001/000.p/1');
});

test('a log of 70,000 entries has the tiles of the example in tlog-tiles', () => {
  const tiles = tilesBetween(0, 70_000);
  const hashes = tiles.filter(({ level }) => level !== 'entries');
  assert.equal(hashes.length, 277);
  assert.deepEqual(hashes.filter(({ width, level }) => width < 256 || level !== 0).map(tilePath), [
    'tile/0/273.p/112',
    'tile/1/000',
    'tile/1/001.p/17',
    'tile/2/000.p/1',
  ]);
  assert.equal(tiles.length - hashes.length, 274);
});

test('growing in steps writes every tile that growing at once writes, and none that holds nothing new', () => {
  fc.assert(
    fc.property(fc.array(fc.integer({ min: 1, max: 700 }), { minLength: 1, maxLength: 8 }), (steps) => {
      const written = new Set<string>();
      let size = 0;
      for (const step of steps) {
        for (const tile of tilesBetween(size, size + step)) {
          assert.ok(!written.has(tilePath(tile)), `${tilePath(tile)} twice`);
          written.add(tilePath(tile));
        }
        size += step;
      }
      for (const tile of tilesBetween(0, size)) assert.ok(written.has(tilePath(tile)), tilePath(tile));
      assert.deepEqual(tilesBetween(size, size), []);
    }),
    { numRuns: 200 },
  );
});

test('an entry bundle has each entry after its length', () => {
  assert.deepEqual(
    encodeEntries([Buffer.from('ab'), Buffer.alloc(300, 1)]).subarray(0, 8),
    Buffer.from('\0\x02ab\x01\x2c\x01\x01'),
  );
  assert.throws(() => encodeEntries([Buffer.alloc(65_536)]), { code: 'TOO_LARGE' });
});
