/** The programs of scripts/evidence-tools.sh. */
import { spawnSync } from 'node:child_process';
import { delimiter, dirname, join } from 'node:path';

const folder = process.env.PANGOLIN_TEST_EVIDENCE_TOOLS;

/** False when they are here, else why not: the value of a test's `skip`. @throws Error in CI, where nothing may be skipped. */
export function toolsSkip(): false | string {
  if (folder !== undefined) return false;
  if (process.env.CI) throw new Error('in CI the tools of scripts/evidence-tools.sh must be there');
  return 'PANGOLIN_TEST_EVIDENCE_TOOLS is not set (scripts/evidence-tools.sh)';
}

export interface Answer {
  readonly ok: boolean;
  /** Both streams. */
  readonly said: string;
}

/** Runs a program with these tools and the Node of the tests before those of the machine. */
export function foreign(
  program: string,
  args: readonly string[],
  options: { readonly cwd: string; readonly input?: string },
): Answer {
  const { status, stdout, stderr, error } = spawnSync(program, args, {
    ...options,
    encoding: 'utf8',
    maxBuffer: 64 * 2 ** 20,
    // cosign keeps a cache at home, and must find none of ours.
    env: {
      ...process.env,
      HOME: options.cwd,
      PATH: [folder, dirname(process.execPath), process.env.PATH].join(delimiter),
    },
  });
  if (error) throw error;
  return { ok: status === 0, said: `${stdout}${stderr}` };
}

export const toolPath = (name: string): string => join(folder!, name);
