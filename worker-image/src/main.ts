/** The worker program: environment → options, exit code ← runner. */
import { optionsFrom } from './options.ts';
import { closeInherited } from './inherited.ts';
import { EXIT, runWorker } from './runner.ts';
import { messageOf } from '@pangolin/contracts/errors';

closeInherited();
const cancel = new AbortController();
for (const signal of ['SIGTERM', 'SIGINT'] as const) process.on(signal, () => cancel.abort());

try {
  process.exitCode = await runWorker(optionsFrom(process.env, cancel.signal));
} catch (error) {
  process.stderr.write(`pangolin-worker: ${messageOf(error)}\n`);
  process.exitCode = EXIT.rejected;
}
