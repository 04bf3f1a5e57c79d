/** What the item has of the registry: its subagent, the files of its capabilities, its env bundles. */
import { mkdir, readFile, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { parseCanonical } from '@pangolin/contracts/canonical';
import type { Capability } from '@pangolin/contracts/capability';
import type { Sha256 } from '@pangolin/contracts/digest';
import type { EnvBundle } from '@pangolin/contracts/env-bundle';
import { CAPABILITY_BYTES_MAX } from '@pangolin/contracts/limits';
import type { Shape } from '@pangolin/contracts/shape';
import type { Subagent } from '@pangolin/contracts/subagent';
import { pathProblem } from '@pangolin/contracts/workspace-path';
import type { Assignment } from '../assignment.ts';
import type { BytePath } from '../capture/safe-fs.ts';
import { AttemptFailure } from '../failure.ts';
import type { Places } from '../places.ts';
import type { TaskGrants } from '../task-grants.ts';
import { fetchGrant, type Fetch } from './fetch.ts';

/** A capability as canonical JSON: base64 and escapes take more room than the bytes. */
const THING_BYTES_MAX = 4 * CAPABILITY_BYTES_MAX;

export interface OverlayFile {
  readonly mode: 0o644 | 0o755;
  readonly bytes: Buffer;
}

export interface Equipment {
  readonly subagent?: Subagent;
  /** Path in the workspace → file; of two capabilities the later one counts. */
  readonly files: ReadonlyMap<string, OverlayFile>;
  /** The same paths as the capture knows them. */
  readonly overlaid: ReadonlySet<BytePath>;
  readonly env: readonly EnvBundle[];
  /** What `output` of `.pangolin/output.json` has to conform to, by the shape of the item. */
  readonly outputSchema?: Shape['output'];
}

/** @throws AttemptFailure StageFailed */
export async function fetchThings(
  pins: Assignment['pins'],
  places: Places,
  grants: TaskGrants,
  halt: AbortSignal,
): Promise<Equipment> {
  const dir = join(places.private, 'things');
  await mkdir(dir);
  const read = async (digest: Sha256, what: string): Promise<unknown> => {
    const target = join(dir, digest);
    await rm(target, { force: true });
    const grant: Fetch['grant'] = ({ things }) => things?.[digest];
    const thing = { what, grant, sha256: digest, bytesMax: THING_BYTES_MAX, target, owner: undefined };
    await fetchGrant(grants, thing, halt);
    return parseCanonical(await readFile(target));
  };
  const files = new Map<string, OverlayFile>();
  for (const digest of pins.capabilities) {
    const capability = (await read(digest, 'a capability')) as Capability;
    for (const [path, file] of Object.entries(capability.files)) {
      const problem = pathProblem(path);
      if (problem !== undefined) throw new AttemptFailure('StageFailed', `the path ${path} of a capability ${problem}`);
      const bytes = file.base64 === undefined ? Buffer.from(file.text ?? '') : Buffer.from(file.base64, 'base64');
      files.set(path, { mode: file.mode === '0755' ? 0o755 : 0o644, bytes });
    }
  }
  const env: EnvBundle[] = [];
  for (const digest of pins.env) env.push((await read(digest, 'an env bundle')) as EnvBundle);
  const { output } = pins.shape === undefined ? {} : ((await read(pins.shape, 'the shape')) as Shape);
  return {
    ...(pins.subagent !== undefined && { subagent: (await read(pins.subagent, 'the subagent')) as Subagent }),
    files,
    overlaid: new Set([...files.keys()].map((path) => Buffer.from(path).toString('latin1'))),
    env,
    ...(output && { outputSchema: output }),
  };
}
