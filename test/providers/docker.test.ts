/** Tasks as containers: the conformance suite, the hardening as seen from inside, and what an engine does to us. */
import assert from 'node:assert/strict';
import { mkdtempSync, rmSync } from 'node:fs';
import { connect, createServer, type Server, type Socket } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, describe, it } from 'node:test';
import { isPangolinError } from '@pangolin/contracts/errors';
import { createDockerProvider, dockerAnswers } from '@pangolin/controller/providers/docker';
import type { ComputeProvider } from '@pangolin/controller/providers/provider';
import { conformance, ended, isUnavailable, observeOne, written } from './conformance.ts';
import { dockerSkip } from './docker-here.ts';
import { Bench, buildScriptedImage, docker } from './scripted.ts';
import { poll } from '../poll.ts';

const skip = await dockerSkip();
const FOREVER = 'while :; do sleep 0.05; done';
const SOCKET = (process.env['DOCKER_HOST'] ?? '').replace(/^unix:\/\//, '') || '/var/run/docker.sock';

/** The container, and volumes that only its name leads to. */
const volumes = new Map<string, string>();
async function left(_bench: Bench, name: string): Promise<string[]> {
  const containers = await docker('ps', '-aq', '--filter', `name=^${name}$`);
  if (containers) volumes.set(name, await docker('inspect', '-f', '{{range .Mounts}}{{.Name}}{{end}}', name));
  const volume = volumes.get(name);
  const kept = volume ? await docker('volume', 'ls', '-q', '--filter', `name=${volume}`) : '';
  return [containers, kept].filter((text) => text !== '');
}

conformance('docker', { skip, ready: buildScriptedImage, left });

describe('the docker provider', { skip, concurrency: 4 }, () => {
  let bench: Bench;
  let provider: ComputeProvider;
  before(async () => {
    bench = await Bench.make('docker');
    provider = bench.provider;
  });
  after(async () => {
    if (!bench) return;
    await Promise.all((await provider.list()).map((name) => provider.remove(name)));
    rmSync(bench.dir, { recursive: true, force: true });
  });

  it('hardens the container: root, capabilities, privileges, seccomp and mounts as seen from inside', async () => {
    const task = bench.task(
      `
      touch /planted 2>/dev/null && echo writable-root
      touch /opt/pangolin/planted 2>/dev/null && echo writable-program
      echo x >/tmp/scratch && echo x >"$PANGOLIN_WORK/scratch" && echo scratch
      grep -E '^(CapPrm|CapBnd|NoNewPrivs|Seccomp):' /proc/self/status
      awk '$2 == "/tmp" { print $3, $4 }' /proc/mounts
      setpriv --reuid 1000 --regid 1000 --clear-groups grep CapEff /proc/self/status
      [ -e /var/run/docker.sock ] && echo socket
      id -u >"$PANGOLIN_OUT/uid"; exec >/dev/null`.replace('\n', '\nexec >"$PANGOLIN_OUT/seen"\n'),
    );
    await provider.start(task);
    await ended(provider, task.name);
    const seen = (await written(task, 'seen'))
      .trim()
      .split('\n')
      .map((line) => line.replace(/\s+/g, ' '));
    // CHOWN, DAC_OVERRIDE, KILL, SETGID, SETUID: bits 0, 1, 5, 6, 7.
    assert.deepEqual(seen.slice(0, 5), [
      'scratch',
      'CapPrm: 00000000000000e3',
      'CapBnd: 00000000000000e3',
      'NoNewPrivs: 1',
      'Seccomp: 2',
    ]);
    assert.match(seen[5] ?? '', /^tmpfs rw,nosuid,nodev,/);
    assert.deepEqual(seen.slice(6), ['CapEff: 0000000000000000']);
  });

  it('labels, limits and names what it starts', async () => {
    const request = { memoryBytes: 64 * 2 ** 20, cpuMillis: 500 };
    const task = bench.task(FOREVER, request);
    await provider.start(task);
    const [found] = JSON.parse(await docker('inspect', task.name)) as [
      { Config: { Labels: Record<string, string>; StopTimeout: number }; HostConfig: Record<string, unknown> },
    ];
    assert.deepEqual(
      Object.fromEntries(
        Object.entries(found.Config.Labels).filter(([key]) => /^dev\.pangolin\.(?!inputs|sbom)/.test(key)),
      ),
      {
        'dev.pangolin.deployment': bench.deployment,
        'dev.pangolin.run': 'run',
        'dev.pangolin.item': task.ref.itemId,
        'dev.pangolin.attempt': '1',
        'dev.pangolin.task': task.name,
      },
    );
    const { Memory, MemorySwap, NanoCpus, PidsLimit, NetworkMode, LogConfig, Privileged } = found.HostConfig;
    assert.deepEqual(
      { Memory, MemorySwap, NanoCpus, PidsLimit, NetworkMode, Privileged },
      { Memory: 2 ** 26, MemorySwap: 2 ** 26, NanoCpus: 5e8, PidsLimit: 512, NetworkMode: 'none', Privileged: false },
    );
    assert.deepEqual(LogConfig, { Type: 'json-file', Config: { 'max-file': '2', 'max-size': '1m' } });
    assert.deepEqual(task.sandbox, {
      network: 'none',
      rootfs: 'read-only',
      user: 'separate',
      noNewPrivileges: true,
      capabilities: 'none',
      seccomp: 'default',
      ...request,
      pids: 512,
      diskBytes: 10 * 2 ** 30,
      diskFiles: 1_000_000,
      runtime: 'docker',
    });
    await provider.remove(task.name);
  });

  it('limits memory to 2 GiB where nothing is asked, and refuses less than an engine can give', () => {
    assert.equal(provider.enforce({}).memoryBytes, 2 * 2 ** 30);
    assert.throws(
      () => provider.enforce({ memoryBytes: 1024 }),
      (error) => isPangolinError(error, 'UNSUPPORTED'),
    );
  });

  it('says OOMKilled of a task that takes more memory than it may', async () => {
    const task = bench.task('exec node -e "const a=[]; for (;;) a.push(Buffer.alloc(1<<22, 1))"', {
      memoryBytes: 64 * 2 ** 20,
    });
    await provider.start(task);
    const end = await ended(provider, task.name);
    assert.deepEqual([end.reason, end.exitCode], ['OOMKilled', 137]);
  });

  it('stops a fork bomb at the pids limit', async () => {
    const task = bench.task(
      'i=0; while [ $i -lt 600 ]; do sleep infinity & i=$((i+1)); done 2>"$PANGOLIN_OUT/errors"; echo survived >>"$PANGOLIN_OUT/errors"',
    );
    await provider.start(task);
    await ended(provider, task.name);
    assert.match(await written(task, 'errors'), /Cannot fork|Resource temporarily unavailable/i);
  });

  it('says ImageUnavailable of an image that is not here, with and without a registry in its name', async () => {
    const missing = isUnavailable('ImageUnavailable');
    for (const image of ['pangolin-nowhere:dev', 'registry.invalid/pangolin:1', `sha256:${'0'.repeat(64)}`]) {
      const task = bench.task('exit 0', {}, { image });
      await assert.rejects(provider.start(task), missing);
      await assert.rejects(provider.resolveImage(image), missing);
      assert.equal((await observeOne(provider, task.name)).state, 'gone');
    }
  });

  it('resolves an image to its reference and local id, and runs it by either', async () => {
    const resolved = await provider.resolveImage(undefined);
    assert.equal(resolved?.id, await docker('image', 'inspect', '-f', '{{.Id}}', resolved?.ref ?? ''));
    assert.ok(resolved?.id);
    const task = bench.task('exit 0', {}, { image: resolved.id });
    await provider.start(task);
    assert.equal((await ended(provider, task.name)).exitCode, 0);
  });

  it('starts a container that a killed controller had created and not started', async () => {
    const task = bench.task('exit 5');
    const label = `dev.pangolin.deployment=${bench.deployment}`;
    const image = (await provider.resolveImage(undefined))?.ref ?? '';
    const bind = ['-v', `${task.inDir}:/pangolin/in:ro`];
    await docker('create', '--name', task.name, '-l', label, '-l', `dev.pangolin.task=${task.name}`, ...bind, image);
    assert.equal((await observeOne(provider, task.name)).state, 'starting');
    assert.deepEqual(
      (await provider.list()).filter((name) => name === task.name),
      [task.name],
    );
    await provider.start(task);
    assert.equal((await ended(provider, task.name)).exitCode, 5);
  });

  it('takes a stopped task that was only created away', async () => {
    const task = bench.task('exit 5');
    await docker('create', '--name', task.name, (await provider.resolveImage(undefined))?.ref ?? '');
    await provider.stop(task.name, 1000);
    assert.equal((await observeOne(provider, task.name)).state, 'gone');
  });

  it('leaves a container alone that has the name and belongs to somebody else', async () => {
    const task = bench.task('exit 5');
    await docker('create', '--name', task.name, (await provider.resolveImage(undefined))?.ref ?? '');
    await assert.rejects(provider.start(task), isUnavailable('StartFailed'));
    assert.equal(await docker('inspect', '-f', '{{.State.Status}}', task.name), 'created');
    await docker('rm', task.name);
  });

  it('says StartFailed when the engine cannot run the container, and of that container afterwards', async () => {
    const image = `pangolin-test-broken:${bench.deployment}`;
    const base = await docker('create', (await provider.resolveImage(undefined))?.ref ?? '');
    await docker('commit', '--change', 'ENTRYPOINT ["/nonexistent"]', base, image);
    await docker('rm', base);
    try {
      const task = bench.task('exit 0', {}, { image });
      await assert.rejects(provider.start(task), isUnavailable('StartFailed'));
      const end = await observeOne(provider, task.name);
      assert.deepEqual([end.state, end.reason], ['ended', 'StartFailed']);
      assert.match(end.message ?? '', /nonexistent/);
      await provider.remove(task.name);
    } finally {
      await docker('rmi', '-f', image);
    }
  });

  it('sees a container that was killed or removed by hand, and is told', async () => {
    const told: string[] = [];
    const unwatch = await provider.watch((name) => told.push(name));
    const killed = bench.task(FOREVER);
    const removed = bench.task(FOREVER);
    await Promise.all([provider.start(killed), provider.start(removed)]);
    await docker('kill', killed.name);
    await docker('rm', '-fv', removed.name);
    assert.equal((await ended(provider, killed.name)).exitCode, 137);
    assert.equal((await observeOne(provider, removed.name)).state, 'gone');
    await poll('both are told', () => told.includes(killed.name) && told.includes(removed.name));
    await unwatch();
  });

  it('tells of every task again after the engine was away, and of new events', async () => {
    const dir = mkdtempSync(join(tmpdir(), 'pangolin-proxy-'));
    const socketPath = join(dir, 'docker.sock');
    const image = (await provider.resolveImage(undefined))?.ref ?? '';
    const proxied = createDockerProvider({ deployment: bench.deployment, image, socketPath });
    let engine = await proxy(socketPath);
    const told: string[] = [];
    const unwatch = await proxied.watch((name) => told.push(name));
    const missed = bench.task('until [ -e "$PANGOLIN_IN/never" ]; do sleep 0.05; done');
    await provider.start(missed);
    await poll('the start is told', () => told.includes(missed.name));
    await engine.cut();
    await docker('kill', missed.name);
    await assert.rejects(proxied.observe([missed.name]), (error) => isPangolinError(error, 'UNAVAILABLE'));
    told.length = 0;
    engine = await proxy(socketPath);
    await poll('what was missed is told', () => told.includes(missed.name));
    const next = bench.task('exit 0');
    await proxied.start(next);
    await poll('what comes next is told', () => told.includes(next.name));
    await unwatch();
    await engine.cut();
    rmSync(dir, { recursive: true, force: true });
  });

  it('says whether an engine answers', async () => {
    assert.equal(await dockerAnswers(), true);
    assert.equal(await dockerAnswers(join(bench.dir, 'no.sock')), false);
  });

  it('rejects to watch and to start when no engine answers', async () => {
    const nowhere = createDockerProvider({ deployment: 'd', image: 'i', socketPath: join(bench.dir, 'no.sock') });
    await assert.rejects(
      nowhere.watch(() => undefined),
      (error) => isPangolinError(error, 'UNAVAILABLE'),
    );
    await assert.rejects(nowhere.start(bench.task('exit 0')), isUnavailable('StartFailed'));
    await assert.rejects(nowhere.list(), (error) => isPangolinError(error, 'UNAVAILABLE'));
  });
});

/** Stands between provider and engine, so that the engine can go away. */
async function proxy(path: string): Promise<{ cut: () => Promise<void> }> {
  const open = new Set<Socket>();
  const server: Server = createServer((client) => {
    const engine = connect(SOCKET);
    for (const socket of [client, engine]) {
      open.add(socket);
      socket.on('error', () => undefined).on('close', () => open.delete(socket));
    }
    client.pipe(engine).pipe(client);
  });
  await new Promise<void>((resolve) => server.listen(path, resolve));
  return {
    cut: async () => {
      const closed = new Promise((resolve) => server.close(resolve));
      for (const socket of open) socket.destroy();
      await closed;
    },
  };
}
