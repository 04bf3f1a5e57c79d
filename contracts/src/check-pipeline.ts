/** What a pipeline's schema cannot say, and the range of every duration. */
import { PROBLEMS_MAX, type Finding } from './explain.ts';
import { show } from './formats.ts';
import type { PipelineSpec, ScriptBlock } from './pipeline.ts';
import { SECRETS_MAX, secretsOf } from './secrets.ts';
import { pointerTo } from './text-place.ts';
import { parseDuration } from './units.ts';

/** The longest timer there is: 2³¹-1 ms, a little under 25 days. */
export const DURATION_MAX_MS = 2 ** 31 - 1;

/** Of a spec that conforms to its schema. Pointers start with `at`, the pointer of the spec. */
export function checkPipeline(spec: PipelineSpec, at: string): Finding[] {
  const findings: Finding[] = [];
  const ids = new Set<string>();
  for (const [index, block] of spec.blocks.entries()) {
    const path = pointerTo(pointerTo(at, 'blocks'), index);
    if (block.id !== undefined && ids.has(block.id)) {
      const message = `two blocks of the pipeline have the id ${show(block.id)}`;
      findings.push({ path: `${path}/id`, code: 'DuplicateId', message, hint: 'Give every block an id of its own.' });
    }
    if (block.id !== undefined) ids.add(block.id);
    if (block.kind !== 'capture') readDuration(block.timeout, `${path}/timeout`, findings);
    if (block.kind === 'script') checkSecrets(block, path, findings);
  }
  if (secretsOf(spec).length > SECRETS_MAX) {
    const message = `the pipeline names more than ${SECRETS_MAX} secrets`;
    findings.push({ path: pointerTo(at, 'blocks'), code: 'InvalidValue', message });
  }
  return findings;
}

function checkSecrets({ env = {}, secrets = {} }: ScriptBlock, path: string, findings: Finding[]): void {
  for (const name of Object.keys(secrets)) {
    const at = pointerTo(`${path}/secrets`, name);
    if (Object.hasOwn(env, name)) {
      const message = `${name} is a value and a secret`;
      findings.push({ path: at, code: 'GivenTwice', message, hint: 'Keep one of them.', at: 'key' });
    }
    if (!name.startsWith('PANGOLIN_')) continue;
    const message = `${name} is a name of the worker's own`;
    findings.push({
      path: at,
      code: 'InvalidValue',
      message,
      hint: 'Use one that does not start with PANGOLIN_.',
      at: 'key',
    });
  }
}

/** Milliseconds, or undefined: then there is none, or a finding says what is wrong with it. */
export function readDuration(text: string | undefined, path: string, findings: Finding[]): number | undefined {
  if (text === undefined) return undefined;
  const ms = parseDuration(text);
  if (ms > 0 && ms <= DURATION_MAX_MS) return ms;
  if (findings.length < PROBLEMS_MAX) {
    const message = `the duration ${show(text)} is ${ms > 0 ? 'too long' : 'zero'}`;
    findings.push({ path, code: 'InvalidValue', message, hint: 'Durations are more than 0 and at most 24d.' });
  }
  return undefined;
}
