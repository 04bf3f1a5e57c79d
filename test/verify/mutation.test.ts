import assert from 'node:assert/strict';
import { sign } from 'node:crypto';
import { before, test } from 'node:test';
import { memoryReader } from '@pangolin/verify/readers/memory';
import type { CheckId, Report } from '@pangolin/verify/report';
import { cosignatureText, formatVkey, NOTE_COSIGNATURE, noteKeyId } from '@pangolin/contracts/note';
import { passed, type Check } from '@pangolin/verify/checks/check';
import { witnesses } from '@pangolin/verify/checks/witnesses';
import { checks, runChecks, verifyBundle } from '@pangolin/verify/verify';
import {
  ed25519,
  forgeKeys,
  logIdOf,
  noteLine,
  ORIGIN,
  p256,
  sealOf,
  trustOf,
  type Files,
  type ForgeKey,
} from './forge.ts';
import { base64FieldMutants, eventMutants, fileMutants, nameMutants, payloadMutants } from './generic-mutants.ts';
import { Harness, type Mutant } from './harness.ts';
import {
  attestationMutants,
  closureMutants,
  formMutants,
  liarMutants,
  logMutants,
  sealMutants,
  transplants,
} from './operator-mutants.ts';
import { tell } from './story.ts';

const keys = forgeKeys();
const trust = trustOf(keys);
const { files } = tell(keys);
let base: Report;

before(async () => {
  base = await verifyBundle(memoryReader(files), trust);
  // Against a broken baseline everything counts as detected.
  assert.equal(base.verdict, 'verified', JSON.stringify(base.checks, null, 1));
});

const classes: readonly [string, number, () => Iterable<Mutant>][] = [
  ['A: a changed file', 1500, () => fileMutants(files)],
  ['A: a changed event', 1500, () => eventMutants(files)],
  ['A: a changed payload', 400, () => payloadMutants(files)],
  ['B: another spelling of base64', 100, () => base64FieldMutants(files)],
  ['C: a log that tells an impossible story, sealed by the operator', 120, () => logMutants(keys, files)],
  ['C: an event of another form, sealed by the operator', 400, () => formMutants(keys, files)],
  ['D: an input that nobody produced, sealed by the operator', 15, () => closureMutants(keys, files)],
  ['E, F, G: a bent seal, proof or checkpoint', 300, () => sealMutants(keys, files)],
  ['E: a bent attestation', 10, () => attestationMutants(keys, files)],
  ['E: a statement that lies, signed and sealed by the operator', 95, () => liarMutants(keys, files)],
  ['L: a file under another name', 400, () => nameMutants(files)],
  ['M: parts of another run', 40, () => transplants(keys, files)],
];

for (const [name, atLeast, mutants] of classes) {
  test(`${name} never verifies as the original`, async (t) => {
    await new Harness(trust, base).tryAll(mutants(), atLeast, t);
  });
}

/** For every check, something that nothing but it notices. Of `anchor`: anchor.test.ts, of `history`: history.test.ts. */
const onlyNoticedBy: Readonly<Record<Exclude<CheckId, 'history' | 'witnesses' | 'anchor'>, () => Mutant>> = {
  structure: () => ({ name: 'a file of no kind', files: new Map(files).set('notes.txt', Buffer.from('x')) }),
  signature: () => {
    const stranger = p256();
    return {
      name: 'signed by nobody, logged by the log',
      files: withSeal({ signer: stranger, keyid: keys.seal.keyid, leafKey: keys.seal }),
    };
  },
  seal: () => ({ name: 'the seal of another run', files, options: { expectRun: 'run-2' } }),
  checkpoint: () => ({
    name: 'a checkpoint that the log did not sign',
    files: withSeal({
      note: (text) => {
        const stranger = ed25519();
        const signature = sign(null, Buffer.from(text), stranger.privateKey);
        return `${text}
${noteLine(ORIGIN, logIdOf(keys.log).subarray(0, 4), signature)}`;
      },
    }),
  }),
  inclusion: () => ({
    name: 'a proof of nothing',
    files: withSeal({ file: (file) => (file.verificationMaterial.tlogEntries[0].inclusionProof.hashes = []) }),
  }),
  rebuild: () => ({
    name: 'a field that no signature covers',
    files: withSeal({ file: (file) => (file.verificationMaterial.tlogEntries[0].logIndex = '5') }),
  }),
  time: () => ({
    name: 'a revoked key',
    files,
    trust: trustOf(keys, (each) => (each.signers[0].revokedAt = '2026-06-01T00:00:00.000Z')),
  }),
  events: () => first(logMutants(keys, files), 'log: one more done'),
  closure: () => {
    const { name, files: whole } = first(closureMutants(keys, files), 'closure: the product of the failed attempt');
    // Without the statements, which repeat the inputs: a bundle may withhold them.
    const bundle = new Map([...whole!].filter(([each]) => !/^(dispatch|provenance|attestations)\//.test(each)));
    return { name, files: bundle };
  },
  blobs: () => {
    const name = [...files.keys()].findLast((each) => each.startsWith('blobs/'))!;
    return { name: 'another product', files: new Map(files).set(name, Buffer.from('evil')) };
  },
  egress: () => {
    const { name, files: whole } = first(liarMutants(keys, files), 'egress: another host let through');
    return { name, files: whole! };
  },
  attestations: () => first(attestationMutants(keys, files), 'attestation: signed over another statement'),
};

function withSeal(bend: Parameters<typeof sealOf>[2]): Files {
  return new Map(files).set('seal.sigstore.json', sealOf(keys, files.get('events.jsonl')!, bend));
}

function first(mutants: Iterable<Mutant>, name: string): Mutant {
  for (const mutant of mutants) if (mutant.name === name) return mutant;
  throw new TypeError(`no mutant is called ${name}`);
}

test('without the check witnesses a bundle that too few have seen would count as witnessed', async () => {
  const [one, two] = [ed25519(), ed25519()];
  const noteKey = (name: string, key: ForgeKey) => ({
    name,
    type: NOTE_COSIGNATURE,
    publicKey: key.spki.subarray(-32),
  });
  const strict = trustOf(keys, (each) => {
    const lines = [['a.example', one] as const, ['b.example', two] as const].map(([name, key]) => `witness ${name} ${formatVkey(noteKey(name, key))}`); // prettier-ignore
    each.witnessPolicy = [...lines, 'group both all a.example b.example', 'quorum both', ''].join('\n');
    each.require = { guarantee: 'witnessed' };
  });
  const cosigned = (text: string): string => {
    const time = Buffer.alloc(8);
    time.writeBigUInt64BE(1_772_400_000n);
    const signature = sign(null, Buffer.from(cosignatureText(1_772_400_000n, text)), one.privateKey);
    return noteLine('a.example', noteKeyId(noteKey('a.example', one)), Buffer.concat([time, signature]));
  };
  const mutant = withSeal({ note: (text, line) => `${text}\n${line}${cosigned(text)}` });
  const judge = (which: readonly Check[]) => runChecks(which, memoryReader(mutant), strict, {});
  const honest = await judge(checks);
  assert.deepEqual([honest.verdict, honest.guarantee, honest.below, honest.cosignatures], ['verified', 'detect', ['guarantee'], 1]); // prettier-ignore
  const believing: Check = {
    ...witnesses,
    run: (context) => {
      context.witnessed = context.cosignatures.size > 0;
      return passed('');
    },
  };
  const escaped = await judge(checks.map((each) => (each.id === 'witnesses' ? believing : each)));
  assert.deepEqual([escaped.verdict, escaped.guarantee, escaped.below], ['verified', 'witnessed', undefined]);
});

for (const [check, make] of Object.entries(onlyNoticedBy)) {
  test(`without the check ${check} something would escape`, async () => {
    const harness = new Harness(trust, base);
    const mutant = make();
    assert.equal((await harness.report(mutant)).checks[check as CheckId].result, false, mutant.name);
    const overruled = await harness.report(mutant, check as CheckId);
    const noticed = Object.entries(overruled.checks).filter(([id, { result }]) => id !== check && result === false);
    assert.deepEqual(noticed, [], `${mutant.name} is noticed elsewhere`);
    assert.equal(overruled.verdict, 'verified', mutant.name);
  });
}
