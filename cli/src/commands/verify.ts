import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { PangolinError } from '@pangolin/contracts/errors';
import { command } from '../command.ts';
import type { Context } from '../context.ts';
import { readTrust, trustFlags } from '../trust.ts';

export const verify = command({
  description: 'Check a bundle of evidence offline',
  args: {
    bundle: {
      type: 'positional',
      description:
        'A directory, tar archive or JSON document, or the proof of an item. Exit 0 verified, 1 failed, 2 unusable, 3 below what the trust file requires, 4 incomplete.',
    },
    ...trustFlags,
    anchor: {
      type: 'enum',
      options: ['live', 'snapshot', 'off'] as ('live' | 'snapshot' | 'off')[],
      default: 'off',
      description:
        'live also looks into the anchors that the trust file names, snapshot into --anchor-snapshot instead; off at neither.',
    },
    'anchor-snapshot': {
      type: 'string',
      valueHint: 'FILE',
      description:
        'With live: keeps what the anchors answer in this new file. With snapshot: that file; it can fail a bundle and raises no guarantee.',
    },
    run: { type: 'string', valueHint: 'ID', description: 'The run that the bundle has to be of.' },
    attest: {
      type: 'string',
      valueHint: 'KEY',
      description:
        'Also write what was found as a SLSA Verification Summary Attestation, signed with this key of yours (ECDSA P-256, PEM).',
    },
    'attest-out': {
      type: 'string',
      valueHint: 'FILE',
      description: 'Where --attest writes to; default verification-summary.sigstore.json. No file is overwritten.',
    },
  },
  async run({ bundle, trust, anchor, 'anchor-snapshot': snapshot, run, attest, 'attest-out': attestOut }, context) {
    const temporary = await mkdtemp(join(tmpdir(), 'pangolin-trust-'));
    try {
      const file = join(temporary, 'trust.json');
      const bytes = await readTrust(context, trust);
      if (bytes) await writeFile(file, bytes);
      else context.note('No trust file: nothing says whose signatures count.');
      return await check(context, [
        ...(bytes ? [`--trust=${file}`] : []),
        `--anchor=${anchor}`,
        ...(snapshot === undefined ? [] : [`--anchor-snapshot=${snapshot}`]),
        ...(run === undefined ? [] : [`--run=${run}`]),
        ...(attest === undefined ? [] : [`--attest=${attest}`]),
        ...(attestOut === undefined ? [] : [`--attest-out=${attestOut}`]),
        `--output=${context.json ? 'json' : 'text'}`,
        '--',
        bundle,
      ]);
    } finally {
      await rm(temporary, { recursive: true, force: true });
    }
  },
});

async function check(context: Context, argv: readonly string[]): Promise<number> {
  const { runVerify } = await import('@pangolin/verify/run-verify');
  const [report, complaints]: [string[], string[]] = [[], []];
  const exitCode = await runVerify(argv, {
    stdout: (text) => void report.push(text),
    stderr: (text) => void complaints.push(text),
  });
  if (exitCode === 2) {
    const [message = '', ...hint] = complaints.join('').trimEnd().split('\n');
    throw new PangolinError('INVALID', message, hint.length === 0 ? {} : { hint: hint.join(' ') });
  }
  for (const complaint of complaints) context.note(complaint.trimEnd());
  await context.write(Buffer.from(report.join('')));
  return exitCode;
}
