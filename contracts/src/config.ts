/** `pangolin.yaml`: what a deployment uses of the world outside. Everything is optional. */
import Type, { type Static } from 'typebox';
import { closed } from './fragments.ts';

const Name = Type.String({ pattern: '^[A-Za-z0-9][A-Za-z0-9._-]{0,99}$' });
const Url = Type.String({ pattern: '^https?://', maxLength: 2000 });

export const Config = Type.Object(
  {
    evidence: Type.Optional(
      Type.Object(
        {
          timestamp: Type.Optional(
            Type.Array(Type.Object({ id: Name, url: Url }, closed), {
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
export type EvidenceConfig = NonNullable<Config['evidence']>;
export type EgressConfig = NonNullable<Config['egress']>;
