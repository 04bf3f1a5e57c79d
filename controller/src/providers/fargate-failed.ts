/** A refused ECS call as the error that the seam promises. */
import { PangolinError } from '@pangolin/contracts/errors';
import type { Reason } from '@pangolin/contracts/reasons';
import type { Answer } from './ecs-calls.ts';
import type { Refusal } from './ecs-refusals.ts';

const MESSAGE_MAX = 500;

const meaning: Readonly<Record<Refusal, readonly [Reason, hint: string]>> = {
  throttled: [
    'CapacityUnavailable',
    'The account is at its API limits; start fewer tasks at once or have them raised.',
  ],
  transient: ['StartFailed', 'ECS did not answer; see the health page of the region.'],
  capacity: [
    'CapacityUnavailable',
    'Add subnets, zones or capacity: spot and on-demand; or have the vCPU quota raised.',
  ],
  conflict: ['StartFailed', 'Another task has this name; give every controller a deployment of its own.'],
  missing: ['StartFailed', 'Check the cluster, the image and the subnets of compute.fargate.'],
  refused: ['StartFailed', 'Check compute.fargate and the permissions of the controller (docs/fargate.md).'],
};

export function failed(what: string, answer: Extract<Answer<unknown>, { ok: false }>): PangolinError {
  const [reason, hint] = meaning[answer.refusal];
  const { name, message } = answer.error;
  return new PangolinError('UNAVAILABLE', `ECS did not ${what}: ${name}: ${message.slice(0, MESSAGE_MAX)}`, {
    hint,
    details: { reason },
  });
}
