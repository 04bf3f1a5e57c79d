/** `pangolin.yaml`: what a deployment uses of the world outside. Everything is optional. */
import Type, { type Static } from 'typebox';
import { closed } from './fragments.ts';
import { DURATION_PATTERN } from './units.ts';

const Name = Type.String({ pattern: '^[A-Za-z0-9][A-Za-z0-9._-]{0,99}$' });
const Url = Type.String({ pattern: '^https?://', maxLength: 2000 });

const Fargate = Type.Object(
  {
    region: Type.String({ pattern: '^[a-z0-9-]{1,40}$' }),
    endpoint: Type.Optional(Url),
    cluster: Type.String({ pattern: '^[A-Za-z0-9:/_-]{1,255}$', description: 'Name or ARN of the ECS cluster.' }),
    subnets: Type.Array(Type.String({ pattern: '^subnet-[0-9a-f]{8,17}$' }), { minItems: 1, maxItems: 16 }),
    securityGroups: Type.Array(Type.String({ pattern: '^sg-[0-9a-f]{8,17}$' }), {
      minItems: 1,
      maxItems: 5,
      description: 'What tasks may reach; they need the storage and nothing has to reach them.',
    }),
    assignPublicIp: Type.Optional(
      Type.Boolean({ description: 'For subnets without NAT or VPC endpoints. Default false.' }),
    ),
    executionRoleArn: Type.Optional(
      Type.String({
        pattern: '^arn:aws[a-z-]*:iam::[0-9]{12}:role/[A-Za-z0-9+=,.@_/-]{1,512}$',
        description: 'Pulls the image and writes to logGroup. Tasks themselves hold no role.',
      }),
    ),
    image: Type.Optional(
      Type.String({
        pattern: '^[^\\s@]{1,400}@sha256:[0-9a-f]{64}$',
        description: 'Worker image of items that name none, by digest.',
      }),
    ),
    capacity: Type.Optional(
      Type.Array(Type.Union([Type.Literal('spot'), Type.Literal('on-demand')]), {
        minItems: 1,
        maxItems: 2,
        uniqueItems: true,
        description: 'Tried in this order; each attempt of an item leaves out one more. Default on-demand.',
      }),
    ),
    architecture: Type.Optional(Type.Union([Type.Literal('X86_64'), Type.Literal('ARM64')])),
    platformVersion: Type.Optional(Type.String({ pattern: '^(LATEST|[0-9]+\\.[0-9]+\\.[0-9]+)$' })),
    ephemeralStorageGiB: Type.Optional(Type.Integer({ minimum: 21, maximum: 200 })),
    provisioningTimeout: Type.Optional(
      Type.String({
        pattern: DURATION_PATTERN,
        description: 'For capacity, network and image, before other capacity is tried. Default 4m.',
      }),
    ),
    logGroup: Type.Optional(
      Type.String({
        pattern: '^[A-Za-z0-9_/.#-]{1,512}$',
        description: 'CloudWatch log group for what a worker says before it reaches the storage.',
      }),
    ),
  },
  closed,
);

/** Of whoever vouches from outside. */
const OutsideTimeout = Type.Optional(
  Type.String({
    pattern: DURATION_PATTERN,
    description: 'How long one of three tries waits for an answer, at least 1s. Default 10s.',
  }),
);

export const Config = Type.Object(
  {
    compute: Type.Optional(Type.Object({ fargate: Type.Optional(Fargate) }, closed)),
    evidence: Type.Optional(
      Type.Object(
        {
          headEvery: Type.Optional(
            Type.String({
              pattern: DURATION_PATTERN,
              description:
                'How often the log commits to how far each run has come, at least 1s; runs older than 200 times that get heads less often. Default 1m.',
            }),
          ),
          timestamp: Type.Optional(
            Type.Array(Type.Object({ id: Name, url: Url, timeout: OutsideTimeout }, closed), {
              maxItems: 8,
              description: 'RFC 3161 time-stamping authorities; each is asked for every seal.',
            }),
          ),
          witnesses: Type.Optional(
            Type.Array(
              Type.Object(
                {
                  name: Name,
                  url: Url,
                  vkey: Type.String({
                    maxLength: 500,
                    description: 'Verifier key of type 4, as the witness publishes it.',
                  }),
                  timeout: OutsideTimeout,
                },
                closed,
              ),
              { maxItems: 15, description: 'C2SP tlog-witnesses; `/add-checkpoint` comes behind each url.' },
            ),
          ),
          anchors: Type.Optional(
            Type.Array(
              Type.Object(
                {
                  id: Name,
                  type: Type.Literal('s3-object-lock'),
                  bucket: Type.String({ pattern: '^[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]$' }),
                  region: Type.String({ pattern: '^[a-z0-9-]{1,40}$' }),
                  endpoint: Type.Optional(Url),
                  prefix: Type.Optional(Type.String({ pattern: '^([A-Za-z0-9._-]+/)*$', maxLength: 500 })),
                  retentionDays: Type.Integer({ minimum: 1, maximum: 36_500 }),
                },
                closed,
              ),
              { maxItems: 4, description: 'Buckets with Object Lock that keep the seals out of the operator’s reach.' },
            ),
          ),
        },
        closed,
      ),
    ),
    secrets: Type.Optional(
      Type.Union(
        [
          Type.Object(
            {
              store: Type.Literal('file'),
              directory: Type.Optional(
                Type.String({
                  minLength: 1,
                  maxLength: 4096,
                  description: 'One file a secret, for their owner alone. Default: `secrets` in the state directory.',
                }),
              ),
            },
            closed,
          ),
          Type.Object(
            {
              store: Type.Literal('environment'),
              prefix: Type.Optional(
                Type.String({
                  pattern: '^[A-Za-z_][A-Za-z0-9_]{0,99}$',
                  description: 'Default PANGOLIN_SECRET_.',
                }),
              ),
            },
            closed,
          ),
          Type.Object(
            {
              store: Type.Literal('aws-secrets-manager'),
              region: Type.String({ pattern: '^[a-z0-9-]{1,40}$' }),
              endpoint: Type.Optional(Url),
              prefix: Type.Optional(
                Type.String({ pattern: '^[A-Za-z0-9/_+=.@-]{1,200}$', description: 'Comes before each name.' }),
              ),
            },
            closed,
          ),
        ],
        { description: 'Where the values of secrets come from.' },
      ),
    ),
    notifications: Type.Optional(
      Type.Object(
        {
          queueUrl: Type.String({ pattern: '^https?://', maxLength: 2000 }),
          region: Type.String({ pattern: '^[a-z0-9-]{1,40}$' }),
          endpoint: Type.Optional(Url),
        },
        {
          ...closed,
          description:
            'SQS queue with the S3 event notifications of inbox/ and control/: the controller looks at once. Without it, it looks six times a minute.',
        },
      ),
    ),
    git: Type.Optional(
      Type.Object(
        {
          allowHosts: Type.Array(Type.String({ pattern: '^[A-Za-z0-9][A-Za-z0-9.-]{0,252}(:\\d{1,5})?$' }), {
            maxItems: 200,
            description:
              'Hosts (`host`, or `host:port`) that workspaces may be fetched from over https or ssh, without a prompt. Default none.',
          }),
        },
        { ...closed, description: 'Where `workspace.git` may come from besides this machine.' },
      ),
    ),
    egress: Type.Optional(
      Type.Object(
        {
          internal: Type.Optional(
            Type.Array(Type.String({ pattern: '^[A-Za-z0-9][A-Za-z0-9.-]{0,252}:\\d{1,5}$' }), {
              maxItems: 200,
              description:
                'host:port of services at internal addresses that an item may reach when its `network.allow` names them too.',
            }),
          ),
          network: Type.Optional(
            Type.String({
              pattern: '^[A-Za-z0-9][A-Za-z0-9_.-]{0,99}$',
              description: 'Docker network of the egress proxies. Default bridge.',
            }),
          ),
        },
        { ...closed, description: 'How tasks with `network: {allow: […]}` get out.' },
      ),
    ),
  },
  { ...closed, title: 'Pangolin configuration', $id: 'https://pangolin.dev/schema/config.v1.schema.json' },
);
export type Config = Static<typeof Config>;
export type FargateConfig = Static<typeof Fargate>;
export type EvidenceConfig = NonNullable<Config['evidence']>;
export type NotificationsConfig = NonNullable<Config['notifications']>;
export type SecretsConfig = NonNullable<Config['secrets']>;
export type EgressConfig = NonNullable<Config['egress']>;
