import { bundleFile } from '@pangolin/contracts/bundle';
import { sha256, type Sha256 } from '@pangolin/contracts/digest';
import type { Context, SealStatement } from '../context.ts';
import { readEvent } from '../event-shapes.ts';
import type { LogLines } from '../log-lines.ts';
import { readExtension, readPlan } from '../plan.ts';
import { quote, Refusal, refuse } from '../refusal.ts';
import { Replay } from '../replay/replay.ts';
import type { ReplayResult } from '../replay/result.ts';
import type { HeadSpacing } from '../report.ts';
import { parseStrict } from '../strict-json.ts';
import { passed, plural, UNREACHED, type Check } from './check.ts';

/** Bytes of one plan or extension. */
const PLAN_BYTES_MAX = 512 * 2 ** 20;

export const events: Check = {
  id: 'events',
  title: 'The run log is the sealed one and tells a possible story',
  failure: 'events',
  async run(context) {
    const { lines, seal } = context;
    if (!lines) return UNREACHED;
    const altered = seal && sealedProblem(lines, seal);
    try {
      await replay(context, lines);
    } catch (error) {
      if (!(error instanceof Refusal) || altered === undefined) throw error;
      // The first line that makes no sense says more about what was done than a digest can.
      throw new Refusal(`${altered}; ${error.message}`, { cause: error });
    }
    if (altered !== undefined) refuse(altered);
    const replayed = context.replay!;
    if (seal) {
      agree(context, seal, replayed);
      context.heads = spacingOf(lines, seal);
    }
    if (!context.plan) {
      context.find(
        'plan-withheld',
        'The plan is not in the bundle: whether every declared item has an outcome and ran after its dependencies was not checked.',
      );
    }
    if (context.withheldExtensions > 0) {
      context.find(
        'extension-withheld',
        `${plural(context.withheldExtensions, 'extension')} of the run are not in the bundle: of their items only the order of events was checked.`,
      );
    }
    const { length } = lines;
    return passed(
      `${plural(length, 'event')} of ${plural(replayed.items, 'item')}, ${plural(replayed.attempts.length, 'attempt')}.`,
    );
  },
};

/** How the log differs from the sealed one, or undefined. */
function sealedProblem(lines: LogLines, seal: SealStatement): string | undefined {
  if (lines.length !== seal.tree.size)
    return `events.jsonl has ${lines.length} events, but ${seal.tree.size} were sealed`;
  if (lines.sha256() !== seal.subject) return 'events.jsonl is not the file that was sealed';
  if (lines.root() !== seal.tree.root) return 'the tree over events.jsonl has another root than the sealed one';
  const sizes = seal.heads.map((head) => head.size);
  if (sizes.some((size, at) => size < 1 || size > lines.length || (at > 0 && size <= sizes[at - 1]!))) {
    return 'the heads in the seal are not in ascending order within the log';
  }
  const roots = lines.prefixRoots(sizes);
  const wrong = seal.heads.findIndex((head, at) => head.root !== roots[at]);
  return wrong >= 0 ? `the head at ${sizes[wrong]} events has another root than the log` : undefined;
}

function spacingOf(lines: LogLines, { heads, submittedAt, completedAt }: SealStatement): HeadSpacing {
  const marks = [submittedAt, ...heads.map(({ size }) => readLine(lines, size - 1).at), completedAt];
  const gaps = marks.slice(1).map((at, index) => Date.parse(at) - Date.parse(marks[index]!));
  return { count: heads.length, longestMs: Math.max(...gaps) };
}

async function replay(context: Context, lines: LogLines): Promise<void> {
  const first = readLine(lines, 0);
  if (first.kind !== 'run.submitted') return refuse('the log does not start with run.submitted');
  const plan = await readNamed(context, 'the plan', first.plan.sha256);
  context.plan = plan && readPlan(plan, first.runId);
  const machine = new Replay(context.plan);
  for (let index = 0; index < lines.length; index++) {
    const event = readLine(lines, index);
    if (event.kind !== 'run.extended') {
      machine.step(event);
      continue;
    }
    const extension = await readNamed(context, 'the extension', event.items.sha256);
    context.withheldExtensions += extension ? 0 : 1;
    machine.step(event, extension && readExtension(extension));
  }
  context.replay = machine.end();
}

/** A document that an event names; undefined when it is not in the bundle. */
async function readNamed(context: Context, what: string, digest: Sha256): Promise<Buffer | undefined> {
  const name = bundleFile.blob(digest);
  const size = context.files.get(name);
  if (size === undefined) return undefined;
  if (size > PLAN_BYTES_MAX) refuse(`${what} is too large`);
  const bytes = await context.reader.read(name);
  // A blob with the wrong content is for the check of the blobs to report; nothing is read from it.
  return sha256(bytes) === digest ? bytes : undefined;
}

export function readLine(lines: LogLines, index: number): ReturnType<typeof readEvent> {
  const where = `event ${index}`;
  return readEvent(where, parseStrict(where, lines.text(index)));
}

/** What the seal repeats of the log has to be the same there. */
function agree(context: Context, seal: SealStatement, { submitted, completed, lastAt }: ReplayResult): void {
  if (!completed) return refuse('the log of a sealed run does not end with run.completed');
  if (submitted.runId !== seal.runId) refuse(`the log is of the run ${quote(submitted.runId)}`);
  if (submitted.logOrigin !== seal.logOrigin) refuse(`the log is of the deployment ${quote(submitted.logOrigin)}`);
  if (completed.status !== seal.status) refuse(`the log says ${completed.status}, the seal ${seal.status}`);
  if (submitted.at !== seal.submittedAt) refuse('log and seal disagree on when the run was submitted');
  if (lastAt !== seal.completedAt) refuse('log and seal disagree on when the run was completed');
  const index = context.sealFile?.entry?.index ?? Infinity;
  if (submitted.after && submitted.after.size > index) {
    refuse(
      `the run says that it began after entry ${submitted.after.size - 1} of the log, but its seal is entry ${index}`,
    );
  }
}
