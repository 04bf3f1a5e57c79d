/** How an item runs, whatever it does: its limits, its walls, and what happens after a failure. */
import Type, { type Static } from 'typebox';
import { closed } from './fragments.ts';
import { Duration } from './pipeline.ts';
import { reasons, type Reason } from './reasons.ts';
import { CPU_PATTERN, SIZE_PATTERN } from './units.ts';

/** A host name or address, `*.` in front for its subdomains, a port behind. */
export const HOST_PATTERN = '^(\\*\\.)?[A-Za-z0-9][A-Za-z0-9.-]{0,252}(:\\d{1,5})?$';
export const IMAGE_PATTERN = '^[A-Za-z0-9][A-Za-z0-9._:/@+-]{0,511}$';

export const Network = Type.Union(
  [
    Type.Literal('none'),
    Type.Literal('open'),
    Type.Object({ allow: Type.Array(Type.String({ pattern: HOST_PATTERN }), { minItems: 1, maxItems: 200 }) }, closed),
  ],
  { description: 'none, {allow: [host…]} or open. A backend that cannot enforce it refuses the item.' },
);

/** Those with which an attempt can fail. */
const failures = (Object.keys(reasons) as Reason[]).filter((name) =>
  ['item', 'infrastructure'].includes(reasons[name][0]),
);

const Rule = Type.Object(
  {
    reasons: Type.Optional(
      Type.Array(
        Type.Union(
          failures.map((name) => Type.Literal(name)),
          { description: 'The reason of a failed attempt.' },
        ),
        { minItems: 1, maxItems: 100 },
      ),
    ),
    exitCodes: Type.Optional(
      Type.Array(Type.Integer({ minimum: 0, maximum: 255 }), {
        minItems: 1,
        maxItems: 256,
        description: 'Of the block that failed.',
      }),
    ),
    action: Type.Union([Type.Literal('retry'), Type.Literal('fail'), Type.Literal('park')], {
      description: 'park: wait `delay` without a task and without a charge, then try again.',
    }),
    delay: Type.Optional(Duration),
  },
  closed,
);

export const Retry = Type.Object(
  {
    maxAttempts: Type.Optional(
      Type.Integer({ minimum: 1, maximum: 100, description: 'Attempts charged to the item. Default 1.' }),
    ),
    backoff: Type.Optional(
      Type.Object(
        {
          initial: Type.Optional(Duration),
          factor: Type.Optional(Type.Integer({ minimum: 1, maximum: 10 })),
          max: Type.Optional(Duration),
          jitter: Type.Optional(
            Type.Boolean({ description: 'Spread each delay over 50 to 100 % of itself. Default true.' }),
          ),
        },
        closed,
      ),
    ),
    rules: Type.Optional(
      Type.Array(Rule, { maxItems: 100, description: 'The first that matches decides; else the class of the reason.' }),
    ),
  },
  closed,
);

export const Resources = Type.Object(
  {
    cpu: Type.Optional(
      Type.Union([Type.String({ pattern: CPU_PATTERN }), Type.Number({ exclusiveMinimum: 0, maximum: 1000 })]),
    ),
    memory: Type.Optional(Type.String({ pattern: SIZE_PATTERN })),
  },
  closed,
);

/** What of the sandbox is asked for beside `network` and `resources`. */
export const SandboxFields = Type.Object(
  {
    rootfs: Type.Optional(
      Type.Union([Type.Literal('read-only'), Type.Literal('writable')], { description: 'The image, for the blocks.' }),
    ),
    user: Type.Optional(Type.Literal('separate', { description: 'Blocks run as another user than the worker.' })),
    capabilities: Type.Optional(Type.Literal('none', { description: 'Blocks hold none and can gain none.' })),
    seccomp: Type.Optional(
      Type.Literal('default', { description: 'System calls are filtered by the profile of the backend.' }),
    ),
    pids: Type.Optional(
      Type.Integer({ minimum: 16, maximum: 100_000, description: 'Processes and threads together.' }),
    ),
    disk: Type.Optional(
      Type.String({
        pattern: SIZE_PATTERN,
        description: 'What the task may write to its workspace and scratch space.',
      }),
    ),
    runtime: Type.Optional(
      Type.String({
        pattern: '^[A-Za-z0-9][A-Za-z0-9._-]{0,62}$',
        description: 'Runtime class: runc, runsc, … as the backend names them.',
      }),
    ),
  },
  { ...closed, description: 'A backend that cannot honour a field refuses the item.' },
);

/** What a queue may set for its runs. */
export const policyFields = {
  image: Type.Optional(
    Type.String({ pattern: IMAGE_PATTERN, description: 'Worker image; the provider has a default.' }),
  ),
  resources: Type.Optional(Resources),
  network: Type.Optional(Network),
  sandbox: Type.Optional(SandboxFields),
  timeout: Type.Optional(Duration),
  idleTimeout: Type.Optional(Duration),
  queueTimeout: Type.Optional(Duration),
  bootTimeout: Type.Optional(Duration),
  retry: Type.Optional(Retry),
  priority: Type.Optional(Type.Integer({ minimum: -1000, maximum: 1000, description: 'Higher first. Default 0.' })),
};

export const QueueDefaults = Type.Object(policyFields, {
  ...closed,
  description: 'For items of runs of this queue that neither say otherwise nor have it in the defaults of their run.',
});
export type QueueDefaults = Static<typeof QueueDefaults>;
