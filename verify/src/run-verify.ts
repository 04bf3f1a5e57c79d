/** `pangolin verify` and `pangolin-verify`: arguments in, report out, exit code back. */
import { readFile } from 'node:fs/promises';
import { parseArgs } from 'node:util';
import { setFlagsFromString } from 'node:v8';
import { isPangolinError, messageOf, PangolinError } from '@pangolin/contracts/errors';
import type { TrustDocument } from '@pangolin/contracts/trust';
import { credentialsOf, openS3Anchor } from './anchor/s3.ts';
import { openBundle, readIfProof } from './readers/open.ts';
import { renderReport } from './render.ts';
import { exitCodeOf, type Report } from './report.ts';
import { parseTrustFile } from './trust-file.ts';
import { verifyProof } from './proof/verify-proof.ts';
import { verifyBundle, type VerifyOptions } from './verify.ts';

const USAGE = `Usage: pangolin-verify BUNDLE [--trust FILE] [--run ID] [--anchor live|off] [-o json]

Checks a bundle of evidence, offline unless you ask for the anchor. BUNDLE is a directory, a tar archive or a
JSON document; or the proof of one item.

  --trust FILE   the keys that you trust; get it another way than the bundle
  --run ID       the run that the bundle has to be of
  --anchor live  also look into the anchors that the trust file names, with the credentials in AWS_ACCESS_KEY_ID,
                 AWS_SECRET_ACCESS_KEY and AWS_SESSION_TOKEN; off is the default
  -o json        the report as JSON

Exit codes: 0 verified, 1 failed, 2 bad trust file or usage, 3 below what the trust file requires, 4 incomplete (not sealed, no trust file, or a key that it lacks).
`;

/** Where a command writes. */
export interface Output {
  readonly stdout: (text: string) => void;
  readonly stderr: (text: string) => void;
}

const processOutput: Output = {
  stdout: (text) => void process.stdout.write(text),
  stderr: (text) => void process.stderr.write(text),
};

/** @param argv without the program. Answers the exit code of evidence.md §3.13 and throws nothing that is foreseen. */
export async function runVerify(argv: readonly string[], output: Output = processOutput): Promise<number> {
  // A long log is parsed line by line into garbage. V8 would give it ever more room; without, 100,000 events fit in 200 MB.
  setFlagsFromString('--semi-space-growth-factor=1');
  try {
    const options = readArguments(argv);
    if (options === 'help') {
      output.stdout(USAGE);
      return 0;
    }
    const trust = options.trust === undefined ? undefined : await readTrust(options.trust);
    const { bundle, run, live } = options;
    const report = await verifyFile(bundle, trust, {
      ...(run !== undefined && { expectRun: run }),
      ...(live && { openAnchor: (anchor) => openS3Anchor(anchor, credentialsOf(process.env)) }),
    });
    output.stdout(options.json ? `${JSON.stringify(report, null, 2)}\n` : renderReport(report));
    return exitCodeOf(report);
  } catch (error) {
    const hint = isPangolinError(error) && error.hint !== undefined ? `\n${error.hint}` : '';
    output.stderr(`${messageOf(error)}${hint}\n`);
    // Whatever kept the evidence from being read, 1 would say that it was read and does not hold.
    return 2;
  }
}

/** The bundle of a run, or the proof of one item. */
async function verifyFile(path: string, trust: TrustDocument | undefined, options: VerifyOptions): Promise<Report> {
  const proof = await readIfProof(path);
  if (proof) return verifyProof(proof, trust, options);
  const { reader, close } = await openBundle(path);
  try {
    return await verifyBundle(reader, trust, options);
  } finally {
    await close();
  }
}

interface Arguments {
  readonly bundle: string;
  readonly trust: string | undefined;
  readonly run: string | undefined;
  readonly live: boolean;
  readonly json: boolean;
}

function readArguments(argv: readonly string[]): Arguments | 'help' {
  const usage = (why: string) => new PangolinError('USAGE', why, { hint: USAGE.trimEnd() });
  let parsed;
  try {
    parsed = parseArgs({
      args: [...argv],
      allowPositionals: true,
      options: {
        trust: { type: 'string' },
        run: { type: 'string' },
        anchor: { type: 'string' },
        output: { type: 'string', short: 'o' },
        help: { type: 'boolean', short: 'h' },
      },
    });
  } catch (error) {
    throw usage(messageOf(error));
  }
  const { values, positionals } = parsed;
  if (values.help) return 'help';
  if (positionals.length !== 1) throw usage('name one bundle');
  if (values.output !== undefined && values.output !== 'json' && values.output !== 'text') {
    throw usage(`there is no output format ${values.output}`);
  }
  if (values.anchor !== undefined && values.anchor !== 'live' && values.anchor !== 'off') throw usage(`--anchor is live or off, not ${values.anchor}`); // prettier-ignore
  return {
    live: values.anchor === 'live',
    bundle: positionals[0]!,
    trust: values.trust,
    run: values.run,
    json: values.output === 'json',
  };
}

async function readTrust(path: string): Promise<TrustDocument> {
  const bytes = await readFile(path).catch((cause: NodeJS.ErrnoException) => {
    throw new PangolinError('NOT_FOUND', `the trust file ${path} cannot be read`, { cause });
  });
  return parseTrustFile(bytes);
}
