/** Classes C to G and M: forgeries by somebody who holds keys, so that no digest or signature is simply wrong. */
import { createHash, sign } from 'node:crypto';
import { pae } from '@pangolin/contracts/dsse';
import type { Failure } from '@pangolin/verify/report';
import {
  attestation,
  auditPath,
  eventsOf,
  jcs,
  leafFor,
  logIdOf,
  mth,
  noteLine,
  ORIGIN,
  p256,
  ed25519,
  renumber,
  resealed,
  sealOf,
  sha,
  signDsse,
  signNote,
  splitLines,
  type Files,
  type ForgeKey,
  type ForgeKeys,
  type Json,
  type SealBend,
} from './forge.ts';
import { classesOf, sample } from './generic-mutants.ts';
import type { Mutant } from './harness.ts';
import { jsonMutants } from './json-mutants.ts';
import { tell } from './story.ts';

const b64 = (bytes: Uint8Array): string => Buffer.from(bytes).toString('base64');
const set = (digest: string) => ({ sha256: digest });

const authz = (verdict: string): Json => ({ verdict, principal: 'human:alice', policy: set(sha('policy')) });

/** Class C: the log changed and sealed again. */
export function* logMutants(keys: ForgeKeys, files: Files): Generator<Mutant> {
  const count = eventsOf(files).length;
  const make = (name: string, change: (events: Json[]) => Json[] | void, failure: Failure = 'events'): Mutant => {
    return { name: `log: ${name}`, files: resealed(keys, files, change), failure: [failure] };
  };
  const at = (events: Json[], kind: string, itemId?: string): Json =>
    events.find((event) => event.kind === kind && (itemId === undefined || event.itemId === itemId))!;
  const place = (events: Json[], kind: string, itemId?: string): number => events.indexOf(at(events, kind, itemId));

  for (let index = 0; index < count; index++) {
    yield make(`event ${index} dropped`, (events) => renumber(events.toSpliced(index, 1)));
    yield make(`event ${index} dropped, not numbered again`, (events) => events.toSpliced(index, 1));
    yield make(`event ${index} twice`, (events) =>
      renumber(events.toSpliced(index, 0, structuredClone(events[index]))),
    );
    if (index > 0) {
      yield make(`truncated to ${index}`, (events) => events.slice(0, index));
      yield make(`seq of ${index} not contiguous`, (events) => void (events[index].seq += 1));
      yield make(`event ${index} of another run`, (events) => void (events[index].runId = 'run-2'));
      yield make(
        `event ${index} earlier than the one before`,
        (events) => void (events[index].at = '2026-03-01T09:00:00.000Z'),
      );
      yield make(`event ${index} at no real time`, (events) => void (events[index].at = '2026-02-30T10:00:00.000Z'));
      yield make(`event ${index} by nobody`, (events) => void (events[index].actor = 'alice'));
    }
  }
  for (const [name, body] of Object.entries<Json>({
    'a second completion': {
      kind: 'run.completed',
      status: 'failed',
      counts: { done: 2, failed: 1, skipped: 1, cancelled: 0, denied: 0 },
    },
    'an event after the completion': { kind: 'run.cancelled', reason: 'Cancelled', comment: 'late' },
  })) {
    yield make(name, (events) => renumber([...events, { ...body, runId: 'run-1', actor: 'service:controller' }]));
  }
  yield make('fired twice', (events) => {
    const fired = at(events, 'item.fired', 'lint');
    return renumber(events.toSpliced(place(events, 'item.fired', 'lint'), 0, { ...fired, attempt: 2 }));
  });
  yield make('fired after it was done', (events) => {
    const again = { ...at(events, 'item.fired', 'edit'), attempt: 3, dispatch: set(sha('x')) };
    return renumber(events.toSpliced(-1, 0, again));
  });
  yield make('fired before its dependency was done', (events) => {
    const fired = at(events, 'item.fired', 'apply');
    fired.inputs = {};
    const rest = events.filter((event) => event !== fired);
    return renumber(rest.toSpliced(1, 0, fired));
  });
  yield make('an item that was never declared', (events) => {
    at(events, 'item.skipped').itemId = 'smuggled';
  });
  yield make('an undeclared item besides', (events) => {
    events.at(-1).counts.denied = 1;
    return renumber(
      events.toSpliced(-1, 0, {
        kind: 'item.denied',
        itemId: 'smuggled',
        attempt: 0,
        reason: 'SandboxUnsupported',
        runId: 'run-1',
        actor: 'service:controller',
      }),
    );
  });
  yield make('a declared item without an outcome', (events) => {
    events.at(-1).counts.skipped = 0;
    return renumber(events.filter((event) => event.kind !== 'item.skipped'));
  });
  yield make('fired after the run was cancelled', (events) => {
    events.at(-1).status = 'cancelled';
    return renumber(
      events.toSpliced(1, 0, { kind: 'run.cancelled', reason: 'Cancelled', runId: 'run-1', actor: 'human:alice' }),
    );
  });
  const pauses = { 'while the run was paused': {}, 'while its queue was paused': { queue: 'default' } };
  for (const [when, pause] of Object.entries(pauses)) {
    yield make(`fired ${when}`, (events) =>
      renumber(events.toSpliced(1, 0, { kind: 'run.paused', ...pause, runId: 'run-1', actor: 'human:alice' })),
    );
  }
  yield make(
    'reconciled after nothing was fired',
    (events) => void (at(events, 'item.reconciled', 'lint').attempt = 2),
  );
  yield make('retried after it was done', (events) => {
    const done = events.findLastIndex((event) => event.kind === 'item.reconciled' && event.itemId === 'edit');
    return renumber(events.toSpliced(done + 1, 0, { ...at(events, 'item.retried'), attempt: 2 }));
  });
  yield make(
    'skipped for a reason that skips nothing',
    (events) => void (at(events, 'item.skipped').reason = 'TimedOut'),
  );
  yield make('skipped though no dependency failed', (events) => {
    const skipped = at(events, 'item.skipped');
    return renumber([events[0], skipped, ...events.slice(1).filter((event) => event !== skipped)]);
  });
  for (const [name, cause] of Object.entries({ 'by an item that had not ended': { cause: 'edit' }, 'by nobody': {} })) {
    yield make(`an extension ${name}`, (events) => {
      const extended = {
        kind: 'run.extended',
        ...cause,
        items: set(sha('x')),
        runId: 'run-1',
        actor: 'pattern:default',
      };
      return renumber(events.toSpliced(1, 0, extended));
    });
  }
  const edits: [string, (events: Json[]) => void][] = [
    ['fired though a policy denied it', (events) => (at(events, 'item.fired').authz = authz('deny'))],
    ['allowed by nobody', (events) => (at(events, 'item.fired').authz = { ...authz('allow'), principal: 'alice' })],
    ['allowed by no policy', (events) => (at(events, 'item.fired').authz = { ...authz('allow'), policy: {} })],
    ['allowed in words', (events) => (at(events, 'item.fired').authz = { ...authz('allow'), why: 'ok' })],
    ['skipped by a policy', (events) => (at(events, 'item.skipped').authz = authz('deny'))],
    ['a retry for another reason', (events) => (at(events, 'item.retried').reason = 'TimedOut')],
    ['a retry of another attempt', (events) => (at(events, 'item.retried').attempt = 2)],
    ['an unknown reason', (events) => (at(events, 'item.retried').reason = 'Because')],
    ['attempt 2 fired first', (events) => (at(events, 'item.fired', 'lint').attempt = 2)],
    ['attempt 0', (events) => (at(events, 'item.fired', 'lint').attempt = 0)],
    ['done without success', (events) => (events.findLast((event) => event.status === 'done').reason = 'TimedOut')],
    ['failed with success', (events) => (at(events, 'item.reconciled', 'lint').reason = 'Succeeded')],
    ['cancelled for a timeout', (events) => (at(events, 'item.reconciled', 'lint').status = 'cancelled')],
    ['partial and done', (events) => (events.findLast((event) => event.status === 'done').partial = true)],
    ['products without provenance', (events) => void delete at(events, 'item.reconciled', 'edit').provenance],
    ['provenance without products', (events) => (at(events, 'item.reconciled', 'lint').provenance = set(sha('x')))],
    ['products without a result', (events) => void delete at(events, 'item.reconciled', 'edit').result],
    [
      'a dispatch used twice',
      (events) => (at(events, 'item.fired', 'lint').dispatch = at(events, 'item.fired', 'edit').dispatch),
    ],
    [
      'an output called ../patch',
      (events) => (at(events, 'item.reconciled', 'apply').outputs = { 'outputs/../patch': set(sha('x')) }),
    ],
    ['an origin that is not the seal\u2019s', (events) => (events[0].logOrigin = 'other.example')],
    ['a start after the end of the log', (events) => (events[0].after.size = 99)],
    ['an empty log before it', (events) => (events[0].after.size = 0)],
    ['another schema', (events) => (events[0].schema = 'run-log/2')],
    ['one more done', (events) => (events.at(-1).counts.done += 1)],
    ['one fewer failed', (events) => (events.at(-1).counts.failed -= 1)],
    ['succeeded after all', (events) => (events.at(-1).status = 'succeeded')],
    ['cancelled by nobody', (events) => (events.at(-1).status = 'cancelled')],
  ];
  for (const [name, edit] of edits) yield make(name, (events) => void edit(events));
  for (const [field, value] of Object.entries({
    status: 'succeeded',
    submittedAt: '2026-03-01T09:00:00.000Z',
    completedAt: '2026-03-01T11:00:00.000Z',
    runId: 'run-9',
  })) {
    const bend: SealBend = { statement: (statement) => (statement.predicate[field] = value) };
    yield {
      name: `seal: another ${field} than the log`,
      files: resealed(keys, files, () => {}, bend),
      failure: ['events'],
    };
  }
  const tree: [string, (predicate: Json) => void][] = [
    ['another root', (predicate) => (predicate.tree.root = sha('x'))],
    ['another size', (predicate) => (predicate.tree.size += 1)],
    ['another head', (predicate) => (predicate.heads[0].root = sha('x'))],
    ['a head beyond the log', (predicate) => (predicate.heads[0].size = 99)],
    ['heads out of order', (predicate) => predicate.heads.push(predicate.heads[0])],
  ];
  for (const [name, edit] of tree) {
    yield {
      name: `seal: ${name}`,
      files: resealed(keys, files, () => {}, { statement: ({ predicate }) => edit(predicate) }),
      failure: ['events'],
    };
  }
}

/** Every event with every field wrong in its form, validly sealed: the shapes have to say no. */
export function* formMutants(keys: ForgeKeys, files: Files): Generator<Mutant> {
  const optional = new Set(['submission', 'after', 'result', 'partial', 'provenance', 'egress']);
  for (const [at, event] of eventsOf(files).entries()) {
    const make = (name: string, change: (event: Json) => void): Mutant => ({
      name: `event ${at}, sealed: ${name}`,
      files: resealed(keys, files, (events) => void change(events[at])),
      failure: ['events'],
    });
    for (const key of Object.keys(event)) {
      if (!optional.has(key)) yield make(`no ${key}`, (each) => void delete each[key]);
      for (const value of [null, true, [], { x: 1 }, -1, 1.5]) {
        if (key !== 'partial' || value !== true)
          yield make(`${key} is ${JSON.stringify(value)}`, (each) => (each[key] = value));
      }
    }
    for (const key of ['x', 'authz', 'constructor']) yield make(`has ${key}`, (each) => (each[key] = 'x'));
  }
}

/** Class D. */
export function* closureMutants(keys: ForgeKeys, files: Files): Generator<Mutant> {
  const make = (name: string, change: (events: Json[]) => Json[] | void): Mutant => ({
    name: `closure: ${name}`,
    files: resealed(keys, files, change),
    failure: ['closure'],
  });
  const fired = (events: Json[], itemId: string): Json =>
    events.findLast((event) => event.kind === 'item.fired' && event.itemId === itemId)!;
  const reconciled = (events: Json[], itemId: string): Json[] =>
    events.filter((event) => event.kind === 'item.reconciled' && event.itemId === itemId);
  const patch = (events: Json[]): Json => fired(events, 'apply').inputs.patch;
  const edits: [string, (events: Json[]) => void][] = [
    ['a digest of nobody', (events) => (patch(events).sha256 = sha('nobody'))],
    ['a product of another run', (events) => (patch(events).sha256 = sha('diff of run-2\n'))],
    ['the digest of no bytes', (events) => (patch(events).sha256 = sha(''))],
    ['right digest, wrong producer', (events) => (patch(events).from.itemId = 'lint')],
    ['right digest, producer that is not there', (events) => (patch(events).from.itemId = 'ghost')],
    ['right digest, the consumer itself', (events) => (patch(events).from.itemId = 'apply')],
    ['right producer, wrong output', (events) => (patch(events).from.output = 'outputs/notes/a.txt')],
    ['right producer, output that is not there', (events) => (patch(events).from.output = 'outputs/patch')],
    [
      'outputs swapped',
      (events) => {
        const { inputs } = fired(events, 'apply');
        [inputs.patch, inputs.notes] = [inputs.notes, inputs.patch];
      },
    ],
    [
      'the product of the failed attempt',
      (events) => (patch(events).sha256 = reconciled(events, 'edit')[0]!.outputs.patch.sha256),
    ],
    ['an input that the plan does not have', (events) => (fired(events, 'apply').inputs.extra = patch(events))],
    ['an input less than the plan has', (events) => void delete fired(events, 'apply').inputs.notes],
    ['a product said to be submitted', (events) => (patch(events).from = 'submission')],
    ['another submitted product', (events) => (fired(events, 'edit').inputs.seed.sha256 = sha('other'))],
    [
      'a submitted product said to be produced',
      (events) => (fired(events, 'edit').inputs.seed.from = { itemId: 'lint', output: 'patch' }),
    ],
    [
      'right digest, a producer later than the consumer',
      (events) => {
        const output = 'outputs/result.bin';
        const { sha256 } = reconciled(events, 'apply')[0]!.outputs[output];
        fired(events, 'edit').inputs.seed = { sha256, from: { itemId: 'apply', output } };
      },
    ],
    [
      'prototype as an output',
      (events) => (reconciled(events, 'edit')[1]!.outputs = { 'outputs/notes/b.txt': set(sha('x')) }),
    ],
  ];
  for (const [name, edit] of edits) yield make(name, (events) => void edit(events));
}

/** Classes E, F and G on the seal: each is one way to bend it with the rest consistent. */
export function* sealMutants(keys: ForgeKeys, files: Files): Generator<Mutant> {
  const log = files.get('events.jsonl')!;
  const stranger = p256();
  const make = (name: string, failure: readonly Failure[], bend: SealBend): Mutant => ({
    name: `seal: ${name}`,
    files: new Map(files).set('seal.sigstore.json', sealOf(keys, log, bend)),
    failure,
  });
  const signed = (key: ForgeKey, bytes: Uint8Array): Buffer => sign('sha256', bytes, key.privateKey);
  yield { ...make('signed by a stranger', [], { signer: stranger }), strange: true };
  yield make('signed by a stranger, logged under no key', ['signature'], {
    signer: stranger,
    file: (file) => (file.verificationMaterial.tlogEntries[0].canonicalizedBody = b64(Buffer.from('{}'))),
  });
  yield make('signed by a stranger under another hint', ['signature'], {
    signer: stranger,
    file: (file) => (file.verificationMaterial.publicKey.hint = keys.seal.keyid),
  });
  yield make('signed by a stranger under the trusted key id', ['signature'], {
    signer: stranger,
    keyid: keys.seal.keyid,
  });
  yield make('signed by a stranger, logged under the trusted key', ['signature'], {
    signer: stranger,
    keyid: keys.seal.keyid,
    leafKey: keys.seal,
  });
  yield make('signed with the key that attests', ['signature'], { signer: keys.attest });
  yield make('signed over the payload, not the PAE', ['signature'], {
    signature: (payload) => signed(keys.seal, payload),
  });
  yield make('signed over the digest of the PAE', ['signature'], {
    signature: (payload) => signed(keys.seal, createHash('sha256').update(pae(payload)).digest()),
  });
  yield make('signed as another payload type', ['signature'], {
    signature: (payload) => signed(keys.seal, pae(payload, 'application/json')),
  });
  yield make('signed as a type of other byte length', ['signature'], {
    signature: (payload) => signed(keys.seal, pae(payload, 'application/vnd.in-toto+jsön')),
  });
  for (const [name, bytes] of Object.entries({
    empty: Buffer.alloc(0),
    zero: Buffer.from('3006020100020100', 'hex'),
    'r and s one': Buffer.from('3006020101020101', 'hex'),
    P1363: Buffer.alloc(64, 7),
    long: Buffer.alloc(5000, 1),
  })) {
    yield make(`signature ${name}`, ['signature'], { signature: () => bytes });
  }
  yield make('signature with a byte behind it', ['signature'], {
    signature: (payload) => Buffer.concat([signDsse(keys.seal, payload), Buffer.of(0)]),
  });
  yield make('signature with a long length', ['signature'], {
    signature: (payload) => {
      const der = signDsse(keys.seal, payload);
      return Buffer.concat([Buffer.of(0x30, 0x81, der[1]!), der.subarray(2)]);
    },
  });
  const files2: [string, readonly Failure[], (file: Json) => void][] = [
    [
      'the other signature of the two',
      ['signature', 'inclusion'],
      (file) =>
        (file.dsseEnvelope.signatures[0].sig = b64(
          highS(Buffer.from(file.dsseEnvelope.signatures[0].sig as string, 'base64')),
        )),
    ],
    ['no signature', ['structure'], (file) => (file.dsseEnvelope.signatures = [])],
    ['two signatures', ['structure'], (file) => file.dsseEnvelope.signatures.push(file.dsseEnvelope.signatures[0])],
    ['a null signature', ['structure'], (file) => (file.dsseEnvelope.signatures = [null])],
    ['an empty key id', ['signature'], (file) => (file.dsseEnvelope.signatures[0].keyid = '')],
    ['the key id of another key', ['signature'], (file) => (file.dsseEnvelope.signatures[0].keyid = keys.attest.keyid)],
    [
      'the hint of another key',
      ['structure'],
      (file) => (file.verificationMaterial.publicKey.hint = keys.attest.keyid),
    ],
    ['payload type application/json', ['structure'], (file) => (file.dsseEnvelope.payloadType = 'application/json')],
    ['no log entry', ['structure'], (file) => (file.verificationMaterial.tlogEntries = [])],
    [
      'two log entries',
      ['structure'],
      (file) => file.verificationMaterial.tlogEntries.push(file.verificationMaterial.tlogEntries[0]),
    ],
    ['an integrated time', ['structure'], (file) => (file.verificationMaterial.tlogEntries[0].integratedTime = '1')],
    [
      'a time stamp',
      ['time'],
      (file) =>
        (file.verificationMaterial.timestampVerificationData = { rfc3161Timestamps: [{ signedTimestamp: 'MAA=' }] }),
    ],
    [
      'an empty list of time stamps',
      ['structure'],
      (file) => (file.verificationMaterial.timestampVerificationData = { rfc3161Timestamps: [] }),
    ],
    ['a certificate', ['structure'], (file) => (file.verificationMaterial.certificate = { rawBytes: 'AA==' })],
  ];
  for (const [name, failure, file] of files2) yield make(name, failure, { file });
  yield* statementMutants(make);
  yield* proofMutants(keys, make);
  yield* checkpointMutants(keys, make);
  yield* stateMutants(keys, files, make);
}

type Make = (name: string, failure: readonly Failure[], bend: SealBend) => Mutant;

/** Validly signed and logged, and not a seal of this run. */
function* statementMutants(make: Make): Generator<Mutant> {
  const edits: [string, (statement: Json) => void][] = [
    ['another statement type', (statement) => (statement._type = 'https://in-toto.io/Statement/v0.1')],
    ['a provenance', (statement) => (statement.predicateType = 'https://slsa.dev/provenance/v1')],
    ['a dispatch', (statement) => (statement.predicateType = 'https://pangolin.dev/attestation/dispatch/v1')],
    ['no subject', (statement) => (statement.subject = [])],
    ['two subjects', (statement) => statement.subject.push(statement.subject[0])],
    ['another subject name', (statement) => (statement.subject[0].name = 'events.json')],
    ['another hash', (statement) => (statement.subject[0].digest = { sha512: statement.subject[0].digest.sha256 })],
    ['another deployment', (statement) => (statement.predicate.logOrigin = 'other.example')],
    ['another tree', (statement) => (statement.predicate.tree.hash = 'sha256')],
    ['a field besides', (statement) => (statement.predicate.note = 'x')],
    ['no expectations', (statement) => void delete statement.predicate.expects],
    ['null heads', (statement) => (statement.predicate.heads = null)],
  ];
  for (const [name, statement] of edits) yield make(`${name}, signed`, ['seal'], { statement });
  const payloads: [string, (bytes: Buffer) => Buffer][] = [
    ['white space', (bytes) => Buffer.from(JSON.stringify(JSON.parse(bytes.toString()), null, 1))],
    ['not JSON', () => Buffer.from('seal')],
    ['a list', () => Buffer.from('[]')],
    ['not UTF-8', () => Buffer.from([0xff, 0xfe])],
    ['nothing', () => Buffer.alloc(0)],
    ['a duplicate key', (bytes) => Buffer.from(bytes.toString().replace('{"_type"', '{"_type":"x","_type"'))],
    ['deep', () => Buffer.from('['.repeat(50_000) + ']'.repeat(50_000))],
  ];
  for (const [name, payload] of payloads) yield make(`payload ${name}, signed`, ['seal'], { payload });
  for (const { name, text } of jsonMutants('{"attestations":"signed","heads":[]}')) {
    yield make(`statement is ${name}`, ['seal'], { payload: () => Buffer.from(text) });
  }
}

/** Class F. */
function* proofMutants(keys: ForgeKeys, make: Make): Generator<Mutant> {
  const proof = (edit: (proof: Json, entry: Json) => void): SealBend => ({
    file: (file) => {
      const entry = file.verificationMaterial.tlogEntries[0];
      edit(entry.inclusionProof, entry);
    },
  });
  const zero = b64(Buffer.alloc(32));
  for (let at = 0; at < 3; at++) {
    yield make(
      `proof: hash ${at} zero`,
      ['inclusion'],
      proof((each) => (each.hashes[at] = zero)),
    );
    yield make(
      `proof: hash ${at} missing`,
      ['inclusion'],
      proof((each) => each.hashes.splice(at, 1)),
    );
    yield make(
      `proof: hash ${at} twice`,
      ['inclusion'],
      proof((each) => each.hashes.splice(at, 0, each.hashes[at])),
    );
    yield make(
      `proof: hash ${at} swapped`,
      ['inclusion'],
      proof((each) => ([each.hashes[at], each.hashes[(at + 1) % 3]] = [each.hashes[(at + 1) % 3], each.hashes[at]])),
    );
  }
  yield make(
    'proof: empty',
    ['inclusion'],
    proof((each) => (each.hashes = [])),
  );
  yield make(
    'proof: a hash too many',
    ['inclusion'],
    proof((each) => each.hashes.push(zero)),
  );
  yield make(
    'proof: a hash too short',
    ['structure'],
    proof((each) => (each.hashes[0] = b64(Buffer.alloc(31)))),
  );
  for (const index of [
    '0',
    '1',
    '3',
    '5',
    '6',
    '7',
    '99',
    '9007199254740992',
    '9007199254740991',
    '-1',
    '04',
    '4.0',
    '',
    '\uff14',
  ]) {
    yield make(
      `proof: index ${index}`,
      ['structure', 'inclusion'],
      proof((each) => (each.logIndex = index)),
    );
    yield make(
      `entry: index ${index}`,
      ['structure'],
      proof((_, entry) => (entry.logIndex = index)),
    );
    yield make(
      `both indices ${index}`,
      ['structure', 'inclusion'],
      proof((each, entry) => (each.logIndex = entry.logIndex = index)),
    );
  }
  for (const size of ['0', '6', '8', '07', '9007199254740993'])
    yield make(
      `proof: size ${size}`,
      ['structure'],
      proof((each) => (each.treeSize = size)),
    );
  yield make(
    'proof: another root',
    ['structure'],
    proof((each) => (each.rootHash = zero)),
  );
  yield make(
    'entry: another log',
    ['structure'],
    proof((_, entry) => (entry.logId.keyId = zero)),
  );
  yield make(
    'entry: another kind',
    ['structure'],
    proof((_, entry) => (entry.kindVersion.kind = 'dsse')),
  );
  yield make(
    'entry: another version',
    ['structure'],
    proof((_, entry) => (entry.kindVersion.version = '0.0.1')),
  );
  yield make(
    'entry: another body',
    ['structure'],
    proof((_, entry) => (entry.canonicalizedBody = b64(Buffer.from('{}')))),
  );
  yield make('the leaf of another entry', ['inclusion'], { leaf: () => Buffer.from('another entry') });
  yield make('the leaf under another key', ['inclusion'], { leafKey: keys.attest });
  // A node offered as a leaf: its preimage starts with 0x01 and not with 0x00.
  yield make('a node for a leaf', ['inclusion'], {
    leaf: (leaf) => createHash('sha256').update(Buffer.of(1)).update(leaf).digest(),
  });
  for (const size of [1, 2, 3, 4, 5, 8, 9]) {
    yield make(`proof against a log of ${size}`, ['inclusion'], {
      logSize: 7,
      checkpointText: () =>
        `${ORIGIN}\n${size}\n${b64(mth(Array.from({ length: size }, (_, at) => Buffer.from(`entry ${at}`))))}\n`,
    });
  }
}

/** Class G, validly signed by the log where the text is the point. */
function* checkpointMutants(keys: ForgeKeys, make: Make): Generator<Mutant> {
  // A proof may fit trees of several sizes; then the size beside it in the file gives the checkpoint away.
  const text = (name: string, edit: (text: string) => string): Mutant =>
    make(`checkpoint: ${name}`, ['checkpoint', 'inclusion', 'structure'], { checkpointText: edit });
  for (const size of [
    '07',
    '+7',
    '7e0',
    '7.0',
    ' 7',
    '7 ',
    '\uff17',
    '-7',
    '',
    '9007199254740993',
    '0',
    '8',
    '6',
    '0x7',
  ]) {
    yield text(`size ${JSON.stringify(size)}`, (each) => each.replace('\n7\n', `\n${size}\n`));
  }
  yield text('an extension line', (each) => `${each}extension\n`);
  yield text('a blank line within', (each) => each.replace('\n7\n', '\n\n7\n'));
  yield text('carriage returns', (each) => each.replaceAll('\n', '\r\n'));
  yield text('another origin', (each) => each.replace(ORIGIN, 'other.example'));
  yield text('an origin in capitals', (each) => each.replace(ORIGIN, ORIGIN.toUpperCase()));
  yield text('an origin with a space', (each) => each.replace(ORIGIN, `${ORIGIN} x`));
  yield text('no origin', (each) => each.replace(ORIGIN, ''));
  yield text('no root', (each) => `${each.split('\n').slice(0, 2).join('\n')}\n`);
  yield text('a short root', (each) => each.replace(/[^\n]+\n$/, 'AAAA\n'));
  yield text('a root without padding', (each) => each.replace('=\n', '\n'));
  yield text('no line feed at its end', (each) => each.slice(0, -1));
  const note = (name: string, edit: (text: string, line: string) => string): Mutant =>
    make(`note: ${name}`, ['checkpoint'], { note: edit });
  const stranger = ed25519();
  yield note('no signature', (body) => `${body}\n`);
  yield note('only the text', (body) => body);
  yield note('the signature twice', (body, line) => `${body}\n${line}${line}`);
  yield note(
    'an unknown signature before',
    (body, line) => `${body}\n${signNote(stranger, body, 'witness.example')}${line}`,
  );
  yield note(
    'an unknown signature after',
    (body, line) => `${body}\n${line}${signNote(stranger, body, 'witness.example')}`,
  );
  yield note('only an unknown signature', (body) => `${body}\n${signNote(stranger, body, 'witness.example')}`);
  yield note('a stranger under the name of the log', (body) => `${body}\n${signNote(stranger, body)}`);
  yield note(
    'a stranger under the key id of the log',
    (body) =>
      `${body}\n${noteLine(ORIGIN, logIdOf(keys.log).subarray(0, 4), sign(null, Buffer.from(body), stranger.privateKey))}`,
  );
  yield note('another name for the key', (body, line) => `${body}\n${line.replace(ORIGIN, 'other.example')}`);
  yield note('a hyphen for the dash', (body, line) => `${body}\n${line.replace('\u2014', '-')}`);
  yield note('seventeen signatures', (body, line) => `${body}\n${line.repeat(17)}`);
  yield note('no line feed at its end', (body, line) => `${body}\n${line.slice(0, -1)}`);
  yield note('a line feed more', (body, line) => `${body}\n${line}\n`);
  yield note('no blank line', (body, line) => `${body}${line}`);
  yield note('two blank lines', (body, line) => `${body}\n\n${line}`);
  yield note('a signature over other text', (body) => `${body}\n${signNote(keys.log, `${body}x`)}`);
  yield note('S plus the order', (body, line) => `${body}\n${plusOrder(line)}`);
  yield note(
    'signed by the key that seals',
    (body) =>
      `${body}\n${noteLine(ORIGIN, logIdOf(keys.log).subarray(0, 4), sign('sha256', Buffer.from(body), keys.seal.privateKey))}`,
  );
  const honest = (body: string, line: string): string => `${body}\n${line}`;
  for (let at = 0; at < 190; at++) {
    yield note(`character ${at}`, (body, line) => {
      const whole = honest(body, line);
      const instead = whole[at] === 'A' ? 'B' : 'A';
      return at < whole.length ? whole.slice(0, at) + instead + whole.slice(at + 1) : `${whole}A`;
    });
  }
}

const ORDER_25519 = 2n ** 252n + 27742317777372353535851937790883648493n;

/** Ed25519 with S + L: the same equation, another encoding. */
function plusOrder(line: string): string {
  const [, name, encoded] = /^\u2014 (\S+) (\S+)\n$/.exec(line)!;
  const bytes = Buffer.from(encoded!, 'base64');
  const s = BigInt(`0x${Buffer.from(bytes.subarray(36)).reverse().toString('hex')}`) + ORDER_25519;
  const grown = Buffer.from(s.toString(16).padStart(64, '0'), 'hex').reverse();
  return noteLine(name!, bytes.subarray(0, 4), Buffer.concat([bytes.subarray(4, 36), grown]));
}

const ORDER_P256 = 0xffffffff00000000ffffffffffffffffbce6faada7179e84f3b9cac2fc632551n;

/** (r, n - s) of a signature (r, s) in DER. */
function highS(der: Buffer): Buffer {
  const rEnd = 4 + der[3]!;
  const s = ORDER_P256 - BigInt(`0x${der.subarray(rEnd + 2).toString('hex')}`);
  let hex = s.toString(16).padStart(64, '0');
  if (Number.parseInt(hex.slice(0, 2), 16) >= 0x80) hex = `00${hex}`;
  const body = Buffer.concat([der.subarray(2, rEnd), Buffer.of(2, hex.length / 2), Buffer.from(hex, 'hex')]);
  return Buffer.concat([Buffer.of(0x30, body.length), body]);
}

/** A seal that was honest for another log or another state. */
function* stateMutants(keys: ForgeKeys, files: Files, make: Make): Generator<Mutant> {
  yield make('by the key of another log', ['checkpoint'], { logKey: ed25519() });
  const lines = splitLines(files.get('events.jsonl')!);
  yield {
    name: 'the log under the seal of its own beginning',
    files: new Map(files).set(
      'seal.sigstore.json',
      sealOf(keys, Buffer.concat(lines.slice(0, 6).flatMap((line) => [line, Buffer.from('\n')])), {
        statement: ({ predicate }) => (predicate.status = 'failed'),
      }),
    ),
    failure: ['events'],
  };
  const leaf = leafFor(Buffer.from('x'), Buffer.from('y'), keys.seal);
  yield make('a proof of another entry', ['inclusion'], {
    file: (file) => {
      const leaves = [leaf, ...Array.from({ length: 6 }, (_, at) => Buffer.from(`entry ${at}`))];
      file.verificationMaterial.tlogEntries[0].inclusionProof.hashes = auditPath(0, leaves).map(b64);
    },
  });
}

/** Class E on an attestation, and what an operator could put into statements. */
export function* attestationMutants(keys: ForgeKeys, files: Files): Generator<Mutant> {
  const name = sample(files).find((each) => each.startsWith('attestations/'))!;
  const original = JSON.parse(files.get(name)!.toString()) as Json;
  const payload = Buffer.from(original.dsseEnvelope.payload as string, 'base64');
  const stranger = p256();
  const edits: [string, (file: Json) => void][] = [
    ['signed by a stranger', (file) => (file.dsseEnvelope.signatures[0].sig = b64(signDsse(stranger, payload)))],
    [
      'signed over another statement',
      (file) => (file.dsseEnvelope.signatures[0].sig = b64(signDsse(keys.attest, Buffer.from('{}')))),
    ],
    [
      'signed with the key that seals',
      (file) => {
        file.dsseEnvelope.signatures[0] = { keyid: keys.seal.keyid, sig: b64(signDsse(keys.seal, payload)) };
        file.verificationMaterial.publicKey.hint = keys.seal.keyid;
      },
    ],
    [
      'the other signature of the two',
      (file) =>
        (file.dsseEnvelope.signatures[0].sig = b64(
          highS(Buffer.from(file.dsseEnvelope.signatures[0].sig as string, 'base64')),
        )),
    ],
    [
      'another statement, validly signed',
      (file) => {
        const other = Buffer.from(payload.toString().replace('run-1', 'run-7'));
        file.dsseEnvelope.payload = b64(other);
        file.dsseEnvelope.signatures[0].sig = b64(signDsse(keys.attest, other));
      },
    ],
    ['a log entry', (file) => file.verificationMaterial.tlogEntries.push({})],
    [
      'a time stamp',
      (file) =>
        (file.verificationMaterial.timestampVerificationData = { rfc3161Timestamps: [{ signedTimestamp: 'MAA=' }] }),
    ],
    ['another hint', (file) => (file.verificationMaterial.publicKey.hint = keys.seal.keyid)],
  ];
  for (const [what, edit] of edits) {
    const copy = structuredClone(original);
    edit(copy);
    yield { name: `attestation: ${what}`, files: new Map(files).set(name, jcs(copy)), failure: ['attestation'] };
  }
  const strange = attestation(stranger, payload);
  yield { name: 'attestation: of a stranger', files: new Map(files).set(name, jcs(strange)), strange: true };
  const without = new Map([...files].filter(([each]) => !each.startsWith('attestations/')));
  yield { name: 'every attestation removed', files: without, failure: ['attestation'] };
  const bend: SealBend = { statement: ({ predicate }) => (predicate.attestations = 'none') };
  yield {
    name: 'attestations that the seal denies',
    files: resealed(keys, files, () => {}, bend),
    failure: ['attestation'],
  };
}

/** Materials of `apply` before its inputs: its pipeline and what it pins. */
const PINS = 6;

/** What `apply` was to run with, told otherwise; the subject follows the manifest unless that is the lie. */
const pinEdits: readonly [string, (statement: Json) => void][] = (
  [
    ['another shape', (manifest) => (manifest.shape.sha256 = sha('x'))],
    ['no shape', (manifest) => void delete manifest.shape],
    ['another subagent', (manifest) => (manifest.subagent.sha256 = sha('x'))],
    ['another name of its subagent', (manifest) => (manifest.subagent.ref = 'dev.other')],
    ['no subagent', (manifest) => void delete manifest.subagent],
    ['another capability', (manifest) => (manifest.capabilities[1].sha256 = sha('x'))],
    ['another name of a capability', (manifest) => (manifest.capabilities[0].ref = 'dev.other')],
    ['a capability less', (manifest) => manifest.capabilities.pop()],
    ['a capability more', (manifest) => manifest.capabilities.push({ ref: 'dev.more', sha256: sha('x') })],
    ['capabilities in another order', (manifest) => manifest.capabilities.reverse()],
    ['no capabilities', (manifest) => void delete manifest.capabilities],
    ['another env bundle', (manifest) => (manifest.env[0].sha256 = sha('x'))],
    ['another name of an env bundle', (manifest) => (manifest.env[0].ref = 'dev.other')],
    ['no env bundle', (manifest) => void delete manifest.env],
  ] satisfies [string, (manifest: Json) => void][]
).flatMap(([name, edit]): [string, (statement: Json) => void][] => [
  [name, ({ predicate, subject }) => (edit(predicate), subject.splice(1, PINS - 1, ...pinned(predicate)))],
  [`${name}, which its subject denies`, ({ predicate }) => edit(predicate)],
  [
    `${name} in its subject only`,
    ({ predicate, subject }) => {
      const other = structuredClone(predicate);
      edit(other);
      subject.splice(1, PINS - 1, ...pinned(other));
      // The subject names no refs of subagents: without a difference there it is the manifest that lies.
      if (jcs(pinned(other)).equals(jcs(pinned(predicate)))) subject.pop();
    },
  ],
]);

function pinned({ shape, subagent, capabilities = [], env = [] }: Json): Json[] {
  return [
    ...(shape ? [{ name: 'shape', digest: set(shape.sha256) }] : []),
    ...(subagent ? [{ name: 'subagent', digest: set(subagent.sha256) }] : []),
    ...capabilities.map((each: Json) => ({ name: `capability:${each.ref}`, digest: set(each.sha256) })),
    ...env.map((each: Json) => ({ name: `env:${each.ref}`, digest: set(each.sha256) })),
  ];
}

/** Another plan than the one that was dispatched, named by the log and sealed. */
function* planMutants(keys: ForgeKeys, files: Files): Generator<Mutant> {
  const edits: readonly [string, (item: Json, plan: Json) => void][] = [
    ['another subagent', (item) => (item.subagent.sha256 = sha('x'))],
    ['no subagent', (item) => void delete item.subagent],
    ['another capability', (item) => (item.capabilities[0].sha256 = sha('x'))],
    ['a capability less', (item) => item.capabilities.pop()],
    ['another env bundle', (item) => (item.env[0].sha256 = sha('x'))],
    ['no env bundle', (item) => void delete item.env],
    ['another pipeline', (item) => (item.pipeline.sha256 = sha('x'))],
    [
      'a pipeline of another content',
      (item, plan) => (plan.pipelines[item.pipeline.sha256].blocks[0].command = 'evil'),
    ],
    ['another list of hosts', (item) => (item.network.allow = ['evil.example'])],
  ];
  for (const [name, edit] of edits) {
    const before = eventsOf(files)[0].plan.sha256 as string;
    const plan = JSON.parse(files.get(`blobs/${before}`)!.toString()) as Json;
    edit(
      plan.items.find(({ id }: Json) => id === 'apply'),
      plan,
    );
    const bytes = jcs(plan);
    const bundle = resealed(keys, files, (events) => void (events[0].plan = set(sha(bytes))));
    bundle.delete(`blobs/${before}`);
    yield { name: `plan: ${name}`, files: bundle.set(`blobs/${sha(bytes)}`, bytes), failure: ['blob'] };
  }
}

const rewrite =
  (event: string, change: (line: Json) => void) =>
  (log: string): string =>
    log.replace(new RegExp(`^.*"event":"${event}".*$`, 'm'), (line) => {
      const value = JSON.parse(line) as Json;
      change(value);
      return JSON.stringify(value);
    });

/** Records that the manifest, which grants `registry.example`, does not allow. */
const egressEdits: readonly (readonly [string, (log: string) => string | Buffer])[] = [
  ['another host let through', rewrite('allowed', (line) => (line.host = 'evil.example'))],
  ['another port let through', rewrite('allowed', (line) => (line.port = 22))],
  ['a name below the granted one let through', rewrite('allowed', (line) => (line.host = 'a.registry.example'))],
  ['a name that ends like the granted one', rewrite('allowed', (line) => (line.host = 'evilregistry.example'))],
  ['an address let through', rewrite('allowed', (line) => (line.host = line.address))],
  ['a refused one let through', rewrite('refused', (line) => Object.assign(line, { event: 'allowed', address: '1.1.1.1', reason: undefined }))],
  ['bytes of a refused one', rewrite('closed', (line) => (line.connection = 2))],
  ['bytes of one that is not there', rewrite('closed', (line) => (line.connection = 9))],
  ['an event of no kind', rewrite('refused', (line) => (line.event = 'tunnelled'))],
  ['a field too many', rewrite('allowed', (line) => (line.via = 'evil.example'))],
  ['a host that is none', rewrite('allowed', (line) => (line.host = null))],
  ['a line that is no JSON', (log) => `hello\n${log}`],
  ['bytes that are no text', (log) => Buffer.from(log.replace('CONNECT', '\u00ff'), 'latin1')],
]; // prettier-ignore

/** The record of what a list of hosts let through, told otherwise. */
function* egressMutants(keys: ForgeKeys, files: Files): Generator<Mutant> {
  const make = (name: string, change: (ended: (itemId: string) => Json) => void, more: Files = new Map()): Mutant => ({
    name: `egress: ${name}`,
    files: new Map([
      ...resealed(
        keys,
        files,
        (events) =>
          void change((itemId) => events.findLast((each) => each.kind === 'item.reconciled' && each.itemId === itemId)),
      ),
      ...more,
    ]),
    failure: ['blob'],
  });
  const evil = Buffer.from('another record\n');
  const there = new Map([[`blobs/${sha(evil)}`, evil]]);
  yield make('of another digest', (ended) => (ended('apply').egress = set(sha(evil))));
  yield make('of another digest, and there', (ended) => (ended('apply').egress = set(sha(evil))), there);
  yield make('none', (ended) => void delete ended('apply').egress);
  yield make('of an attempt without a list', (ended) => (ended('lint').egress = set(sha(evil))), there);
  yield make('at another attempt', (ended) => {
    ended('lint').egress = ended('apply').egress;
    delete ended('apply').egress;
  });
  const { egress } = eventsOf(files).findLast((each) => each.kind === 'item.reconciled' && each.itemId === 'apply')!;
  yield { name: 'egress: changed', files: new Map(files).set(`blobs/${egress.sha256}`, evil), failure: ['blob'] };
  const honest = files.get(`blobs/${egress.sha256}`)!.toString();
  for (const [name, edit] of egressEdits) {
    const bytes = Buffer.from(edit(honest) as string);
    const told = make(name, (ended) => (ended('apply').egress = set(sha(bytes)))).files!;
    told.delete(`blobs/${egress.sha256}`);
    yield { name: `egress: ${name}`, files: told.set(`blobs/${sha(bytes)}`, bytes), failure: ['egress'] };
  }
}

/**
 * An operator who changes a statement before the log names it: everything is signed and sealed as it should be, and
 * the statement does not agree with the log or the plan.
 */
export function* liarMutants(keys: ForgeKeys, files: Files): Generator<Mutant> {
  const edits: Record<'dispatch' | 'provenance', [string, (statement: Json) => void][]> = {
    dispatch: [
      ['another run', ({ predicate }) => (predicate.runId = 'run-7')],
      ['another item', ({ predicate }) => (predicate.itemId = 'lint')],
      ['another attempt', ({ predicate }) => (predicate.attempt = 3)],
      ['other inputs', ({ predicate }) => (predicate.inputs.patch.sha256 = sha('x'))],
      ['an input less', ({ predicate }) => void delete predicate.inputs.patch],
      ['another pipeline', ({ predicate }) => (predicate.pipeline.spec.blocks[0].command = 'make evil')],
      [
        'another pipeline digest',
        ({ predicate, subject }) => {
          predicate.pipeline.spec.blocks[0].command = 'make evil';
          predicate.pipeline.sha256 = sha(jcs(predicate.pipeline.spec));
          subject[0].digest.sha256 = predicate.pipeline.sha256;
        },
      ],
      ['another pipeline name', ({ predicate }) => (predicate.pipeline.ref = 'dev.evil')],
      [
        'a workspace',
        ({ predicate, subject }) => {
          predicate.workspace = { kind: 'git', commit: 'c'.repeat(40), sha256: sha('w'), size: 1 };
          subject.splice(PINS, 0, { name: 'workspace', digest: set(sha('w')) });
        },
      ],
      [
        'params',
        ({ predicate, subject }) => {
          predicate.params = set(sha('p'));
          subject.splice(PINS, 0, { name: 'params', digest: set(sha('p')) });
        },
      ],
      ...pinEdits,
      ['no list of hosts', ({ predicate }) => (predicate.sandbox.enforced.network = 'none')],
      ['an open network', ({ predicate }) => (predicate.sandbox.enforced.network = 'open')],
      ['another time limit', ({ predicate }) => (predicate.limits.timeoutMs = 1)],
      ['an idle limit', ({ predicate }) => (predicate.limits.idleTimeoutMs = 1)],
      ['another sandbox asked for', ({ predicate }) => (predicate.sandbox.asked.network = 'open')],
      ['another subject', ({ subject }) => (subject[0].digest.sha256 = sha('x'))],
      ['a subject less', ({ subject }) => subject.pop()],
      ['a field besides', ({ predicate }) => (predicate.note = 'x')],
      ['another predicate type', (statement) => (statement.predicateType = 'https://slsa.dev/provenance/v1')],
    ],
    provenance: [
      ['another product', ({ subject }) => (subject[0].digest.sha256 = sha('x'))],
      ['another product name', ({ subject }) => (subject[0].name = 'outputs/other')],
      ['a product more', ({ subject }) => subject.push({ name: 'patch', digest: set(sha('x')) })],
      ['another item', ({ predicate }) => (predicate.buildDefinition.externalParameters.itemId = 'lint')],
      ['params', ({ predicate }) => (predicate.buildDefinition.externalParameters.params = { depth: 3 })],
      ...['shape', 'subagent', 'capability:rules', 'env:model'].flatMap(
        (name): [string, (statement: Json) => void][] => {
          const at = ({ predicate }: Json): Json =>
            predicate.buildDefinition.resolvedDependencies.find((each: Json) => each.name === name);
          return [
            [`another ${name}`, (statement) => (at(statement).digest.sha256 = sha('x'))],
            [
              `no ${name}`,
              (statement) => {
                const { buildDefinition } = statement.predicate;
                buildDefinition.resolvedDependencies = buildDefinition.resolvedDependencies.filter((each: Json) => each !== at(statement)); // prettier-ignore
              },
            ],
          ];
        },
      ),
      ['another provider', ({ predicate }) => (predicate.buildDefinition.internalParameters.provider = 'docker')],
      [
        'another dispatch',
        ({ predicate }) => (predicate.buildDefinition.resolvedDependencies[0].digest.sha256 = sha('x')),
      ],
      ['an input less', ({ predicate }) => predicate.buildDefinition.resolvedDependencies.pop()],
      ['another invocation', ({ predicate }) => (predicate.runDetails.metadata.invocationId += '0')],
      ['a later end', ({ predicate }) => (predicate.runDetails.metadata.finishedOn = '2026-04-01T00:00:00.000Z')],
      ['another result', ({ predicate }) => (predicate.runDetails.byproducts[0].digest.sha256 = sha('x'))],
      ['no result', ({ predicate }) => void delete predicate.runDetails.byproducts],
      ['another engine', ({ predicate }) => (predicate.runDetails.builder.version = { pangolin: '9' })],
      ['another builder', ({ predicate }) => (predicate.runDetails.builder.id = 'https://example.com')],
      ['another build type', ({ predicate }) => (predicate.buildDefinition.buildType = 'x')],
    ],
  };
  for (const folder of ['dispatch', 'provenance'] as const) {
    for (const [name, edit] of edits[folder])
      yield { name: `${folder}: ${name}`, files: relied(keys, files, folder, edit), failure: ['blob'] };
  }
  yield* planMutants(keys, files);
  yield* egressMutants(keys, files);
  const result = (name: string, edit: (result: Json) => void): Mutant => ({
    name: `result: ${name}`,
    files: withResult(keys, files, edit),
    failure: ['blob'],
  });
  yield result('of another attempt', (each) => (each.attempt = 2));
  yield result('of another run', (each) => (each.runId = 'run-7'));
  yield result('under another manifest', (each) => (each.manifest = sha('x')));
  yield result('under no manifest', (each) => void delete each.manifest);
  yield result('that failed', (each) => (each.status = 'failed'));
  yield result('with another product', (each) => (each.products.outputs['result.bin'].sha256 = sha('x')));
  yield result('with a product more', (each) => (each.products.patch = { sha256: sha('x'), size: 1 }));
  yield result('with a product less', (each) => (each.products.outputs = {}));
  yield result('with an intent that is none', (each) => (each.asserted.intents[0].kind = ''));
  yield result('with a signal that is none', (each) => void delete each.asserted.signals[0].name);
  yield result('with words of a kind that there is not', (each) => (each.asserted.verdict = 'good'));
  yield result('of another schema', (each) => (each.schema = 'output/2'));
}

/** Replaces the statement of the attempt of `apply`, everywhere it is named, and seals again. */
function relied(
  keys: ForgeKeys,
  files: Files,
  folder: 'dispatch' | 'provenance',
  edit: (statement: Json) => void,
): Files {
  const kind = folder === 'dispatch' ? 'item.fired' : 'item.reconciled';
  const event = eventsOf(files).find((each) => each.kind === kind && each.itemId === 'apply')!;
  const before = event[folder].sha256 as string;
  const statement = JSON.parse(files.get(`${folder}/${before}.json`)!.toString()) as Json;
  edit(statement);
  const payload = jcs(statement);
  const after = sha(payload);
  const bundle = resealed(keys, files, (events) => {
    for (const each of events) if (each[folder]?.sha256 === before) each[folder].sha256 = after;
  });
  bundle.delete(`${folder}/${before}.json`);
  bundle.delete(`attestations/${before}.sigstore.json`);
  return bundle.set(`${folder}/${after}.json`, payload);
}

function withResult(keys: ForgeKeys, files: Files, edit: (result: Json) => void): Files {
  const event = eventsOf(files).find((each) => each.kind === 'item.reconciled' && each.itemId === 'apply')!;
  const before = event.result.sha256 as string;
  const result = JSON.parse(files.get(`blobs/${before}`)!.toString()) as Json;
  edit(result);
  const bytes = Buffer.from(JSON.stringify(result));
  const bundle = resealed(keys, files, (events) => {
    for (const each of events) if (each.result?.sha256 === before) each.result.sha256 = sha(bytes);
  });
  bundle.delete(`blobs/${before}`);
  // Its provenance names the first result and would be noticed before.
  bundle.delete(`provenance/${event.provenance.sha256}.json`);
  bundle.delete(`attestations/${event.provenance.sha256}.sigstore.json`);
  return bundle.set(`blobs/${sha(bytes)}`, bytes);
}

/** Class M: every file, and every member of the seal, of another run of the same deployment. */
export function* transplants(keys: ForgeKeys, files: Files): Generator<Mutant> {
  const other = tell(keys, 'run-2').files;
  for (const [name, bytes] of other) {
    if (files.has(name) && !files.get(name)!.equals(bytes)) {
      // The seal of another run is a good seal: it is the log that is not the one it names.
      yield { name: `transplant: ${name}`, files: new Map(files).set(name, bytes), failure: ['events'] };
    } else if (!files.has(name)) {
      yield {
        name: `transplant besides: ${name}`,
        files: new Map(files).set(name, bytes),
        failure: ['blob', 'attestation'],
      };
      const folder = name.slice(0, name.indexOf('/'));
      const instead = [...files.keys()].find((each) => each.startsWith(`${folder}/`))!;
      yield {
        name: `transplant under the name of ours: ${name}`,
        files: new Map(files).set(instead, bytes),
        failure: classesOf(instead),
      };
    }
  }
  const ours = JSON.parse(files.get('seal.sigstore.json')!.toString()) as Json;
  const theirs = JSON.parse(other.get('seal.sigstore.json')!.toString()) as Json;
  const places = [
    ['dsseEnvelope'],
    ['verificationMaterial'],
    ['verificationMaterial', 'tlogEntries'],
    ['dsseEnvelope', 'payload'],
    ['dsseEnvelope', 'signatures'],
  ];
  for (const key of Object.keys(ours.verificationMaterial.tlogEntries[0] as object))
    places.push(['verificationMaterial', 'tlogEntries', '0', key]);
  for (const key of Object.keys(ours.verificationMaterial.tlogEntries[0].inclusionProof as object))
    places.push(['verificationMaterial', 'tlogEntries', '0', 'inclusionProof', key]);
  for (const place of places) {
    const copy = structuredClone(ours);
    const last = place.at(-1)!;
    const holder = (root: Json): Json => place.slice(0, -1).reduce((each, key) => each[key] as Json, root);
    if (JSON.stringify(holder(ours)[last]) === JSON.stringify(holder(theirs)[last])) continue;
    holder(copy)[last] = holder(theirs)[last];
    yield {
      name: `transplant: ${place.join('.')} of the seal`,
      files: new Map(files).set('seal.sigstore.json', jcs(copy)),
      failure: classesOf('seal.sigstore.json'),
    };
  }
  yield {
    name: 'transplant: log and seal',
    files: new Map(files)
      .set('events.jsonl', other.get('events.jsonl')!)
      .set('seal.sigstore.json', other.get('seal.sigstore.json')!),
    failure: ['blob'],
  };
  yield { name: 'another run altogether', files: other, options: { expectRun: 'run-1' }, failure: ['seal'] };
  const lines = splitLines(files.get('events.jsonl')!);
  for (const [at, line] of splitLines(other.get('events.jsonl')!).entries()) {
    const log = Buffer.concat(lines.with(at, line).flatMap((each) => [each, Buffer.from('\n')]));
    yield { name: `transplant: event ${at}`, files: new Map(files).set('events.jsonl', log), failure: ['events'] };
  }
}
