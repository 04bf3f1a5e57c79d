/**
 * kill -9 of a controller on Ceph RGW around each of its writes: before a request leaves and after it was answered. Whatever it was
 * doing, the next one completes every run, starts no attempt a second time, leaves nothing behind and seals evidence that verifies.
 */
import assert from 'node:assert/strict';
import { randomUUID } from 'node:crypto';
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import { eventsKey } from '@pangolin/contracts/layout';
import type { RunEvent } from '@pangolin/contracts/run-log';
import type { ObjectStore } from '@pangolin/storage/object-store';
import { s3Store } from '@pangolin/storage/s3-store';
import { freshPlace, rgw } from '../storage/s3-servers.ts';
import { blocks, Deployment, ends, patch, runOf, script } from './harness.ts';
import { live, type Lives } from './lives.ts';

const lives: readonly Lives[] = [
  // Admission, and the dispatch: sealed and not started, started and not noticed.
  ['put:product#1:after', 'put:receipt#1:after', 'delete:inbox#1:before', 'commit#2:after', 'start:process#1:after'],
  // The lease of the next one, products that are promoted and not committed, and the seal.
  [
    'put:lease#1:after',
    'put:product#4:before',
    'put:statements#1:after',
    'put:checkpoint#1:before',
    'put:seal#1:after',
  ],
];

const EVERY_ATTEMPT = ['flaky 1', 'flaky 2', 'make 1', 'use 1'];

describe('a controller on S3 that is killed', { skip: rgw.skip ?? false, concurrency: 1 }, () => {
  let deployment: Deployment;
  let store: ObjectStore;
  let kills = 0;
  before(async () => {
    const place = await freshPlace(rgw, { bucket: 'pangolin-crash', prefix: randomUUID() });
    deployment = new Deployment('process', `s3://${place.bucket}/${place.prefix}?endpoint=${rgw.endpoint}`);
    store = s3Store(place);
  });
  after(() => deployment.dispose());

  for (const [index, plan] of lives.entries()) {
    const run = `run-${index}`;
    test(`killed at ${plan.join(', then at ')}`, async () => {
      const marks = join(deployment.dir, `${run}.marks`);
      const mark = `echo $PANGOLIN_ITEM_ID $PANGOLIN_ATTEMPT >> ${marks};`;
      const retry = { maxAttempts: 2, backoff: { initial: '10ms' } };
      const needs = { made: { from: 'make', select: { kind: 'patch' } } };
      const items = [
        { id: 'make', ...blocks(script(`${mark} echo made > made.txt`), patch) },
        { id: 'flaky', retry, ...blocks(script(`${mark} test $PANGOLIN_ATTEMPT -ge 2`)) },
        { id: 'use', needs, ...blocks(script(`${mark} git apply inputs/made`), patch) },
      ];
      const file = join(deployment.dir, `${run}.json`);
      writeFileSync(file, JSON.stringify(runOf(run, deployment.repo, items)));
      const submitted = await deployment.cli('orch', 'submit', file, '--receipt-timeout', '0s');
      assert.equal(submitted.code, 0, submitted.stderr);

      for (const at of plan) {
        if (!(await live(deployment, at))) break;
        kills++;
      }
      await live(deployment, undefined);

      const done = 'done Succeeded';
      const status = await deployment.status(run);
      assert.deepEqual(ends(status), { make: `${done} 1`, flaky: `${done} 2`, use: `${done} 1` });
      assert.deepEqual(readFileSync(marks, 'utf8').trim().split('\n').sort(), EVERY_ATTEMPT);
      const events = (await store.get(eventsKey(run))).toString().trimEnd().split('\n');
      const fired = events
        .map((line) => JSON.parse(line) as RunEvent)
        .flatMap((event) => (event.kind === 'item.fired' ? `${event.itemId} ${event.attempt}` : []));
      assert.deepEqual(fired.sort(), EVERY_ATTEMPT);
      for (const prefix of ['inbox/', 'tasks/']) assert.deepEqual((await store.list(prefix)).objects, []);
      await deployment.verified(run);
      await deployment.swept();
    });
  }

  test('enough of these kills hit', (t) => {
    const planned = lives.flat().length;
    t.diagnostic(`${kills} of ${planned} kills hit`);
    assert.ok(kills >= planned * 0.85, `only ${kills} of ${planned}`);
  });
});
