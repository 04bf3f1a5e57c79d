/**
 * Wakes the controller when the bucket says that something changed: S3 event notifications in an SQS queue. Hints and no
 * more than that. What a message says is not read, and while the queue does not answer, listing goes on as it does without.
 */
import { setTimeout as delay } from 'node:timers/promises';
import type { Logger } from 'pino';
import type { SQS } from '@aws-sdk/client-sqs';
import type { NotificationsConfig } from '@pangolin/contracts/config';
import { messageOf } from '@pangolin/contracts/errors';

/** SQS holds a request for messages open for so long at most, and gives at most so many. */
const LONG_POLL_S = 20;
const MESSAGES_MAX = 10;
const CONNECT_MS = 5000;
const ANSWER_MS = (LONG_POLL_S + 10) * 1000;
/** After a failure, doubled up to the second. */
const BACKOFF_MS = { first: 1000, most: 60_000 };

/** Calls `onChange` for messages, several of them at once. Returns stop. Makes no request before it returns. */
export function watchNotifications(
  config: NotificationsConfig,
  onChange: () => void,
  log: Pick<Logger, 'warn'>,
): () => Promise<void> {
  const stop = new AbortController();
  const watching = watch(config, onChange, log, stop.signal);
  return async () => {
    stop.abort();
    await watching;
  };
}

async function watch(
  { queueUrl, region, endpoint }: NotificationsConfig,
  onChange: () => void,
  log: Pick<Logger, 'warn'>,
  signal: AbortSignal,
): Promise<void> {
  // Loaded here only.
  const { SQS: Client } = await import('@aws-sdk/client-sqs');
  const sqs = new Client({
    region,
    requestHandler: { connectionTimeout: CONNECT_MS, requestTimeout: ANSWER_MS },
    ...(endpoint !== undefined && { endpoint }),
  });
  for (let failures = 0; !signal.aborted;) {
    try {
      if (await takeMessages(sqs, queueUrl, signal)) onChange();
      failures = 0;
    } catch (error) {
      if (signal.aborted) break;
      if (failures++ === 0) log.warn({ err: error }, `${queueUrl} gives no notifications: ${messageOf(error)}`);
      const waitMs = Math.min(BACKOFF_MS.most, BACKOFF_MS.first * 2 ** (failures - 1));
      await delay(waitMs, undefined, { signal }).catch(() => undefined);
    }
  }
  sqs.destroy();
}

/** Takes what the queue has, or will have soon. Answers whether that was anything. */
async function takeMessages(sqs: SQS, QueueUrl: string, abortSignal: AbortSignal): Promise<boolean> {
  const wanted = { QueueUrl, MaxNumberOfMessages: MESSAGES_MAX, WaitTimeSeconds: LONG_POLL_S };
  const { Messages: messages = [] } = await sqs.receiveMessage(wanted, { abortSignal });
  if (messages.length === 0) return false;
  const Entries = messages.map(({ ReceiptHandle }, index) => ({ Id: String(index), ReceiptHandle: ReceiptHandle! }));
  // One that is not deleted comes again, which does no harm.
  await sqs.deleteMessageBatch({ QueueUrl, Entries }, { abortSignal }).catch(() => undefined);
  return true;
}
