/**
 * The metadata service of a cloud, at its own addresses on a network of the test, behind the egress proxy: reached in every
 * spelling where an operator lists it or where nothing looks at addresses, and in none otherwise. And a name that is given
 * another address between two looks (DNS rebinding).
 */
import assert from 'node:assert/strict';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import { WORKER_IMAGE } from '@pangolin/controller/providers/open';
import { poll } from '../poll.ts';
import { blocks, Deployment, docker, dockerSkip, ends, runOf, script } from '../spine/harness.ts';
import { removeImage, weakenedImage, withVariable } from './weakened.ts';

const ADDRESS = '169.254.169.254';
/** The address in the spellings of inet_aton, and a name that leads to it. */
const spellings = ['2852039166', '0xa9fea9fe', '0251.0376.0251.0376', 'metadata.test'];
/** Nobody can list these: no host of an allow-list is written so. */
const unlisted = ['[::ffff:169.254.169.254]', '[::ffff:a9fe:a9fe]', '[fd00:ec2::254]', '[FD00:EC2:0::0254]'];

/** Beside the link-local range, so that one network holds both; not ours, and nothing leaves the network. */
const PUBLIC_ADDRESS = '169.253.0.9';
const INTERNAL_ADDRESS = '169.254.169.77';
const METADATA = `require('http').createServer((q, r) => r.end('CREDENTIALS')).listen(80, '::')`;
const PUBLIC = METADATA.replace('CREDENTIALS', 'PUBLIC');
const REDIRECT = `require('http').createServer((q, r) => r.writeHead(302, { location: 'http://${ADDRESS}/latest/' }).end()).listen(8080)`;

/**
 * `get <host>=` and `tunnel <host>=` what came of it; `redirect=` what a client that follows gets; `first=` and `then=` of a
 * name that is public at first, asked again until that changes.
 */
const PROBE = String.raw`
import { connect } from 'node:net';
const proxy = new URL(process.env.HTTP_PROXY);
const talk = (first, then) => new Promise((resolve) => {
  const socket = connect(proxy.port, proxy.hostname, () => socket.write(first));
  let text = '';
  socket.setTimeout(20_000, () => socket.destroy());
  socket.on('data', (data) => {
    text += data;
    if (then && / 200 /.test(text)) { socket.write(then); then = undefined; }
    if (/CREDENTIALS|PUBLIC/.test(text)) socket.destroy();
  }).on('error', () => undefined).on('close', () => resolve(/CREDENTIALS|PUBLIC/.exec(text)?.[0] ?? text.slice(9, 12)));
});
for (const host of process.argv.slice(2)) {
  const plain = 'Host: ' + host + '\r\nConnection: close\r\n\r\n';
  console.log('get ' + host + '=' + await talk('GET http://' + host + '/latest/ HTTP/1.1\r\n' + plain));
  console.log('tunnel ' + host + '=' + await talk('CONNECT ' + host + ':80 HTTP/1.1\r\nHost: ' + host + ':80\r\n\r\n', 'GET /latest/ HTTP/1.1\r\n' + plain));
}
const answer = await fetch('http://redirect.test:8080/').then((each) => each.text(), (error) => error.message);
console.log('redirect=' + answer.replaceAll('\n', ' '));
const rebound = () => talk('GET http://rebound.test/ HTTP/1.1\r\nHost: rebound.test\r\nConnection: close\r\n\r\n');
let said = await rebound();
console.log('first=' + said);
while (said === 'PUBLIC' || said === '') { await new Promise((wake) => setTimeout(wake, 200)); said = await rebound(); }
console.log('then=' + said);
`;

describe('cloud metadata behind an allow-list', { skip: await dockerSkip() }, () => {
  const network = `pangolin-metadata-${process.pid}`;
  const servers: string[] = [];
  let deployment: Deployment;
  const images: string[] = [];
  const found = new Map<string, ReadonlyMap<string, string>>();

  before(async () => {
    deployment = new Deployment('docker');
    // Docker gives a name of this network an IPv6 address too, an internal one; so nobody asks for those.
    const asking = (base: string): string => withVariable(base, 'RES_OPTIONS=no-aaaa');
    const weakened = weakenedImage();
    images.push(asking(weakened), weakened, asking(WORKER_IMAGE));
    const ipv4 = ['--subnet', '169.252.0.0/14', '--gateway', '169.252.0.1'];
    const ipv6 = ['--ipv6', '--subnet', 'fd00:ec2::/64', '--gateway', 'fd00:ec2::1'];
    docker('network', 'create', '--internal', ...ipv4, ...ipv6, network);
    const serve = (program: string, ...place: readonly string[]): string => {
      const options = ['run', '-d', '--network', network, ...place, '--user', '0', '--entrypoint', 'node'];
      const server = docker(...options, WORKER_IMAGE, '-e', program);
      servers.push(server);
      return server;
    };
    const name = (server: string, address: string): void =>
      void docker('network', 'connect', '--ip', address, '--alias', 'rebound.test', network, server);
    const unname = (server: string): void => void docker('network', 'disconnect', network, server);
    serve(METADATA, '--ip', ADDRESS, '--ip6', 'fd00:ec2::254', '--network-alias', 'metadata.test');
    serve(REDIRECT, '--network-alias', 'redirect.test');
    const [outside, inside] = [serve(PUBLIC), serve(METADATA)];
    for (const server of [outside, inside]) unname(server);
    const hosts = [ADDRESS, ...spellings, ...unlisted].map((host) => `'${host}'`).join(' ');
    const probe = blocks(script(`cat >/tmp/p.mjs <<'END'\n${PROBE}\nEND\nnode /tmp/p.mjs ${hosts}`));
    const run = async (
      id: string,
      internal: readonly string[],
      allow: readonly string[],
      worker = images.at(-1)!,
    ): Promise<void> => {
      const listed = [...internal, 'redirect.test:8080'].map((entry) => `'${entry}'`).join(', ');
      writeFileSync(
        join(deployment.storage, 'pangolin.yaml'),
        `egress: { network: ${network}, internal: [${listed}] }\n`,
      );
      const item = { id: 'probe', network: { allow: [...allow, 'redirect.test:8080'] }, ...probe };
      const outright = { id: 'outright', network: { allow: [ADDRESS] }, ...blocks(script('true')) };
      deployment.drop(`${id}.json`, runOf(id, deployment.repo, id === 'closed' ? [item, outright] : [item]));
      name(outside, PUBLIC_ADDRESS);
      const settled = deployment.settle({ args: ['--image', worker] });
      await poll('the first answer', () => /^first=/m.test(deployment.printed(id, 'probe')));
      name(inside, INTERNAL_ADDRESS);
      unname(outside);
      await settled;
      unname(inside);
      const lines = deployment.printed(id, 'probe').split('\n');
      found.set(id, new Map(lines.map((line) => line.split(/=(.*)/s).slice(0, 2) as [string, string])));
    };
    const listed = [ADDRESS, ...spellings].map((host) => `${host}:80`);
    await run('listed', listed, listed);
    await run('closed', [], [...spellings, 'rebound.test']);
    // The proxy without its list, without an eye for addresses, and without memory of names.
    await run('weakened', [], [], images[0]);
  });
  after(async () => {
    await deployment?.dispose();
    if (servers.length > 0) docker('rm', '-f', ...servers);
    docker('network', 'rm', network);
    for (const image of images) removeImage(image);
  });

  const all = (): string => JSON.stringify([...found].map(([id, lines]) => [id, [...lines]]));
  for (const host of [ADDRESS, ...spellings]) {
    test(`${host} is reached where an operator lists it, and nowhere else`, () => {
      for (const way of ['get', 'tunnel']) {
        for (const build of ['listed', 'weakened'])
          assert.equal(found.get(build)?.get(`${way} ${host}`), 'CREDENTIALS', `the attack does not work: ${all()}`);
        assert.equal(found.get('closed')?.get(`${way} ${host}`), '403', all());
      }
    });
  }

  test('an allowed host that sends a client there leads nowhere', () => {
    assert.equal(found.get('listed')?.get('redirect'), 'CREDENTIALS', all());
    assert.doesNotMatch(found.get('closed')?.get('redirect') ?? 'CREDENTIALS', /CREDENTIALS/);
  });

  test('a name that is given an internal address after its first answer leads there no more, and the log says so', () => {
    assert.deepEqual(
      [found.get('weakened')?.get('first'), found.get('weakened')?.get('then')],
      ['PUBLIC', 'CREDENTIALS'],
    );
    assert.deepEqual([found.get('closed')?.get('first'), found.get('closed')?.get('then')], ['PUBLIC', '502'], all());
    const tried = deployment.egress('closed', 'probe').flatMap((line) => {
      if (!('host' in line) || line.host !== 'rebound.test') return [];
      return line.event === 'allowed' ? [line.address] : [line.reason];
    });
    assert.deepEqual(new Set(tried), new Set([PUBLIC_ADDRESS, 'Unreachable']));
  });

  test('as an IPv6 address it is never reached', () => {
    for (const host of unlisted)
      for (const way of ['get', 'tunnel']) {
        assert.equal(found.get('weakened')?.get(`${way} ${host}`), 'CREDENTIALS', `the attack does not work: ${all()}`);
        for (const id of ['listed', 'closed'])
          assert.match(found.get(id)?.get(`${way} ${host}`) ?? '', /^(400|403)$/, `${id} ${host}`);
      }
  });

  test('an item that names it outright is refused', async () => {
    assert.equal(ends(await deployment.status('closed'))['outright'], 'denied SandboxUnsupported 0');
  });
});
