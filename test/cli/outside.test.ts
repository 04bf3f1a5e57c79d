/** Everybody who can vouch from outside, configured in a file and asked by the real controller. */
import assert from 'node:assert/strict';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { NOTE_ED25519, rawOfEd25519 } from '@pangolin/contracts/note';
import type { TrustDocument } from '@pangolin/contracts/trust';
import type { Report } from '@pangolin/verify/report';
import { makeAuthority, serveAuthority, serveHttp } from '../audit/tsa.ts';
import { serveWitness } from '../audit/witness-server.ts';
import { pangolin, tempDir } from './harness.ts';

test('a TSA, witnesses that answer and one that hangs: the seal is attested and witnessed, and verify says so', async () => {
  const cwd = tempDir();
  const run = async (line: string, code = 0): Promise<string> => {
    const result = await pangolin(line.split(' '), { cwd });
    assert.equal(result.code, code, `pangolin ${line}\n${result.stderr}\n${result.stdout}`);
    return result.stdout;
  };
  await run('key init');
  const own = JSON.parse(await run('trust export')) as TrustDocument;
  const spki = Buffer.from(own.trustedRoot.tlogs[0]!.publicKey.rawBytes, 'base64');
  const log = { name: own.origin, type: NOTE_ED25519, publicKey: rawOfEd25519(spki)! };
  using authority = makeAuthority();
  await using tsa = await serveAuthority(authority);
  await using one = await serveWitness(log, 'one.example');
  await using two = await serveWitness(log, 'two.example');
  await using broken = await serveHttp((_, response) => void response.writeHead(404).end());
  await using three = await serveWitness(log, 'three.example');
  const witnesses = [
    ['one', one.url, one.vkey],
    ['two', two.url, two.vkey],
    ['three', broken.url, three.vkey],
  ].map(([name, url, vkey]) => ({ name, url, vkey }));
  const evidence = { timestamp: [{ id: 'tsa', url: tsa.url }], witnesses };
  writeFileSync(join(cwd, '.pangolin', 'pangolin.yaml'), JSON.stringify({ evidence }));
  writeFileSync(join(cwd, 'tsa.pem'), authority.rootPem);

  await run('init');
  await run('orch submit run.yaml --receipt-timeout 0s');
  const served = await pangolin(['orch', 'serve', '--until-idle', '--compute', 'process'], { cwd });
  assert.equal(served.code, 0, served.stderr);
  assert.match(served.stderr, /a seal goes without: the witness three\.example: it does not know this log/);
  await run('orch audit hello-1');
  const document = JSON.parse(await run('trust export --tsa-certificates tsa.pem')) as TrustDocument;
  const verify = async (trust: TrustDocument, code: number): Promise<Report> => {
    writeFileSync(join(cwd, 'trust.json'), JSON.stringify(trust));
    return JSON.parse(await run('verify hello-1.bundle.json --trust trust.json -o json', code)) as Report;
  };
  const require = { guarantee: 'witnessed', timeTier: 'tsa-attested' } as const;
  const report = await verify({ ...document, require }, 0);
  assert.deepEqual([report.verdict, report.guarantee, report.timeTier, report.claim], ['verified', 'witnessed', 'tsa-attested', 'tamper-evident']); // prettier-ignore
  assert.deepEqual([report.timestamps, report.cosignatures], [1, 2]);
  assert.ok(report.findings.some(({ code }) => code === 'witnesses-missing'));

  assert.equal(await run('orch prove hello-1/shout'), 'hello-1.shout.proof.json\n');
  const proven = await run('verify hello-1.shout.proof.json --trust trust.json --run hello-1');
  assert.match(proven, /^VERIFIED[^]*Item shout of the run hello-1[^]*Guarantee: witnessed[^]*Time: tsa-attested/);
  await run('orch prove hello-1/nobody', 3);
  await run('orch prove hello-1', 2);

  const { tsaRoots: _, ...without } = document;
  assert.deepEqual((await verify({ ...without, require }, 3)).below, ['timeTier']);
  const all = document.witnessPolicy!.replace(/ 2 one/, ' all one');
  assert.deepEqual((await verify({ ...document, witnessPolicy: all, require }, 3)).below, ['guarantee']);
  assert.match(
    await run('verify hello-1.bundle.json --trust trust.json', 3),
    /BELOW WHAT YOUR TRUST FILE REQUIRES: guarantee is only detect/,
  );
});
