/** The compiled validators, one per kind of document, each compiled on its first use. */
import type { Static, TSchema } from 'typebox';
import { Compile, type Validator } from 'typebox/compile';
import { Capability, CapabilityFile } from './capability.ts';
import { Config } from './config.ts';
import { Control } from './control.ts';
import { EnvBundle, EnvBundleFile } from './env-bundle.ts';
import { explain, type Finding, type Schema } from './explain.ts';
import { BlockOutput } from './block-output.ts';
import { Boot, LogLine, Output } from './output.ts';
import { ExtensionFile } from './extension.ts';
import { PipelineFile, PipelineSpec } from './pipeline.ts';
import { QueueFile } from './queue.ts';
import { Plan, Run } from './run.ts';
import { Shape, ShapeFile } from './shape.ts';
import { Subagent, SubagentFile } from './subagent.ts';
import { ItemStatus, Receipt, RunStatus } from './status.ts';
import { DispatchManifest, StandaloneTask, Task } from './task.ts';
import { ScheduleFile } from './schedule.ts';

const schemas = {
  run: Run,
  plan: Plan,
  queue: QueueFile,
  extension: ExtensionFile,
  schedule: ScheduleFile,
  pipeline: PipelineFile,
  pipelineSpec: PipelineSpec,
  subagent: SubagentFile,
  subagentSpec: Subagent,
  capability: CapabilityFile,
  capabilitySpec: Capability,
  env: EnvBundleFile,
  envSpec: EnvBundle,
  shape: ShapeFile,
  shapeSpec: Shape,
  control: Control,
  config: Config,
  output: Output,
  blockOutput: BlockOutput,
  boot: Boot,
  logLine: LogLine,
  receipt: Receipt,
  status: RunStatus,
  item: ItemStatus,
  dispatch: DispatchManifest,
  task: Task,
  standaloneTask: StandaloneTask,
} as const;

export type Kind = keyof typeof schemas;
export type Valid<K extends Kind> = Static<(typeof schemas)[K]>;

const compiled = new Map<Kind, Validator>();

/** Whether `value` is a valid document of that kind. Cheap: no explanation is made. */
export function conforms<K extends Kind>(kind: K, value: unknown): value is Valid<K> {
  let validator = compiled.get(kind);
  if (!validator) compiled.set(kind, (validator = Compile(schemas[kind] as TSchema)));
  return validator.Check(value);
}

/** Empty when `value` conforms; at most PROBLEMS_MAX. */
export function findingsOf(kind: Kind, value: unknown): Finding[] {
  if (conforms(kind, value)) return [];
  const findings = explain(schemas[kind] as unknown as Schema, value);
  if (findings.length > 0) return findings;
  // The check refuses what the walk accepts: say the little that the check itself knows.
  const [error] = compiled.get(kind)!.Errors(value);
  const message = error === undefined ? 'it does not conform to the schema' : error.message;
  return [{ path: error?.instancePath ?? '', code: 'InvalidValue', message }];
}

/** The first thing that is wrong with a worker's output.json, as one sentence; undefined when it conforms. */
export function validateOutput(value: unknown): string | undefined {
  return firstOf('output', value);
}

/** The same for a control file. */
export function validateControl(value: unknown): string | undefined {
  return firstOf('control', value);
}

function firstOf(kind: Kind, value: unknown): string | undefined {
  const [finding] = findingsOf(kind, value);
  if (!finding) return undefined;
  return `${finding.message}${finding.path === '' ? '' : ` (at ${finding.path.slice(0, 200)})`}`;
}
