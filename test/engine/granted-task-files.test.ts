/** Grants of a task on Ceph RGW: given once, and newer ones in time. */
import assert from 'node:assert/strict';
import { existsSync, mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, test } from 'node:test';
import type { Grants, Task } from '@pangolin/contracts/task';
import { signEnvelope } from '@pangolin/contracts/dsse';
import { casKey, taskKey } from '@pangolin/contracts/layout';
import { openKeys } from '@pangolin/controller/audit/keys';
import { dispatchStatement } from '@pangolin/controller/audit/statements';
import { createGrantedTaskFiles } from '@pangolin/controller/engine/granted-task-files';
import { s3Store } from '@pangolin/storage/s3-store';
import { manifestOf } from '../audit/world.ts';
import { freshPlace, rgw } from '../storage/s3-servers.ts';
import { poll } from '../poll.ts';

const LIFE_S = 4;
const INPUT = '2'.repeat(64);

describe('the grants of a task', { skip: rgw.skip ?? false }, () => {
  for (const here of [true, false]) {
    test(`are renewed before they end, for one that runs ${here ? 'here' : 'elsewhere'}`, async () => {
      const dir = mkdtempSync(join(tmpdir(), 'pangolin-granted-'));
      try {
        const store = s3Store(await freshPlace(rgw));
        await store.put(casKey(INPUT), 'input');
        const open = () =>
          createGrantedTaskFiles({
            store,
            grantor: store.grantor!,
            tasksDir: join(dir, 'tasks'),
            storeDir: here ? dir : undefined,
            lifeSeconds: LIFE_S,
            now: Date.now,
          });
        const manifest = manifestOf('r', 'item', { k: { sha256: INPUT, from: 'submission' } });
        const keys = await openKeys(join(dir, 'keys'));
        const envelope = await signEnvelope(keys.attest, dispatchStatement(manifest).payload);
        const files = open();
        const laidOut = await files.layOut(manifest, envelope, { params: undefined, answer: undefined });
        assert.deepEqual([laidOut.storeDir, laidOut.taskGrant !== undefined], [here ? dir : undefined, !here]);
        const file = join(dir, 'tasks', manifest.task, 'grants.json');
        const newer = async (): Promise<Grants | undefined> => {
          if (here) return existsSync(file) ? (JSON.parse(readFileSync(file, 'utf8')) as Grants) : undefined;
          const key = taskKey(manifest.task, 'grants.json');
          return (await store.head(key)) && (JSON.parse((await store.get(key)).toString()) as Grants);
        };
        const task = JSON.parse(readFileSync(join(dir, 'tasks', manifest.task, 'task.json'), 'utf8')) as Task;
        const first = task.grants.inputs['k']!;
        assert.ok('url' in first);

        await files.renew!(manifest);
        assert.equal(await newer(), undefined, 'the first ones are good for longer than half their life');

        await poll('the first grants have ended', async () => (await fetch(first.url)).status === 403);
        await files.renew!(manifest);
        const second = (await newer())!;
        assert.ok(second.expiresAt! > task.grants.expiresAt!);
        const read = second.inputs['k']!;
        assert.ok('url' in read);
        assert.equal(await (await fetch(read.url)).text(), 'input');

        // Nobody knows what an earlier controller gave.
        await open().renew!(manifest);
        assert.ok((await newer())!.expiresAt! > second.expiresAt!);

        await files.discard(manifest.task);
        assert.equal(await newer(), undefined);
        assert.deepEqual((await store.list('tasks/')).objects, []);
        assert.deepEqual(await files.list(), []);
      } finally {
        rmSync(dir, { recursive: true, force: true });
      }
    });
  }
});
