/** The table of permissions: what each principal may and may not, by moto's evaluation and on Ceph RGW with real users. */
import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { randomUUID } from 'node:crypto';
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import {
  CreateBucketCommand,
  DeleteObjectCommand,
  GetObjectCommand,
  ListObjectsV2Command,
  ListObjectVersionsCommand,
  PutBucketPolicyCommand,
  PutObjectCommand,
  PutObjectRetentionCommand,
  S3Client,
} from '@aws-sdk/client-s3';
import {
  names,
  policyOf,
  principals,
  templateOf,
  type Name,
  type Policy,
  type Principal,
} from '@pangolin/controller/iam';
import { blocks, Deployment, repository, script } from '../spine/harness.ts';
import { moto, rgw } from '../storage/s3-servers.ts';

const all = Object.keys(principals) as Principal[];
const servers = join(repository, 'scripts', 's3-servers.sh');
const given: Record<Name, string> = {
  partition: 'aws', region: 'eu-central-1', account: '123456789012', bucket: 'work', prefix: 'main/', lock_bucket: 'worm',
  lock_prefix: '', data_key_arn: 'arn:aws:kms:eu-central-1:123456789012:key/data', seal_key_arn: 'arn:aws:kms:eu-central-1:123456789012:key/seal',
  attest_key_arn: 'arn:aws:kms:eu-central-1:123456789012:key/attest', cluster: 'pangolin',
  execution_role_arn: 'arn:aws:iam::123456789012:role/pangolin-execution', repository_arn: 'arn:aws:ecr:eu-central-1:123456789012:repository/worker',
  log_group: '/pangolin', queue_arn: 'arn:aws:sqs:eu-central-1:123456789012:pangolin',
}; // prettier-ignore

test('every policy is a document that AWS takes, and a name that is missing leaves its statement out', () => {
  for (const principal of all) {
    const policy = policyOf(principal, given);
    assert.equal(policy.Statement.length, templateOf(principal).Statement.length);
    const text = JSON.stringify(policy);
    assert.doesNotMatch(text, /\$\{/, principal);
    // Of a managed policy.
    assert.ok(text.length < 6144, `${principal}: ${text.length}`);
    for (const { Sid, Effect, Action, Resource } of policy.Statement) {
      assert.match(Sid, /^[A-Za-z0-9]+$/);
      // No action by pattern, and `*` only where the service knows no resource.
      assert.ok(Effect === 'Deny' || Action.every((each) => /^[a-z0-9-]+:[A-Z][A-Za-z]+$/.test(each)), Sid);
      const open = ['FindTasks', 'DefineTasks', 'TagAtCreation', 'Login'];
      assert.ok(
        Resource.every((each) => each.startsWith('arn:') || open.includes(Sid)),
        Sid,
      );
    }
    const sids = policy.Statement.map(({ Sid }) => Sid);
    assert.equal(new Set(sids).size, sids.length);
  }
  const { data_key_arn: _none, ...without } = given;
  assert.ok(!JSON.stringify(policyOf('submitter', without)).includes('kms:'));
  assert.deepEqual([...Object.keys(given)].sort(), [...names].sort());
});

const object = (key: string): string => `arn:aws:s3:::work/main/${key}`;
const worm = (key: string): string => `arn:aws:s3:::worm/${key}`;
const task = 'arn:aws:ecs:eu-central-1:123456789012:task/pangolin/0123';
const definition = 'arn:aws:ecs:eu-central-1:123456789012:task-definition/pangolin-worker:1';

/** principal, what it may, what it must not. */
const questions: readonly (readonly [Principal, readonly (readonly [string, string])[], readonly (readonly [string, string])[]])[] = [
  ['submitter',
    [['s3:PutObject', object('cas/sha256/aa/aa')], ['s3:GetObject', object('receipts/x.json')], ['s3:GetObject', object('runs/r/status.json')]],
    [['s3:PutObject', object('control/x.json')], ['s3:PutObject', object('runs/r/status.json')], ['s3:PutObject', object('registry/pipeline/x.json')],
     ['s3:DeleteObject', object('inbox/x.json')], ['s3:GetObject', object('runs/r/evidence/events.jsonl')], ['s3:GetObject', object('tasks/t/task.json')],
     ['s3:GetObject', object('cas/sha256/aa/aa')], ['s3:ListBucket', 'arn:aws:s3:::work'], ['s3:GetObject', 'arn:aws:s3:::work/other/receipts/x.json'], ['kms:Sign', given.seal_key_arn]]],
  ['controller',
    [['s3:PutObject', object('runs/r/status.json')], ['s3:DeleteObject', object('inbox/x.json')], ['ecs:RunTask', definition], ['ecs:StopTask', task], ['sqs:ReceiveMessage', given.queue_arn],
     ['iam:PassRole', given.execution_role_arn], ['secretsmanager:GetSecretValue', 'arn:aws:secretsmanager:eu-central-1:123456789012:secret:pangolin/key-AbCdEf']],
    [['s3:DeleteObject', object('runs/r/evidence/events.jsonl')], ['s3:DeleteObject', object('cas/sha256/aa/aa')], ['s3:DeleteObject', object('log/checkpoint')],
     ['s3:PutObject', worm('anchors/v1/x')], ['ecs:RunTask', 'arn:aws:ecs:eu-central-1:123456789012:task-definition/other:1'],
     ['ecs:StopTask', 'arn:aws:ecs:eu-central-1:123456789012:task/other/0123'], ['iam:PassRole', 'arn:aws:iam::123456789012:role/admin'],
     ['secretsmanager:GetSecretValue', 'arn:aws:secretsmanager:eu-central-1:123456789012:secret:other'], ['kms:Sign', given.seal_key_arn], ['s3:GetObject', 'arn:aws:s3:::work/other/x'],
     ['sqs:SendMessage', given.queue_arn]]],
  ['execution',
    [['ecr:BatchGetImage', given.repository_arn], ['logs:PutLogEvents', 'arn:aws:logs:eu-central-1:123456789012:log-group:/pangolin:log-stream:x']],
    [['ecr:BatchGetImage', 'arn:aws:ecr:eu-central-1:123456789012:repository/other'], ['ecr:PutImage', given.repository_arn],
     ['logs:PutLogEvents', 'arn:aws:logs:eu-central-1:123456789012:log-group:/other:log-stream:x'], ['s3:GetObject', object('inbox/x.json')],
     ['secretsmanager:GetSecretValue', 'arn:aws:secretsmanager:eu-central-1:123456789012:secret:pangolin/key-AbCdEf']]],
  ['sealer',
    [['s3:PutObject', worm('anchors/v1/x')], ['s3:PutObjectRetention', worm('anchors/v1/x')], ['kms:Sign', given.seal_key_arn]],
    [['s3:DeleteObject', worm('anchors/v1/x')], ['s3:DeleteObjectVersion', worm('anchors/v1/x')], ['s3:BypassGovernanceRetention', worm('anchors/v1/x')],
     ['s3:PutObject', worm('other')], ['s3:PutObject', object('runs/r/status.json')], ['kms:Sign', given.attest_key_arn], ['kms:ScheduleKeyDeletion', given.seal_key_arn]]],
  ['auditor',
    [['s3:GetObject', object('runs/r/evidence/events.jsonl')], ['s3:GetObject', object('log/checkpoint')], ['s3:GetObjectVersion', worm('anchors/v1/x')], ['kms:GetPublicKey', given.seal_key_arn]],
    [['s3:PutObject', object('runs/r/evidence/events.jsonl')], ['s3:PutObject', object('inbox/x.json')], ['s3:DeleteObject', object('runs/r/status.json')],
     ['s3:GetObject', object('tasks/t/task.json')], ['s3:GetObject', object('inbox/x.json')], ['s3:PutObject', worm('anchors/v1/x')], ['kms:Sign', given.seal_key_arn]]],
  ['collector',
    [['s3:DeleteObject', object('tasks/t/task.json')], ['s3:DeleteObject', object('controller/probe-1/a')]],
    [['s3:DeleteObject', object('runs/r/evidence/events.jsonl')], ['s3:DeleteObject', object('cas/sha256/aa/aa')], ['s3:DeleteObject', object('controller/lease.json')],
     ['s3:DeleteObject', worm('anchors/v1/x')], ['s3:GetObject', object('tasks/t/task.json')], ['s3:PutObject', object('tasks/t/task.json')]]],
]; // prettier-ignore

test('each may what it needs and nothing beside, by another evaluation than ours', { skip: moto.skip ?? false }, () => {
  assert.deepEqual(questions.map(([principal]) => principal).sort(), [...all].sort());
  const asked = questions.flatMap(([principal, may, mustNot]) => [
    ...may.map((each) => [principal, 'PERMITTED', ...each] as const),
    ...mustNot.map((each) => [principal, 'no', ...each] as const),
  ]);
  // moto knows no conditions of these, and a Deny with one would hit everything.
  const bare = ({ Version, Statement }: Policy): object => ({
    Version,
    Statement: Statement.filter(({ Effect, Condition }) => Effect === 'Allow' || !Condition).map(({ Condition: _of, ...rest }) => rest),
  });
  const input = asked
    .map(([principal, , action, resource]) => JSON.stringify({ policy: bare(policyOf(principal, given)), action, resource }))
    .join('\n');
  const program = readFileSync(join(import.meta.dirname, 'evaluate.py'), 'utf8');
  const answers = execFileSync(servers, ['python', '-c', program], { input, encoding: 'utf8' }).trim().split('\n');
  assert.equal(answers.length, asked.length);
  // The right to list is bounded by a condition, which moto does not see: RGW does, below.
  const wrong = asked.flatMap(([principal, wanted, action, resource], index) => {
    const answer = answers[index]!;
    const held = wanted === 'PERMITTED' ? answer === 'PERMITTED' : answer !== 'PERMITTED';
    return held ? [] : [`${principal} ${action} ${resource}: ${answer}`];
  });
  assert.deepEqual(wrong, []);
}); // prettier-ignore

interface User {
  readonly uid: string;
  readonly env: Readonly<Record<string, string>>;
  readonly s3: S3Client;
}

function userOn(principal: string): User {
  const uid = `${principal}-${randomUUID().slice(0, 8)}`;
  const [accessKeyId, secretAccessKey] = [`key${uid}`, `secret${uid}`];
  const keys = [`--access-key=${accessKeyId}`, `--secret-key=${secretAccessKey}`];
  execFileSync(servers, ['rgw-admin', 'user', 'create', `--uid=${uid}`, `--display-name=${uid}`, ...keys], { stdio: ['ignore', 'ignore', 'pipe'] });
  const s3 = new S3Client({ endpoint: rgw.endpoint, region: 'us-east-1', forcePathStyle: true, credentials: { accessKeyId, secretAccessKey } });
  return { uid, s3, env: { AWS_ACCESS_KEY_ID: accessKeyId, AWS_SECRET_ACCESS_KEY: secretAccessKey } };
} // prettier-ignore

/** As a policy of the bucket, for RGW's users: what the table says of it, for each principal. `unknown`: conditions that RGW does not know. */
function bucketPolicy(bucket: string, users: ReadonlyMap<Principal, User>, named: Record<Name, string>, unknown: string[]): string {
  const arn = `arn:aws:s3:::${bucket}`;
  const statements = [...users].flatMap(([principal, { uid }]) =>
    policyOf(principal, named)
      .Statement.filter(({ Resource }) => Resource.every((each) => each === arn || each.startsWith(`${arn}/`)))
      .filter(({ Sid, Condition }) => !(JSON.stringify(Condition ?? {}).includes('if-none-match') && unknown.push(Sid)))
      .map((statement) => ({ ...statement, Sid: `${principal}${statement.Sid}`, Principal: { AWS: [`arn:aws:iam:::user/${uid}`] } })),
  );
  return JSON.stringify({ Version: '2012-10-17', Statement: statements });
} // prettier-ignore

test(
  'real users on Ceph RGW do their work with it, and are refused everything else',
  { skip: rgw.skip ?? false },
  async () => {
    const users = new Map<Principal, User>();
    for (const principal of all) if (principal !== 'execution') users.set(principal, userOn(principal));
    const user = (principal: Principal): User => users.get(principal)!;
    const [bucket, lock] = [`pangolin-iam-${randomUUID().slice(0, 8)}`, `pangolin-worm-${randomUUID().slice(0, 8)}`];
    const named = { ...given, bucket, lock_bucket: lock };
    const owner = new S3Client({ endpoint: rgw.endpoint, region: 'us-east-1', forcePathStyle: true, credentials: { accessKeyId: 'testaccess', secretAccessKey: 'testsecret' } }); // prettier-ignore
    const unknown: string[] = [];
    for (const [Bucket, ObjectLockEnabledForBucket] of [[bucket, false], [lock, true]] as const) {
    await owner.send(new CreateBucketCommand({ Bucket, ObjectLockEnabledForBucket }));
    await owner.send(new PutBucketPolicyCommand({ Bucket, Policy: bucketPolicy(Bucket, users, named, unknown) }));
  } // prettier-ignore
    assert.deepEqual(unknown, ['NothingTwice'], 'the one statement that RGW cannot hold');

    const put = (Key: string, Bucket = bucket) => new PutObjectCommand({ Bucket, Key, Body: 'x' });
    const get = (Key: string, Bucket = bucket) => new GetObjectCommand({ Bucket, Key });
    const del = (Key: string, Bucket = bucket) => new DeleteObjectCommand({ Bucket, Key });
    const kept = ['main/inbox/a.json', 'main/control/a.json', 'main/runs/r/status.json', 'main/runs/r/evidence/events.jsonl', 'main/log/checkpoint', 'main/cas/sha256/aa/aa', 'main/tasks/t/task.json', 'main/receipts/a.json', 'other/receipts/a.json']; // prettier-ignore
    for (const key of kept) await owner.send(put(key));
    await owner.send(put('anchors/v1/a', lock));

    const may: readonly (readonly [Principal, ReturnType<typeof put> | ReturnType<typeof get> | ReturnType<typeof del> | ListObjectsV2Command | ListObjectVersionsCommand | PutObjectRetentionCommand])[] = [
    ['submitter', put('main/inbox/b.json')], ['submitter', get('main/receipts/a.json')], ['submitter', get('main/runs/r/status.json')],
    ['controller', put('main/runs/r/status.json')], ['controller', del('main/control/a.json')],
    ['controller', new ListObjectsV2Command({ Bucket: bucket, Prefix: 'main/inbox/' })],
    ['sealer', put('anchors/v1/b', lock)], ['sealer', new ListObjectVersionsCommand({ Bucket: lock })],
    ['sealer', new PutObjectRetentionCommand({ Bucket: lock, Key: 'anchors/v1/a', Retention: { Mode: 'COMPLIANCE', RetainUntilDate: new Date(Date.now() + 86_400_000) } })],
    ['auditor', get('main/runs/r/evidence/events.jsonl')], ['auditor', get('main/log/checkpoint')], ['auditor', get('anchors/v1/a', lock)],
    ['auditor', new ListObjectsV2Command({ Bucket: bucket, Prefix: 'main/runs/' })],
    ['collector', new ListObjectsV2Command({ Bucket: bucket, Prefix: 'main/tasks/' })], ['collector', del('main/tasks/t/task.json')],
  ]; // prettier-ignore
    for (const [principal, command] of may) {
      await assert.doesNotReject(
        user(principal).s3.send(command as GetObjectCommand),
        `${principal} ${JSON.stringify(command.input)}`,
      );
    }
    const mustNot: typeof may = [
    ['submitter', put('main/control/b.json')], ['submitter', put('main/runs/r/status.json')], ['submitter', put('main/registry/pipeline/x.json')],
    ['submitter', del('main/inbox/a.json')], ['submitter', get('main/runs/r/evidence/events.jsonl')], ['submitter', get('other/receipts/a.json')],
    ['submitter', new ListObjectsV2Command({ Bucket: bucket, Prefix: 'main/inbox/' })], ['submitter', put('anchors/v1/c', lock)],
    ['controller', del('main/runs/r/evidence/events.jsonl')], ['controller', del('main/log/checkpoint')], ['controller', del('main/cas/sha256/aa/aa')],
    ['controller', put('other/x')], ['controller', put('anchors/v1/c', lock)], ['controller', new ListObjectsV2Command({ Bucket: bucket })],
    ['sealer', put('main/runs/r/status.json')], ['sealer', put('elsewhere', lock)], ['sealer', del('anchors/v1/a', lock)],
    ['auditor', put('main/inbox/c.json')], ['auditor', put('main/runs/r/evidence/events.jsonl')], ['auditor', del('main/runs/r/status.json')],
    ['auditor', get('main/inbox/a.json')], ['auditor', put('anchors/v1/c', lock)], ['auditor', del('anchors/v1/a', lock)],
    ['auditor', new ListObjectsV2Command({ Bucket: bucket, Prefix: 'main/tasks/' })],
    ['collector', del('main/runs/r/evidence/events.jsonl')], ['collector', del('main/cas/sha256/aa/aa')], ['collector', get('main/receipts/a.json')],
    ['collector', put('main/tasks/t/x')], ['collector', del('anchors/v1/a', lock)], ['collector', new ListObjectsV2Command({ Bucket: bucket, Prefix: 'main/runs/' })],
  ]; // prettier-ignore
    for (const [principal, command] of mustNot) {
      const what = `${principal} ${command.constructor.name} ${JSON.stringify(command.input)}`;
      await assert.rejects(user(principal).s3.send(command as GetObjectCommand), { name: 'AccessDenied' }, what);
    }
    for (const key of kept) await owner.send(del(key));

    // The shipped commands, each with its principal's keys and nothing else.
    const deployment = new Deployment('process', `s3://${bucket}/main?endpoint=${rgw.endpoint}`);
    try {
      const file = join(deployment.dir, 'run.json');
      writeFileSync(
        file,
        JSON.stringify({
          id: 'iam',
          workspace: { path: deployment.repo },
          items: [{ id: 'one', ...blocks(script('true')) }],
        }),
      );
      const controller = deployment.serve({ env: user('controller').env });
      await controller.logged('it serves', ({ msg }) => msg === 'serving');
      const submitted = await deployment.cliAs(user('submitter').env, 'orch', 'submit', file, '--wait');
      assert.equal(submitted.code, 0, submitted.stdout + submitted.stderr + controller.text);
      const bundle = join(deployment.dir, 'iam.bundle.json');
      const audited = await deployment.cliAs(user('auditor').env, 'orch', 'audit', 'iam', '--out', bundle);
      assert.equal(audited.code, 0, audited.stderr);
      const verified = await deployment.cliAs(user('auditor').env, 'verify', bundle, '--run', 'iam');
      assert.equal(verified.code, 0, verified.stdout + verified.stderr);
      const cancelled = await deployment.cliAs(user('submitter').env, 'orch', 'cancel', 'iam');
      assert.equal(cancelled.code, 5, 'a submitter controls nothing');
      await controller.stop();
    } finally {
      await deployment.dispose();
    }
  },
);
