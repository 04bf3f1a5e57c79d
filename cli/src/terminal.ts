/** Where output goes. Results to stdout, everything else to stderr; colour only on a terminal that wants it. */
import { once } from 'node:events';
import { stripVTControlCharacters } from 'node:util';

type Style = 'bold' | 'dim' | 'red' | 'green' | 'yellow' | 'cyan';
const codes: Readonly<Record<Style, readonly [number, number]>> = {
  bold: [1, 22],
  dim: [2, 22],
  red: [31, 39],
  green: [32, 39],
  yellow: [33, 39],
  cyan: [36, 39],
};

export type Paint = (style: Style, text: string) => string;

export function colourOn(stream: NodeJS.WriteStream, env: NodeJS.ProcessEnv): boolean {
  return stream.isTTY && (env.NO_COLOR ?? '') === '' && env.TERM !== 'dumb';
}

export function paintFor(stream: NodeJS.WriteStream): Paint {
  const on = colourOn(stream, process.env);
  return (style, text) => (on ? `\u001b[${codes[style][0]}m${text}\u001b[${codes[style][1]}m` : text);
}

/** Waits until the reader took what is buffered, so that a large result does not pile up in memory. */
export async function writeOut(bytes: string | Uint8Array): Promise<void> {
  if (!process.stdout.write(bytes)) await once(process.stdout, 'drain');
}

/** A reader such as `head` may leave early; that is its right and no error. */
export function leaveQuietlyOnClosedPipe(): void {
  process.stdout.on('error', (error: NodeJS.ErrnoException) => {
    if (error.code === 'EPIPE') process.exit(0);
    throw error;
  });
  process.stderr.on('error', (error: NodeJS.ErrnoException) => {
    if (error.code !== 'EPIPE') throw error;
  });
}

// eslint-disable-next-line no-control-regex -- exactly these are to go: C0 but tab, C1, line separators, bidi overrides
const UNPRINTABLE = /[\u0000-\u0008\u000a-\u001f\u007f-\u009f\u2028\u2029\u202a-\u202e\u2066-\u2069]/g;

/** Text of workers, files and users on one line of a terminal: without escape sequences and control characters. */
export function printable(text: string): string {
  return stripVTControlCharacters(text).replace(UNPRINTABLE, ' ');
}

/** Columns of the terminal; some report none. */
export function terminalWidth(): number {
  return process.stdout.columns || 80;
}
