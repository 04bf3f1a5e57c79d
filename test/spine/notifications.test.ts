/** A bucket that tells a queue what changes in it: S3 and SQS of moto. */
import assert from 'node:assert/strict';
import { randomBytes, randomUUID } from 'node:crypto';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, test } from 'node:test';
import { PutBucketNotificationConfigurationCommand } from '@aws-sdk/client-s3';
import { SQS } from '@aws-sdk/client-sqs';
import { watchNotifications } from '@pangolin/controller/notifications';
import { s3Store } from '@pangolin/storage/s3-store';
import { Deployment, s3Keys } from './harness.ts';
import { freshPlace, moto, rgw } from '../storage/s3-servers.ts';
import { poll } from '../poll.ts';

const region = 'us-east-1';

async function queue(name = `pangolin-${randomBytes(4).toString('hex')}`) {
  Object.assign(process.env, s3Keys);
  const sqs = new SQS({ region, endpoint: moto.endpoint });
  const { QueueUrl: queueUrl = '' } = await sqs.createQueue({ QueueName: name });
  const left = async (): Promise<number> => {
    const names = ['ApproximateNumberOfMessages', 'ApproximateNumberOfMessagesNotVisible'] as const;
    const { Attributes = {} } = await sqs.getQueueAttributes({ QueueUrl: queueUrl, AttributeNames: [...names] });
    return names.reduce((sum, each) => sum + Number(Attributes[each]), 0);
  };
  return { sqs, name, queueUrl, left, config: { queueUrl, region, endpoint: moto.endpoint } };
}

describe('notifications', { skip: moto.skip ?? rgw.skip ?? false }, () => {
  test('of a bucket wake whoever watches, and are taken from the queue', async () => {
    const { config, name, left } = await queue();
    const place = await freshPlace(moto, { bucket: `notifying-${randomBytes(4).toString('hex')}`, prefix: 'p' });
    const filter = { Key: { FilterRules: [{ Name: 'prefix' as const, Value: 'p/inbox/' }] } };
    const QueueArn = `arn:aws:sqs:${region}:123456789012:${name}`;
    await place.client.send(
      new PutBucketNotificationConfigurationCommand({
        Bucket: place.bucket,
        NotificationConfiguration: {
          QueueConfigurations: [{ QueueArn, Events: ['s3:ObjectCreated:*'], Filter: filter }],
        },
      }),
    );
    let changes = 0;
    const stop = watchNotifications(config, () => changes++, { warn: assert.fail });
    const store = s3Store(place);
    await store.put('inbox/a.json', '{}');
    await poll('the first one wakes', () => changes === 1);
    await store.put('runs/r/status.json', '{}');
    await store.put('inbox/b.json', '{}');
    await poll('the second one wakes', () => changes === 2);
    await poll('none is left', async () => (await left()) === 0);
    await stop();
  });

  test('from a queue that does not answer are missed, which is told once', async () => {
    const name = `pangolin-${randomBytes(4).toString('hex')}`;
    const warnings: string[] = [];
    let changes = 0;
    const url = `${moto.endpoint}/123456789012/${name}`;
    const config = { queueUrl: url, region, endpoint: moto.endpoint };
    const warn = (_: unknown, message?: string): number => warnings.push(message ?? '');
    const stop = watchNotifications(config, () => changes++, { warn });
    await poll('it is told', () => warnings.length === 1);
    assert.match(warnings[0]!, /gives no notifications/);
    const { sqs } = await queue(name);
    await sqs.sendMessage({ QueueUrl: url, MessageBody: 'anything' });
    await poll('the queue is asked again', () => changes === 1);
    await stop();
    assert.equal(warnings.length, 1);
  });

  test('are taken by a controller whose pangolin.yaml names the queue', async () => {
    const { config, sqs, queueUrl, left } = await queue();
    const { bucket, prefix } = await freshPlace(rgw, { bucket: 'pangolin-spine', prefix: randomUUID() });
    const deployment = new Deployment('process', `s3://${bucket}/${prefix}?endpoint=${rgw.endpoint}`);
    try {
      const file = join(deployment.dir, 'pangolin.yaml');
      writeFileSync(file, JSON.stringify({ notifications: config }));
      await sqs.sendMessage({ QueueUrl: queueUrl, MessageBody: 'anything' });
      const controller = deployment.serve({ args: ['--config', file] });
      await poll('it is taken', async () => (await left()) === 0);
      await controller.stop();
    } finally {
      await deployment.dispose();
    }
  });
});
