/**
 * Who may do what on AWS: the one table that deploy/iam/*.json, the CDK app and the Terraform module are made of. Names in
 * `${…}` are those of the deployment (`Names`). A statement that needs a name which a deployment lacks is left out of it.
 */
import {
  CONTROL,
  EVIDENCE_STATUS,
  INBOX,
  LEASE,
  LOG,
  RECEIPTS,
  RUNS,
  SCHEDULES,
  TASKS,
  TRUST,
} from '@pangolin/contracts/layout';
import { PRIVATE_SEGMENT } from '@pangolin/storage/keys';

export type Principal = 'submitter' | 'controller' | 'execution' | 'sealer' | 'auditor' | 'collector';

/** What a deployment fills in. ARNs are whole; `prefix` is empty or ends with a slash. */
export const names = [
  ...['partition', 'region', 'account', 'bucket', 'prefix', 'lock_bucket', 'lock_prefix'],
  ...['data_key_arn', 'seal_key_arn', 'attest_key_arn', 'cluster', 'execution_role_arn', 'repository_arn', 'log_group'],
  'queue_arn',
] as const;
export type Name =
  | 'partition' | 'region' | 'account' | 'bucket' | 'prefix' | 'lock_bucket' | 'lock_prefix'
  | 'data_key_arn' | 'seal_key_arn' | 'attest_key_arn' | 'cluster' | 'execution_role_arn' | 'repository_arn' | 'log_group' | 'queue_arn'; // prettier-ignore

type Conditions = Readonly<Record<string, Readonly<Record<string, string | readonly string[]>>>>;

export interface Statement {
  readonly Sid: string;
  readonly Effect: 'Allow' | 'Deny';
  readonly Action: readonly string[];
  readonly Resource: readonly string[];
  readonly Condition?: Conditions;
}

export interface Policy {
  readonly Version: '2012-10-17';
  readonly Statement: readonly Statement[];
}

const BUCKET = 'arn:${partition}:s3:::${bucket}';
const LOCK_BUCKET = 'arn:${partition}:s3:::${lock_bucket}';
/** Keys of the storage (contracts/layout), as S3 resources. */
const keys = (...list: readonly string[]): readonly string[] => list.map((key) => `${BUCKET}/\${prefix}${key}`);
const locked = (key: string): string => `${LOCK_BUCKET}/\${lock_prefix}${key}`;

const allow = (Sid: string, Action: readonly string[], Resource: readonly string[], Condition?: Conditions): Statement => ({
  Sid, Effect: 'Allow', Action, Resource, ...(Condition && { Condition }),
}); // prettier-ignore
const deny = (Sid: string, Action: readonly string[], Resource: readonly string[], Condition?: Conditions): Statement => ({
  ...allow(Sid, Action, Resource, Condition), Effect: 'Deny',
}); // prettier-ignore

/** Listing below some keys only; without the right to list, S3 answers 403 and not 404 for what is not there. */
const list = (Sid: string, ...prefixes: readonly string[]): Statement =>
  allow(Sid, ['s3:ListBucket'], [BUCKET], { StringLike: { 's3:prefix': prefixes.map((key) => `\${prefix}${key}`) } });
const openKey = (Sid: string, ...actions: readonly string[]): Statement =>
  allow(Sid, actions, ['${data_key_arn}'], { StringEquals: { 'kms:ViaService': 's3.${region}.amazonaws.com' } });

/** Of a controller that starts, probes, is asked by `doctor` and goes: never of products or evidence. */
const PASSING = [
  `${INBOX}*`,
  `${CONTROL}*`,
  `${TASKS}*`,
  `${SCHEDULES}*`,
  'controller/probe-*',
  'doctor/*',
  `${PRIVATE_SEGMENT}/*`,
];
const tasksOfCluster = 'arn:${partition}:ecs:${region}:${account}:task/${cluster}/*';
const cluster = 'arn:${partition}:ecs:${region}:${account}:cluster/${cluster}';
const inCluster: Conditions = { ArnEquals: { 'ecs:cluster': cluster } };

export const principals: Readonly<Record<Principal, { readonly what: string; readonly statements: readonly Statement[] }>> = {
  submitter: {
    what: 'Drops specs and the workspaces that they name, and reads the answers.',
    statements: [
      allow('Drop', ['s3:PutObject'], keys(`${INBOX}*`, 'cas/*')),
      deny('NothingTwice', ['s3:PutObject'], keys(`${INBOX}*`, 'cas/*'), { Null: { 's3:if-none-match': 'true' } }),
      allow('ReadAnswers', ['s3:GetObject'], keys(`${RECEIPTS}*`, `${RUNS}*/status.json`, `${RUNS}*/items.ndjson`, LEASE)),
      openKey('OpenData', 'kms:GenerateDataKey', 'kms:Decrypt'),
    ],
  },
  controller: {
    what: 'Reconciles: the storage prefix, the tasks of one cluster, and no other role than the one that starts them.',
    statements: [
      allow('ReadAndWrite', ['s3:GetObject', 's3:PutObject', 's3:AbortMultipartUpload'], keys('*')),
      allow('RemoveWhatPasses', ['s3:DeleteObject'], keys(...PASSING)),
      list('List', '*'),
      openKey('OpenData', 'kms:GenerateDataKey', 'kms:Decrypt'),
      allow('StartTasks', ['ecs:RunTask'], ['arn:${partition}:ecs:${region}:${account}:task-definition/pangolin-*'], inCluster),
      allow('WatchAndStopTasks', ['ecs:StopTask', 'ecs:DescribeTasks'], [tasksOfCluster], inCluster),
      allow('FindTasks', ['ecs:ListTasks'], ['*'], inCluster),
      // ECS knows no narrower resource for these two.
      allow('DefineTasks', ['ecs:RegisterTaskDefinition', 'ecs:DescribeTaskDefinition'], ['*']),
      allow('TagAtCreation', ['ecs:TagResource'], ['*'], {
        StringEquals: { 'ecs:CreateAction': ['RunTask', 'RegisterTaskDefinition'] },
      }),
      allow('HandOverToTasks', ['iam:PassRole'], ['${execution_role_arn}'], {
        StringEquals: { 'iam:PassedToService': 'ecs-tasks.amazonaws.com' },
      }),
      allow('TakeNotifications', ['sqs:ReceiveMessage', 'sqs:DeleteMessage'], ['${queue_arn}']),
      allow('SignStatements', ['kms:Sign', 'kms:GetPublicKey'], ['${attest_key_arn}']),
      allow('ReadSecrets', ['secretsmanager:GetSecretValue'], [
        'arn:${partition}:secretsmanager:${region}:${account}:secret:pangolin/*',
      ]),
    ],
  },
  execution: {
    what: 'What ECS itself needs to start a task: the image and a place for its first words. Tasks hold no role.',
    statements: [
      allow('Login', ['ecr:GetAuthorizationToken'], ['*']),
      allow('Pull', ['ecr:BatchGetImage', 'ecr:GetDownloadUrlForLayer'], ['${repository_arn}']),
      allow('Log', ['logs:CreateLogStream', 'logs:PutLogEvents'], [
        'arn:${partition}:logs:${region}:${account}:log-group:${log_group}:*',
      ]),
    ],
  },
  sealer: {
    what: 'Signs seals and keeps them, with checkpoints, where nobody can change them.',
    statements: [
      allow('SignSeals', ['kms:Sign', 'kms:GetPublicKey'], ['${seal_key_arn}']),
      allow('Keep', ['s3:PutObject', 's3:PutObjectRetention', 's3:GetObject', 's3:GetObjectVersion', 's3:GetObjectRetention'], [
        locked('anchors/*'),
      ]),
      allow('FindKept', ['s3:ListBucketVersions'], [LOCK_BUCKET]),
      deny('NoWayAround', ['s3:DeleteObject', 's3:DeleteObjectVersion', 's3:BypassGovernanceRetention'], [`${LOCK_BUCKET}/*`]),
    ],
  },
  auditor: {
    what: 'Reads evidence, and nothing that is not evidence.',
    statements: [
      allow('ReadEvidence', ['s3:GetObject'], keys(`${RUNS}*`, `${LOG}*`, 'cas/*', `${RECEIPTS}*`, TRUST, EVIDENCE_STATUS)),
      list('ListEvidence', `${RUNS}*`, `${LOG}*`, `${RECEIPTS}*`),
      allow('ReadKept', ['s3:GetObject', 's3:GetObjectVersion', 's3:GetObjectRetention'], [locked('anchors/*')]),
      allow('FindKept', ['s3:ListBucketVersions', 's3:ListBucket'], [LOCK_BUCKET]),
      allow('ReadKeys', ['kms:GetPublicKey'], ['${seal_key_arn}', '${attest_key_arn}']),
      openKey('OpenData', 'kms:Decrypt'),
    ],
  },
  collector: {
    what: 'Removes what has served its time: grants of tasks and leftovers of probes. Never products or evidence.',
    statements: [
      allow('Remove', ['s3:DeleteObject'], keys(`${TASKS}*`, 'controller/probe-*', 'doctor/*')),
      list('Find', `${TASKS}*`, 'controller/probe-*', 'doctor/*'),
    ],
  },
}; // prettier-ignore

/** The policy of a principal as it is generated: with the names in `${…}`, as Terraform's templatefile takes it. */
export function templateOf(principal: Principal): Policy {
  return { Version: '2012-10-17', Statement: principals[principal].statements };
}

/** The policy in a deployment. @throws Error for a name outside of the table */
export function policyOf(principal: Principal, given: Readonly<Partial<Record<Name, string>>>): Policy {
  const lacks = (statement: Statement): boolean =>
    [...JSON.stringify(statement).matchAll(PLACE)].some(([, name]) => given[known(name!)] === undefined);
  const statements = principals[principal].statements.filter((statement) => !lacks(statement));
  const filled = JSON.stringify(statements).replaceAll(PLACE, (_, name: string) =>
    JSON.stringify(given[known(name)]).slice(1, -1),
  );
  return { Version: '2012-10-17', Statement: JSON.parse(filled) as Statement[] };
}

const PLACE = /\$\{([a-z_]+)\}/g;

function known(name: string): Name {
  if (!(names as readonly string[]).includes(name)) throw new Error(`the table of permissions has no name ${name}`);
  return name as Name;
}
