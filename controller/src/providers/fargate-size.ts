/** The sizes that Fargate has: CPU and memory come in pairs, and what is asked for is rounded up to the next one. Pure. */
import type { SandboxRequest } from './provider.ts';
import { unsupported } from './checks.ts';

export interface FargateSize {
  /** 1024 are one vCPU. */
  readonly cpuUnits: number;
  readonly memoryMiB: number;
}

/** CPU units, then the memory that goes with them: from, to and step, in MiB. */
const pairs: readonly (readonly [cpuUnits: number, from: number, to: number, step: number])[] = [
  [256, 512, 512, 512],
  [256, 1024, 2048, 1024],
  [512, 1024, 4096, 1024],
  [1024, 2048, 8192, 1024],
  [2048, 4096, 16_384, 1024],
  [4096, 8192, 30_720, 1024],
  [8192, 16_384, 61_440, 4096],
  [16_384, 32_768, 122_880, 8192],
];

/** Of what a task leaves open. */
const DEFAULT_CPU_UNITS = 1024;
const DEFAULT_MEMORY_MIB = 2048;
const MIB = 2 ** 20;

/** The smallest size that holds what is asked for. @throws PangolinError UNSUPPORTED when none does. */
export function sizeFor({ cpuMillis, memoryBytes }: SandboxRequest): FargateSize {
  const cpuUnits = cpuMillis === undefined ? undefined : Math.ceil((cpuMillis * 1024) / 1000);
  const memoryMiB = memoryBytes === undefined ? undefined : Math.ceil(memoryBytes / MIB);
  const largest = pairs.at(-1)!;
  if ((cpuUnits ?? 0) > largest[0]) {
    throw unsupported('cpuMillis', `Fargate gives a task at most ${largest[0] / 1024} vCPU`, 'Ask for less CPU.');
  }
  if ((memoryMiB ?? 0) > largest[2]) {
    throw unsupported('memoryBytes', `Fargate gives a task at most ${largest[2] / 1024}Gi`, 'Ask for less memory.');
  }
  const wanted = { cpu: cpuUnits ?? DEFAULT_CPU_UNITS, memory: memoryMiB ?? DEFAULT_MEMORY_MIB };
  for (const [cpu, from, to, step] of pairs) {
    const memory = from + Math.max(0, Math.ceil((wanted.memory - from) / step)) * step;
    if (cpu >= wanted.cpu && memory <= to) return { cpuUnits: cpu, memoryMiB: memory };
  }
  // Unreachable: the last pair holds whatever passed the two checks above.
  throw unsupported('resources', 'no Fargate size holds this CPU and memory', 'Ask for less.');
}

/** What a size enforces, in the units of a sandbox. 256 units are 250 thousandths of a CPU. */
export function limitsOf({ cpuUnits, memoryMiB }: FargateSize): { cpuMillis: number; memoryBytes: number } {
  return { cpuMillis: (cpuUnits * 1000) / 1024, memoryBytes: memoryMiB * MIB };
}
