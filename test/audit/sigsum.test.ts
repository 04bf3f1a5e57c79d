/** Our client against a witness that we did not write (scripts/sigsum-witness.sh). Its logs are named after their keys. */
import assert from 'node:assert/strict';
import { execFileSync, spawn } from 'node:child_process';
import { createHash, createPrivateKey, generateKeyPairSync, sign } from 'node:crypto';
import { once } from 'node:events';
import { readFileSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:net';
import { join } from 'node:path';
import { test } from 'node:test';
import {
  formatCheckpoint,
  formatNote,
  formatVkey,
  NOTE_COSIGNATURE,
  NOTE_ED25519,
  noteKeyId,
  verifyCosignature,
  type NoteKey,
} from '@pangolin/contracts/note';
import { consistencyProof } from '@pangolin/contracts/tlog';
import { tlogWitness } from '@pangolin/controller/audit/witness';
import { openWorld } from './world.ts';
import { poll } from '../poll.ts';

const bin = process.env.PANGOLIN_TEST_SIGSUM;
const skip =
  bin === undefined && !process.env.CI ? 'PANGOLIN_TEST_SIGSUM is not set (scripts/sigsum-witness.sh)' : false;

const wire = (...parts: readonly (string | Buffer)[]): Buffer =>
  Buffer.concat(
    parts.flatMap((part) => {
      const length = Buffer.alloc(4);
      length.writeUInt32BE(Buffer.from(part as string).length);
      return [length, Buffer.from(part as string)];
    }),
  );

async function freePort(): Promise<number> {
  const server = createServer().listen(0, '127.0.0.1');
  await once(server, 'listening');
  const { port } = server.address() as { port: number };
  server.close();
  await once(server, 'close');
  return port;
}

async function untilListening(url: string): Promise<void> {
  await poll('sigsum-witness listens', () =>
    fetch(url).then(
      () => true,
      () => false,
    ),
  );
}

test('sigsum-witness follows our log, catches up after a crash, and refuses a fork', { skip }, async (t) => {
  assert.ok(bin !== undefined, 'in CI sigsum-witness must be there');
  await using world = await openWorld();
  const { privateKey, publicKey } = generateKeyPairSync('ed25519');
  const raw = publicKey.export({ type: 'spki', format: 'der' }).subarray(12);
  const origin = `sigsum.org/v1/tree/${createHash('sha256').update(raw).digest('hex')}`;
  const logKey: NoteKey = { name: origin, type: NOTE_ED25519, publicKey: raw };
  const at = (name: string): string => join(world.dir, name);
  writeFileSync(at('log.pub'), `ssh-ed25519 ${wire('ssh-ed25519', raw).toString('base64')} log\n`);
  execFileSync(join(bin, 'sigsum-key'), ['generate', '-o', at('w.key')]);
  const [, encoded] = readFileSync(at('w.key.pub'), 'utf8').split(' ');
  const port = await freePort();
  const args = ['-k', at('w.key'), '--log-key', at('log.pub'), '--state-file', at('state'), `127.0.0.1:${port}`];
  const child = spawn(join(bin, 'sigsum-witness'), args, { stdio: 'ignore' });
  t.after(() => child.kill());
  const url = `http://127.0.0.1:${port}`;
  await untilListening(url);

  const publicBytes = Buffer.from(encoded!, 'base64').subarray(-32);
  const name = `sigsum.org/v1/witness/${createHash('sha256').update(publicBytes).digest('hex')}`;
  const key: NoteKey = { name: name, type: NOTE_COSIGNATURE, publicKey: publicBytes };
  const problems: string[] = [];
  const witness = tlogWitness({
    url,
    vkey: formatVkey(key),
    tries: 1,
    restMs: 0,
    onGivenUp: ({ message }) => void problems.push(message),
  });
  const { log } = world.evidence;
  const noteOf = (root: Buffer): string => {
    const text = formatCheckpoint({ origin, size: log.size(), root });
    const signature = sign(
      null,
      Buffer.from(text),
      createPrivateKey(privateKey.export({ type: 'pkcs8', format: 'pem' })),
    );
    return formatNote({ text, signatures: [{ name: origin, keyId: noteKeyId(logKey), signature }] });
  };
  const grow = (count: number): Promise<void> =>
    world.evidence.transact(() => {
      for (let more = 0; more < count; more++) log.append(`leaf/${log.size()}`, Buffer.from(`leaf ${log.size()}`));
    });
  const proofFrom = (old: number): Buffer[] | undefined =>
    old > log.size() ? undefined : old === 0 ? [] : consistencyProof(old, log.size(), log.hashAt);
  const cosign = (oldSize: number, root = log.root(log.size())) =>
    witness.cosign({ oldSize, proofFrom, note: noteOf(root) });

  await grow(3);
  const first = await cosign(0);
  assert.deepEqual(problems, []);
  const text = formatCheckpoint({ origin, size: 3, root: log.root(3) });
  assert.ok(Math.abs(verifyCosignature(text, first!, key)! - Date.now()) < 3_600_000);
  await grow(5);
  assert.ok(await cosign(3));
  // What we had not written down.
  await grow(1);
  assert.ok(await cosign(3));
  await grow(1);
  assert.equal(await cosign(9, Buffer.alloc(32, 7)), undefined);
  assert.match(problems.join(), /not an extension/);
});
