/** The worker program: environment → options, exit code ← runner. */
import { chmod } from 'node:fs/promises';
import { optionsFrom } from './options.ts';
import { closeInherited } from './inherited.ts';
import { EXIT, runWorker } from './runner.ts';
import { messageOf } from '@pangolin/contracts/errors';

closeInherited();
const cancel = new AbortController();
for (const signal of ['SIGTERM', 'SIGINT'] as const) process.on(signal, () => cancel.abort());

try {
  const options = optionsFrom(process.env, cancel.signal);
  // Such a task is a container of somebody's cloud, and there a volume belongs to root: blocks could not use this one.
  if (options.task !== undefined && process.getuid?.() === 0) await chmod('/tmp', 0o1777);
  process.exitCode = await runWorker(options);
} catch (error) {
  process.stderr.write(`pangolin-worker: ${messageOf(error)}\n`);
  process.exitCode = EXIT.rejected;
}
