/**
 * `npm run demo [-- --compute docker] [--storage s3://…] [--served]`: two Runs over this very checkout, from a file in inbox/ to a verified bundle.
 * With --served a controller serves that storage already.
 * It drives nothing but the shipped command, so every line it prints can be repeated by hand.
 */
import { spawn, spawnSync } from 'node:child_process';
import { copyFileSync, existsSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { setTimeout as delay } from 'node:timers/promises';
import { parseArgs } from 'node:util';

const root = dirname(dirname(fileURLToPath(import.meta.url)));
const { values: options } = parseArgs({
  options: {
    compute: { type: 'string', default: 'process' },
    storage: { type: 'string', default: join(root, '.pangolin') },
    served: { type: 'boolean', default: false },
  },
});
/** An s3:// location holds no files of ours: specs and bundles, run-state and keys lie here. */
const remote = options.storage.startsWith('s3://');
const files = remote ? join(root, '.pangolin', encodeURIComponent(options.storage)) : options.storage;
const state = remote ? ['--state', join(files, 'state')] : [];
const stamp = new Date().toISOString().slice(0, 19).replaceAll(/[-:]/g, '').replace('T', '-');
const edits = `demo-${stamp}`;
const failing = `demo-${stamp}-failing`;

const env = { ...process.env, PANGOLIN_STORAGE: options.storage, PANGOLIN_LOG: 'warn' };
const command = join(root, 'bin', 'pangolin');

/** Runs the shipped command in the foreground; any other exit code than the expected one ends the demo. */
function pangolin(args: readonly string[], expected = 0): void {
  console.log(`\n$ bin/pangolin ${args.join(' ')}`);
  const { status } = spawnSync(command, args, { cwd: root, stdio: ['ignore', 'inherit', 'inherit'], env });
  if (status !== expected) throw new Error(`bin/pangolin ${args.join(' ')} exited with ${status}, not ${expected}`);
}

/** Resolves with the exit code. */
function inBackground(args: readonly string[]): Promise<number | null> {
  console.log(`\n$ bin/pangolin ${args.join(' ')} &`);
  const child = spawn(command, args, { cwd: root, stdio: ['ignore', 'inherit', 'inherit'], env });
  return new Promise((resolve) => child.once('close', resolve));
}

/** The specs are the shipped examples; only the run id and the repository are filled in. */
function prepare(example: string, runId: string): string {
  const text = readFileSync(join(root, 'examples', example), 'utf8');
  const file = join(files, 'demo', `${runId}.yaml`);
  mkdirSync(dirname(file), { recursive: true });
  writeFileSync(file, text.replace(/name: [a-z]+/, `name: ${runId}`).replace('url: .', `url: ${root}`));
  return file;
}

const started = Date.now();
console.log(`Storage: ${options.storage}   compute: ${options.served ? "the controller's" : options.compute}`);

// One spec is dropped by copying a file, the other goes through the CLI: the same path from there on.
if (remote) {
  pangolin(['orch', 'submit', prepare('edits.yaml', edits), '--receipt-timeout', '0s']);
} else {
  mkdirSync(join(options.storage, 'inbox'), { recursive: true });
  copyFileSync(prepare('edits.yaml', edits), join(options.storage, 'inbox', `${edits}.yaml`));
}
pangolin(['orch', 'submit', prepare('failing.yaml', failing), '--receipt-timeout', '0s']);

/** Serves until all is done. */
async function serve(): Promise<void> {
  const served = inBackground(['orch', 'serve', '--until-idle', '--compute', options.compute, ...state]);
  let ended = false;
  void served.then(() => (ended = true));
  while (!ended && !admitted()) await delay(remote ? 500 : 50);
  pangolin(['orch', 'watch', edits]);
  if ((await served) !== 0) throw new Error('the controller failed');
}

/** Every dropped file gets a receipt; from then on the run is there to watch. */
function admitted(): boolean {
  return remote
    ? spawnSync(command, ['orch', 'status', edits], { cwd: root, stdio: 'ignore', env }).status === 0
    : existsSync(join(options.storage, 'receipts', `${edits}.yaml.json`));
}

if (options.served) {
  while (!admitted()) await delay(500);
  pangolin(['orch', 'watch', edits]);
  pangolin(['orch', 'watch', failing], 1);
} else await serve();

const bundles = [edits, failing].map((run) => join(files, 'demo', `${run}.bundle.json`));
for (const [index, run] of [edits, failing].entries()) pangolin(['orch', 'audit', run, '--out', bundles[index]!]);
for (const bundle of bundles) pangolin(['verify', bundle]);
for (const run of [edits, failing]) pangolin(['orch', 'status', run]);
console.log(`
Both runs are finished, sealed and verified (${((Date.now() - started) / 1000).toFixed(1)} s). The evidence:
  ${bundles.join('\n  ')}

The patch of every item, and how to apply one to your checkout:
  bin/pangolin orch patch ${edits}/integrate            # look at it
  bin/pangolin orch patch ${edits}/integrate --apply .  # apply it
What happened, and the logs behind it:
  bin/pangolin orch status ${failing}
  bin/pangolin orch logs ${failing}/broken
`);
