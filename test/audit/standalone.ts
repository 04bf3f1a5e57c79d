/** `pangolin-verify` in this process. */
import { runVerify } from '@pangolin/verify/run-verify';
import type { LogReport } from '@pangolin/verify/log/check-log';

export interface Said {
  readonly code: number;
  readonly stdout: string;
  readonly stderr: string;
}

export async function standalone(argv: readonly string[]): Promise<Said> {
  const said = { stdout: '', stderr: '' };
  const code = await runVerify(argv, {
    stdout: (text) => void (said.stdout += text),
    stderr: (text) => void (said.stderr += text),
  });
  return { code, ...said };
}

/** Of a report whatever does not depend on how its parts were reached. */
export const gist = ({ unchecked, problems, ...rest }: LogReport): unknown => ({
  ...rest,
  unsealed: rest.unsealed.toSorted(),
  unchecked: unchecked.length,
  problems: problems.map(({ code, run, index }) => [code, run, index].join(' ')).sort(),
});
