/**
 * The metadata service of a cloud, at its own addresses on a network of the test, behind the egress proxy: reached in every
 * spelling where an operator lists it or where nothing looks at addresses, and in none otherwise.
 */
import assert from 'node:assert/strict';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import { WORKER_IMAGE } from '@pangolin/controller/providers/open';
import { blocks, Deployment, docker, dockerSkip, ends, runOf, script } from '../spine/harness.ts';
import { removeImage, weakenedImage } from './weakened.ts';

const ADDRESS = '169.254.169.254';
/** The address in the spellings of inet_aton, and a name that leads to it. */
const spellings = ['2852039166', '0xa9fea9fe', '0251.0376.0251.0376', 'metadata.test'];
/** Nobody can list these: no host of an allow-list is written so. */
const unlisted = ['[::ffff:169.254.169.254]', '[::ffff:a9fe:a9fe]', '[fd00:ec2::254]', '[FD00:EC2:0::0254]'];

const METADATA = `require('http').createServer((q, r) => r.end('CREDENTIALS')).listen(80, '::')`;
const REDIRECT = `require('http').createServer((q, r) => r.writeHead(302, { location: 'http://${ADDRESS}/latest/' }).end()).listen(8080)`;

/** `get <host>=` and `tunnel <host>=` what came of it; `redirect=` what a client that follows gets. */
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
    if (/CREDENTIALS/.test(text)) socket.destroy();
  }).on('error', () => undefined).on('close', () => resolve(/CREDENTIALS/.test(text) ? 'CREDENTIALS' : text.slice(9, 12)));
});
for (const host of process.argv.slice(2)) {
  const plain = 'Host: ' + host + '\r\nConnection: close\r\n\r\n';
  console.log('get ' + host + '=' + await talk('GET http://' + host + '/latest/ HTTP/1.1\r\n' + plain));
  console.log('tunnel ' + host + '=' + await talk('CONNECT ' + host + ':80 HTTP/1.1\r\nHost: ' + host + ':80\r\n\r\n', 'GET /latest/ HTTP/1.1\r\n' + plain));
}
const answer = await fetch('http://redirect.test:8080/').then((each) => each.text(), (error) => error.message);
console.log('redirect=' + answer.replaceAll('\n', ' '));
`;

describe('cloud metadata behind an allow-list', { skip: await dockerSkip() }, () => {
  const network = `pangolin-metadata-${process.pid}`;
  const servers: string[] = [];
  let deployment: Deployment;
  let image: string;
  const found = new Map<string, ReadonlyMap<string, string>>();

  before(async () => {
    deployment = new Deployment('docker');
    image = weakenedImage();
    const ipv4 = ['--subnet', '169.254.169.0/24', '--gateway', '169.254.169.1'];
    const ipv6 = ['--ipv6', '--subnet', 'fd00:ec2::/64', '--gateway', 'fd00:ec2::1'];
    docker('network', 'create', '--internal', ...ipv4, ...ipv6, network);
    const serve = (program: string, ...place: readonly string[]): void => {
      const options = ['run', '-d', '--network', network, ...place, '--user', '0', '--entrypoint', 'node'];
      servers.push(docker(...options, WORKER_IMAGE, '-e', program));
    };
    serve(METADATA, '--ip', ADDRESS, '--ip6', 'fd00:ec2::254', '--network-alias', 'metadata.test');
    serve(REDIRECT, '--network-alias', 'redirect.test');
    const hosts = [ADDRESS, ...spellings, ...unlisted].map((host) => `'${host}'`).join(' ');
    const probe = blocks(script(`cat >/tmp/p.mjs <<'END'\n${PROBE}\nEND\nnode /tmp/p.mjs ${hosts}`));
    const run = async (
      id: string,
      internal: readonly string[],
      allow: readonly string[],
      worker?: string,
    ): Promise<void> => {
      const listed = [...internal, 'redirect.test:8080'].map((entry) => `'${entry}'`).join(', ');
      writeFileSync(
        join(deployment.storage, 'pangolin.yaml'),
        `egress: { network: ${network}, internal: [${listed}] }\n`,
      );
      const item = { id: 'probe', network: { allow: [...allow, 'redirect.test:8080'] }, ...probe };
      const outright = { id: 'outright', network: { allow: [ADDRESS] }, ...blocks(script('true')) };
      deployment.drop(`${id}.json`, runOf(id, deployment.repo, id === 'closed' ? [item, outright] : [item]));
      await deployment.settle({ args: worker ? ['--image', worker] : [] });
      const lines = deployment.printed(id, 'probe').split('\n');
      found.set(id, new Map(lines.map((line) => line.split(/=(.*)/s).slice(0, 2) as [string, string])));
    };
    const listed = [ADDRESS, ...spellings].map((host) => `${host}:80`);
    await run('listed', listed, listed);
    await run('closed', [], spellings);
    // The proxy without its list and without an eye for addresses.
    await run('weakened', [], [], image);
  });
  after(async () => {
    await deployment?.dispose();
    if (servers.length > 0) docker('rm', '-f', ...servers);
    docker('network', 'rm', network);
    if (image) removeImage(image);
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
