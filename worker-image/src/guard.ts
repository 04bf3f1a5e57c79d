/**
 * What keeps blocks of another user out of the worker is the kernel, and a runtime class may bring one of its own. So before
 * the first block a process that is started just as blocks are tries the doors; one that opens, and no block runs.
 */
import type { Output } from '@pangolin/contracts/output';
import type { Assignment } from './assignment.ts';
import { runProcess } from './block-process.ts';
import { AttemptFailure } from './failure.ts';
import type { BlockUser, WorkerOptions } from './options.ts';
import type { Places } from './places.ts';

type Proven = NonNullable<Output['sandbox']>;
type Promised = Assignment['promised'];

/** More is no report of ours. */
const REPORT_CHARS_MAX = 16_384;
const DOORS_NAMED_MAX = 8;
/** proc(5), `Seccomp` of /proc/PID/status. */
const SECCOMP_MODE_FILTER = '2';

/**
 * Arguments: a directory of the worker, one that it writes to, and the processes to look into. Prints `open PATH` for what
 * opened, the lines of its own status that say what it is, and `end`. All of it is built into the shell: one process.
 * Nothing is opened that could wait for somebody (a descriptor may be a pipe): to follow the link takes the same right.
 */
const PROBE = `
private=$1 attempt=$2; shift 2
[ ! -x "$private" ] || echo "open $private"
[ ! -w "$attempt" ] || echo "open $attempt"
for pid; do
  ! kill -0 "$pid" || echo "open a signal to $pid"
  for at in /proc/$pid /proc/$pid/task/$pid; do
    for text in environ auxv maps; do
      got=; read -r got <$at/$text; [ -z "$got" ] || echo "open $at/$text"
    done
    ! true <$at/mem || echo "open $at/mem"
    for link in cwd root exe fd/0 fd/1 fd/2; do [ ! -e $at/$link ] || echo "open $at/$link"; done
    for fd in $at/fd/*; do [ "$fd" = "$at/fd/*" ] || echo "open $at/fd"; break; done
  done
done
while read -r name values; do
  case $name in Uid:|CapPrm:|CapEff:|NoNewPrivs:|Seccomp:) echo "$name $values" ;; esac
done </proc/self/status
echo end
`;

/**
 * @returns undefined where blocks share the user of the worker, and nothing is kept from them
 * @throws AttemptFailure SandboxUnsupported, with what opened
 */
export async function proveGuard(
  { user, private: dir, workspace }: Places,
  { promised }: Pick<Assignment, 'promised'>,
  { path, graceMs }: WorkerOptions,
  outDir: string,
  halt: AbortSignal,
): Promise<Proven | undefined> {
  if (user === undefined) return undefined;
  const processes = [process.pid, process.ppid].filter((pid) => pid > 0).map(String);
  let report = '';
  const end = await runProcess({
    argv: ['/bin/sh', '-c', PROBE, 'guard', dir, outDir, ...processes],
    cwd: workspace,
    env: { PATH: path },
    user,
    timeoutMs: undefined,
    idleTimeoutMs: undefined,
    graceMs: () => graceMs,
    pipeDir: dir,
    halt,
    onOutput: (stream, chunk) => {
      if (stream === 'stdout' && report.length < REPORT_CHARS_MAX) report += chunk.toString('latin1');
    },
  });
  if (end.stopped !== undefined) throw end.stopped;
  return judgeReport(report, user, promised);
}

/** @throws AttemptFailure SandboxUnsupported also for a report that is not whole: what was not looked at is not shut. */
export function judgeReport(report: string, { uid }: BlockUser, promised: Promised): Proven {
  const lines = report.split('\n');
  const open = lines.flatMap((line) => (line.startsWith('open ') ? [line.slice('open '.length)] : []));
  if (open.length > 0) {
    const more = open.length > DOORS_NAMED_MAX ? `, and ${open.length - DOORS_NAMED_MAX} more` : '';
    refuse(`a block could reach into the worker: ${open.slice(0, DOORS_NAMED_MAX).join(', ')}${more}`);
  }
  const value = (name: string): string | undefined =>
    lines.find((line) => line.startsWith(`${name}: `))?.slice(name.length + 2);
  const uids = value('Uid')?.split(/\s+/);
  if (!lines.includes('end') || uids === undefined) refuse('whether blocks are kept out of the worker cannot be told');
  if (uids.some((each) => each !== String(uid))) refuse(`blocks do not run as ${uid}, but as ${uids.join(' ')}`);
  const none = ['CapPrm', 'CapEff'].every((name) => /^0+$/.test(value(name) ?? ''));
  if (promised.capabilities === 'none' && !none) refuse('blocks hold capabilities of the kernel, or may');
  const noNewPrivileges = value('NoNewPrivs');
  if (promised.noNewPrivileges && noNewPrivileges === '0') refuse('blocks can gain privileges by running a program');
  const isFiltered = value('Seccomp') === SECCOMP_MODE_FILTER;
  if (promised.seccomp && !isFiltered) refuse('no filter stands between blocks and the system calls of the kernel');
  return {
    user: 'separate',
    ...(isFiltered && { seccomp: 'filter' }),
    ...(none && { capabilities: 'none' }),
    ...(noNewPrivileges === '1' && { noNewPrivileges: true }),
  };
}

function refuse(what: string): never {
  throw new AttemptFailure('SandboxUnsupported', `${what}; no block was run`);
}
