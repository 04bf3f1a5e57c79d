/** The worker: stage ▸ blocks ▸ capture ▸ seal (design §8). */
import { execFile } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { existsSync } from 'node:fs';
import { mkdir, mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { canonical, canonicalBytes } from '@pangolin/contracts/canonical';
import { messageOf } from '@pangolin/contracts/errors';
import { attemptFile } from '@pangolin/contracts/layout';
import type { Boot, Output } from '@pangolin/contracts/output';
import { parseAssignment, type Assignment } from './assignment.ts';
import type { Attempt, Products } from './attempt.ts';
import { mountedPlace, type AttemptPlace } from './attempt-place.ts';
import { captureRest } from './blocks/capture.ts';
import { runBlocks, type Blocks } from './blocks/block.ts';
import { readBlockOutput } from './capture/block-output.ts';
import { watchDisk } from './disk-watch.ts';
import { openEgress } from './egress.ts';
import { AttemptFailure, failureOf, ManifestRejected } from './failure.ts';
import { GrantedPlace } from './granted-place.ts';
import { proveGuard } from './guard.ts';
import { LOG_LIMITS, LogWriter, now } from './log-writer.ts';
import { optionsFrom, type WorkerOptions } from './options.ts';
import { readTask } from './read-task.ts';
import { seal } from './seal.ts';
import { readSecrets, receiveSecrets, type Secrets } from './secrets.ts';
import { stage } from './stage/stage.ts';
import { StoreClient } from './store-client.ts';
import { TaskGrants } from './task-grants.ts';
import { WORKER_VERSION } from './version.ts';

/** Exit codes of the worker; part of the protocol with the providers. */
export const EXIT = {
  /** output.json says succeeded. */
  succeeded: 0,
  /** output.json says failed. */
  failed: 1,
  /** output.json asks for input. */
  asks: 2,
  /** Another worker has this attempt; nothing was touched. */
  taken: 3,
  /** The manifest is not acceptable; nothing was written. */
  rejected: 4,
} as const;

const exitOf = { succeeded: EXIT.succeeded, failed: EXIT.failed, needs_input: EXIT.asks } as const;

/** Of the grace period, this part is kept for output.json itself. */
const SEAL_SHARE = 0.15;

/** Runs the attempt that `options` point at. @returns one of EXIT. @throws when not even output.json can be written */
export async function runWorker(options: WorkerOptions): Promise<number> {
  process.umask(0o022);
  const client = new StoreClient(options.storeSocket);
  let assignment: Assignment;
  try {
    assignment = parseAssignment(await readTask(options, client), options.manifest);
  } catch (error) {
    const what = error instanceof ManifestRejected ? 'the manifest is rejected' : 'the task cannot be read';
    process.stderr.write(`pangolin-worker: ${what}: ${messageOf(error)}\n`);
    return EXIT.rejected;
  }
  const grants = new TaskGrants(options.inDir, client, assignment.grants);
  try {
    const place = await openPlace(options, grants);
    const secrets = await secretsFor(assignment, options);
    if (secrets === undefined || !(await boot(assignment, place, options))) {
      process.stderr.write('pangolin-worker: another worker has this attempt already\n');
      return EXIT.taken;
    }
    const output = await attemptOnce(assignment, { ...options, outDir: place.dir }, place, grants, secrets);
    return exitOf[output.status];
  } finally {
    grants.stop();
  }
}

/**
 * `pangolin worker run DIR`: DIR/in holds a standalone task, DIR/out gets the attempt. Stops on SIGTERM and SIGINT.
 * @returns one of EXIT
 */
export async function runStandalone(dir: string): Promise<number> {
  const cancel = new AbortController();
  const stop = (): void => cancel.abort();
  process.on('SIGTERM', stop).on('SIGINT', stop);
  const workDir = await mkdtemp(join(tmpdir(), 'pangolin-work-'));
  try {
    const outDir = join(dir, 'out');
    await mkdir(outDir, { recursive: true });
    const { manifest: _, ...options } = optionsFrom(process.env, cancel.signal);
    return await runWorker({ ...options, inDir: join(dir, 'in'), outDir, workDir });
  } finally {
    process.off('SIGTERM', stop).off('SIGINT', stop);
    await rm(workDir, { recursive: true, force: true });
  }
}

/** Without a grant for the attempt prefix, `outDir` is it. */
async function openPlace({ outDir, workDir }: WorkerOptions, grants: TaskGrants): Promise<AttemptPlace> {
  if (grants.attempt === undefined) return mountedPlace(outDir);
  const dir = join(workDir, 'attempt');
  await mkdir(dir, { recursive: true, mode: 0o700 });
  return new GrantedPlace(dir, grants);
}

/** Before the fence, so that a controller that dies in between offers them again. Undefined: somebody has passed it. */
async function secretsFor(assignment: Assignment, { inDir, outDir }: WorkerOptions): Promise<Secrets | undefined> {
  const { manifest, secrets } = assignment;
  if (manifest === undefined) return await readSecrets(inDir, secrets);
  return await receiveSecrets(inDir, secrets, async () => existsSync(join(outDir, attemptFile.boot)));
}

/** The fence. @returns false when somebody else has passed it. */
async function boot(assignment: Assignment, place: AttemptPlace, { path }: WorkerOptions): Promise<boolean> {
  const git = await promisify(execFile)('git', ['--version'], { env: { PATH: path } }).catch(() => undefined);
  const record: Boot = {
    schema: 'boot/1',
    ...identityOf(assignment),
    nonce: randomBytes(16).toString('hex'),
    worker: {
      version: WORKER_VERSION,
      node: process.versions.node,
      git: git?.stdout.replace('git version', '').trim() ?? 'none',
    },
    at: now(),
  };
  return await place.claim(canonicalBytes(record));
}

/** From boot to seal; whatever goes wrong in between is in the output. */
async function attemptOnce(
  assignment: Assignment,
  options: WorkerOptions,
  place: AttemptPlace,
  grants: TaskGrants,
  secrets: Secrets,
): Promise<Output> {
  const startedAt = now();
  const fileBytes = place.logFileBytes ?? LOG_LIMITS.fileBytes;
  const grew = (name: string): void => place.logGrew(name);
  const log = new LogWriter(place.dir, { ...LOG_LIMITS, fileBytes }, grew, secrets.redact);
  const { halt, giveUp, stop, release } = deadlines(assignment, options);
  const products: Products = {};
  let blocks: Blocks = { results: skippedBlocks(assignment) };
  let asserted: Output['asserted'];
  let sandbox: Output['sandbox'];
  let failure: AttemptFailure | undefined;
  try {
    const staged = await stage(assignment, options, grants, halt);
    sandbox = await proveGuard(staged.places, assignment, options, place.dir, halt);
    const egress = await openEgress(options.inDir, assignment.hasAllowList);
    const attempt: Attempt = { assignment, options, place, log, halt, giveUp, staged, egress, secrets };
    const unwatch = watchDisk(options.workDir, assignment.disk, options.path, stop);
    blocks = await runBlocks(attempt, products);
    failure = blocks.failure;
    const over = await unwatch(failure === undefined);
    failure ??= over;
    egress.close();
    await captureRest(attempt, products);
    asserted = await readBlockOutput(staged.places, secrets.redact);
  } catch (error) {
    const late = failureOf(error, 'WorkerFailed', 'the worker failed');
    failure = failure === undefined ? late : both(failure, late);
  }
  try {
    await place.publish(products, (line) => log.worker(line), giveUp);
  } catch (error) {
    delete products.patch;
    delete products.outputs;
    const late = failureOf(error, 'StorageUnavailable', 'the products could not be stored');
    failure = failure === undefined ? late : both(failure, late);
  } finally {
    release();
  }
  if (failure !== undefined) log.worker(`failed: ${failure.reason}: ${failure.message}`);
  const needsInput = failure === undefined ? redacted(blocks.needsInput, secrets.redact) : undefined;
  if (needsInput !== undefined) log.worker('a block needs input');
  const output: Output = {
    schema: 'output/1',
    ...identityOf(assignment),
    status: failure !== undefined ? 'failed' : needsInput !== undefined ? 'needs_input' : 'succeeded',
    ...(failure === undefined ? {} : { reason: failure.reason, message: secrets.redact(failure.message) }),
    ...(failure?.resetAt === undefined ? {} : { resetAt: failure.resetAt }),
    partial: failure !== undefined || needsInput !== undefined,
    startedAt,
    finishedAt: now(),
    blocks: [...blocks.results],
    products: { ...(products.patch === undefined ? {} : { patch: products.patch }), outputs: products.outputs ?? {} },
    ...(sandbox === undefined ? {} : { sandbox }),
    logs: log.close(),
    ...(needsInput === undefined ? {} : { needsInput }),
    ...(asserted === undefined ? {} : { asserted }),
  };
  return seal(place, output, () => rm(join(options.workDir, 'workspace'), { recursive: true, force: true }));
}

/** `halt` ends the blocks: out of time, told to stop, or by `stop`. `giveUp` ends the capture when the grace period runs out. */
function deadlines({ timeoutMs }: Assignment, { cancel, graceMs }: WorkerOptions) {
  const halt = new AbortController();
  const giveUp = new AbortController();
  const timers: NodeJS.Timeout[] = [];
  const later = (ms: number, controller: AbortController, failure: AttemptFailure): void => {
    timers.push(setTimeout(() => controller.abort(failure), Math.min(ms, 2 ** 31 - 1)));
  };
  later(timeoutMs, halt, new AttemptFailure('TimedOut', `the item ran longer than ${timeoutMs} ms`));
  const onCancel = (): void => {
    halt.abort(new AttemptFailure('Cancelled', 'the worker was told to stop'));
    const late = new AttemptFailure('CaptureFailed', 'there was no time left in the grace period to capture');
    later(graceMs * (1 - SEAL_SHARE), giveUp, late);
  };
  cancel.addEventListener('abort', onCancel);
  if (cancel.aborted) onCancel();
  const release = (): void => {
    timers.forEach(clearTimeout);
    cancel.removeEventListener('abort', onCancel);
  };
  const stop = (failure: AttemptFailure): void => halt.abort(failure);
  return { halt: halt.signal, giveUp: giveUp.signal, stop, release };
}

/** Of the values, not of the text: in JSON a character can be written in several ways. */
function redacted(question: Blocks['needsInput'], redact: (text: string) => string): Blocks['needsInput'] {
  return question && (JSON.parse(redact(canonical(question))) as NonNullable<Blocks['needsInput']>);
}

function both(first: AttemptFailure, late: AttemptFailure): AttemptFailure {
  return new AttemptFailure(first.reason, `${first.message}; besides, ${late.message}`, {
    cause: first,
    ...(first.resetAt !== undefined && { resetAt: first.resetAt }),
  });
}

function skippedBlocks({ pipeline }: Assignment): Output['blocks'] {
  return pipeline.blocks.map(({ kind, id }, index) => ({
    index,
    ...(id === undefined ? {} : { id }),
    kind,
    status: 'skipped' as const,
  }));
}

function identityOf({ runId, itemId, attempt, manifest }: Assignment) {
  return { runId, itemId, attempt, ...(manifest === undefined ? {} : { manifest }) };
}
