import { isUtf8 } from 'node:buffer';
import { bundleFile } from '@pangolin/contracts/bundle';
import { sha256, type Sha256 } from '@pangolin/contracts/digest';
import { DEPENDENCY_DOCUMENT_BYTES_MAX } from '@pangolin/contracts/dependency-document';
import { OUTPUT_JSON_BYTES_MAX } from '@pangolin/contracts/limits';
import { pinsOf } from '@pangolin/contracts/pins';
import { answerProblem } from '../answer.ts';
import type { Context } from '../context.ts';
import { describe } from '../facts.ts';
import { quote, refuse } from '../refusal.ts';
import { readDependencies } from '../dependency-document.ts';
import type { Attempt, DependencyProduct, ReplayResult } from '../replay/result.ts';
import { readResult, resultProblem, type WorkerResult } from '../result.ts';
import {
  dispatchProblem,
  provenanceProblem,
  readDispatch,
  readProvenance,
  type AttemptView,
  type DispatchStatement,
} from '../statements.ts';
import { readLine } from './events.ts';
import { notApplicable, passed, plural, UNREACHED, type Check } from './check.ts';

/** Bytes of one statement. */
const STATEMENT_BYTES_MAX = 16 * 2 ** 20;

export const blobs: Check = {
  id: 'blobs',
  title: 'Every blob and statement is the one that the log names, and says what the log says',
  failure: 'blob',
  async run(context) {
    const { replay } = context;
    if (!replay) return UNREACHED;
    const named = replay.blobs;
    const statements = replay.dispatches.size + replay.provenances.size;
    const present = { blobs: 0, statements: 0 };
    const dispatches = new Map<Attempt, DispatchStatement>();
    const results: WorkerResult[] = [];
    const files = [...context.files.keys()];

    const inFolder = (folder: string): [string, Sha256][] =>
      files
        .filter((name) => name.startsWith(folder))
        .map((name) => [name, name.slice(folder.length, folder.length + 64)]);
    // Where the plan is withheld, the dispatches still say what was pinned.
    const pinned = new Set<Sha256>();
    for (const [name, digest] of inFolder('dispatch/')) {
      const attempt = replay.dispatches.get(digest) ?? refuse(`no event names ${quote(name)}`);
      const statement = readDispatch(name, await statementText(context, name, digest));
      const problem = dispatchProblem(statement, viewOf(context, attempt));
      if (problem !== undefined) refuse(`${nameOf(attempt)}: the dispatch statement ${problem}`);
      dispatches.set(attempt, statement);
      for (const [, digest] of pinsOf(statement.predicate)) pinned.add(digest);
      present.statements++;
    }
    for (const [name, digest] of inFolder('blobs/')) {
      if (!named.has(digest) && !pinned.has(digest)) refuse(`no event and no plan names ${quote(name)}`);
      if ((await context.reader.digest(name)) !== digest)
        refuse(`${quote(name)} has another content than its digest says`);
      present.blobs++;
    }
    for (const [name, digest] of inFolder('provenance/')) {
      const attempt = replay.provenances.get(digest) ?? refuse(`no event names ${quote(name)}`);
      const statement = readProvenance(name, await statementText(context, name, digest));
      const view = viewOf(context, attempt);
      const problem = provenanceProblem(statement, view, replay.submitted.logOrigin, dispatches.get(attempt));
      if (problem !== undefined) refuse(`${nameOf(attempt)}: the provenance statement ${problem}`);
      present.statements++;
    }
    for (const attempt of replay.attempts) {
      const result = await checkResult(context, attempt);
      if (result) results.push(result);
      await checkAnswer(context, attempt, result);
    }
    context.granted = grantsOf(dispatches);
    context.blobs = { present: present.blobs, withheld: named.size - present.blobs };
    context.statements = { present: present.statements, withheld: statements - present.statements, signed: 0 };
    for (const product of replay.dependencies) await readDependencyProduct(context, product);
    describe(context, replay, dispatches, results);
    return verdict(replay, context);
  },
};

function verdict(replay: ReplayResult, { blobs, statements }: Context) {
  if (blobs.present + statements.present === 0) {
    return notApplicable(
      `The bundle is lean: ${blobs.withheld} blobs and ${statements.withheld} statements are withheld.`,
    );
  }
  const { size } = replay.dispatches;
  return passed(
    `${blobs.present} of ${blobs.present + blobs.withheld} blobs and ` +
      `${statements.present} of ${statements.present + statements.withheld} statements of ${plural(size, 'attempt')}.`,
  );
}

function grantsOf(dispatches: ReadonlyMap<Attempt, DispatchStatement>): Context['granted'] {
  const granted = new Map<Attempt, { readonly allow: readonly string[] }>();
  for (const [attempt, { predicate }] of dispatches) {
    const { network } = predicate.sandbox.enforced;
    if (typeof network === 'object') granted.set(attempt, network);
  }
  return granted;
}

const nameOf = ({ itemId, attempt }: Attempt): string => `attempt ${attempt} of ${quote(itemId)}`;

async function statementText(context: Context, name: string, digest: Sha256): Promise<string> {
  if (context.files.get(name)! > STATEMENT_BYTES_MAX) refuse(`${quote(name)} is too large`);
  const bytes = await context.reader.read(name);
  if (sha256(bytes) !== digest) refuse(`${quote(name)} has another content than its digest says`);
  if (!isUtf8(bytes)) refuse(`${quote(name)} is not UTF-8`);
  return bytes.toString('utf8');
}

/** The events of an attempt, read again: keeping every event of a long run would cost more than reading a few twice. */
function viewOf(context: Context, attempt: Attempt): AttemptView {
  const fired = readLine(context.lines!, attempt.firedLine);
  const reconciled =
    attempt.reconciledLine === undefined ? undefined : readLine(context.lines!, attempt.reconciledLine);
  if (fired.kind !== 'item.fired' || (reconciled && reconciled.kind !== 'item.reconciled')) {
    throw new TypeError('an attempt points at lines of other kinds');
  }
  const planned = context.replay!.planned.get(attempt.itemId);
  return { fired, ...(reconciled && { reconciled }), ...(planned && { planned }) };
}

/** Nothing but its digest is checked: what it says is the word of the block that wrote it. */
async function readDependencyProduct(context: Context, { attempt, name, format, sha256 }: DependencyProduct) {
  const file = bundleFile.blob(sha256);
  const size = context.files.get(file);
  const readable = size !== undefined && size <= DEPENDENCY_DOCUMENT_BYTES_MAX;
  const summary = readable ? readDependencies(format, await context.reader.read(file)) : undefined;
  context.dependencies.push({
    itemId: attempt.itemId,
    attempt: attempt.attempt,
    name,
    sha256,
    format,
    tier: 'recorded',
    ...summary,
  });
  if (readable && !summary) {
    context.find(
      'dependencies-unreadable',
      `${quote(name)} of ${nameOf(attempt)} is named as a ${format} document and is none.`,
    );
  }
}

async function checkResult(context: Context, attempt: Attempt): Promise<WorkerResult | undefined> {
  if (attempt.result === undefined) return undefined;
  const name = bundleFile.blob(attempt.result);
  const size = context.files.get(name);
  if (size === undefined) return undefined;
  if (size > OUTPUT_JSON_BYTES_MAX) refuse(`${quote(name)} is too large for a result`);
  const { fired, reconciled } = viewOf(context, attempt);
  const result = readResult(name, await context.reader.read(name));
  const problem = resultProblem(result, fired, reconciled!);
  if (problem !== undefined) refuse(`${nameOf(attempt)}: the result ${problem}`);
  return result;
}

async function checkAnswer(context: Context, attempt: Attempt, asked: WorkerResult | undefined): Promise<void> {
  if (attempt.answeredLine === undefined) return;
  const event = readLine(context.lines!, attempt.answeredLine);
  if (event.kind !== 'item.answered') throw new TypeError('an attempt points at lines of other kinds');
  const name = bundleFile.blob(event.answer.sha256);
  const size = context.files.get(name);
  if (size === undefined) return;
  if (size > OUTPUT_JSON_BYTES_MAX) refuse(`${quote(name)} is too large for an answer`);
  const problem = answerProblem(await context.reader.read(name), event, asked);
  if (problem !== undefined) refuse(`${nameOf(attempt)}: the answer ${problem}`);
}
