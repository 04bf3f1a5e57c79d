import { formatDigest } from '@pangolin/contracts/digest';
import { PangolinError } from '@pangolin/contracts/errors';
import { inboxKey } from '@pangolin/contracts/layout';
import type { Problem, Receipt } from '@pangolin/contracts/status';
import { submissionName } from '@pangolin/contracts/submission';
import { command } from '../../command.ts';
import { defaultActor, type Context } from '../../context.ts';
import { absolutePaths } from '../../local-paths.ts';
import { awaitReceipt, receiptExitCode, uniqueName } from '../../read/receipts.ts';
import { readSpecFile, reportProblems, type SpecFile } from '../../spec-file.ts';
import { renderProblems } from '../../render/problems.ts';
import { watchToEnd } from './watch.ts';

export const submit = command({
  description: 'Check a Run file, drop it into the inbox and say what the controller made of it',
  args: {
    file: { type: 'positional', description: 'YAML or JSON, `-` for standard input.' },
    actor: { type: 'string', description: 'Who submits: human:NAME, agent:NAME or service:NAME. Else human:<you>.' },
    wait: { type: 'boolean', description: 'Wait until the run is sealed; exit 0 when it succeeded, 1 when not.' },
    'receipt-timeout': {
      type: 'string',
      duration: true,
      description: 'How long to wait for an answer. Else 30s, or 2s when nothing seems to serve this storage.',
    },
    timeout: { type: 'string', duration: true, description: 'With --wait: give up after this time with exit code 6.' },
  },
  async run(args, context) {
    const file = await readSpecFile(args.file);
    const ready = await prepare(file);
    if (!ready.ok) return await reportProblems(context, file, ready.problems);
    const name = submissionName(args.actor ?? defaultActor(), uniqueName());
    const store = await context.openOrCreate();
    await store.put(inboxKey(name), ready.bytes, { ifAbsent: true });

    const receipt = await awaitReceipt(store, name, args['receipt-timeout']);
    if (!receipt) return await queued(context, name, ready.id, args.wait);
    const located = { ...receipt, errors: receipt.errors.map((problem) => relocate(problem, file, ready)) };
    if (receipt.verdict === 'rejected') return await rejected(context, located, file);
    await accepted(context, located, args.wait);
    return args.wait ? await watchToEnd(context, store, receipt.run ?? ready.id, args.timeout) : 0;
  },
});

type Ready =
  | {
      readonly ok: true;
      readonly id: string;
      /** The file itself, unless paths in it had to be made absolute. */
      readonly bytes: Buffer;
      readonly locate: (pointer: string) => { readonly line: number; readonly column: number } | undefined;
    }
  | { readonly ok: false; readonly problems: readonly Problem[] };

async function prepare(file: SpecFile): Promise<Ready> {
  const [{ readRun }, { parseDocument }] = await Promise.all([
    import('@pangolin/contracts/read-run'),
    import('@pangolin/contracts/parse'),
  ]);
  const result = readRun(file.bytes, file.name);
  if (!result.ok) return result;
  const parsed = parseDocument(file.bytes, file.name);
  if (!parsed.ok) return parsed;
  const absolute = absolutePaths(parsed.value, file.dir);
  const bytes = absolute === parsed.value ? file.bytes : Buffer.from(`${JSON.stringify(absolute, null, 2)}\n`);
  return { ok: true, id: result.run.id, bytes, locate: result.locate };
}

/** The receipt is about the dropped object; the user wants the place in the file. */
function relocate(problem: Problem, file: SpecFile, ready: Extract<Ready, { ok: true }>): Problem {
  const { line: _line, column: _column, ...rest } = problem;
  return { ...rest, file: file.name, ...ready.locate(problem.path) };
}

async function queued(context: Context, name: string, run: string, wait: boolean): Promise<number> {
  const hint = 'Start one with `pangolin orch serve`.';
  if (wait) {
    throw new PangolinError('UNAVAILABLE', `run ${run} is queued, and no controller has taken it yet`, { hint });
  }
  if (context.json) await context.printJson({ verdict: 'queued', submission: name, run, errors: [] });
  else await context.print(`queued ${run}`);
  context.note(`No controller has taken it yet. ${hint}`);
  return 0;
}

async function accepted(context: Context, receipt: Receipt, quiet: boolean): Promise<void> {
  const { run, duplicate, submission } = receipt;
  if (quiet) context.note(`accepted ${run}`);
  else if (context.json) await context.printJson(receipt);
  else await context.print(`accepted ${run}`);
  if (duplicate === true) context.note(`The same run was admitted before; nothing changed (${submission}).`);
  else if (!quiet) context.note(`Follow it with \`pangolin orch watch ${run}\`.`);
}

async function rejected(context: Context, receipt: Receipt, file: SpecFile): Promise<number> {
  if (context.json) await context.printJson(receipt);
  else {
    process.stderr.write(`${renderProblems(receipt.errors, context.paintError, file.bytes.toString('utf8'))}\n`);
    process.stderr.write(`${file.name} was rejected (submitted as ${formatDigest(receipt.sha256)})\n`);
  }
  return receiptExitCode(receipt);
}
