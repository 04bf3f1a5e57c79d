/**
 * Hostile blocks in real containers: what they reach, and what they forge. Each attack first succeeds where one wall is
 * taken away, so that its failure in the container that the provider makes means something.
 */
import assert from 'node:assert/strict';
import { chmodSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import { WORKER_IMAGE } from '@pangolin/controller/providers/open';
import { dockerSkip } from '../providers/docker-here.ts';
import { docker } from '../spine/harness.ts';
import { script, type Finished } from '../worker/harness.ts';
import { attempt, type Weaken } from './container.ts';

const store = mkdtempSync(join(tmpdir(), 'pangolin-redteam-'));
chmodSync(store, 0o755);
mkdirSync(join(store, 'runs'));
writeFileSync(join(store, 'runs', 'of-somebody-else'), 'theirs');
const network = `pangolin-redteam-${process.pid}`;
after(() => rmSync(store, { recursive: true, force: true }));

/** The walls that are taken away, one container each. */
const weak: Readonly<Record<string, Weaken>> = {
  'blocks run as the runner': ({ Env }) => void Env?.push('PANGOLIN_BLOCK_UID='),
  'a network': ({ HostConfig }) => void (HostConfig!.NetworkMode = network),
  'mounts of the host': ({ HostConfig }) => {
    const bind = { Type: 'bind', ReadOnly: false } as const;
    HostConfig!.Mounts!.push({ ...bind, Source: store, Target: '/store' });
    HostConfig!.Mounts!.push({ ...bind, Source: '/var/run/docker.sock', Target: '/var/run/docker.sock' });
  },
  'privileges of root': ({ Env, HostConfig }) => {
    Env?.push('PANGOLIN_BLOCK_UID=');
    const all = ['CHOWN', 'DAC_OVERRIDE', 'KILL', 'SETUID', 'SETGID', 'MKNOD', 'SYS_ADMIN', 'FOWNER'];
    Object.assign(HostConfig!, { CapAdd: all, SecurityOpt: ['seccomp=unconfined'], ReadonlyRootfs: false });
  },
};

/** Name → the wall that stops it, and shell that prints GOT when it gets through. */
const attacks: readonly (readonly [string, string, string])[] = [
  [
    'environment of the runner',
    'blocks run as the runner',
    `tr '\\0' '\\n' </proc/$PPID/environ | grep -q ^PANGOLIN_MANIFEST && echo GOT`,
  ],
  ['descriptors of the runner', 'blocks run as the runner', `ls /proc/$PPID/fd/ | grep -q . && echo GOT`],
  [
    'memory of the runner',
    'blocks run as the runner',
    `dd if=/proc/$PPID/mem of=/dev/null bs=1 count=1 skip=$((0x$(head -1 /proc/$PPID/maps | cut -d- -f1))) && echo GOT`,
  ],
  ['its own task.json', 'blocks run as the runner', `grep -q manifest /pangolin/in/task.json && echo GOT`],
  [
    'a forged sentinel',
    'blocks run as the runner',
    `echo '{}' >/pangolin/out/output.json && echo GOT; rm -f /pangolin/out/output.json`,
  ],
  [
    'a forged log',
    'blocks run as the runner',
    `echo '{}' >>/pangolin/out/log/000000.ndjson.x && echo GOT; rm -f /pangolin/out/log/*.x`,
  ],
  ['the baseline of the patch', 'blocks run as the runner', `ls ../private/git/objects && echo GOT`],
  ['a signal to the runner', 'blocks run as the runner', `kill -0 $PPID && echo GOT`],
  [
    'a server on a network',
    'a network',
    `node -e 'require("net").connect(8080, "victim", () => { console.log("GOT"); process.exit() }).on("error", () => process.exit())'`,
  ],
  ['an interface', 'a network', `tail -n +3 /proc/net/dev | grep -v lo: | grep -q . && echo GOT`],
  [
    'the store and other attempts',
    'mounts of the host',
    `find / -name of-somebody-else 2>/dev/null | grep -q . && echo GOT`,
  ],
  [
    'the Docker socket',
    'mounts of the host',
    `for s in /var/run/docker.sock /run/docker.sock; do [ -e $s ] && echo GOT && break; done`,
  ],
  ['a device node', 'privileges of root', `mknod /tmp/null c 1 3 && echo GOT`],
  ['a mount', 'privileges of root', `mkdir /tmp/m; mount -t tmpfs none /tmp/m && echo GOT`],
  ['the image', 'privileges of root', `touch /opt/pangolin/evil && echo GOT`],
  ['a namespace of its own', 'privileges of root', `unshare -m true && echo GOT`],
];

/** A daemon that leaves session, group and environment, waits until its block is long over, and then changes the product. */
const DAEMON = `cat >/tmp/d.sh <<'END'
trap '' TERM HUP INT
touch /tmp/up
until [ -e /tmp/strike ]; do sleep 0.05; done
rm -rf "$1"/swap; ln -s /pangolin/in "$1"/swap; echo late >"$1"/late
END
mkdir outputs/swap; echo fine >outputs/swap/task.json
(env -i /usr/bin/setsid /bin/sh /tmp/d.sh "$PWD/outputs" </dev/null >/dev/null 2>&1 &)
until [ -e /tmp/up ]; do sleep 0.05; done`;
/** By now the daemon's block has been swept. It has two seconds, of which it needs a twentieth. */
const STRIKE = `touch /tmp/strike; for i in $(seq 20); do [ -e outputs/late ] && break; sleep 0.1; done`;

/** Those that the wall stops; without a wall all of them. */
const against = (wall?: string) => attacks.filter(([, by]) => wall === undefined || by === wall);
const pipelineOf = (wall?: string) =>
  against(wall).map(([name, , command]) =>
    script(`{ ${command}; } 2>/dev/null; true`, { id: name.replaceAll(' ', '-'), lens: 'verify' }),
  );
const daemon = [script(DAEMON, { id: 'daemon' }), script(STRIKE, { id: 'strike' })];

describe('a hostile block', { skip: await dockerSkip() }, () => {
  const ended = new Map<string, Finished>();
  let server: string | undefined;

  before(async () => {
    docker('network', 'create', '--internal', network);
    const listen = `require('net').createServer((s) => s.end()).listen(8080)`;
    server = docker(
      'run',
      '-d',
      '--network',
      network,
      '--network-alias',
      'victim',
      '--entrypoint',
      'node',
      WORKER_IMAGE,
      '-e',
      listen,
    );
    const blocks = [...pipelineOf(), ...daemon];
    const shipped = attempt({ blocks, timeoutMs: 120_000 }).then((end) => ended.set('', end));
    const weakened = Object.entries(weak).map(async ([wall, weaken]) => {
      const what = [...pipelineOf(wall), ...(wall === 'blocks run as the runner' ? daemon : [])];
      ended.set(wall, await attempt({ blocks: what, weaken, timeoutMs: 120_000, sandbox: { user: 'same' } }));
    });
    await Promise.all([shipped, ...weakened]);
  });
  after(() => {
    if (server !== undefined) docker('rm', '-f', server);
    docker('network', 'rm', network);
  });

  const got = (name: string, wall?: string): boolean => {
    const index = against(wall).findIndex(([each]) => each === name);
    const { log, output } = ended.get(wall ?? '')!;
    assert.match(output.blocks[index]?.status ?? '', /^(succeeded|failed)$/, output.message);
    return log.some(({ block, line }) => block === index && line === 'GOT');
  };

  for (const [name, wall] of attacks) {
    test(`${name}: within reach with ${wall}, and out of reach`, () => {
      assert.equal(got(name, wall), true, `the attack does not work at all: ${ended.get(wall)!.notes}`);
      assert.equal(got(name), false);
    });
  }

  test('a daemon changes what is captured where blocks run as the runner, and is dead before that otherwise', () => {
    assert.ok(ended.get('blocks run as the runner')!.output.products.outputs['late']);
    const { output, notes } = ended.get('')!;
    assert.deepEqual(Object.keys(output.products.outputs), ['swap/task.json']);
    assert.equal(output.products.outputs['swap/task.json']?.size, 5);
    assert.match(notes, /killed \d+ processes that the block left behind/);
  });
});
