/** Tasks on Fargate by the word of moto, which knows the shapes of ECS and nothing of its depths: a second opinion on those. */
import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { describe, test } from 'node:test';
import { ECS } from '@aws-sdk/client-ecs';
import { createFargateProvider } from '@pangolin/controller/providers/fargate';
import { ACCOUNT, REGION } from '../ecs/definitions.ts';
import { credentials } from '../ecs/place.ts';
import { moto } from '../storage/s3-servers.ts';
import { poll } from '../poll.ts';

/** Subnet and security group of the network that every account begins with. */
async function network(): Promise<{ readonly subnets: string[]; readonly securityGroups: string[] }> {
  const ask = async (action: string): Promise<string> => {
    const scope = `Credential=a/20260101/${REGION}/ec2/aws4_request`;
    const answer = await fetch(moto.endpoint, {
      method: 'POST',
      headers: { authorization: `AWS4-HMAC-SHA256 ${scope}, SignedHeaders=host, Signature=x` },
      body: new URLSearchParams({ Action: action, Version: '2016-11-15' }),
    });
    return await answer.text();
  };
  const subnet = /<subnetId>(subnet-[0-9a-f]+)</.exec(await ask('DescribeSubnets'))?.[1];
  const group = /<groupId>(sg-[0-9a-f]+)</.exec(await ask('DescribeSecurityGroups'))?.[1];
  assert.ok(subnet && group, 'moto has no default network');
  return { subnets: [subnet], securityGroups: [group] };
}

describe('Fargate tasks on moto', { skip: moto.skip ?? false }, () => {
  test('are registered, run once, found again and stopped', async () => {
    Object.assign(process.env, credentials);
    const cluster = `pangolin-${randomBytes(4).toString('hex')}`;
    const ecs = new ECS({ region: REGION, endpoint: moto.endpoint });
    await ecs.createCluster({ clusterName: cluster });
    const config = {
      region: REGION,
      endpoint: moto.endpoint,
      cluster,
      ...(await network()),
      executionRoleArn: `arn:aws:iam::${ACCOUNT}:role/pangolin-execution`,
      image: `${ACCOUNT}.dkr.ecr.${REGION}.amazonaws.com/pangolin-worker@sha256:${'a'.repeat(64)}`,
    };
    const open = () => createFargateProvider({ deployment: cluster, config });
    const provider = await open();
    const name = `pangolin-r-a-1-${randomBytes(8).toString('hex')}`;
    await provider.start({
      name,
      ref: { runId: 'r', itemId: 'a', attempt: 1 },
      inDir: '/nowhere',
      taskGrant: { url: `${moto.endpoint}/bucket/task.json`, sha256: 'b'.repeat(64) },
      manifestSha256: 'c'.repeat(64),
      sandbox: provider.enforce({}),
      graceMs: 1000,
    });
    const { taskArns = [] } = await ecs.listTasks({ cluster });
    assert.equal(taskArns.length, 1);
    const { tasks = [] } = await ecs.describeTasks({ cluster, tasks: taskArns, include: ['TAGS'] });
    assert.ok(
      tasks[0]?.tags?.some(({ value }) => value === name),
      JSON.stringify(tasks),
    );

    // By tags alone, as after a restart.
    const later = await open();
    assert.deepEqual(await later.list(), [name]);
    const [seen] = await later.observe([name]);
    assert.ok(seen && ['starting', 'running'].includes(seen.state), JSON.stringify(seen));

    await later.stop(name, 1000);
    await poll(
      'the task has stopped',
      async () => ['ended', 'gone'].includes((await later.observe([name]))[0]!.state),
      () => '',
    );
    await later.remove(name);
    const { tasks: after = [] } = await ecs.describeTasks({ cluster, tasks: taskArns });
    assert.deepEqual(
      after.map(({ desiredStatus }) => desiredStatus),
      ['STOPPED'],
    );
  });
});
