/**
 * Hostile blocks through the shipped command, in real containers: ways around redaction, floods, strange files, and
 * settings that the backend lacks. What is not promised is shown as well: docs/sandbox.md says that it is not.
 */
import assert from 'node:assert/strict';
import { mkdirSync, readdirSync, statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import { attemptPrefix } from '@pangolin/contracts/layout';
import { blocks, Deployment, docker, dockerSkip, ends, outputs, runOf, script } from '../spine/harness.ts';

const TOKEN = 'tk-Zq/9+sw"word ü7';

/** Writes the value of TOKEN in each form, one a line: `name=form`. The first are promised to be caught. */
const FORMS = String.raw`
import { writeSync } from 'node:fs';
import { gzipSync } from 'node:zlib';
import { setTimeout as wait } from 'node:timers/promises';
const t = process.env.TOKEN;
const bytes = Buffer.from(t);
let up = false;
const mixed = (hex) => hex.replace(/[a-f]/gi, (c) => ((up = !up) ? c.toUpperCase() : c.toLowerCase()));
const say = (name, text) => writeSync(1, name + '=' + text + '\n');
say('raw', t);
writeSync(1, 'split=' + t.slice(0, 7)); await wait(300); writeSync(1, t.slice(7) + '\n');
writeSync(1, 'dripped='); for (const c of t) { writeSync(1, c); await wait(5); } writeSync(1, '\n');
for (const n of [0, 1, 2]) say('base64 at ' + n, Buffer.from('xyz'.slice(0, n) + t + 'tail').toString('base64'));
say('base64url', Buffer.from('ab' + t).toString('base64url'));
say('url', encodeURIComponent(t));
say('url mixed', encodeURIComponent(t).replace(/%../g, mixed));
say('url every byte', bytes.toString('hex').replace(/../g, '%$&'));
say('json', JSON.stringify(t));
say('json every character', t.replace(/[^]/g, (c) => '\\u' + mixed(c.charCodeAt(0).toString(16).padStart(4, '0'))));
say('hex mixed', mixed(bytes.toString('hex')));
say('gzip', gzipSync(t).toString('base64'));
say('reversed', [...t].reverse().join(''));
say('spaced', [...t].join(' '));
for (const [n, c] of [...t].entries()) { writeSync(1 + (n % 2), c); await wait(5); }
writeSync(1, '\n');
`;
const promised = [
  ...['raw', 'split', 'dripped', 'base64 at 0', 'base64 at 1', 'base64 at 2', 'base64url'],
  ...['url', 'url mixed', 'url every byte', 'json', 'json every character', 'hex mixed'],
];
const unpromised = ['gzip', 'reversed', 'spaced'];
const node = (program: string): string => `cat >/tmp/a.mjs <<'END'\n${program}\nEND\nnode /tmp/a.mjs`;
const secrets = { TOKEN: { ref: 'token' } };
const product = (write: string, more: object = {}) =>
  blocks(
    script(node(`import { writeFileSync } from 'node:fs'; const t = process.env.TOKEN; ${write}`), {
      secrets,
      ...more,
    }),
    outputs,
  );

/** Everything that is no plain file, and links that lead out. */
const STRANGE = `
  mkfifo outputs/pipe pipe; ln -s /etc/shadow outputs/shadow; ln -s / root; ln -s loop loop; ln -s ../../../pangolin/in outputs/in
  node -e 'require("net").createServer().listen("outputs/socket", () => process.exit())'
  for d in c b; do mknod outputs/dev-$d $d 1 3 && echo "made a device $d"; done 2>/dev/null
  echo fine > outputs/fine`;
const FLOOD = `node -e 'const b = Buffer.alloc(2 ** 20, "x".repeat(127) + "\\n"); for (let i = 0; i < 1024; i++) require("fs").writeSync(1, b)'`;

describe('a hostile run on docker', { skip: await dockerSkip() }, () => {
  let deployment: Deployment;
  let ended: Record<string, string>;
  before(async () => {
    deployment = new Deployment('docker');
    const dir = join(deployment.storage, 'controller', 'secrets');
    mkdirSync(dir, { recursive: true, mode: 0o700 });
    writeFileSync(join(dir, 'token'), TOKEN, { mode: 0o600 });
    deployment.drop(
      'run.json',
      runOf('run', deployment.repo, [
        { id: 'granted', ...blocks(script(node(FORMS), { secrets })) },
        // The weakened build: the same value, and nobody knows that it is one.
        { id: 'unknown', ...blocks(script(node(FORMS), { env: { TOKEN } })) },
        {
          id: 'mixed',
          ...product(
            `writeFileSync('outputs/x', encodeURIComponent(t).replace(/%../g, (c, n) => n % 2 ? c.toLowerCase() : c))`,
          ),
        },
        { id: 'named', ...product(`writeFileSync('outputs/' + Buffer.from(t).toString('hex').toUpperCase(), '')`) },
        { id: 'packed', ...product(`writeFileSync('outputs/x', (await import('node:zlib')).gzipSync(t))`) },
        { id: 'flood', ...blocks(script(FLOOD), script('echo after > outputs/after'), outputs) },
        { id: 'strange', ...blocks(script(STRANGE), outputs) },
        { id: 'sparse', ...blocks(script('truncate -s 20G outputs/sparse'), outputs) },
        {
          id: 'deep',
          ...blocks(script('d=outputs; for i in $(seq 40); do d=$d/x; done; mkdir -p $d; touch $d/f'), outputs),
        },
        { id: 'gvisor', sandbox: { runtime: 'runsc' }, ...blocks(script('true')) },
        { id: 'well', depends_on: [{ item: 'flood', when: 'always' }], ...blocks(script('true')) },
      ]),
    );
    const controller = await deployment.settle({ args: ['--concurrency', '2'] });
    assert.ok(controller.log.every(({ msg }) => !/uncaught|could not apply/i.test(msg)));
    ended = ends(await deployment.status('run'));
  });
  after(() => deployment.dispose());

  const printed = (item: string) => {
    const lines = deployment.printed('run', item).split('\n');
    return new Map(lines.map((line) => [line.slice(0, line.indexOf('=')), line.slice(line.indexOf('=') + 1)]));
  };

  for (const form of promised) {
    test(`a secret that is printed as ${form} is caught`, () => {
      const open = printed('unknown').get(form);
      assert.ok(open !== undefined && open.length >= TOKEN.length, 'the attack does not work at all');
      const said = printed('granted').get(form) ?? '';
      assert.match(said, /\[secret token\]/);
      const marked = said.split('[secret token]').join('');
      assert.ok(marked.length < open.length / 2, `too much is left: ${said}`);
    });
  }

  test('forms of its own go through, as the documentation says', () => {
    for (const form of unpromised) assert.equal(printed('granted').get(form), printed('unknown').get(form), form);
    for (const item of ['granted', 'unknown'])
      assert.ok(!deployment.printed('run', item).split('\n').at(-1)!.includes(TOKEN), 'taken apart over two streams');
  });

  test('a product with a promised form fails its item and is not kept; a packed one is not seen', () => {
    for (const item of ['mixed', 'named']) {
      assert.equal(ended[item], 'failed SecretInProduct 1');
      assert.deepEqual(deployment.output('run', item).products, { outputs: {} });
    }
    assert.equal(ended['packed'], 'done Succeeded 1');
  });

  test('a flood of 1 GiB is cut off, and the item and what comes after go on', () => {
    assert.deepEqual([ended['flood'], ended['well']], ['done Succeeded 1', 'done Succeeded 1']);
    const log = join(deployment.storage, attemptPrefix({ runId: 'run', itemId: 'flood', attempt: 1 }), 'log');
    const bytes = readdirSync(log).reduce((sum, name) => sum + statSync(join(log, name)).size, 0);
    assert.ok(bytes > 200 * 2 ** 20 && bytes < 300 * 2 ** 20, `${bytes} bytes of log`);
    assert.deepEqual(Object.keys(deployment.output('run', 'flood').products.outputs), ['after']);
  });

  test('what is no plain file is no product, and no device can be made', () => {
    assert.equal(ended['strange'], 'done Succeeded 1');
    assert.deepEqual(Object.keys(deployment.output('run', 'strange').products.outputs), ['fine']);
    assert.doesNotMatch(deployment.printed('run', 'strange'), /made a device/);
  });

  test('a sparse file counts by its length, and depth has a limit', () => {
    assert.deepEqual([ended['sparse'], ended['deep']], ['failed OutputTooLarge 1', 'failed OutputTooLarge 1']);
  });

  test('a runtime class that the engine lacks refuses the item by its name', async () => {
    const runtimes = Object.keys(JSON.parse(docker('info', '--format', '{{json .Runtimes}}')) as object);
    if (runtimes.includes('runsc')) return assert.match(ended['gvisor'] ?? '', /^done /);
    assert.equal(ended['gvisor'], 'denied SandboxUnsupported 0');
    const { items } = await deployment.status('run');
    assert.match(items.find(({ id }) => id === 'gvisor')?.message ?? '', /runsc/);
  });

  test('the bundle verifies, and nothing of a task is left', async () => {
    await deployment.verified('run');
    await deployment.swept();
  });
});

test('an agent as a plain process of the host is refused, unless somebody takes that upon himself', async () => {
  const deployment = new Deployment('process');
  try {
    const file = join(deployment.dir, 'agent.json');
    const spec = { runtime: { kind: 'command', command: ['/bin/sh', '-c', 'echo done > outputs/it'] }, prompt: 'go' };
    writeFileSync(
      file,
      JSON.stringify({ apiVersion: 'pangolin.dev/v1', kind: 'Subagent', metadata: { name: 'sh' }, spec }),
    );
    assert.equal((await deployment.cli('subagent', 'register', file)).code, 0);
    deployment.drop('no.json', { id: 'no', items: [{ id: 'a', subagent: 'sh' }] });
    await deployment.settle();
    const refused = await deployment.status('no');
    assert.deepEqual(ends(refused), { a: 'denied SandboxUnsupported 0' });
    assert.match(refused.items[0]?.message ?? '', /--unsandboxed/);
    deployment.drop('yes.json', { id: 'yes', items: [{ id: 'a', subagent: 'sh' }] });
    await deployment.settle({ args: ['--unsandboxed'] });
    assert.deepEqual(ends(await deployment.status('yes')), { a: 'done Succeeded 1' });
  } finally {
    await deployment.dispose();
  }
});
