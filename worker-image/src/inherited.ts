/** File descriptors that whoever started the worker left open: blocks would inherit them too. */
import { closeSync, readdirSync, readFileSync } from 'node:fs';

const O_CLOEXEC = 0o2000000;

/** Closes what is open beyond the standard three and would survive an exec. All descriptors of Node's own do not. */
export function closeInherited(): void {
  for (const name of descriptors()) {
    const fd = Number(name);
    if (fd > 2 && survivesExec(fd)) closeSync(fd);
  }
}

function descriptors(): string[] {
  try {
    return readdirSync('/proc/self/fd');
  } catch {
    return [];
  }
}

function survivesExec(fd: number): boolean {
  try {
    const flags = /^flags:\s*(\d+)$/m.exec(readFileSync(`/proc/self/fdinfo/${fd}`, 'latin1'))?.[1];
    return flags !== undefined && (Number.parseInt(flags, 8) & O_CLOEXEC) === 0;
  } catch {
    return false;
  }
}
