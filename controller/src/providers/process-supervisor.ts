/** How a task's processes are started: a shell that outlives the controller, confined as far as the kernel lets us. */
import { spawnSync } from 'node:child_process';
import { basename } from 'node:path';
import { sha256 } from '@pangolin/contracts/digest';

/** Writes who the shell is, for `parseIdentity`. `$1` is the file. */
const identify = `
identify() {
  boot=- stat=
  { read -r boot </proc/sys/kernel/random/boot_id && read -r stat </proc/$$/stat; } 2>/dev/null ||
    { boot=-; stat=$(ps -o lstart= -p $$); }
  printf '%s\\n' "$$" "$stat" "$boot" end >"$1"
}`;

/** The worker's own pid: it is what takes the place of this shell. */
const launch = `${identify}
identify "$1"
shift
exec "$@"`;

/**
 * `$1` task directory, `$2` where the exit status goes, `$3` the loopback address that marks its network namespace (empty: it
 * has none of its own), `$4` the script above, the rest the command. Only who creates `claim` goes on: of two supervisors
 * for one task the second ends at once, so a controller that died between spawning and noting it may simply spawn again.
 * The status appears by a rename, complete.
 */
const supervise = `${identify}
task=$1 exits=$2 mark=$3 launch=$4
shift 4
mkdir "$task/claim" 2>/dev/null || exit 0
trap : TERM INT HUP
identify "$task/supervisor"
if [ -n "$mark" ]; then
  PATH=$PATH:/usr/sbin:/sbin
  ip link set lo up 2>/dev/null
  ip address add "$mark/32" dev lo 2>/dev/null && printf '%s %s' "$(readlink /proc/self/ns/net)" "$mark" >"$task/namespace"
fi
sh -c "$launch" sh "$task/worker" "$@"
echo $? >"$task/exit" && mv "$task/exit" "$exits"
`;

/** Commands to put before others; empty where the kernel or the tools do not allow it. */
export interface Confinement {
  /** Before the supervisor: a network namespace with nothing in it but loopback. Undefined when there is none to be had. */
  readonly network: readonly string[] | undefined;
  /** Before the worker when the former is used: gives an ordinary user its own id back, without the namespace's powers. */
  readonly inNamespace: readonly string[];
  /** Before the worker: no new privileges, and no way back into another namespace. */
  readonly privileges: readonly string[] | undefined;
}

/** Tries once what works here: a few milliseconds. */
export function probeConfinement(): Confinement {
  const uid = process.getuid?.() ?? 0;
  const root = uid === 0;
  const network = root ? ['unshare', '-n', '--'] : ['unshare', '-rn', '--'];
  const inNamespace = root
    ? []
    : ['unshare', '--user', `--map-user=${uid}`, `--map-group=${process.getgid?.() ?? 0}`, '--'];
  const privileges = root
    ? ['setpriv', '--no-new-privs', '--bounding-set', '-sys_admin,-sys_ptrace,-sys_module', '--']
    : ['setpriv', '--no-new-privs', '--'];
  return {
    network: works([...network, ...inNamespace]) ? network : undefined,
    inNamespace,
    privileges: works(privileges) ? privileges : undefined,
  };
}

function works(prefix: readonly string[]): boolean {
  const [file, ...args] = [...prefix, 'true'];
  return process.platform === 'linux' && spawnSync(file, args, { stdio: 'ignore', timeout: 5000 }).status === 0;
}

/** The argv of a task's supervisor, to be spawned as the leader of its own session. */
export function supervisorCommand(options: {
  readonly confinement: Confinement;
  readonly isolateNetwork: boolean;
  readonly taskDir: string;
  readonly exitFile: string;
  readonly worker: readonly string[];
}): readonly string[] {
  const { confinement, isolateNetwork } = options;
  return [
    ...(isolateNetwork ? (confinement.network ?? []) : []),
    'sh',
    '-c',
    supervise,
    'sh',
    options.taskDir,
    options.exitFile,
    isolateNetwork ? loopbackMark(basename(options.taskDir)) : '',
    launch,
    ...(isolateNetwork ? confinement.inNamespace : []),
    ...(confinement.privileges ?? []),
    ...options.worker,
  ];
}

/**
 * The kernel gives the number of a namespace that is gone to the next one, whoever makes that. An address of the task's
 * own on its loopback tells the two apart.
 */
function loopbackMark(name: string): string {
  const [a = 0, b = 0, c = 0] = Buffer.from(sha256(name), 'hex');
  return `127.${1 + (a % 254)}.${b}.${1 + (c % 254)}`;
}
