/** The closed shape of every kind of event: contracts/run-log.ts as a table of rules. */
import { isId } from '@pangolin/contracts/ids';
import { isReason } from '@pangolin/contracts/reasons';
import { RUN_LOG_SCHEMA, type RunEvent } from '@pangolin/contracts/run-log';
import { quote, refuse } from './refusal.ts';
import { count, digest, hex64, is, isObject, literal, object, record, text, time, type Check } from './shape.ts';

const id = is('an id', isId);
const attempt = is('an attempt number', (value) => Number.isSafeInteger(value) && (value as number) >= 1);
const reason = is('a known reason', isReason);
const actor = is('an actor', (value) => typeof value === 'string' && ACTOR.test(value));
const ACTOR = /^(?:human|agent|service|pattern):[^\p{Cc}]{1,200}$/u;
const nonce = is('32 hexadecimal digits', (value) => typeof value === 'string' && /^[0-9a-f]{32}$/.test(value));
const positive = is('a positive number', (value) => Number.isSafeInteger(value) && (value as number) > 0);

const INPUT_KEY = /^[A-Za-z0-9][A-Za-z0-9._-]{0,99}$/;

/** `patch` or `outputs/<path>`, the path in normal form. */
export function isOutputName(name: unknown): name is string {
  if (name === 'patch') return true;
  if (typeof name !== 'string' || !name.startsWith('outputs/') || name.length > 2048 || name.includes('\0'))
    return false;
  return name.split('/').every((segment) => segment !== '' && segment !== '.' && segment !== '..');
}

const producedBy = object({ itemId: id, output: is('`patch` or `outputs/<path>`', isOutputName) });
const input = object({
  sha256: hex64,
  from: (value) => (value === 'submission' ? undefined : producedBy(value)),
});
export const inputs = record((key) => INPUT_KEY.test(key), input);

const envelope = { kind: text(20), runId: id, seq: count, at: time, actor };
const ofItem = { ...envelope, itemId: id };
const authz = (verdict: 'allow' | 'deny') =>
  object({ verdict: literal(verdict), principal: actor, policy: digest, 'onBehalfOf?': actor });
const pause = object({ ...envelope, 'queue?': id });

const shapes = new Map<string, Check>(
  Object.entries({
    'run.submitted': object({
      ...envelope,
      schema: literal(RUN_LOG_SCHEMA),
      logOrigin: text(255),
      plan: digest,
      'submission?': digest,
      nonce,
      'after?': object({ size: positive, root: hex64, 'note?': digest }),
      engine: object({ name: text(100), version: text(100), 'image?': text(1000) }),
    }),
    'item.fired': object({ ...ofItem, attempt, dispatch: digest, 'answer?': digest, inputs, 'authz?': authz('allow') }),
    'item.reconciled': object({
      ...ofItem,
      attempt,
      status: literal('done', 'failed', 'cancelled', 'waiting'),
      reason,
      'result?': digest,
      outputs: record(isOutputName, digest),
      'partial?': literal(true),
      'egress?': digest,
      'provenance?': digest,
    }),
    'item.answered': object({ ...ofItem, attempt, answer: digest, reason: literal('Answered', 'InputTimedOut') }),
    'item.retried': object({ ...ofItem, attempt, reason }),
    'item.skipped': object({ ...ofItem, attempt: count, reason }),
    'item.denied': object({ ...ofItem, attempt: count, reason, 'authz?': authz('deny') }),
    'item.decided': object({ ...ofItem, decision: literal('approved', 'rejected'), reason, 'comment?': text(10_000) }),
    'run.extended': object({ ...envelope, 'cause?': id, items: digest }),
    'run.paused': pause,
    'run.resumed': pause,
    'run.closed': object(envelope),
    'run.cancelled': object({ ...envelope, reason: literal('Cancelled', 'RunTimedOut'), 'comment?': text(10_000) }),
    'run.completed': object({
      ...envelope,
      status: literal('succeeded', 'failed', 'cancelled'),
      counts: object({ done: count, failed: count, skipped: count, cancelled: count, denied: count }),
    }),
  }),
);

/** @throws Refusal */
export function readEvent(where: string, value: unknown): RunEvent {
  const kind = isObject(value) && Object.hasOwn(value, 'kind') ? value.kind : undefined;
  if (typeof kind !== 'string') return refuse(`${where} has no kind`);
  const check = shapes.get(kind);
  if (check === undefined) return refuse(`${where} is of an unknown kind ${quote(kind)}`);
  const problem = check(value);
  if (problem !== undefined) refuse(`${where} (${kind})${problem}`);
  return value as RunEvent;
}
