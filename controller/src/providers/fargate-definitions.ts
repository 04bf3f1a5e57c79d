/** Task definitions: one per image and size, found again by the name that their content gives them. */
import type { RegisterTaskDefinitionCommandInput } from '@aws-sdk/client-ecs';
import type { EcsCalls } from './ecs-calls.ts';
import { failed } from './fargate-failed.ts';
import { TAG } from './fargate-task.ts';

export class FargateDefinitions {
  readonly #calls: EcsCalls;
  readonly #deployment: string;
  readonly #arns = new Map<string, Promise<string>>();

  constructor(calls: EcsCalls, deployment: string) {
    this.#calls = calls;
    this.#deployment = deployment;
  }

  /** The ARN, revision included, of a definition with exactly this content. */
  async arn(definition: RegisterTaskDefinitionCommandInput): Promise<string> {
    const family = definition.family!;
    let arn = this.#arns.get(family);
    if (arn === undefined) {
      arn = this.#findOrRegister(definition);
      this.#arns.set(family, arn);
      arn.catch(() => this.#arns.delete(family));
    }
    return await arn;
  }

  /** Somebody deregistered it. */
  forget(family: string): void {
    this.#arns.delete(family);
  }

  async #findOrRegister(definition: RegisterTaskDefinitionCommandInput): Promise<string> {
    const family = definition.family!;
    const found = await this.#calls.call('DescribeTaskDefinition', (api) =>
      api.describeTaskDefinition({ taskDefinition: family }),
    );
    if (!found.ok && found.refusal !== 'missing') throw failed(`look for the task definition ${family}`, found);
    const existing = found.ok ? found.output.taskDefinition : undefined;
    // The name is derived from the content, but anybody may register under it: only the very content is used.
    if (existing?.status === 'ACTIVE' && existing.taskDefinitionArn && contains(existing, definition)) {
      return existing.taskDefinitionArn;
    }
    const registered = await this.#calls.call('RegisterTaskDefinition', (api) =>
      api.registerTaskDefinition({ ...definition, tags: [{ key: TAG.deployment, value: this.#deployment }] }),
    );
    if (!registered.ok) throw failed(`register the task definition ${family}`, registered);
    return registered.output.taskDefinition!.taskDefinitionArn!;
  }
}

/** Whether all of `wanted` is in `found`. What ECS adds to a definition is empty or a default. */
function contains(found: unknown, wanted: unknown): boolean {
  if (Array.isArray(wanted)) {
    return (
      Array.isArray(found) && found.length === wanted.length && wanted.every((each, at) => contains(found[at], each))
    );
  }
  if (typeof wanted !== 'object' || wanted === null) return found === wanted;
  if (typeof found !== 'object' || found === null) return false;
  return Object.entries(wanted).every(([key, value]) => contains((found as Record<string, unknown>)[key], value));
}
