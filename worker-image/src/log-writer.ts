/** `log/<seq>.ndjson`: one LogLine a line, appended as output comes so that readers can follow it. */
import { closeSync, constants, fsyncSync, mkdirSync, openSync, writeSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { sha256Stream } from '@pangolin/contracts/digest';
import { attemptFile } from '@pangolin/contracts/layout';
import type { LogLine, Output } from '@pangolin/contracts/output';
import { isDiskFull } from './failure.ts';

export interface LogLimits {
  /** A file is closed before it would grow beyond this. */
  readonly fileBytes: number;
  /** All block output of the attempt. */
  readonly totalBytes: number;
  /** Longer lines are cut into several. */
  readonly lineBytes: number;
}
export const LOG_LIMITS: LogLimits = { fileBytes: 8 * 2 ** 20, totalBytes: 256 * 2 ** 20, lineBytes: 64 * 2 ** 10 };
/** Lines of the worker itself still fit when blocks have used up the log. */
const WORKER_BYTES_MAX = 2 ** 20;
const FLUSH_BYTES = 256 * 2 ** 10;
const LF = 10;

interface OpenFile {
  readonly name: string;
  readonly fd: number;
  readonly hash: ReturnType<typeof sha256Stream>;
  size: number;
}

/**
 * Writes synchronously: a block that floods is held back by its pipe, so memory stays bounded, and lines of
 * stdout and stderr keep the order in which they arrived.
 */
export class LogWriter {
  readonly #dir: string;
  readonly #limits: LogLimits;
  readonly #grew: (name: string) => void;
  readonly #redact: (text: string) => string;
  readonly #closed: Output['logs'] = [];
  #file: OpenFile | undefined;
  #pending: string[] = [];
  #pendingBytes = 0;
  #blockBytes = 0;
  #workerBytes = 0;
  #full = false;
  #diskFull = false;

  /**
   * @param grew called with the name of a file when lines of it are on disk
   * @param redact takes secrets out of a line
   */
  constructor(
    outDir: string,
    limits: LogLimits = LOG_LIMITS,
    grew: (name: string) => void = () => undefined,
    redact = (text: string): string => text,
  ) {
    this.#dir = outDir;
    this.#limits = limits;
    this.#grew = grew;
    this.#redact = redact;
  }

  /** No further block output is kept. */
  get full(): boolean {
    return this.#full;
  }

  /** A line could not be written because the disk is full; nothing is logged since. */
  get diskFull(): boolean {
    return this.#diskFull;
  }

  /** What the worker says about itself. */
  worker(line: string, block?: number): void {
    const clean = this.#redact(line);
    const cut = clean.length > 4096 ? `${clean.slice(0, 4096)}…` : clean;
    const bytes = Buffer.byteLength(cut);
    if (this.#workerBytes + bytes > WORKER_BYTES_MAX) return;
    this.#workerBytes += bytes;
    this.#append({ t: now(), ...(block === undefined ? {} : { block }), stream: 'worker', line: cut });
    this.flush();
  }

  /** One line of a block. */
  block(block: number, stream: 'stdout' | 'stderr', t: string, line: string): void {
    if (this.#full || this.#diskFull) return;
    this.#blockBytes += this.#append({ t, block, stream, line: this.#redact(line) });
    if (this.#blockBytes < this.#limits.totalBytes) return;
    this.#full = true;
    this.worker(`the log limit of ${this.#limits.totalBytes} bytes is reached; further output is dropped`);
  }

  flush(): void {
    if (this.#pending.length === 0) return;
    const bytes = Buffer.from(this.#pending.join(''), 'utf8');
    this.#pending = [];
    this.#pendingBytes = 0;
    if (this.#diskFull) return;
    try {
      const file = (this.#file ??= this.#open());
      for (let at = 0; at < bytes.length;) {
        const written = writeSync(file.fd, bytes, at);
        file.hash.update(bytes.subarray(at, at + written));
        file.size += written;
        at += written;
      }
      this.#grew(file.name);
    } catch (error) {
      if (!isDiskFull(error)) throw error;
      this.#diskFull = true;
    }
  }

  /** Closes the last file. @returns every file with its digest, in order. */
  close(): Output['logs'] {
    this.flush();
    this.#closeFile();
    return this.#closed;
  }

  #append(line: LogLine): number {
    const text = `${JSON.stringify(line)}\n`;
    const bytes = Buffer.byteLength(text);
    if ((this.#file?.size ?? 0) + this.#pendingBytes + bytes > this.#limits.fileBytes) {
      this.flush();
      this.#closeFile();
    }
    this.#pending.push(text);
    this.#pendingBytes += bytes;
    if (this.#pendingBytes >= FLUSH_BYTES) this.flush();
    return bytes;
  }

  #open(): OpenFile {
    const name = attemptFile.log(this.#closed.length);
    const path = join(this.#dir, name);
    mkdirSync(dirname(path), { recursive: true });
    const fd = openSync(path, constants.O_WRONLY | constants.O_CREAT | constants.O_EXCL | constants.O_APPEND, 0o644);
    return { name, fd, hash: sha256Stream(), size: 0 };
  }

  #closeFile(): void {
    const file = this.#file;
    if (file === undefined) return;
    this.#file = undefined;
    try {
      fsyncSync(file.fd);
    } catch (error) {
      if (!isDiskFull(error)) throw error;
      this.#diskFull = true;
    }
    closeSync(file.fd);
    this.#closed.push({ file: file.name, sha256: file.hash.digest('hex'), size: file.size });
  }
}

/** Cuts the bytes of one stream into lines of a bounded length. */
export class LineSplitter {
  readonly #emit: (line: string) => void;
  readonly #lineBytes: number;
  #rest: Buffer = Buffer.alloc(0);

  constructor(emit: (line: string) => void, lineBytes: number = LOG_LIMITS.lineBytes) {
    this.#emit = emit;
    this.#lineBytes = lineBytes;
  }

  push(chunk: Buffer): void {
    let bytes = this.#rest.length === 0 ? chunk : Buffer.concat([this.#rest, chunk]);
    for (;;) {
      const end = bytes.indexOf(LF);
      const length = end === -1 ? bytes.length : end;
      if (length > this.#lineBytes) {
        const cut = characterStart(bytes, this.#lineBytes);
        this.#emit(bytes.toString('utf8', 0, cut));
        bytes = bytes.subarray(cut);
      } else if (end === -1) {
        this.#rest = Buffer.from(bytes);
        return;
      } else {
        this.#emit(bytes.toString('utf8', 0, bytes[end - 1] === 13 ? end - 1 : end));
        bytes = bytes.subarray(end + 1);
      }
    }
  }

  /** What came after the last line end. */
  end(): void {
    if (this.#rest.length > 0) this.#emit(this.#rest.toString('utf8'));
    this.#rest = Buffer.alloc(0);
  }
}

/** The nearest index at or before `at` (by at most 3) that does not cut a UTF-8 character. */
function characterStart(bytes: Buffer, at: number): number {
  for (let index = at; index > at - 4 && index > 0; index--) if ((bytes[index]! & 0xc0) !== 0x80) return index;
  return at;
}

export const now = (): string => new Date().toISOString();
