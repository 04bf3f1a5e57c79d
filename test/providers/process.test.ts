/** Tasks as child processes: the conformance suite, and what only this backend has. */
import assert from 'node:assert/strict';
import { execFileSync, spawn } from 'node:child_process';
import { existsSync, mkdirSync, readdirSync, readFileSync, symlinkSync, writeFileSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { after, before, describe, it } from 'node:test';
import { isPangolinError } from '@pangolin/contracts/errors';
import { createProcessProvider } from '@pangolin/controller/providers/process';
import type { SandboxRequest } from '@pangolin/controller/providers/provider';
import { parseIdentity } from '@pangolin/controller/providers/process-table';
import { workBase } from '@pangolin/controller/providers/process-worker';
import { conformance, ended, observeOne, written } from './conformance.ts';
import { Bench } from './scripted.ts';
import { poll } from '../poll.ts';

const FOREVER = 'while :; do sleep 0.05; done';

/** Directories of the task and processes that have its out directory in their environment. */
async function left(bench: Bench, name: string): Promise<string[]> {
  const state = join(bench.dir, 'state');
  const paths = [join(state, 'tasks', name), join(state, 'exits', name), join(workBase(), name)];
  const marker = join(workBase(), name);
  const processes = readdirSync('/proc')
    .filter((pid) => /^\d+$/.test(pid) && environ(pid).includes(`PANGOLIN_WORK=${marker}\0`))
    .map((pid) => `process ${pid}`);
  return [...paths.filter((path) => existsSync(path)), ...processes];
}

function environ(pid: string): string {
  try {
    return readFileSync(`/proc/${pid}/environ`, 'latin1');
  } catch {
    return '';
  }
}

conformance('process', { skip: process.platform === 'linux' ? false : 'reads /proc', left });

describe('the process provider', () => {
  let bench: Bench;
  before(async () => {
    bench = await Bench.make('process');
  });
  after(async () => {
    for (const name of await bench.provider.list()) await bench.provider.remove(name);
    rmSync(bench.dir, { recursive: true, force: true });
  });
  const tasksDir = (name: string): string => join(bench.dir, 'state/tasks', name);
  const pidIn = (file: string): number => {
    const id = parseIdentity(readFileSync(file, 'utf8'));
    assert.ok(id);
    return id.pid;
  };

  it('gives the worker a search path, a language and the protocol, and no other variable', async () => {
    const task = bench.task('tr "\\0" "\\n" </proc/$$/environ | cut -d= -f1 | sort >"$PANGOLIN_OUT/names"');
    await bench.provider.start(task);
    await ended(bench.provider, task.name);
    // The shells on the way add the first two.
    const names = (await written(task, 'names'))
      .trim()
      .split('\n')
      .filter((name) => !['_', 'PWD', 'OLDPWD', 'SHLVL'].includes(name));
    assert.deepEqual(names, [
      'LANG',
      'PANGOLIN_GRACE_MS',
      'PANGOLIN_IN',
      'PANGOLIN_MANIFEST_SHA256',
      'PANGOLIN_OUT',
      'PANGOLIN_WORK',
      'PATH',
    ]);
  });

  it('says what little it enforces', () => {
    const sandbox = bench.provider.enforce({});
    assert.equal(sandbox.rootfs, 'host');
    assert.equal(sandbox.user, 'same');
    assert.equal(sandbox.runtime, 'process');
    assert.equal(sandbox.memoryBytes, undefined);
    assert.equal(bench.provider.enforce({ network: 'open' }).network, 'open');
  });

  const refused: readonly (readonly [string, SandboxRequest])[] = [
    ['resources.memory', { memoryBytes: 2 ** 30 }],
    ['resources.cpu', { cpuMillis: 500 }],
    ['image', { image: 'node:24' }],
  ];
  for (const [field, request] of refused) {
    it(`refuses ${field} by its name in the Run spec`, () => {
      assert.throws(
        () => bench.provider.enforce(request),
        (error) => isPangolinError(error, 'UNSUPPORTED') && error.message.startsWith(`\`${field}\`: `),
      );
    });
  }

  it('resolves no image', async () => {
    assert.equal(await bench.provider.resolveImage(undefined), undefined);
  });

  it('says StartFailed with the shell’s words of a worker that cannot be run', async () => {
    const provider = createProcessProvider({
      stateDir: join(bench.dir, 'state'),
      deployment: bench.deployment,
      workerCommand: ['/nonexistent/worker'],
    });
    const task = bench.task('exit 0');
    await provider.start(task);
    const end = await ended(provider, task.name);
    assert.equal(end.reason, 'StartFailed');
    assert.match(end.message ?? '', /nonexistent/);
  });

  it('starts a task whose controller died before it had spawned anything', async () => {
    const task = bench.task('exit 8');
    mkdirSync(tasksDir(task.name), { recursive: true });
    assert.equal((await observeOne(bench.provider, task.name)).state, 'starting');
    assert.ok((await bench.provider.list()).includes(task.name));
    await bench.provider.start(task);
    assert.equal((await ended(bench.provider, task.name)).exitCode, 8);
  });

  it('never starts a task that was stopped before its supervisor came to it', async () => {
    const task = bench.task('echo x >"$PANGOLIN_OUT/starts"');
    mkdirSync(tasksDir(task.name), { recursive: true });
    await bench.provider.stop(task.name, 0);
    await bench.provider.start(task);
    assert.equal((await ended(bench.provider, task.name)).exitCode, 143);
    assert.ok(!existsSync(join(task.outDir, 'starts')));
  });

  it('takes a task for lost whose processes were all killed by hand', async () => {
    const task = bench.task(`echo up >"$PANGOLIN_OUT/up"; ${FOREVER}`);
    await bench.provider.start(task);
    await written(task, 'up');
    for (const who of ['supervisor', 'worker']) process.kill(pidIn(join(tasksDir(task.name), who)), 'SIGKILL');
    const end = await ended(bench.provider, task.name);
    assert.deepEqual([end.exitCode, end.reason], [undefined, 'Lost']);
  });

  it('still sees, stops and removes a worker whose supervisor was killed', async () => {
    const task = bench.task(`echo up >"$PANGOLIN_OUT/up"; ${FOREVER}`);
    await bench.provider.start(task);
    await written(task, 'up');
    process.kill(pidIn(join(tasksDir(task.name), 'supervisor')), 'SIGKILL');
    assert.equal((await observeOne(bench.provider, task.name)).state, 'running');
    await bench.provider.stop(task.name, 1000);
    assert.equal((await ended(bench.provider, task.name)).reason, 'Lost');
    await bench.provider.remove(task.name);
    assert.deepEqual(await left(bench, task.name), []);
  });

  it('reports a worker that was killed by hand as 137', async () => {
    const task = bench.task(`echo up >"$PANGOLIN_OUT/up"; ${FOREVER}`);
    await bench.provider.start(task);
    await written(task, 'up');
    process.kill(pidIn(join(tasksDir(task.name), 'worker')), 'SIGKILL');
    assert.deepEqual(await ended(bench.provider, task.name), { name: task.name, state: 'ended', exitCode: 137 });
  });

  it('does not take another process for its own that got the same number', async () => {
    const stranger = spawn('sleep', ['60']);
    try {
      const task = bench.task('exit 0');
      mkdirSync(join(tasksDir(task.name), 'claim'), { recursive: true });
      const stat = readFileSync(`/proc/${stranger.pid}/stat`, 'utf8').trim().split(' ');
      stat[21] = String(Number(stat[21]) - 1);
      const boot = readFileSync('/proc/sys/kernel/random/boot_id', 'utf8').trim();
      const identity = [stranger.pid, stat.join(' '), boot, 'end', ''].join('\n');
      for (const who of ['supervisor', 'worker']) writeFileSync(join(tasksDir(task.name), who), identity);
      assert.equal((await observeOne(bench.provider, task.name)).state, 'ended');
      await bench.provider.stop(task.name, 0);
      await bench.provider.remove(task.name);
      assert.equal(stranger.exitCode ?? stranger.signalCode, null);
    } finally {
      stranger.kill();
    }
  });

  it('says gone of a task from before the machine started again', async () => {
    const task = bench.task('exit 0');
    mkdirSync(join(tasksDir(task.name), 'claim'), { recursive: true });
    writeFileSync(
      join(tasksDir(task.name), 'supervisor'),
      `${process.pid}\n${readFileSync('/proc/self/stat', 'utf8').trim()}\n00000000-0000-0000-0000-000000000000\nend\n`,
    );
    assert.equal((await observeOne(bench.provider, task.name)).state, 'gone');
    await bench.provider.remove(task.name);
    assert.deepEqual(await left(bench, task.name), []);
  });

  it('kills orphans that left the session and the environment of their task, where it has a network of its own', async (t) => {
    if (bench.provider.enforce({}).network !== 'none') return t.skip('this kernel gives no network namespaces');
    const task = bench.task(
      `env -i PATH="$PATH" out="$PANGOLIN_OUT" setsid -f sh -c 'echo $$ >"$out/orphan"; ${FOREVER}'; exit 0`,
    );
    await bench.provider.start(task);
    await ended(bench.provider, task.name);
    const orphan = Number(await written(task, 'orphan'));
    assert.ok(existsSync(`/proc/${orphan}`));
    await bench.provider.remove(task.name);
    await poll('the orphan is dead', () => !existsSync(`/proc/${orphan}`) || undefined);
  });

  it('spares whoever got the number of its network namespace after it', async (t) => {
    if (bench.provider.enforce({}).network !== 'none') return t.skip('this kernel gives no network namespaces');
    const task = bench.task('exit 0');
    await bench.provider.start(task);
    await ended(bench.provider, task.name);
    const user = process.getuid?.() === 0 ? '-n' : '-rn';
    const stranger = spawn('unshare', [user, '--', 'sh', '-c', 'readlink /proc/self/ns/net; exec sleep 60']);
    const died = new Promise<'died'>((resolve) => stranger.once('exit', () => resolve('died')));
    try {
      const number = await new Promise<string>((resolve) =>
        stranger.stdout.once('data', (chunk: Buffer) => resolve(chunk.toString().trim())),
      );
      const file = join(tasksDir(task.name), 'namespace');
      const [own, mark] = readFileSync(file, 'utf8').split(' ');
      assert.match(own ?? '', /^net:/);
      writeFileSync(file, `${number} ${mark}`);
      await bench.provider.remove(task.name);
      assert.equal(await Promise.race([died, Promise.resolve('lives')]), 'lives');
      assert.ok(existsSync(`/proc/${stranger.pid}/cwd`));
    } finally {
      stranger.kill('SIGKILL');
    }
  });

  it('kills children that left the session of a task which shares the host’s network', async () => {
    const task = bench.task(
      `setsid sh -c '(${FOREVER}) & ${FOREVER}' & (${FOREVER}) & echo up >"$PANGOLIN_OUT/up"; ${FOREVER}`,
      { network: 'open' },
    );
    await bench.provider.start(task);
    await written(task, 'up');
    await poll(
      'all five run',
      async () => (await left(bench, task.name)).filter((what) => what.startsWith('process')).length >= 5,
    );
    await bench.provider.stop(task.name, 0);
    await ended(bench.provider, task.name);
    await poll('none is left', async () => !(await left(bench, task.name)).some((what) => what.startsWith('process')));
  });

  it('does not let a root worker back into the network of the host', async (t) => {
    if (process.getuid?.() !== 0) return t.skip('only root could');
    const task = bench.task(
      `nsenter --net=/proc/${process.pid}/ns/net true && echo in >"$PANGOLIN_OUT/in"; echo out >"$PANGOLIN_OUT/out"`,
    );
    await bench.provider.start(task);
    await written(task, 'out');
    assert.ok(!existsSync(join(task.outDir, 'in')));
  });

  it('isolates the network for an ordinary user too, who keeps his id', async (t) => {
    if (process.getuid?.() !== 0) return t.skip('only root can become somebody else');
    // Imported before it becomes somebody else, who may not read this checkout.
    const probe = `import { probeConfinement } from ${JSON.stringify(import.meta.resolve('@pangolin/controller/providers/process-supervisor'))};
      import { spawnSync } from 'node:child_process';
      process.chdir('/');
      process.setgroups([]);
      process.setgid(65534);
      process.setuid(65534);
      const c = probeConfinement();
      const [file, ...args] = [...(c.network ?? ['echo', 'none']), ...c.inNamespace, ...(c.privileges ?? []), 'sh', '-c', 'id -u; grep CapEff /proc/self/status; cat /proc/net/dev | wc -l'];
      console.log(c.network ? spawnSync(file, args, { encoding: 'utf8' }).stdout : 'none');`;
    const text = execFileSync(process.execPath, ['--input-type=module', '-e', probe], { encoding: 'utf8' });
    if (text.trim() === 'none') return t.skip('this kernel gives no user namespaces');
    // Two header lines and loopback.
    assert.deepEqual(text.trim().split('\n'), ['65534', 'CapEff:\t0000000000000000', '3']);
  });

  it('does not work in a directory that somebody else prepared', () => {
    const before = process.env['TMPDIR'];
    process.env['TMPDIR'] = join(bench.dir, 'tmp');
    mkdirSync(join(bench.dir, 'tmp'));
    symlinkSync(bench.dir, join(bench.dir, 'tmp', `pangolin-${process.getuid?.() ?? 0}`));
    try {
      assert.throws(workBase, (error) => isPangolinError(error, 'DENIED'));
    } finally {
      if (before === undefined) delete process.env['TMPDIR'];
      else process.env['TMPDIR'] = before;
    }
  });
});
