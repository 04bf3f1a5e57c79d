/** What a shape's schema cannot say: its own schemas compile, and its paths are paths of outputs. */
import { checkPipeline } from './check-pipeline.ts';
import type { Finding } from './explain.ts';
import { show } from './formats.ts';
import { schemaProblem } from './json-schema.ts';
import { OUTPUT_PATH_BYTES_MAX, OUTPUT_TYPES_MAX } from './limits.ts';
import type { Shape } from './shape.ts';
import { pointerTo } from './text-place.ts';

/** Of a spec that conforms to its schema. */
export function checkShape(spec: Shape, at: string): Finding[] {
  const findings: Finding[] = [];
  for (const field of ['inputs', 'output'] as const) {
    const problem = spec[field] && schemaProblem(spec[field]);
    if (problem !== undefined)
      findings.push({ path: `${at}/${field}`, code: 'InvalidSchema', message: `the schema ${problem}` });
  }
  const paths = Object.keys(spec.products?.outputs ?? {});
  if (paths.length > OUTPUT_TYPES_MAX) {
    const message = `a shape types at most ${OUTPUT_TYPES_MAX} outputs, and this one ${paths.length}`;
    findings.push({ path: `${at}/products/outputs`, code: 'InvalidValue', message });
    return findings;
  }
  for (const path of paths) {
    if (isOutputPath(path.endsWith('*') ? `${path.slice(0, -1)}x` : path)) continue;
    findings.push({
      path: pointerTo(`${at}/products/outputs`, path),
      code: 'InvalidValue',
      message: `${show(path)} is no path of outputs`,
      hint: 'Paths are relative to outputs/; a `*` at the end stands for all that begin so.',
      at: 'key',
    });
  }
  if (typeof spec.pipeline === 'object') findings.push(...checkPipeline(spec.pipeline, `${at}/pipeline`));
  return findings;
}

function isOutputPath(path: string): boolean {
  const isSegment = (segment: string): boolean => segment !== '' && segment !== '.' && segment !== '..';
  return path.length <= OUTPUT_PATH_BYTES_MAX && !/[*\u0000-\u001f]/.test(path) && path.split('/').every(isSegment);
}
