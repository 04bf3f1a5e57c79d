/** `deploy/compose.yaml` on this engine, with Ceph RGW as its store: up with one command, doctor, the demo, a restart of all. */
import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { randomUUID } from 'node:crypto';
import { mkdtempSync, rmSync, statSync } from 'node:fs';
import { createServer, type AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { WORKER_IMAGE } from '@pangolin/controller/providers/open';
import { docker, dockerSkip, repository, type Result } from '../spine/harness.ts';
import { CONTROLLER_IMAGE, imageSkip } from './controller-image.ts';

const compose = process.env['PANGOLIN_TEST_COMPOSE'];
const store = process.env['PANGOLIN_TEST_RGW_IMAGE'];
const missing =
  compose === undefined || store === undefined ? 'no compose here: eval "$(scripts/compose.sh)"' : undefined;
if (missing !== undefined && process.env['CI']) throw new Error(`in CI compose must run: ${missing}`);
const skip = (await dockerSkip()) || imageSkip() || (missing ?? false);

async function run(command: readonly string[], env: Readonly<Record<string, string>>): Promise<Result> {
  const [program = '', ...args] = command;
  const child = spawn(program, args, { cwd: repository, env: { ...process.env, ...env }, stdio: ['ignore', 'pipe', 'pipe'] });
  let [stdout, stderr] = ['', ''];
  child.stdout.on('data', (chunk: Buffer) => (stdout += chunk.toString()));
  child.stderr.on('data', (chunk: Buffer) => (stderr += chunk.toString()));
  const code = await new Promise<number | null>((resolve) => child.once('close', resolve));
  return { code, stdout, stderr };
} // prettier-ignore

async function freePort(): Promise<number> {
  const server = createServer();
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const { port } = server.address() as AddressInfo;
  await new Promise((resolve) => server.close(resolve));
  return port;
}

test('comes up with one command, and passes doctor, the demo and log check', { skip }, async () => {
  const home = mkdtempSync(join(tmpdir(), 'pangolin-compose-'));
  const project = `pangolin-test-${randomUUID().slice(0, 8)}`;
  const port = String(await freePort());
  const storage = `s3://pangolin/main?endpoint=http://127.0.0.1:${port}`;
  const env = {
    DOCKER_GID: String(statSync('/var/run/docker.sock').gid),
    PANGOLIN_S3_IMAGE: store ?? '',
    PANGOLIN_S3_PORT: port,
    PANGOLIN_HOME: home,
    PANGOLIN_CONTROLLER_IMAGE: CONTROLLER_IMAGE,
    PANGOLIN_WORKER_IMAGE: WORKER_IMAGE,
    AWS_ACCESS_KEY_ID: 'pangolin',
    AWS_SECRET_ACCESS_KEY: 'pangolin-local',
  };
  const up = async (...args: readonly string[]): Promise<string> => {
    const { code, stdout, stderr } = await run(
      [...(compose ?? '').split(' '), '-p', project, '-f', 'deploy/compose.yaml', ...args],
      env,
    );
    assert.equal(code, 0, `${args.join(' ')}: ${stdout}${stderr}`);
    return stdout;
  };
  const controller = (...args: readonly string[]): Promise<string> => up('exec', '-T', 'controller', 'pangolin', ...args);
  try {
    await up('up', '-d', '--wait');
    const { checks } = JSON.parse(await controller('doctor', '-o', 'json')) as {
      readonly checks: readonly { readonly name: string; readonly status: string; readonly message: string }[];
    };
    assert.deepEqual([...new Set(checks.map(({ status }) => status))], ['ok'], JSON.stringify(checks));
    assert.match(checks.find(({ name }) => name === 'evidence')!.message, /anchor worm vouch/);

    const demo = await run(['node', 'demo/main.ts', '--served', '--storage', storage], env);
    assert.equal(demo.code, 0, demo.stdout + demo.stderr);
    assert.equal(demo.stdout.match(/^VERIFIED/gm)?.length, 2, demo.stdout);
    assert.match(demo.stdout, /anchor/i, 'the seals are in the bucket with Object Lock');

    const checked = await run([join(repository, 'bin', 'pangolin'), '--storage', storage, 'log', 'check'], env);
    assert.equal(checked.code, 0, checked.stdout + checked.stderr);
  } finally {
    await up('down', '-v');
    // What the containers wrote belongs to their user.
    docker('run', '--rm', '--user', '0:0', '--entrypoint', 'rm', '-v', `${home}:${home}`, CONTROLLER_IMAGE, '-rf', `${home}/state`, `${home}/tmp`);
    rmSync(home, { recursive: true, force: true });
    rmSync(join(repository, '.pangolin', encodeURIComponent(storage)), { recursive: true, force: true });
  }
}); // prettier-ignore
