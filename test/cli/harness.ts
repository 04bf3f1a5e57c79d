/** Drives `bin/pangolin` as users do, against storage folders that are written on disk in the published layout. */
import { spawn } from 'node:child_process';
import { createHash } from 'node:crypto';
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { after } from 'node:test';
import { casKey, itemsKey, statusKey } from '@pangolin/contracts/layout';
import type { ItemStatus, RunStatus } from '@pangolin/contracts/status';

export const root = dirname(dirname(import.meta.dirname));

export interface Result {
  readonly code: number | null;
  readonly stdout: string;
  readonly stderr: string;
}

export interface RunOptions {
  readonly cwd?: string;
  readonly env?: Readonly<Record<string, string>>;
  readonly input?: string | Uint8Array;
}

/** With nothing of the caller's own settings in the environment. */
export async function pangolin(args: readonly string[], options: RunOptions = {}): Promise<Result> {
  const env = {
    PATH: process.env.PATH,
    HOME: process.env.HOME,
    USER: 'tester',
    GIT_CONFIG_NOSYSTEM: '1',
    ...options.env,
  };
  const child = spawn(join(root, 'bin', 'pangolin'), [...args], { cwd: options.cwd ?? tmpdir(), env, stdio: 'pipe' });
  const [out, err]: [Buffer[], Buffer[]] = [[], []];
  child.stdout.on('data', (chunk: Buffer) => out.push(chunk));
  child.stderr.on('data', (chunk: Buffer) => err.push(chunk));
  child.stdin.on('error', () => undefined);
  child.stdin.end(options.input ?? '');
  const code = await new Promise<number | null>((resolve, reject) => {
    child.on('error', reject);
    child.on('close', resolve);
  });
  return { code, stdout: Buffer.concat(out).toString('utf8'), stderr: Buffer.concat(err).toString('utf8') };
}

/** A fresh directory, removed when the file's tests are over. */
export function tempDir(): string {
  const dir = mkdtempSync(join(tmpdir(), 'pangolin-cli-'));
  after(() => {
    rmSync(dir, { recursive: true, force: true });
  });
  return dir;
}

export class StorageFolder {
  readonly dir: string;

  constructor(dir: string = join(tempDir(), 'storage')) {
    this.dir = dir;
    mkdirSync(dir, { recursive: true });
  }

  put(key: string, body: string | Uint8Array): void {
    const path = join(this.dir, key);
    mkdirSync(dirname(path), { recursive: true });
    writeFileSync(path, body);
  }

  /** Into cas/; the reference that an item status holds. */
  product(body: string | Uint8Array): { readonly sha256: string; readonly size: number } {
    const bytes = Buffer.from(body as string);
    const sha256 = createHash('sha256').update(bytes).digest('hex');
    this.put(casKey(sha256), bytes);
    return { sha256, size: bytes.length };
  }

  run(run: string, status: Partial<RunStatus>, items: readonly ItemStatus[]): RunStatus {
    const counts: Record<string, number> = {};
    for (const { phase } of items) counts[phase] = (counts[phase] ?? 0) + 1;
    const whole: RunStatus = {
      schema: 'status/1',
      run,
      phase: 'succeeded',
      queue: 'default',
      labels: {},
      actor: 'human:ada',
      submittedAt: '2026-11-23T10:00:00.000Z',
      counts: { ...counts, total: items.length },
      conditions: [],
      failed: [],
      updatedAt: '2026-11-23T10:01:00.000Z',
      ...status,
    };
    this.put(itemsKey(run), items.map((item) => `${JSON.stringify(item)}\n`).join(''));
    this.put(statusKey(run), JSON.stringify(whole));
    return whole;
  }
}

export const SEALED = { finishedAt: '2026-11-23T10:00:42.000Z', sealedAt: '2026-11-23T10:00:43.000Z' } as const;

/** A storage with a run that succeeded, one that failed and one that runs. */
export function exampleStorage(): StorageFolder {
  const storage = new StorageFolder();
  storage.run('good', { ...SEALED }, [
    {
      id: 'edit',
      phase: 'done',
      reason: 'Succeeded',
      attempts: 1,
      durationMs: 4200,
      patch: storage.product(PATCH),
      outputs: { 'report.txt': storage.product('fine\n'), 'deep/er/raw.bin': storage.product(Buffer.of(0, 255, 10)) },
    },
  ]);
  storage.run(
    'bad',
    { ...SEALED, phase: 'failed', submittedAt: '2026-11-23T11:00:00.000Z', finishedAt: '2026-11-23T11:00:03.000Z' },
    [
      {
        id: 'broken',
        phase: 'failed',
        reason: 'ExitNonZero',
        message: 'block 0 exited with 3\u001b[31m',
        attempts: 2,
        durationMs: 900,
      },
      { id: 'after', phase: 'skipped', reason: 'DependencyFailed', attempts: 0, depends_on: ['broken'] },
    ],
  );
  storage.run('open', { phase: 'running', submittedAt: '2026-11-23T12:00:00.000Z' }, [
    { id: 'busy', phase: 'running', reason: 'Running', attempts: 1 },
    { id: 'later', phase: 'pending', reason: 'WaitingForDependencies', attempts: 0 },
  ]);
  return storage;
}

export const PATCH = `diff --git a/hello.txt b/hello.txt
index ce013625030ba8dba906f756967f9e9ca394464a..4a58007052a65fbc2fc3f910f2855f45a4058e74 100644
--- a/hello.txt
+++ b/hello.txt
@@ -1 +1 @@
-hello
+hi
`;
