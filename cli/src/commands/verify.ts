import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { isPangolinError, PangolinError } from '@pangolin/contracts/errors';
import { TRUST } from '@pangolin/contracts/layout';
import { command } from '../command.ts';
import type { Context } from '../context.ts';

export const verify = command({
  description: 'Check a bundle of evidence offline',
  args: {
    bundle: {
      type: 'positional',
      description:
        'A directory, tar archive or JSON document, or the proof of an item. Exit 0 verified, 1 failed, 2 unusable, 3 below what the trust file requires, 4 incomplete.',
    },
    trust: {
      type: 'string',
      valueHint: 'FILE',
      description: 'The keys you trust. Else PANGOLIN_TRUST, else what this storage says of itself.',
    },
    anchor: {
      type: 'enum',
      options: ['live', 'off'],
      description: 'live also looks into the anchors that the trust file names. Else off: nothing is fetched.',
    },
    run: { type: 'string', valueHint: 'ID', description: 'The run that the bundle has to be of.' },
  },
  async run({ bundle, trust, anchor, run }, context) {
    const temporary = await mkdtemp(join(tmpdir(), 'pangolin-trust-'));
    try {
      const file = trust ?? (process.env.PANGOLIN_TRUST || (await trustOfStorage(context, temporary)));
      if (file === undefined) context.note('No trust file: nothing says whose signatures count.');
      return await check(context, [
        ...(file === undefined ? [] : [`--trust=${file}`]),
        ...(anchor === undefined ? [] : [`--anchor=${anchor}`]),
        ...(run === undefined ? [] : [`--run=${run}`]),
        `--output=${context.json ? 'json' : 'text'}`,
        '--',
        bundle,
      ]);
    } finally {
      await rm(temporary, { recursive: true, force: true });
    }
  },
});

/** Good for looking at one's own runs; it says so, because whoever can change the evidence could change this file too. */
async function trustOfStorage(context: Context, temporary: string): Promise<string | undefined> {
  try {
    const store = await context.open();
    const file = join(temporary, 'trust.json');
    await writeFile(file, await store.get(TRUST));
    context.note(
      `Trusting the keys that the storage itself publishes (${store.location}, ${TRUST}); an auditor brings a copy with --trust.`,
    );
    return file;
  } catch (error) {
    if (isPangolinError(error, 'NOT_FOUND')) return undefined;
    throw error;
  }
}

async function check(context: Context, argv: readonly string[]): Promise<number> {
  const { runVerify } = await import('@pangolin/verify/run-verify');
  const [report, complaints]: [string[], string[]] = [[], []];
  const exitCode = await runVerify(argv, {
    stdout: (text) => void report.push(text),
    stderr: (text) => void complaints.push(text),
  });
  if (complaints.length > 0) {
    const [message = '', ...hint] = complaints.join('').trimEnd().split('\n');
    throw new PangolinError('INVALID', message, hint.length === 0 ? {} : { hint: hint.join(' ') });
  }
  await context.write(Buffer.from(report.join('')));
  return exitCode;
}
