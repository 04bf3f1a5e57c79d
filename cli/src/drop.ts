/** Dropping a checked file into the inbox, and the controller's answer to it in terms of the user's file. */
import { formatDigest } from '@pangolin/contracts/digest';
import { PangolinError } from '@pangolin/contracts/errors';
import { inboxKey } from '@pangolin/contracts/layout';
import type { Problem, Receipt } from '@pangolin/contracts/status';
import { submissionName } from '@pangolin/contracts/submission';
import type { ObjectStore } from '@pangolin/storage/object-store';
import { defaultActor, type Context } from './context.ts';
import { absolutePaths } from './local-paths.ts';
import { awaitReceipt, receiptExitCode, uniqueName } from './read/receipts.ts';
import { renderProblems } from './render/problems.ts';
import type { SpecFile } from './spec-file.ts';

type Locate = (pointer: string) => { readonly line: number; readonly column: number } | undefined;

/** The run that it makes or is about, or the queue or schedule that it declares. */
export interface About {
  readonly kind: 'Run' | 'Queue' | 'Schedule';
  readonly id: string;
}

/** `nightly-1`, `schedule nightly`: how messages name it. */
export const nameOf = ({ kind, id }: About): string => (kind === 'Run' ? id : `${kind.toLowerCase()} ${id}`);

export type Ready =
  | {
      readonly ok: true;
      readonly about: About;
      /** The file itself, unless paths in it had to be made absolute. */
      readonly bytes: Buffer;
      readonly locate: Locate;
    }
  | { readonly ok: false; readonly problems: readonly Problem[] };

/** @param value the document; `changed` when it is another one than the file has. */
export function readyToDrop(
  file: SpecFile,
  about: About,
  locate: Locate,
  { value, changed = false }: { readonly value: unknown; readonly changed?: boolean },
): Ready {
  const absolute = absolutePaths(value, file.dir);
  const asWritten = !changed && absolute === value;
  const bytes = asWritten ? file.bytes : Buffer.from(`${JSON.stringify(absolute, null, 2)}\n`);
  return { ok: true, about, bytes, locate };
}

/** `queued`: the name that it waits under, because nothing has answered in time. */
export async function drop(
  store: ObjectStore,
  file: SpecFile,
  ready: Extract<Ready, { ok: true }>,
  by: { readonly actor: string | undefined; readonly timeoutMs: number | undefined },
): Promise<{ readonly receipt: Receipt } | { readonly queued: string }> {
  const name = submissionName(by.actor ?? defaultActor(), uniqueName());
  const bytes = store.kind === 'folder' ? ready.bytes : await withoutLocalPaths(store, file, ready.bytes);
  await store.put(inboxKey(name), bytes, { ifAbsent: true });
  const receipt = await awaitReceipt(store, name, by.timeoutMs);
  if (!receipt) return { queued: name };
  return { receipt: { ...receipt, errors: receipt.errors.map((problem) => relocate(problem, file, ready.locate)) } };
}

async function withoutLocalPaths(store: ObjectStore, file: SpecFile, bytes: Buffer): Promise<Buffer> {
  const [{ parseDocument }, { packWorkspaces }] = await Promise.all([
    import('@pangolin/contracts/parse'),
    import('./pack-workspaces.ts'),
  ]);
  const parsed = parseDocument(bytes, file.name);
  if (!parsed.ok) return bytes;
  const packed = await packWorkspaces(parsed.value, store);
  return packed === parsed.value ? bytes : Buffer.from(`${JSON.stringify(packed, null, 2)}\n`);
}

/** The receipt is about the dropped object; the user wants the place in the file. */
function relocate(problem: Problem, file: SpecFile, locate: Locate): Problem {
  const { line: _line, column: _column, ...rest } = problem;
  return { ...rest, file: file.name, ...locate(problem.path) };
}

export async function queued(context: Context, name: string, about: About, wait: boolean): Promise<number> {
  const hint = 'Start one with `pangolin orch serve`.';
  if (wait)
    throw new PangolinError('UNAVAILABLE', `run ${about.id} is queued, and no controller has taken it yet`, { hint });
  const run = about.kind === 'Run' ? { run: about.id } : {};
  if (context.json) await context.printJson({ verdict: 'queued', submission: name, ...run, errors: [] });
  else await context.print(`queued ${nameOf(about)}`);
  context.note(`No controller has taken it yet. ${hint}`);
  return 0;
}

export async function rejected(context: Context, receipt: Receipt, file: SpecFile): Promise<number> {
  if (context.json) await context.printJson(receipt);
  else {
    process.stderr.write(`${renderProblems(receipt.errors, context.paintError, file.bytes.toString('utf8'))}\n`);
    process.stderr.write(`${file.name} was rejected (submitted as ${formatDigest(receipt.sha256)})\n`);
  }
  return receiptExitCode(receipt);
}
