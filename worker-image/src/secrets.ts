/** The secrets of one attempt: handed over once, kept in memory, given to the blocks that name them, kept out of the rest. */
import { chown, mkdir, open, readFile, rm, statfs, writeFile } from 'node:fs/promises';
import { connect } from 'node:net';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { encodeSegment } from '@pangolin/contracts/ids';
import type { SecretGrants } from '@pangolin/contracts/pipeline';
import { SECRETS_SOCKET } from '@pangolin/contracts/secrets';
import { isObject } from './check-pipeline.ts';
import { AttemptFailure } from './failure.ts';
import type { BlockUser } from './options.ts';
import { needlesOf, redact, Redactor, Scanner, type Needle } from './redact.ts';

/** Longer than a controller waits for the boot record. */
const HANDOVER_MS = 10 * 60_000;
const LOOK_MS = 50;
const HANDOVER_BYTES_MAX = 16 * 2 ** 20;
/** statfs(2) of a file system that is in memory. */
const TMPFS_MAGIC = 0x01021994;

export interface Granted {
  readonly env: Readonly<Record<string, string>>;
  /** When the block has ended: its files go. */
  release(): Promise<void>;
}

export class Secrets {
  readonly #values: ReadonlyMap<string, string>;
  readonly #needles: readonly Needle[];
  #grants = 0;

  constructor(values: ReadonlyMap<string, string>) {
    this.#values = values;
    this.#needles = needlesOf(values);
  }

  /** @throws AttemptFailure StageFailed when a file is asked for and `dir` is not in memory */
  async grant(grants: SecretGrants | undefined, dir: string, user: BlockUser | undefined): Promise<Granted> {
    const env: Record<string, string> = {};
    const home = join(dir, String(this.#grants++));
    for (const [name, { ref, as = 'env' }] of Object.entries(grants ?? {})) {
      const value = this.#values.get(ref);
      if (value === undefined) throw new AttemptFailure('StageFailed', `the secret ${ref} was not handed over`);
      env[name] = as === 'env' ? value : await this.#layFile(join(home, name), dir, home, value, user);
    }
    return { env, release: () => rm(home, { recursive: true, force: true }) };
  }

  async #layFile(path: string, dir: string, home: string, value: string, user: BlockUser | undefined): Promise<string> {
    const kind = await statfs(dir).catch(() => undefined);
    if (kind?.type !== TMPFS_MAGIC) {
      throw new AttemptFailure('StageFailed', `a secret as a file needs a tmpfs at ${dir}, and there is none`);
    }
    await mkdir(home, { recursive: true, mode: 0o711 });
    await writeFile(path, value, { flag: 'wx', mode: 0o400 });
    if (user !== undefined) await chown(path, user.uid, user.gid);
    return path;
  }

  /** For one stream of a block. */
  redactor(): Redactor {
    return new Redactor(this.#needles);
  }

  readonly redact = (text: string): string => redact(text, this.#needles);

  /** @throws AttemptFailure SecretInProduct */
  readonly refuse = (what: string, text: string | Uint8Array): void => {
    const ref = new Scanner(this.#needles).push(typeof text === 'string' ? Buffer.from(text) : text);
    if (ref !== undefined) throw inProduct(what, ref);
  };

  /** The chunks, as long as no secret is in them. @throws AttemptFailure SecretInProduct */
  async *scanned(what: string, chunks: AsyncIterable<Buffer>): AsyncGenerator<Buffer> {
    const scanner = new Scanner(this.#needles);
    for await (const chunk of chunks) {
      const ref = scanner.push(chunk);
      if (ref !== undefined) throw inProduct(what, ref);
      yield chunk;
    }
  }
}

function inProduct(what: string, ref: string): AttemptFailure {
  return new AttemptFailure('SecretInProduct', `${what} holds the secret ${ref}`);
}

/**
 * Fetches the values of `refs` from the controller.
 * @returns undefined when somebody else has this attempt. @throws Error when nobody hands them over in time
 */
export async function receiveSecrets(
  inDir: string,
  refs: readonly string[],
  isTaken: () => Promise<boolean>,
): Promise<Secrets | undefined> {
  if (refs.length === 0) return new Secrets(new Map());
  for (const giveUpAt = performance.now() + HANDOVER_MS; performance.now() < giveUpAt; await delay(LOOK_MS)) {
    const text = await received(inDir);
    if (text !== undefined) return new Secrets(parse(text, refs));
    if (await isTaken()) return undefined;
  }
  throw new Error('the secrets of the task were not handed over');
}

/** Undefined when nobody listens. */
async function received(inDir: string): Promise<string | undefined> {
  // Through an open directory: the whole path may be longer than the name of a socket can be.
  const dir = await open(inDir);
  try {
    const socket = connect(`/proc/self/fd/${dir.fd}/${SECRETS_SOCKET}`);
    let text = '';
    for await (const chunk of socket) {
      text += (chunk as Buffer).toString('latin1');
      if (text.length > HANDOVER_BYTES_MAX) throw new Error('the secrets of the task are too large');
    }
    return text === '' ? undefined : Buffer.from(text, 'latin1').toString();
  } catch (error) {
    if (['ENOENT', 'ECONNREFUSED', 'ECONNRESET'].includes((error as NodeJS.ErrnoException).code ?? ''))
      return undefined;
    throw error;
  } finally {
    await dir.close();
  }
}

function parse(text: string, refs: readonly string[]): ReadonlyMap<string, string> {
  const values: unknown = JSON.parse(text);
  return new Map(
    refs.map((ref) => {
      const value = isObject(values) && Object.hasOwn(values, ref) ? values[ref] : undefined;
      if (typeof value !== 'string') throw new Error('the secrets of the task are not those of its manifest');
      return [ref, value];
    }),
  );
}

/** Of a standalone task: `in/secrets/<name>`, percent-encoded. @throws Error for one that is not there */
export async function readSecrets(inDir: string, refs: readonly string[]): Promise<Secrets> {
  const entries = refs.map(async (ref) => {
    return [ref, await readFile(join(inDir, 'secrets', encodeSegment(ref)), 'utf8')] as const;
  });
  return new Secrets(new Map(await Promise.all(entries)));
}
