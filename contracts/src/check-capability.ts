/** What a capability's schema cannot say: its paths stay in the workspace, and its bytes within bounds. */
import type { Capability } from './capability.ts';
import type { Finding } from './explain.ts';
import { show } from './formats.ts';
import { CAPABILITY_BYTES_MAX, CAPABILITY_FILES_MAX } from './limits.ts';
import { pointerTo } from './text-place.ts';
import { pathProblem } from './workspace-path.ts';

const BASE64 = /^(?:[A-Za-z0-9+/]{4})*(?:[A-Za-z0-9+/]{2}==|[A-Za-z0-9+/]{3}=)?$/;

/** Of a spec that conforms to its schema. */
export function checkCapability(spec: Capability, at: string): Finding[] {
  const findings: Finding[] = [];
  const wrong = (path: string, message: string, hint?: string): void => {
    findings.push({ path, code: 'InvalidValue', message, ...(hint !== undefined && { hint }) });
  };
  const files = Object.entries(spec.files);
  if (files.length === 0 || files.length > CAPABILITY_FILES_MAX) {
    wrong(`${at}/files`, `a capability has 1 to ${CAPABILITY_FILES_MAX} files, this one ${files.length}`);
    return findings;
  }
  let bytes = 0;
  for (const [path, file] of files) {
    const place = pointerTo(`${at}/files`, path);
    const problem = pathProblem(path);
    if (problem !== undefined)
      wrong(place, `the path ${show(path)} ${problem}`, 'Paths are relative to the workspace.');
    const parent = parentsOf(path).find((dir) => Object.hasOwn(spec.files, dir));
    if (parent !== undefined) wrong(place, `${show(parent)} is a file and a directory`);
    if ((file.text === undefined) === (file.base64 === undefined)) {
      wrong(place, `${show(path)} needs its content, as \`text\` or as \`base64\``);
    } else if (file.base64 !== undefined && !BASE64.test(file.base64)) {
      wrong(`${place}/base64`, 'it is not base64 with padding (RFC 4648)');
    }
    bytes += file.text === undefined ? ((file.base64?.length ?? 0) / 4) * 3 : Buffer.byteLength(file.text);
  }
  if (bytes > CAPABILITY_BYTES_MAX) {
    wrong(`${at}/files`, `the files have ${Math.round(bytes)} bytes together, more than ${CAPABILITY_BYTES_MAX}`);
  }
  return findings;
}

function parentsOf(path: string): string[] {
  const segments = path.split('/');
  return segments.slice(1).map((_, index) => segments.slice(0, index + 1).join('/'));
}
