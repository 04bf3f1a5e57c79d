/** The parts of the egress proxy: which destinations are allowed, which addresses are internal, what a handshake names. */
import assert from 'node:assert/strict';
import { once } from 'node:events';
import { connect as connectTcp, createServer, type AddressInfo } from 'node:net';
import { test } from 'node:test';
import { connect as connectTls } from 'node:tls';
import fc from 'fast-check';
import { isAllowed, type EgressPolicy } from '@pangolin/contracts/egress';
import { isInternal } from '@pangolin/controller/egress/addresses';
import { readClientHello } from '@pangolin/controller/egress/client-hello';
import { parseDestination } from '@pangolin/controller/egress/policy';
import { Resolver } from '@pangolin/controller/egress/resolver';

const allow = ['xn--exmple-cua.org', 'example.org', '*.pkg.test', 'db.test:5433', '93.184.216.34', '*.port.test:8443'];
/** Undefined: that is no destination. */
const allowed: readonly [string, boolean | undefined][] = [
  ['example.org:443', true],
  ['example.org:80', true],
  ['EXAMPLE.org.:443', true],
  ['xn--exmple-cua.org:443', true],
  ['XN--EXMPLE-CUA.ORG.:443', true],
  ['example.org..:443', undefined],
  ['exämple.org:443', undefined],
  ['example。org:443', undefined],
  ['example.org:22', false],
  ['www.example.org:443', false],
  ['notexample.org:443', false],
  ['example.org.evil.test:443', false],
  ['a.pkg.test:443', true],
  ['a.b.pkg.test:443', true],
  ['pkg.test:443', false],
  ['evilpkg.test:443', false],
  ['db.test:5433', true],
  ['db.test:443', false],
  ['93.184.216.34:443', true],
  ['93.184.216.35:443', false],
  ['x.port.test:8443', true],
  ['x.port.test:443', false],
];
for (const [destination, expected] of allowed) {
  test(`${destination} is ${expected ? '' : 'not '}allowed`, () => {
    const parsed = parseDestination(destination);
    assert.equal(parsed && isAllowed(parsed, { allow }), expected);
  });
}

test('what is not exactly a host and a port is no destination', () => {
  for (const text of [
    '',
    ':443',
    'host',
    'host:0',
    'host:65536',
    'host:443:443',
    'user@host:443',
    'http://host:443',
    'ho st:443',
    'host:443/path',
    'host\0.test:443',
    '[host]:443',
    '::1:443',
    '..:443',
    'a..b:443',
    '-a:443',
  ]) {
    assert.equal(parseDestination(text), undefined, JSON.stringify(text));
  }
});

test('internal addresses are internal, in every spelling that a resolver may answer', () => {
  for (const address of [
    '169.254.169.254',
    'fd00:ec2::254',
    '100.100.100.200',
    '168.63.129.16',
    '192.0.0.192',
    '127.0.0.1',
    '127.255.255.254',
    '0.0.0.0',
    '10.0.0.1',
    '172.17.0.1',
    '172.31.255.255',
    '192.168.1.1',
    '100.64.0.1',
    '198.18.0.1',
    '224.0.0.1',
    '255.255.255.255',
    '::',
    '::1',
    'fe80::1',
    'fc00::1',
    'ff02::1',
    '::ffff:127.0.0.1',
    '::ffff:a9fe:a9fe',
    '64:ff9b::a9fe:a9fe',
    '2002:7f00:1::',
    '2001:db8::1',
    '2001::1',
    'not an address',
    '2130706433',
  ]) {
    assert.equal(isInternal(address, []), true, address);
  }
  for (const address of ['1.1.1.1', '172.32.0.1', '100.128.0.1', '2606:4700::1111', '2a00::1']) {
    assert.equal(isInternal(address, []), false, address);
    assert.equal(isInternal(address, [address]), true, `${address} of the host itself`);
  }
});

const policy = (rest: Partial<EgressPolicy> = {}): EgressPolicy => ({ allow, internal: [], host: [], ...rest });

test('a name that answers otherwise the second time stands for its first answer', async () => {
  const answers = [['93.184.216.34'], ['127.0.0.1']];
  const resolver = new Resolver(policy(), async () => answers.shift() ?? []);
  const destination = { host: 'example.org', port: 443 };
  assert.deepEqual(await resolver.resolve(destination), { addresses: ['93.184.216.34'] });
  assert.deepEqual(await resolver.resolve(destination), { addresses: ['93.184.216.34'] });
  assert.equal(answers.length, 1, 'it was asked once');
});

test('one internal address among public ones refuses the name, unless the operator lists host and port', async () => {
  const lookup = async (): Promise<string[]> => ['93.184.216.34', '169.254.169.254'];
  const destination = { host: 'example.org', port: 443 };
  assert.deepEqual(await new Resolver(policy(), lookup).resolve(destination), { refused: 'InternalAddress' });
  for (const [internal, refused] of [
    ['example.org:443', false],
    ['example.org:80', true],
    ['other.org:443', true],
  ] as const) {
    const resolution = await new Resolver(policy({ internal: [internal] }), lookup).resolve(destination);
    assert.equal('refused' in resolution, refused, internal);
  }
});

test('a lookup that failed is asked again', async () => {
  let calls = 0;
  const resolver = new Resolver(policy(), async () => {
    if (calls++ === 0) throw new Error('SERVFAIL');
    return ['1.1.1.1'];
  });
  assert.deepEqual(await resolver.resolve({ host: 'example.org', port: 80 }), { refused: 'Unresolvable' });
  assert.deepEqual(await resolver.resolve({ host: 'example.org', port: 80 }), { addresses: ['1.1.1.1'] });
});

/** What a real TLS client sends first. */
async function helloOf(servername: string | undefined): Promise<Buffer> {
  const server = createServer();
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  const { port } = server.address() as AddressInfo;
  const arrived = once(server, 'connection');
  const client = connectTls({
    socket: connectTcp(port, '127.0.0.1'),
    rejectUnauthorized: false,
    ...(servername && { servername }),
  });
  client.on('error', () => undefined);
  const [socket] = (await arrived) as [import('node:net').Socket];
  const [hello] = (await once(socket, 'data')) as [Buffer];
  socket.destroy();
  client.destroy();
  server.close();
  return hello;
}

test('the server name of a real handshake is read, however it is cut', async () => {
  const named = await helloOf('some.host.test');
  assert.deepEqual(readClientHello(named), { state: 'hello', name: 'some.host.test' });
  assert.deepEqual(readClientHello(Buffer.concat([named, Buffer.from('more')])), { state: 'invalid' });
  assert.deepEqual(readClientHello(await helloOf(undefined)), { state: 'hello', name: undefined });
  for (let length = 0; length < named.length; length++) {
    assert.deepEqual(readClientHello(named.subarray(0, length)), { state: 'more' }, `after ${length} bytes`);
  }
  // The same message in records of 50 bytes.
  const message = named.subarray(5);
  const records: Buffer[] = [];
  for (let at = 0; at < message.length; at += 50) {
    const part = message.subarray(at, at + 50);
    records.push(Buffer.from([22, 3, 1, 0, part.length]), part);
  }
  assert.deepEqual(readClientHello(Buffer.concat(records)), { state: 'hello', name: 'some.host.test' });
});

test('no bytes make the reader throw, and nothing but a handshake is one', async () => {
  const real = await helloOf('some.host.test');
  fc.assert(
    fc.property(fc.array(fc.tuple(fc.nat(real.length - 1), fc.nat(255)), { maxLength: 8 }), (changes) => {
      const bytes = Buffer.from(real);
      for (const [at, value] of changes) bytes[at] = value;
      assert.ok(['more', 'invalid', 'hello'].includes(readClientHello(bytes).state));
    }),
    { numRuns: 2000 },
  );
  assert.deepEqual(readClientHello(Buffer.from('GET / HTTP/1.1\r\n')), { state: 'invalid' });
  assert.deepEqual(readClientHello(Buffer.from('SSH-2.0-x')), { state: 'invalid' });
});
