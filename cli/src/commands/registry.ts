/** The registry's commands, once for each kind of thing. */
import type { CommandDef } from 'citty';
import type { ThingKind } from '@pangolin/contracts/things';
import { group } from '../command.ts';

const commands = (kind: ThingKind, description: string): CommandDef =>
  group(description, {
    validate: async () => (await import('../registry/validate.ts')).validate(kind),
    register: async () => (await import('../registry/register.ts')).register(kind),
    list: async () => (await import('../registry/list.ts')).list(kind),
    show: async () => (await import('../registry/show.ts')).show(kind),
  });

export const pipeline = commands('pipeline', 'Check and register pipelines that items may name');
export const subagent = commands('subagent', 'Check and register agents that items may name');
export const capability = commands('capability', 'Check and register files that items get in their workspace');
export const shape = commands('shape', 'Check and register shapes: what items take and yield, and what they run');
export const env = commands('env', 'Check and register env bundles: values and references to secrets');
