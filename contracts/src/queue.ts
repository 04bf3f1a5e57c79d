/** A named queue as users declare it (`kind: Queue`), and the admitted form. */
import Type, { type Static } from 'typebox';
import { closed } from './fragments.ts';
import { ID_PATTERN } from './ids.ts';
import { Pattern } from './pattern.ts';
import { Duration } from './pipeline.ts';
import { QueueDefaults } from './policy.ts';

export const CONCURRENCY_MAX = 100_000;

export const QueueFile = Type.Object(
  {
    apiVersion: Type.Literal('pangolin.dev/v1'),
    kind: Type.Literal('Queue'),
    metadata: Type.Object({ name: Type.String({ pattern: ID_PATTERN }) }, closed),
    spec: Type.Object(
      {
        concurrency: Type.Integer({
          minimum: 1,
          maximum: CONCURRENCY_MAX,
          description: 'Items that may hold a task at once.',
        }),
        rateLimit: Type.Optional(
          Type.Object(
            { starts: Type.Integer({ minimum: 1, maximum: 1_000_000 }), per: Duration },
            { ...closed, description: 'At most so many task starts per duration.' },
          ),
        ),
        pattern: Type.Optional(Pattern),
        defaults: Type.Optional(QueueDefaults),
        paused: Type.Optional(Type.Boolean({ description: 'Starts nothing until it is resumed.' })),
      },
      closed,
    ),
  },
  { ...closed, title: 'Pangolin Queue', $id: 'https://pangolin.dev/schema/queue.v1.schema.json' },
);
export type QueueFile = Static<typeof QueueFile>;

export interface AdmittedQueue {
  readonly concurrency: number;
  readonly rateLimit?: { readonly starts: number; readonly perMs: number };
  /** As written; each run pins it when it is admitted. */
  readonly pattern?: Exclude<Pattern, 'static-dag'>;
  /** As written; each run takes them when it is admitted. */
  readonly defaults?: QueueDefaults;
}

/** `controller/queues.json`: what the controller knows of queues, the default one among them. By name. */
export interface QueuesStatus {
  readonly schema: 'queues/1';
  /** `pausedBy`: there while it is paused. */
  readonly queues: readonly (AdmittedQueue & { readonly name: string; readonly pausedBy?: string })[];
}
