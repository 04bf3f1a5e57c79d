/** AWS's own description of a service (botocore's service-2.json), and whether a value is what it says. */
import { readFileSync } from 'node:fs';
import { join } from 'node:path';

interface Shape {
  readonly type: string;
  readonly required?: readonly string[];
  readonly members?: Readonly<Record<string, { readonly shape: string }>>;
  readonly member?: { readonly shape: string };
  readonly key?: { readonly shape: string };
  readonly value?: { readonly shape: string };
  readonly enum?: readonly string[];
  readonly min?: number;
  readonly max?: number;
  readonly pattern?: string;
  readonly union?: boolean;
}

interface Model {
  readonly metadata: {
    readonly targetPrefix: string;
    readonly signingName?: string;
    readonly endpointPrefix: string;
    readonly jsonVersion: string;
  };
  readonly operations: Readonly<
    Record<
      string,
      {
        readonly input: { readonly shape: string };
        readonly output?: { readonly shape: string };
        readonly errors?: readonly { readonly shape: string }[];
      }
    >
  >;
  readonly shapes: Readonly<Record<string, Shape>>;
}

/** False when the models are here, else why not: for `skip`. @throws Error in CI */
export function modelsSkip(): false | string {
  if (process.env['PANGOLIN_TEST_AWS_MODELS']) return false;
  const reason = 'PANGOLIN_TEST_AWS_MODELS is not set; eval "$(scripts/s3-servers.sh up)" sets it';
  if (process.env['CI']) throw new Error(`in CI the AWS service models must be here: ${reason}`);
  return reason;
}

export class ServiceModel {
  readonly #model: Model;

  constructor(service: 'ecs' | 'kms', version: string) {
    const file = join(process.env['PANGOLIN_TEST_AWS_MODELS'] ?? '', service, version, 'service-2.json');
    this.#model = JSON.parse(readFileSync(file, 'utf8')) as Model;
  }

  get target(): string {
    return this.#model.metadata.targetPrefix;
  }
  get signingName(): string {
    return this.#model.metadata.signingName ?? this.#model.metadata.endpointPrefix;
  }
  get contentType(): string {
    return `application/x-amz-json-${this.#model.metadata.jsonVersion}`;
  }
  has(operation: string): boolean {
    return Object.hasOwn(this.#model.operations, operation);
  }
  declares(operation: string, error: string): boolean {
    return (this.#model.operations[operation]?.errors ?? []).some(({ shape }) => shape === error);
  }

  /** What is wrong with a request or an answer; undefined when nothing is. */
  problem(operation: string, side: 'input' | 'output', value: unknown): string | undefined {
    const shape = this.#model.operations[operation]?.[side]?.shape;
    return shape === undefined ? undefined : this.#check(shape, value, side);
  }

  #check(name: string, value: unknown, at: string): string | undefined {
    const shape = this.#model.shapes[name]!;
    switch (shape.type) {
      case 'structure':
        return this.#structure(shape, value, at);
      case 'list':
        if (!Array.isArray(value)) return `${at} is not a list`;
        return (
          outside(shape, value.length, `${at} has ${value.length} elements`) ??
          first(value.map((each, n) => this.#check(shape.member!.shape, each, `${at}[${n}]`)))
        );
      case 'map':
        if (!isObject(value)) return `${at} is not a map`;
        return first(
          Object.entries(value).flatMap(([key, each]) => [
            this.#check(shape.key!.shape, key, `${at} key`),
            this.#check(shape.value!.shape, each, `${at}.${key}`),
          ]),
        );
      default:
        return scalar(shape, value, at);
    }
  }

  #structure(shape: Shape, value: unknown, at: string): string | undefined {
    if (!isObject(value)) return `${at} is not a structure`;
    const missing = shape.required?.find((key) => value[key] === undefined);
    if (missing !== undefined) return `${at}.${missing} is required`;
    return first(
      Object.entries(value).map(([key, each]) => {
        const member = shape.members?.[key];
        return member === undefined ? `${at} has no member ${key}` : this.#check(member.shape, each, `${at}.${key}`);
      }),
    );
  }
}

function scalar(shape: Shape, value: unknown, at: string): string | undefined {
  switch (shape.type) {
    case 'string': {
      if (typeof value !== 'string') return `${at} is not a string`;
      if (shape.enum && !shape.enum.includes(value)) return `${at} is ${value}, not one of ${shape.enum.join(', ')}`;
      if (shape.pattern && !new RegExp(`^(?:${shape.pattern})$`, 'u').test(value))
        return `${at} does not match ${shape.pattern}`;
      return outside(shape, value.length, `${at} has ${value.length} characters`);
    }
    case 'integer':
    case 'long':
      return Number.isSafeInteger(value)
        ? outside(shape, value as number, `${at} is ${value as number}`)
        : `${at} is not an integer`;
    case 'double':
    case 'float':
    case 'timestamp':
      return typeof value === 'number' ? undefined : `${at} is not a number`;
    case 'boolean':
      return typeof value === 'boolean' ? undefined : `${at} is not a boolean`;
    case 'blob': {
      if (typeof value !== 'string' || !/^[A-Za-z0-9+/]*={0,2}$/.test(value)) return `${at} is not base64`;
      const { length } = Buffer.from(value, 'base64');
      return outside(shape, length, `${at} has ${length} bytes`);
    }
    default:
      return `${at} is of the type ${shape.type}, which this check does not know`;
  }
}

function outside({ min, max }: Shape, size: number, what: string): string | undefined {
  if (min !== undefined && size < min) return `${what}, less than ${min}`;
  return max !== undefined && size > max ? `${what}, more than ${max}` : undefined;
}

const first = (problems: readonly (string | undefined)[]): string | undefined =>
  problems.find((problem) => problem !== undefined);
const isObject = (value: unknown): value is Record<string, unknown> =>
  typeof value === 'object' && value !== null && !Array.isArray(value);
