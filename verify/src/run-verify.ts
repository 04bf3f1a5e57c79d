/** `pangolin verify` and `pangolin-verify`: arguments in, report out, exit code back. With `--log` it is the log that is checked. */
import { readFile, stat, writeFile } from 'node:fs/promises';
import { basename } from 'node:path';
import { parseArgs } from 'node:util';
import { setFlagsFromString } from 'node:v8';
import { sha256 } from '@pangolin/contracts/digest';
import { isPangolinError, messageOf, PangolinError } from '@pangolin/contracts/errors';
import type { Subject } from '@pangolin/contracts/statement';
import type { TrustDocument, TrustedAnchor } from '@pangolin/contracts/trust';
import type { AnchorArchive, OpenAnchor } from './anchor/anchor.ts';
import { credentialsOf, openS3Anchor } from './anchor/s3.ts';
import { openSnapshot, readSnapshot, recording } from './anchor/snapshot.ts';
import { noting, readAuditorKey, signSummary, summaryStatement, type Verified } from './attest.ts';
import { checkLog, type LogReport } from './log/check-log.ts';
import { openLogCopy } from './log/copy-sources.ts';
import { logExitCode, renderLogReport } from './log/render.ts';
import { openBundle, readIfProof } from './readers/open.ts';
import { renderReport } from './render.ts';
import { exitCodeOf, type Report } from './report.ts';
import { loadTrust, parseTrustFile } from './trust-file.ts';
import { verifyProof } from './proof/verify-proof.ts';
import { verifyBundle, type VerifyOptions } from './verify.ts';

const USAGE = `Usage: pangolin-verify BUNDLE [--trust FILE] [--run ID] [--anchor live|snapshot|off] [--anchor-snapshot FILE] [--attest KEY [--attest-out FILE]] [-o json]
       pangolin-verify --log DIR [BUNDLE...] --trust FILE [--complete] [--anchor live|off] [-o json]

Checks a bundle of evidence, offline unless you ask for the anchor. BUNDLE is a directory, a tar archive or a
JSON document; or the proof of one item. With --log, checks the log of the deployment instead: that it never forked,
that these runs are in it, each once, and that no other was deleted. It does not check the bundles themselves.

  --trust FILE   the keys that you trust; get it another way than the bundle
  --run ID       the run that the bundle has to be of
  --anchor live  also look into the anchors that the trust file names, with the credentials in AWS_ACCESS_KEY_ID,
                 AWS_SECRET_ACCESS_KEY and AWS_SESSION_TOKEN; off is the default
  --anchor-snapshot FILE  with --anchor live: also keeps what the anchors answer in this new file. With --anchor snapshot, without
                 a network: compares with what it says instead. Nothing signs it, so it can fail a bundle and not raise its guarantee
  --attest KEY   also write what was found as a SLSA Verification Summary Attestation, signed with this key of yours (ECDSA P-256,
                 PEM): PASSED for exit code 0, FAILED for 1 and 3
  --attest-out FILE  where to; default verification-summary.sigstore.json. What is there already is not overwritten
  -o json        the report as JSON
  --log DIR      a copy of log/ of the storage; or of the storage, with log/ and runs/
  --complete     the bundles are of every run: an entry that none of them has is of a run that was deleted

Exit codes: 0 verified, 1 failed, 2 bad trust file or usage, 3 below what the trust file requires, 4 incomplete (not sealed, no trust file, a key that it lacks,\nan anchor that does not answer, an entry of the log whose bundle you do not have).
`;

const SUMMARY_FILE = 'verification-summary.sigstore.json';

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
    const policy = options.trust === undefined ? undefined : await readTrustFile(options.trust);
    const trust = policy && parseTrustFile(policy);
    const auditor = options.attest === undefined ? undefined : await openAttestation(options.attest, options.attestOut);
    const { bundles, run, live, log } = options;
    const openAnchor = (anchor: TrustedAnchor) => openS3Anchor(anchor, credentialsOf(process.env));
    if (log !== undefined) {
      if (!trust)
        throw new PangolinError('USAGE', 'no trust file: nothing says whose log this is', { hint: USAGE.trimEnd() });
      const unlooked =
        live || !trust.anchors?.length ? '' : 'The anchors were not looked at; --anchor live names deleted runs.\n';
      const report = await checkCopy({ ...options, dir: log, openAnchor: live ? openAnchor : undefined }, trust);
      output.stdout(options.json ? `${JSON.stringify(report, null, 2)}\n` : renderLogReport(report) + unlooked);
      return logExitCode(report);
    }
    const looking = await lookAt(options, openAnchor);
    const subject: Subject[] = [];
    const checked = { ...(run !== undefined && { expectRun: run }), ...looking.options };
    const report = await verifyFile(bundles[0]!, trust, checked, auditor && subject);
    await looking.keep?.(report);
    if (auditor && (!trust || report.verdict === 'incomplete' || subject.length === 0))
      output.stderr('No summary was signed: what was found settles nothing.\n');
    else if (auditor)
      await auditor({ report, subject, origin: trust!.origin, policy: sha256(policy!), at: Date.now() });
    output.stdout(options.json ? `${JSON.stringify(report, null, 2)}\n` : renderReport(report));
    return exitCodeOf(report);
  } catch (error) {
    const hint = isPangolinError(error) && error.hint !== undefined ? `\n${error.hint}` : '';
    output.stderr(`${messageOf(error)}${hint}\n`);
    // Whatever kept the evidence from being read, 1 would say that it was read and does not hold.
    return 2;
  }
}

interface Copy extends Pick<Arguments, 'bundles' | 'complete'> {
  readonly dir: string;
  /** Absent: the anchors are not looked at. */
  readonly openAnchor: ((anchor: TrustedAnchor) => AnchorArchive) | undefined;
}

async function checkCopy({ openAnchor, ...copy }: Copy, document: TrustDocument): Promise<LogReport> {
  const trust = loadTrust(document);
  const anchors = (openAnchor ? trust.anchors : []).map((each) => ({
    place: `the anchor ${each.bucket}`,
    prefix: each.prefix ?? '',
    archive: openAnchor!(each),
  }));
  return await checkLog(await openLogCopy({ ...copy, anchors }, trust.origin), trust);
}

/** The bundle of a run, or the proof of one item. The files that the report is of are added to `subject`, where it is given. */
async function verifyFile(
  path: string,
  trust: TrustDocument | undefined,
  options: VerifyOptions,
  subject: Subject[] | undefined,
): Promise<Report> {
  const proof = await readIfProof(path);
  if (proof) {
    subject?.push({ name: basename(path), digest: { sha256: sha256(proof) } });
    return await verifyProof(proof, trust, options);
  }
  const { reader, close } = await openBundle(path);
  try {
    return await verifyBundle(subject ? noting(reader, subject) : reader, trust, options);
  } finally {
    await close();
  }
}

interface Looking {
  readonly options: Pick<VerifyOptions, 'openAnchor' | 'snapshotOf'>;
  /** Writes what the anchors answered, if they did. */
  readonly keep?: (report: Report) => Promise<void>;
}

/** At the anchors, at a snapshot of them, or at neither. */
async function lookAt({ live, snapshot, keep }: Arguments, openAnchor: OpenAnchor): Promise<Looking> {
  if (snapshot !== undefined) {
    const bytes = await readFile(snapshot).catch((cause: unknown) => {
      throw new PangolinError('NOT_FOUND', `the snapshot ${snapshot} cannot be read`, { cause });
    });
    const read = readSnapshot(bytes);
    return { options: { openAnchor: openSnapshot(read), snapshotOf: read.takenAt } };
  }
  if (!live) return { options: {} };
  if (keep === undefined) return { options: { openAnchor } };
  await assertFree(keep, '--anchor-snapshot');
  const recorder = recording(openAnchor, Date.now());
  return {
    options: { openAnchor: recorder.open },
    keep: async ({ checks }) => {
      if (checks.anchor.result !== 'n/a') await writeFile(keep, recorder.bytes(), { flag: 'wx' });
    },
  };
}

async function assertFree(path: string, flag: string): Promise<void> {
  const isFree = await stat(path).then(() => false, () => true); // prettier-ignore
  if (!isFree) throw new PangolinError('CONFLICT', `${path} is there already`, { hint: `Name another file with ${flag}.` }); // prettier-ignore
}

/** What signs a result and writes it; key and place are looked at before anything is verified. */
async function openAttestation(keyFile: string, path: string): Promise<(verified: Verified) => Promise<void>> {
  const pem = await readFile(keyFile).catch((cause: unknown) => {
    throw new PangolinError('NOT_FOUND', `the key ${keyFile} cannot be read`, { cause });
  });
  const key = readAuditorKey(keyFile, pem);
  await assertFree(path, '--attest-out');
  return async (verified) => writeFile(path, await signSummary(key, summaryStatement(verified)), { flag: 'wx' });
}

interface Arguments {
  /** One, but with a log. */
  readonly bundles: readonly string[];
  readonly log: string | undefined;
  readonly complete: boolean;
  readonly trust: string | undefined;
  /** The auditor's key. */
  readonly attest: string | undefined;
  readonly attestOut: string;
  readonly run: string | undefined;
  readonly live: boolean;
  /** Read instead of the anchors. */
  readonly snapshot: string | undefined;
  /** Where what the anchors answer is kept. */
  readonly keep: string | undefined;
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
        'anchor-snapshot': { type: 'string' },
        log: { type: 'string' },
        complete: { type: 'boolean' },
        attest: { type: 'string' },
        'attest-out': { type: 'string' },
        output: { type: 'string', short: 'o' },
        help: { type: 'boolean', short: 'h' },
      },
    });
  } catch (error) {
    throw usage(messageOf(error));
  }
  const { values, positionals } = parsed;
  if (values.help) return 'help';
  if (values.log === undefined && positionals.length !== 1) throw usage('name one bundle');
  if (values.log === undefined && values.complete) throw usage('--complete goes with --log');
  if (values.log !== undefined && values.attest !== undefined)
    throw usage('--attest goes with one bundle, and not with --log');
  if (values.attest !== undefined && values.trust === undefined)
    throw usage('--attest goes with --trust, which is the policy that it names');
  if (values.log !== undefined && values.run !== undefined)
    throw usage('--run goes with one bundle, and not with --log');
  if (values.output !== undefined && values.output !== 'json' && values.output !== 'text') {
    throw usage(`there is no output format ${values.output}`);
  }
  const { anchor = 'off', 'anchor-snapshot': file } = values;
  if (!['live', 'snapshot', 'off'].includes(anchor)) throw usage(`--anchor is live, snapshot or off, not ${anchor}`);
  if ((anchor === 'snapshot' && file === undefined) || (anchor === 'off' && file !== undefined))
    throw usage('--anchor snapshot goes with --anchor-snapshot, and that with it or with --anchor live');
  if (values.log !== undefined && file !== undefined) throw usage('--anchor-snapshot goes with one bundle, and not with --log'); // prettier-ignore
  return {
    live: anchor === 'live',
    snapshot: anchor === 'snapshot' ? file : undefined,
    keep: anchor === 'live' ? file : undefined,
    bundles: positionals,
    log: values.log,
    complete: values.complete === true,
    trust: values.trust,
    attest: values.attest,
    attestOut: values['attest-out'] ?? SUMMARY_FILE,
    run: values.run,
    json: values.output === 'json',
  };
}

async function readTrustFile(path: string): Promise<Buffer> {
  return await readFile(path).catch((cause: NodeJS.ErrnoException) => {
    throw new PangolinError('NOT_FOUND', `the trust file ${path} cannot be read`, { cause });
  });
}
