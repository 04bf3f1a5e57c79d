import { isUtf8 } from 'node:buffer';
import { isId } from '@pangolin/contracts/ids';
import { predicateTypes, STATEMENT_TYPE, type RunSeal, type Statement } from '@pangolin/contracts/statement';
import type { Context } from '../context.ts';
import { quote, refuse } from '../refusal.ts';
import { array, count, digest, hex64, is, literal, object, text, time } from '../shape.ts';
import { parseStrict } from '../strict-json.ts';
import { NO_TRUST, passed, UNSEALED, type Check } from './check.ts';

const tree = { size: count, root: hex64 };
const shape = object({
  _type: literal(STATEMENT_TYPE),
  subject: array(object({ name: literal('events.jsonl'), digest }), { min: 1, max: 1 }),
  predicateType: literal(predicateTypes.runSeal),
  predicate: object({
    runId: is('an id', isId),
    logOrigin: text(253),
    tree: object({ hash: literal('rfc6962-sha256'), ...tree }),
    status: literal('succeeded', 'failed', 'cancelled'),
    submittedAt: time,
    completedAt: time,
    heads: array(object(tree), { max: 100_000 }),
    attestations: literal('none', 'signed'),
    expects: object({
      timestamp: array(text(500), { max: 16 }),
      witnesses: count,
      anchor: array(text(500), { max: 16 }),
    }),
  }),
});

export const seal: Check = {
  id: 'seal',
  title: 'The seal is one of this run and of this deployment',
  failure: 'seal',
  run(context) {
    if (!context.sealFile) return UNSEALED;
    const { payload } = context.sealFile;
    if (!isUtf8(payload)) refuse('the statement of the seal is not UTF-8');
    const value = parseStrict('the statement of the seal', payload.toString('utf8'));
    const problem = shape(value);
    if (problem !== undefined) refuse(`the statement of the seal${problem}`);
    const { subject, predicate } = value as Statement<RunSeal>;
    context.seal = { ...predicate, subject: subject[0]!.digest.sha256 };
    expectations(context, predicate);
    if (context.expectRun !== undefined && predicate.runId !== context.expectRun) {
      refuse(`the seal is of the run ${quote(predicate.runId)}, not of ${quote(context.expectRun)}`);
    }
    if (!context.trust)
      return { ...NO_TRUST, detail: `It says that it closes the run ${predicate.runId}. ${NO_TRUST.detail}` };
    if (predicate.logOrigin !== context.trust.origin) {
      refuse(`the seal is of the deployment ${quote(predicate.logOrigin)}, not of ${quote(context.trust.origin)}`);
    }
    return passed(`It closes the run ${predicate.runId} of ${predicate.logOrigin}.`);
  },
};

/** What the seal says it should come with. That it is not there may be an honest outage, so it is a finding. */
function expectations(context: Context, { expects, completedAt }: RunSeal): void {
  const stamps = context.sealFile?.timestamps.length ?? 0;
  if (expects.timestamp.length > stamps) {
    context.find(
      'timestamp-missing',
      `The seal was to carry a time stamp of ${expects.timestamp.join(', ')}; it carries ${stamps}.`,
    );
  }
  if (Date.parse(completedAt) > context.now) {
    context.find(
      'completed-in-the-future',
      `The run says that it was completed at ${completedAt}, which is later than your clock.`,
    );
  }
}
