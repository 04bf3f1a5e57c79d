/** `network: {allow: […]}` on Docker: a run reaches what its item allows and nothing else, and its evidence says what it tried. */
import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import { casKey } from '@pangolin/contracts/layout';
import type { EgressLine } from '@pangolin/contracts/egress';
import { WORKER_IMAGE } from '@pangolin/controller/providers/open';
import type { Report } from '@pangolin/verify/report';
import { blocks, Deployment, docker, dockerSkip, ends, outputs, runOf, script } from './harness.ts';
import { poll } from '../poll.ts';

/** Plain on 8080, TLS on 8443; says which host it was asked for. */
const SERVER = `
const answer = (q, r) => r.end('hello from ' + q.headers.host);
require('http').createServer(answer).listen(8080);
require('https').createServer({ key: process.env.KEY, cert: process.env.CERT }, answer).listen(8443);
`;

/** name → what came of it, one a line. */
const PROBE = String.raw`
import { request } from 'node:http';
import { connect } from 'node:net';
import { connect as connectTls } from 'node:tls';
process.env.NODE_TLS_REJECT_UNAUTHORIZED = '0';
const proxy = new URL(process.env.HTTPS_PROXY);
const say = (name, text) => console.log(name + '=' + text);
const get = async (name, url) => {
  try {
    const answer = await fetch(url, { signal: AbortSignal.timeout(20_000) });
    say(name, answer.status + ' ' + (answer.headers.get('x-pangolin-egress') ?? (await answer.text())));
  } catch (error) { say(name, 'failed ' + (error.cause?.message ?? error.message).replaceAll('\n', ' ').slice(0, 80)); }
};
const tunnel = (target) => new Promise((resolve) => {
  const socket = connect(proxy.port, proxy.hostname, () => socket.write('CONNECT ' + target + ' HTTP/1.1\r\nHost: x\r\n\r\n'));
  socket.on('error', () => resolve([0, socket]));
  socket.once('data', (data) => resolve([Number(String(data).slice(9, 12)), socket]));
});
const ended = (socket) => new Promise((resolve) => {
  let got = 0;
  socket.on('data', (data) => (got += data.length)).on('close', () => resolve(got)).on('error', () => undefined);
});
const ask = (name, url) => new Promise((resolve) => {
  request({ host: proxy.hostname, port: proxy.port, path: url }, async (answer) => {
    let text = '';
    for await (const chunk of answer) text += chunk;
    say(name, answer.statusCode + ' ' + (answer.headers['x-pangolin-egress'] ?? text));
    resolve();
  }).on('error', (error) => (say(name, error.message), resolve())).end();
});
await get('tunnelled', 'http://web.test:8080/x');
await ask('plain', 'http://web.test:8080/x');
await get('secure', 'https://web.test:8443/x');
await ask('port', 'http://web.test:9999/');
await ask('other', 'http://other.test:8080/');
await ask('inside', 'http://inside.test:8080/');
for (const target of ['169.254.169.254:80', 'GATEWAY:80', '127.0.0.1:8080', 'localhost:8080', '[::1]:8080', '[fd00:ec2::254]:80']) {
  const [status, socket] = await tunnel(target);
  socket.destroy();
  say('connect ' + target, status);
}
const [, named] = await tunnel('web.test:8443');
connectTls({ socket: named, servername: 'other.test' }).on('error', () => undefined);
say('fronted', await ended(named));
const [, raw] = await tunnel('web.test:8443');
raw.write(Buffer.from([0, 0, 0, 8]));
say('raw', await ended(raw));
for (const [name, host, port] of [['direct', 'ADDRESS', 8080], ['gateway', 'GATEWAY', 22], ['metadata', '169.254.169.254', 80]]) {
  const socket = connect(port, host, () => { say(name, 'connected'); socket.destroy(); });
  await new Promise((resolve) => socket.on('error', (error) => { say(name, error.code); resolve(); }).on('close', resolve));
}
`;

describe('an allow-list on docker', { skip: await dockerSkip() }, () => {
  const network = `pangolin-egress-${process.pid}`;
  let deployment: Deployment;
  let server: string;
  let found: Map<string, string>;
  let lines: readonly EgressLine[];

  before(async () => {
    deployment = new Deployment('docker');
    docker('network', 'create', network);
    const files = ['-keyout', join(deployment.dir, 'key.pem'), '-out', join(deployment.dir, 'cert.pem')];
    const subject = ['-subj', '/CN=web.test', '-days', '2', '-nodes'];
    execFileSync('openssl', ['req', '-x509', '-newkey', 'rsa:2048', ...subject, ...files], { stdio: 'ignore' });
    const [key, cert] = ['key.pem', 'cert.pem'].map((name) => readFileSync(join(deployment.dir, name), 'utf8'));
    const names = ['web.test', 'other.test', 'inside.test'].flatMap((name) => ['--network-alias', name]);
    const env = ['-e', `KEY=${key}`, '-e', `CERT=${cert}`];
    const program = ['--entrypoint', 'node', WORKER_IMAGE, '-e', SERVER];
    server = docker('run', '-d', '--network', network, ...names, ...env, ...program);
    writeFileSync(
      join(deployment.storage, 'pangolin.yaml'),
      `egress: { network: ${network}, internal: ['web.test:8080', 'web.test:8443', 'web.test:9999'] }\n`,
    );
    const [address = '', gateway = ''] = docker(
      'inspect',
      '-f',
      '{{range .NetworkSettings.Networks}}{{.IPAddress}} {{.Gateway}}{{end}}',
      server,
    ).split(' ');
    const probe = PROBE.replaceAll('GATEWAY', gateway).replaceAll('ADDRESS', address);
    const allow = ['web.test:8080', 'web.test:8443', 'web.test:9999', 'inside.test:8080', 'localhost:8080'];
    deployment.drop(
      'run.json',
      runOf('run', deployment.repo, [
        {
          id: 'probe',
          network: { allow },
          ...blocks(script(`cat >/tmp/p.mjs <<'END'\n${probe}\nEND\nnode /tmp/p.mjs`)),
        },
        { id: 'metadata', network: { allow: ['169.254.169.254'] }, ...blocks(script('true')) },
        { id: 'closed', ...blocks(script('env | grep -i proxy; true')) },
      ]),
    );
    await deployment.settle();
    found = new Map(
      deployment
        .printed('run', 'probe')
        .split('\n')
        .map((line) => line.split(/=(.*)/s).slice(0, 2) as [string, string]),
    );
    lines = deployment.egress('run', 'probe');
  });
  after(async () => {
    await deployment?.dispose();
    if (server) docker('rm', '-f', server);
    docker('network', 'rm', network);
  });

  const is = (name: string, expected: string | RegExp): void =>
    assert.match(
      found.get(name) ?? '',
      typeof expected === 'string' ? new RegExp(`^${expected}$`) : expected,
      [...found].join('\n'),
    );

  test('what the item allows is reached, by HTTP and by HTTPS', () => {
    is('tunnelled', '200 hello from web.test:8080');
    is('plain', '200 hello from web.test:8080');
    is('secure', '200 hello from web.test:8443');
  });

  test('nothing else is: another host, the gateway, loopback, cloud metadata, an allowed name at an internal address', () => {
    is('other', '403 NotAllowed');
    is('inside', '403 InternalAddress');
    is('port', '502 Unreachable');
    for (const [name, status] of found) if (name.startsWith('connect ')) assert.equal(status, '403', name);
    assert.equal([...found.keys()].filter((name) => name.startsWith('connect ')).length, 6);
  });

  test('a tunnel that is used for another host, or without TLS, is cut', () => {
    is('fronted', '0');
    is('raw', '0');
  });

  test('there is no other way out', () => {
    is('direct', 'ENETUNREACH');
    is('gateway', 'ENETUNREACH');
    is('metadata', 'ENETUNREACH');
  });

  test('the log names everything that was tried, and ends', () => {
    const tried = lines.flatMap((line) =>
      line.event === 'allowed'
        ? [`allowed ${line.host}:${line.port}`]
        : line.event === 'refused'
          ? [`${line.reason} ${line.host}:${line.port}`]
          : [],
    );
    for (const line of [
      'allowed web.test:8080',
      'allowed web.test:8443',
      'NotAllowed other.test:8080',
      'InternalAddress inside.test:8080',
      'InternalAddress localhost:8080',
      'NotAllowed 169.254.169.254:80',
      'NotAllowed fd00:ec2::254:80',
    ]) {
      assert.ok(tried.includes(line), `${line} is not in\n${tried.join('\n')}`);
    }
    const cuts = lines.flatMap((line) => (line.event === 'closed' && line.reason ? [line.reason] : []));
    assert.deepEqual(cuts.sort(), ['NameMismatch', 'NotTls']);
    assert.equal(lines.at(-1)?.event, 'end');
  });

  test('the command says what an item tried to reach', async () => {
    const { stdout } = await deployment.cli('orch', 'status', 'run/probe');
    assert.match(stdout, /^network web\.test:8080: reached \d times, \d+ bytes sent, \d+ received$/m);
    assert.match(stdout, /^network web\.test:8443: reached .*; refused once: NameMismatch; refused once: NotTls$/m);
    assert.match(stdout, /^network other\.test:8080: refused once: NotAllowed$/m);
    assert.doesNotMatch((await deployment.cli('orch', 'status', 'run/closed')).stdout, /^network /m);
  });

  test('an item that allows an internal address outright is refused, and one without an allow-list gets no proxy', async () => {
    const status = await deployment.status('run');
    assert.deepEqual(ends(status), {
      probe: 'done Succeeded 1',
      metadata: 'denied SandboxUnsupported 0',
      closed: 'done Succeeded 1',
    });
    assert.match(status.items.find(({ id }) => id === 'metadata')?.message ?? '', /169\.254\.169\.254/);
    assert.equal(deployment.printed('run', 'closed'), '');
  });

  test('the bundle holds the log, verifies, and leaves nothing behind', async () => {
    const bundle = readFileSync(await deployment.verified('run'), 'utf8');
    const end = deployment.events('run').find((event) => event.kind === 'item.reconciled' && event.itemId === 'probe');
    assert.ok(end?.kind === 'item.reconciled' && bundle.includes(`blobs/${end.egress?.sha256}`));
    const verify = await deployment.cli('verify', join(deployment.dir, 'run.bundle.json'), '-o', 'json');
    const { egress } = (JSON.parse(verify.stdout) as Report).checks;
    assert.equal(egress.result, true, egress.detail);
    assert.match(egress.detail, /^[1-9]\d* connections in \d egress logs?, each granted; [1-9]\d* refused\.$/);
    await deployment.swept();
  });

  test('a controller that is killed takes nobody off the network, and the next one finds the log', async () => {
    const step = `node -e 'fetch("http://web.test:8080/").then((a) => a.text()).then(console.log)'`;
    deployment.drop(
      'again.json',
      runOf('again', deployment.repo, [
        {
          id: 'one',
          network: { allow: ['web.test:8080'] },
          ...blocks(
            script(
              `${step}; until node -e 'fetch("http://web.test:8080/").then(() => process.exit(require("fs").existsSync("/tmp/go") ? 0 : 1))'; do sleep 0.1; done; ${step} > outputs/second`,
            ),
            outputs,
          ),
        },
      ]),
    );
    const first = deployment.serve();
    await poll(
      'the first answer',
      () => deployment.printed('again', 'one').includes('hello'),
      () => first.text,
    );
    first.child.kill('SIGKILL');
    await first.end();
    const name = docker(
      'ps',
      '--filter',
      `label=dev.pangolin.item=one`,
      '--filter',
      `label=dev.pangolin.run=again`,
      '--format',
      '{{.Names}}',
    );
    docker('exec', name, 'touch', '/tmp/go');
    await deployment.settle();
    const end = deployment.events('again').find((event) => event.kind === 'item.reconciled');
    assert.ok(end?.kind === 'item.reconciled' && end.status === 'done' && end.egress);
    const log = readFileSync(join(deployment.storage, casKey(end.egress.sha256)), 'utf8');
    assert.ok(log.split('"event":"allowed"').length > 2 && log.includes('"event":"end"'), log);
    await deployment.verified('again');
    await deployment.swept();
  });
});
