/**
 * Hostile blocks through the shipped command, in real containers: ways around redaction, floods, strange files, and
 * settings that the backend lacks. Each attack gets through in a worker without the guard that stops it (`weak-…`). What
 * is not promised is shown as well: docs/sandbox.md says that it is not.
 */
import assert from 'node:assert/strict';
import { mkdirSync, readdirSync, statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import { attemptPrefix } from '@pangolin/contracts/layout';
import type { DispatchManifest } from '@pangolin/contracts/task';
import {
  blocks,
  Deployment,
  docker,
  dockerSkip,
  ends,
  outputs,
  patch,
  runOf,
  script,
  type Status,
} from '../spine/harness.ts';
import { poll } from '../poll.ts';
import { removeImage, weakenedImage } from './weakened.ts';

const TOKEN = 'tk-Zq/9+sw"word ü7';
const HEX = Buffer.from(TOKEN).toString('hex').toUpperCase();

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
/** As encoded forms: in a file, and as the name of one. */
const MIXED = `writeFileSync('outputs/x', encodeURIComponent(t).replace(/%../g, (c, n) => n % 2 ? c.toLowerCase() : c))`;
const NAMED = `writeFileSync('outputs/${HEX}', '')`;
const PACKED = `writeFileSync('outputs/x', (await import('node:zlib')).gzipSync(t))`;
const write = (statements: string): object =>
  script(node(`import { writeFileSync } from 'node:fs'; const t = process.env.TOKEN; ${statements}`), { secrets });
/** A block has a secret as a file, and the next one looks for it there. */
const later = [
  script('printf %s "$KEY" > /tmp/where', { secrets: { KEY: { ref: 'token', as: 'file' } } }),
  script('cat "$(cat /tmp/where)" >/dev/null 2>&1 && echo GOT; true'),
];

/** Everything that is no plain file, and links that lead out. */
const SPECIAL = `mkfifo outputs/pipe; node -e 'require("net").createServer().listen("outputs/socket", () => process.exit())'`;
const LINKS = `ln -s /pangolin/in/task.json outputs/in; ln -s /pangolin/in/task.json leak`;
const STRANGE = `
  ${LINKS}; ${SPECIAL}; mkfifo pipe; ln -s /etc/shadow outputs/shadow; ln -s / root; ln -s loop loop; ln /etc/passwd hard 2>/dev/null
  for d in c b; do mknod outputs/dev-$d $d 1 3 && echo "made a device $d"; done 2>/dev/null
  echo fine > outputs/fine`;
const flood = (mib: number): object =>
  script(
    `node -e 'const b = Buffer.alloc(2 ** 20, "x".repeat(127) + "\\n"); for (let i = 0; i < ${mib}; i++) require("fs").writeSync(1, b)'`,
  );
const sparse = (size: string, file: string): object => script(`truncate -s ${size} ${file}`);
const DEEP = script('d=outputs; for i in $(seq 40); do d=$d/y; done; mkdir -p $d; touch $d/f');
const many = (files: number): object =>
  script(`node -e 'for (let i = 0; i < ${files}; i++) fs.writeFileSync("outputs/" + i, "")'`);
/** Names of files; the file system wants another one after so many names. */
const LINKED = `const d = process.argv[1]; fs.mkdirSync(d); let f;
  for (let i = 0; i < 505000; i++) { if (i % 30000 === 0) fs.writeFileSync(f = d + "/f" + i, ""); fs.linkSync(f, d + "/" + i); }`;
const MILLION = script(`for d in d1 d2; do node -e '${LINKED}' $d & done; wait`);
const FULL = script('dd if=/dev/zero of=big bs=1M count=60 2>/dev/null');
const MIB = 2 ** 20;
const disk = { sandbox: { disk: '30Mi' } };

/** A second OCI runtime of the engine; scripts/docker-engine.sh gives it one. */
const CLASS = 'crun';
const classes = (): string[] => Object.keys(JSON.parse(docker('info', '--format', '{{json .Runtimes}}')) as object);

describe('a hostile run on docker', { skip: await dockerSkip() }, () => {
  let deployment: Deployment;
  let image: string;
  let ended: Record<string, string>;
  let weak: Status;
  /** What the engine says that it runs the item `crun` with. */
  let runtime: string | undefined;
  before(async () => {
    deployment = new Deployment('docker');
    image = weakenedImage();
    const hasClass = classes().includes(CLASS);
    assert.ok(hasClass || !process.env['CI'], 'in CI the engine has crun; see scripts/docker-engine.sh');
    const dir = join(deployment.storage, 'controller', 'secrets');
    mkdirSync(dir, { recursive: true, mode: 0o700 });
    writeFileSync(join(dir, 'token'), TOKEN, { mode: 0o600 });
    const attacked = [
      { id: 'million', ...blocks(MILLION) },
      ...(hasClass
        ? [{ id: 'crun', sandbox: { runtime: CLASS }, ...blocks(script('until [ -e /tmp/go ]; do sleep 0.1; done')) }]
        : []),
      { id: 'granted', ...blocks(...later, script(node(FORMS), { secrets }), write(PACKED), outputs) },
      // The weakened build: the same value, and nobody knows that it is one.
      { id: 'unknown', ...blocks(script(node(FORMS), { env: { TOKEN } })) },
      { id: 'mixed', ...blocks(write(MIXED), outputs) },
      { id: 'named', ...blocks(write(NAMED), outputs) },
      { id: 'flood', ...blocks(flood(1024), script('echo after > outputs/after'), outputs) },
      { id: 'sparse', ...blocks(sparse('20G', 'outputs/sparse'), outputs) },
      { id: 'sparse-tree', ...blocks(sparse('20G', 'sparse'), patch) },
      { id: 'deep', ...blocks(DEEP, outputs) },
      { id: 'many', ...blocks(many(10_001), outputs) },
      { id: 'full', ...disk, ...blocks(FULL) },
      { id: 'class', sandbox: { runtime: 'no-such-class' }, ...blocks(script('true')) },
      { id: 'strange', depends_on: [{ item: 'flood', when: 'always' }], ...blocks(script(STRANGE), outputs, patch) },
    ];
    const all = [
      write(`${MIXED}; ${NAMED}`),
      ...later,
      flood(8),
      script(LINKS),
      FULL,
      sparse('8M', 'sparse outputs/sparse'),
      many(100),
      DEEP,
    ];
    const weakened = [
      { id: 'all', image, ...disk, ...blocks(...all, outputs, patch) },
      { id: 'special', image, ...blocks(script(SPECIAL), outputs) },
    ];
    deployment.drop('run.json', runOf('run', deployment.repo, attacked));
    deployment.drop('weak.json', runOf('weak', deployment.repo, weakened));
    const controller = deployment.serve({ untilIdle: true, args: ['--concurrency', '2'] });
    if (hasClass) {
      const { task = '' } = await controller.logged('the start of crun', ({ item, task }) => item === 'crun' && !!task);
      const started = (): boolean => docker('ps', '-q', '--filter', `name=^${task}$`) !== '';
      await poll('crun runs', started, () => controller.text);
      runtime = docker('inspect', '-f', '{{.HostConfig.Runtime}}', task);
      docker('exec', task, 'touch', '/tmp/go');
    }
    const endings = (): number => controller.log.filter(({ msg }) => msg === 'item ended').length;
    for (let count = 1; count <= attacked.length + weakened.length; count++)
      await Promise.all([
        controller.logged(`the end of item ${count}`, () => endings() >= count),
        count % 4 === 1 && deployment.cli('doctor', '--live').then(({ code, stderr }) => assert.equal(code, 0, stderr)),
      ]);
    assert.equal((await controller.end()).code, 0, controller.text);
    assert.ok(controller.log.every(({ msg }) => !/uncaught|could not apply/i.test(msg)));
    ended = ends(await deployment.status('run'));
    weak = await deployment.status('weak');
  });
  after(async () => {
    await deployment?.dispose();
    if (image) removeImage(image);
  });

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

  const made = (item: string, run = 'run') => deployment.output(run, item).products;

  test('the worker without its guards lets everything through', () => {
    assert.deepEqual(ends(weak), { all: 'done Succeeded 1', special: 'failed CaptureFailed 1' }, JSON.stringify(weak));
  });

  test('a product with a promised form fails its item and is not kept; a packed one is not seen', () => {
    assert.ok(made('all', 'weak').outputs['x'] && made('all', 'weak').outputs[HEX]);
    for (const item of ['mixed', 'named']) {
      assert.equal(ended[item], 'failed SecretInProduct 1');
      assert.deepEqual(made(item), { outputs: {} });
    }
    assert.deepEqual([ended['granted'], Object.keys(made('granted').outputs)], ['done Succeeded 1', ['x']]);
  });

  test('a secret that one block had as a file is gone when the next one looks', () => {
    assert.match(deployment.printed('weak', 'all'), /^GOT$/m);
    assert.doesNotMatch(deployment.printed('run', 'granted'), /^GOT$/m);
  });

  test('a flood of 1 GiB is cut off, and the item and what comes after go on', () => {
    assert.deepEqual([ended['flood'], ended['strange']], ['done Succeeded 1', 'done Succeeded 1']);
    const bytes = (runId: string, itemId: string): number => {
      const log = join(deployment.storage, attemptPrefix({ runId, itemId, attempt: 1 }), 'log');
      return readdirSync(log).reduce((sum, name) => sum + statSync(join(log, name)).size, 0);
    };
    assert.ok(bytes('weak', 'all') > 8 * MIB, 'twice the limit of that build');
    assert.ok(bytes('run', 'flood') > 200 * MIB && bytes('run', 'flood') < 260 * MIB, `${bytes('run', 'flood')} bytes`);
    assert.deepEqual(Object.keys(made('flood').outputs), ['after']);
  });

  test('what is no plain file is no product, no link is followed, and no device can be made', async () => {
    const patchOf = async (target: string): Promise<string> => (await deployment.cli('orch', 'patch', target)).stdout;
    assert.ok((made('all', 'weak').outputs['in']?.size ?? 0) > 500);
    assert.match(await patchOf('weak/all'), /^\+.*"manifest"/m);
    assert.deepEqual(Object.keys(made('strange').outputs), ['fine']);
    assert.doesNotMatch(await patchOf('run/strange'), /"manifest"|root:/);
    assert.doesNotMatch(deployment.printed('run', 'strange'), /made a device/);
    const notes = await deployment.cli('orch', 'logs', 'run/strange');
    for (const name of ['pipe', 'shadow', 'socket', 'in'])
      assert.match(notes.stdout, new RegExp(`outputs/${name} is no regular file`));
  });

  test('a sparse file counts by its length, number and depth have limits, and a disk its quota', async () => {
    const { outputs: kept, patch: change } = made('all', 'weak');
    assert.equal(kept['sparse']?.size, 8 * MIB, 'twice the limit of that build');
    assert.ok(Object.keys(kept).some((path) => path.split('/').length === 41));
    assert.ok(Object.keys(kept).length > 100, 'twice the limit of that build');
    assert.equal(change?.files, 3, 'big, leak, sparse');
    const { items } = await deployment.status('run');
    const says = {
      sparse: ['OutputTooLarge', /outputs\/ holds more than 10737418240 bytes/],
      'sparse-tree': ['OutputTooLarge', /new files hold more than 1073741824 bytes/],
      deep: ['OutputTooLarge', /nests deeper than 32/],
      many: ['OutputTooLarge', /more than 10000 files/],
      million: ['DiskQuotaExceeded', /made more than 1000000 files/],
      full: ['DiskQuotaExceeded', /wrote more than 31457280 bytes/],
    } as const;
    for (const [item, [reason, words]] of Object.entries(says)) {
      assert.equal(ended[item], `failed ${reason} 1`);
      assert.match(items.find(({ id }) => id === item)?.message ?? '', words);
    }
  });

  test('a runtime class that the engine lacks refuses the item by its name', async () => {
    assert.equal(ended['class'], 'denied SandboxUnsupported 0');
    const { items } = await deployment.status('run');
    const { message = '' } = items.find(({ id }) => id === 'class')!;
    assert.match(message, /^`sandbox\.runtime`: the Docker engine has no runtime no-such-class\. It has .*runc/);
  });

  test('a runtime class that the engine has runs the item, the manifest says so, and doctor lists it', async (t) => {
    if (runtime === undefined) return t.skip('the engine has no crun; run scripts/docker-engine.sh up');
    assert.deepEqual([runtime, ended['crun']], [CLASS, 'done Succeeded 1']);
    const manifests = deployment.predicates('run', 'dispatch') as DispatchManifest[];
    const { asked, enforced } = manifests.find(({ itemId }) => itemId === 'crun')!.sandbox;
    assert.deepEqual([asked.runtime, enforced.runtime], [CLASS, CLASS]);
    assert.match(
      (await deployment.cli('doctor')).stdout,
      /the Docker engine answers; runtime classes: .*\bcrun\b.*runc/,
    );
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
