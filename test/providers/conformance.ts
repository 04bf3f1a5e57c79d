/** What every provider that runs something must do: the sentences of the seam, one test each. */
import assert from 'node:assert/strict';
import { spawn, type ChildProcess } from 'node:child_process';
import { existsSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { rm } from 'node:fs/promises';
import { join } from 'node:path';
import { after, before, describe, it } from 'node:test';
import { isPangolinError } from '@pangolin/contracts/errors';
import type { ComputeProvider, TaskObservation, TaskStart } from '@pangolin/controller/providers/provider';
import { Bench, type FolderTask, type Kind } from './scripted.ts';
import { poll } from '../poll.ts';

const FOREVER = 'while :; do sleep 0.05; done';
const UNKNOWN = 'pangolin-nobody-1-0123456789abcdef';

export async function observeOne(provider: ComputeProvider, name: string): Promise<TaskObservation> {
  const [observation] = await provider.observe([name]);
  assert.ok(observation);
  return observation;
}

export async function ended(provider: ComputeProvider, name: string): Promise<TaskObservation> {
  return await poll(`${name} has ended`, async () => {
    const observation = await observeOne(provider, name);
    return observation.state === 'ended' && observation;
  });
}

/** A backend may say so a moment after the task itself does. */
async function runs(provider: ComputeProvider, name: string): Promise<void> {
  await poll(`${name} runs`, async () => (await observeOne(provider, name)).state !== 'starting');
  assert.equal((await observeOne(provider, name)).state, 'running');
}

/** What the script wrote to a file of its out directory, once it is there. */
export async function written(task: FolderTask, file: string): Promise<string> {
  const path = join(task.outDir, file);
  return await poll(`${file} of ${task.name}`, () => existsSync(path) && (readFileSync(path, 'utf8') || undefined));
}

export function isUnavailable(reason: string): (error: unknown) => boolean {
  return (error) => {
    assert.ok(isPangolinError(error, 'UNAVAILABLE'), String(error));
    assert.equal((error.details as { reason?: string } | undefined)?.reason, reason);
    return true;
  };
}

const isUnsupported = (error: unknown): boolean => isPangolinError(error, 'UNSUPPORTED');

/** `ready` runs before everything; `left` lists what of a task is there besides its in and out, its processes as `process …`. */
export function conformance(
  kind: Kind,
  options: {
    skip: false | string;
    ready?: () => Promise<void>;
    left: (bench: Bench, name: string, provider: ComputeProvider) => Promise<string[]>;
    /** A removed task is on its way out when `remove` returns, and may still be there. */
    removesLater?: true;
  },
): void {
  describe(`a ${kind} provider`, { skip: options.skip, concurrency: 4 }, () => {
    let bench: Bench;
    let provider: ComputeProvider;
    const parents: ChildProcess[] = [];

    before(async () => {
      await options.ready?.();
      bench = await Bench.make(kind);
      provider = bench.provider;
    });
    after(async () => {
      if (!bench) return;
      for (const parent of parents) parent.kill('SIGKILL');
      await Promise.all((await provider.list()).map((name) => provider.remove(name)));
      await rm(bench.dir, { recursive: true, force: true });
    });

    async function nothingLeft(name: string, remover: ComputeProvider): Promise<void> {
      const left = async (): Promise<string[]> => await options.left(bench, name, remover);
      if (options.removesLater) await poll(`${name} is gone`, async () => (await left()).length === 0);
      assert.deepEqual(await left(), []);
    }

    async function parent(tasks: readonly TaskStart[]): Promise<{ child: ChildProcess; go: () => Promise<void> }> {
      const given = { kind, stateDir: join(bench.dir, 'state'), deployment: bench.deployment, tasks };
      const fixture = join(import.meta.dirname, 'parent.fixture.ts');
      const child = spawn(process.execPath, [fixture, JSON.stringify(given)], { stdio: ['pipe', 'pipe', 'inherit'] });
      parents.push(child);
      let text = '';
      child.stdout?.on('data', (chunk: Buffer) => (text += chunk.toString()));
      await poll('the parent is ready', () => text.includes('ready'));
      const go = async (): Promise<void> => {
        child.stdin?.write('go\n');
        await poll('the parent has started its tasks', () => text.includes('started'));
      };
      return { child, go };
    }

    it('runs a task with the protocol in its environment and nothing of the controller', async () => {
      process.env['PANGOLIN_TEST_LEAK'] = 'leaked';
      const task = bench.task('env >"$PANGOLIN_OUT/env"; cat "$PANGOLIN_IN/script" >"$PANGOLIN_WORK/copy"; exit 7');
      await provider.start(task);
      const end = await ended(provider, task.name);
      assert.deepEqual(end, { name: task.name, state: 'ended', exitCode: 7 });
      const env = Object.fromEntries(
        (await written(task, 'env')).split('\n').map((line) => line.split(/=(.*)/s).slice(0, 2)),
      ) as Record<string, string>;
      assert.equal(env['PANGOLIN_MANIFEST_SHA256'], task.manifestSha256);
      assert.equal(env['PANGOLIN_GRACE_MS'], '1000');
      assert.equal(env['PANGOLIN_TEST_LEAK'], undefined);
      assert.ok(env['PATH']);
    });

    it('reports success as exit code 0 without a reason', async () => {
      const task = bench.task('exit 0');
      await provider.start(task);
      assert.deepEqual(await ended(provider, task.name), { name: task.name, state: 'ended', exitCode: 0 });
    });

    it('reports a task that was killed by the code a shell gives it', async () => {
      const task = bench.task('kill -9 $$');
      await provider.start(task);
      assert.equal((await ended(provider, task.name)).exitCode, 137);
    });

    it('observes in the order asked, and says gone of what it does not know', async () => {
      const running = bench.task(`echo up >"$PANGOLIN_OUT/up"; ${FOREVER}`);
      const done = bench.task('exit 3');
      await Promise.all([provider.start(running), provider.start(done)]);
      await ended(provider, done.name);
      await written(running, 'up');
      await runs(provider, running.name);
      assert.deepEqual(await provider.observe([UNKNOWN, running.name, done.name]), [
        { name: UNKNOWN, state: 'gone' },
        { name: running.name, state: 'running' },
        { name: done.name, state: 'ended', exitCode: 3 },
      ]);
      await provider.remove(running.name);
    });

    it('leaves a task alone that is started again, whether it runs or has ended', async () => {
      const task = bench.task(
        'echo x >>"$PANGOLIN_OUT/starts"; until [ -e "$PANGOLIN_IN/stop" ]; do sleep 0.05; done; exit 5',
      );
      await Promise.all([1, 2, 3].map(() => provider.start(task)));
      await written(task, 'starts');
      await provider.start(task);
      await (await bench.open()).start(task);
      writeFileSync(join(task.inDir, 'stop'), '');
      assert.equal((await ended(provider, task.name)).exitCode, 5);
      await provider.start(task);
      await (await bench.open()).start(task);
      assert.equal((await observeOne(provider, task.name)).exitCode, 5);
      assert.equal(await written(task, 'starts'), 'x\n');
    });

    it('runs a task once that several controllers start at the same moment', async () => {
      const tasks = [1, 2, 3].map(() => bench.task('echo x >>"$PANGOLIN_OUT/starts"; sleep 0.2; exit 4'));
      const several = await Promise.all([parent(tasks), parent(tasks)]);
      await Promise.all(several.map(({ go }) => go()));
      for (const task of tasks) {
        assert.equal((await ended(provider, task.name)).exitCode, 4);
        assert.equal(await written(task, 'starts'), 'x\n');
      }
    });

    it('finds the tasks of a controller that was killed, and their end', async () => {
      const task = bench.task(
        'echo up >"$PANGOLIN_OUT/up"; until [ -e "$PANGOLIN_IN/stop" ]; do sleep 0.05; done; exit 6',
      );
      const { child, go } = await parent([task]);
      await go();
      child.kill('SIGKILL');
      await written(task, 'up');
      const adopter = await bench.open();
      assert.ok((await adopter.list()).includes(task.name));
      await runs(adopter, task.name);
      const told: string[] = [];
      const unwatch = await adopter.watch((name) => told.push(name));
      writeFileSync(join(task.inDir, 'stop'), '');
      await poll('the adopter is told', () => told.includes(task.name));
      assert.equal((await ended(adopter, task.name)).exitCode, 6);
      await unwatch();
    });

    it('tells of changes until told to stop', async () => {
      const told = new Set<string>();
      const unwatch = await provider.watch((name) => told.add(name));
      const task = bench.task('exit 0');
      await provider.start(task);
      await poll(
        'the end is told',
        async () => told.has(task.name) && (await observeOne(provider, task.name)).state === 'ended',
      );
      await unwatch();
      const later = bench.task('exit 0');
      await provider.start(later);
      await ended(provider, later.name);
      assert.ok(!told.has(later.name));
    });

    it('lists running and ended tasks of its own deployment only', async () => {
      const other = await Bench.make(kind);
      const task = bench.task('exit 0');
      const foreign = other.task('exit 0');
      await Promise.all([provider.start(task), other.provider.start(foreign)]);
      await ended(provider, task.name);
      const names = await provider.list();
      assert.ok(names.includes(task.name));
      assert.ok(!names.includes(foreign.name));
      assert.deepEqual(await other.provider.list(), [foreign.name]);
      await other.provider.remove(foreign.name);
      await rm(other.dir, { recursive: true, force: true });
    });

    it('asks a task to stop and returns before it has', async () => {
      const task = bench.task(
        `trap 'until [ -e "$PANGOLIN_IN/stop" ]; do sleep 0.05; done; exit 9' TERM; echo up >"$PANGOLIN_OUT/up"; ${FOREVER}`,
        {},
        { graceMs: 60_000 },
      );
      await provider.start(task);
      await written(task, 'up');
      await provider.stop(task.name, 60_000);
      await runs(provider, task.name);
      writeFileSync(join(task.inDir, 'stop'), '');
      assert.equal((await ended(provider, task.name)).exitCode, 9);
    });

    it('kills a deaf task after its grace, children included', async () => {
      const task = bench.task(
        `trap '' TERM; (${FOREVER}) & echo up >"$PANGOLIN_OUT/up"; ${FOREVER}`,
        {},
        { graceMs: 500 },
      );
      await provider.start(task);
      await written(task, 'up');
      await Promise.all([provider.stop(task.name, 500), provider.stop(task.name, 500)]);
      assert.equal((await ended(provider, task.name)).exitCode, 137);
      const running = async (): Promise<string[]> =>
        (await options.left(bench, task.name, provider)).filter((what) => what.startsWith('process'));
      await poll('the child is dead too', async () => (await running()).length === 0);
    });

    it('removes ended and running tasks with all they had, once or twice', async () => {
      const done = bench.task(
        'echo x >"$PANGOLIN_WORK/file"; mkdir "$PANGOLIN_WORK/shut"; chmod 0 "$PANGOLIN_WORK/shut"',
      );
      const running = bench.task(`(setsid sh -c '${FOREVER}' &) ; echo up >"$PANGOLIN_OUT/up"; ${FOREVER}`);
      await Promise.all([provider.start(done), provider.start(running)]);
      await ended(provider, done.name);
      await written(running, 'up');
      for (const { name } of [done, running]) {
        assert.notDeepEqual(await options.left(bench, name, provider), []);
        await provider.remove(name);
        await provider.remove(name);
        assert.equal((await observeOne(provider, name)).state, 'gone');
        assert.ok(!(await provider.list()).includes(name));
        await nothingLeft(name, provider);
      }
    });

    it('removes what a killed controller left', async () => {
      const tasks = [bench.task('exit 0'), bench.task(FOREVER)];
      const { child, go } = await parent(tasks);
      await go();
      child.kill('SIGKILL');
      const adopter = await bench.open();
      await Promise.all(tasks.map((task) => adopter.remove(task.name)));
      for (const task of tasks) await nothingLeft(task.name, adopter);
    });

    it('takes stop and remove of a task that is gone for done', async () => {
      await provider.stop(UNKNOWN, 1000);
      await provider.remove(UNKNOWN);
      const task = bench.task('exit 0');
      await provider.start(task);
      await ended(provider, task.name);
      await provider.stop(task.name, 1000);
      assert.equal((await observeOne(provider, task.name)).exitCode, 0);
    });

    it('refuses names that are no task names', async () => {
      for (const name of ['../../etc', 'UPPER', '', 'a/b', '.']) {
        const invalid = (error: unknown): boolean => isPangolinError(error, 'INVALID');
        await assert.rejects(provider.start({ ...bench.task('exit 0'), name }), invalid);
        await assert.rejects(provider.observe([name]), invalid);
        await assert.rejects(provider.stop(name, 0), invalid);
        await assert.rejects(provider.remove(name), invalid);
      }
    });

    it('refuses an allow-list that it cannot honour, and a sandbox that it does not enforce', async () => {
      const refused = isUnsupported;
      const allow = kind === 'docker' ? ['example.org', '169.254.169.254'] : ['example.org'];
      assert.throws(() => provider.enforce({ network: { allow } }), refused);
      const task = bench.task('exit 0');
      await assert.rejects(provider.start({ ...task, sandbox: { ...task.sandbox, runtime: 'gvisor' } }), refused);
      const noNewPrivileges = !task.sandbox.noNewPrivileges;
      await assert.rejects(provider.start({ ...task, sandbox: { ...task.sandbox, noNewPrivileges } }), refused);
      assert.equal((await observeOne(provider, task.name)).state, 'gone');
    });

    it('cuts the network off where it says none, and keeps loopback', async (t) => {
      if (provider.enforce({}).network !== 'none') {
        if (kind === 'fargate') return assert.throws(() => provider.enforce({ network: 'none' }), isUnsupported);
        assert.ok(!process.env['CI'], 'in CI the kernel must allow network namespaces');
        return t.skip('this kernel gives no network namespaces');
      }
      const look = `
        const { networkInterfaces } = require('node:os');
        const net = require('node:net');
        const try_ = (host, port) => new Promise((done) => net.connect({ host, port, timeout: 5000 }, () => done('open'))
          .on('error', (e) => done(e.code)).on('timeout', () => done('timeout')));
        net.createServer().listen(0, '127.0.0.1', async function () {
          const { port } = this.address();
          const found = { interfaces: Object.keys(networkInterfaces()), loopback: await try_('127.0.0.1', port), outside: await try_('192.0.2.1', 80) };
          require('node:fs').writeFileSync(process.env.PANGOLIN_OUT + '/found', JSON.stringify(found));
          process.exit();
        });`;
      const task = bench.task(`cat >"$PANGOLIN_WORK/look.cjs" <<'JS'\n${look}\nJS\nnode "$PANGOLIN_WORK/look.cjs"`);
      await provider.start(task);
      assert.equal((await ended(provider, task.name)).exitCode, 0);
      assert.deepEqual(JSON.parse(await written(task, 'found')), {
        interfaces: ['lo'],
        loopback: 'open',
        outside: 'ENETUNREACH',
      });
    });

    it('gives the network to a task that asks for it', async () => {
      const task = bench.task(
        'ls /sys/class/net >/dev/null; readlink /proc/self/ns/net >"$PANGOLIN_OUT/ns"; cat /proc/net/route >"$PANGOLIN_OUT/route"',
        {
          network: 'open',
        },
      );
      assert.equal(task.sandbox.network, 'open');
      await provider.start(task);
      await ended(provider, task.name);
      // A header and at least one route.
      assert.ok((await written(task, 'route')).trim().split('\n').length > 1);
    });

    it('gives blocks no new privileges where it says so', async () => {
      const task = bench.task('grep NoNewPrivs /proc/self/status >"$PANGOLIN_OUT/status"');
      await provider.start(task);
      await ended(provider, task.name);
      assert.equal(/1/.test(await written(task, 'status')), task.sandbox.noNewPrivileges);
    });

    it('lets a task write to its in directory only where it says that the root is the host’s', async () => {
      const task = bench.task('echo x >"$PANGOLIN_IN/planted" 2>/dev/null; exit 0');
      await provider.start(task);
      await ended(provider, task.name);
      const readOnly = task.sandbox.rootfs === 'read-only';
      assert.equal(readdirSync(task.inDir).includes('planted'), !readOnly);
    });
  });
}
