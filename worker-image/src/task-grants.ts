/** What this task may read and write, kept fresh while it runs. */
import { createReadStream } from 'node:fs';
import { readFile } from 'node:fs/promises';
import { isAbsolute, join } from 'node:path';
import type { AttemptGrant, Grant, Grants } from '@pangolin/contracts/task';
import { isObject } from './check-pipeline.ts';
import { AttemptFailure, ManifestRejected } from './failure.ts';
import { patiently, StoreClient } from './store-client.ts';

const GRANTS_BYTES_MAX = 8 * 2 ** 20;
/** Between looks for newer grants when none have come. */
const LOOK_MS = { least: 500, most: 60_000 };

export class TaskGrants {
  readonly client: StoreClient;
  readonly #inDir: string;
  #grants: Grants;
  #timer: NodeJS.Timeout | undefined;
  #renewing: Promise<boolean> | undefined;

  constructor(inDir: string, client: StoreClient, grants: Grants) {
    this.#inDir = inDir;
    this.client = client;
    this.#grants = grants;
    this.#schedule();
  }

  get current(): Grants {
    return this.#grants;
  }

  /** Of the attempt prefix, where it is not a directory here. */
  get attempt(): AttemptGrant | undefined {
    return this.#grants.attempt;
  }

  /** The bytes behind a grant, once through. @throws AttemptFailure for a path that leaves the input directory */
  async *read(grant: Grant, signal?: AbortSignal): AsyncGenerator<Uint8Array> {
    if ('url' in grant) return yield* this.client.read(grant.url, signal);
    const { path } = grant;
    if (isAbsolute(path) || path.includes('\0') || path.split('/').includes('..')) {
      throw new AttemptFailure('StageFailed', 'a grant leaves the input directory');
    }
    yield* createReadStream(join(this.#inDir, path), { highWaterMark: 2 ** 20 });
  }

  /** As `patiently`, with newer grants as soon as there are any. */
  async patiently<T>(once: () => Promise<T>, signal?: AbortSignal): Promise<T> {
    return await patiently(once, { signal, renew: () => this.renew() });
  }

  /** Looks for newer grants. @returns whether there are some, or they are due because these have ended */
  async renew(): Promise<boolean> {
    this.#renewing ??= this.#renew().finally(() => (this.#renewing = undefined));
    return await this.#renewing;
  }

  stop(): void {
    clearTimeout(this.#timer);
    this.#timer = undefined;
  }

  async #renew(): Promise<boolean> {
    const { renewed, expiresAt } = this.#grants;
    if (renewed === undefined || expiresAt === undefined) return false;
    const newer = await this.#readNewer(renewed).catch(() => undefined);
    if (newer?.expiresAt === undefined || newer.expiresAt <= expiresAt) return endOf(this.#grants) <= Date.now();
    this.#grants = newer;
    this.#schedule();
    return true;
  }

  async #readNewer(grant: Grant): Promise<Grants> {
    const bytes =
      'url' in grant
        ? await this.client.download(grant.url, GRANTS_BYTES_MAX)
        : await readFile(join(this.#inDir, grant.path));
    return checkGrants(JSON.parse(bytes.toString('utf8')));
  }

  /** They are looked for at half of the time that is left, again and again. */
  #schedule(): void {
    this.stop();
    if (this.#grants.renewed === undefined) return;
    const left = endOf(this.#grants) - Date.now();
    const timer = setTimeout(
      () => void this.renew().finally(() => this.#timer === timer && this.#schedule()),
      Math.min(Math.max(left / 2, LOOK_MS.least), left > 2 * LOOK_MS.most ? left / 2 : LOOK_MS.most, 2 ** 31 - 1),
    );
    this.#timer = timer.unref();
  }
}

const endOf = ({ expiresAt }: Grants): number => (expiresAt === undefined ? Infinity : Date.parse(expiresAt));

/** @throws ManifestRejected */
export function checkGrants(value: unknown): Grants {
  must(isObject(value) && isObject(value['inputs']), 'task.json has no grants');
  const { attempt, expiresAt, renewed } = value;
  must(attempt === undefined || isAttemptGrant(attempt), 'the grant for the attempt prefix is malformed');
  must(expiresAt === undefined || Number.isFinite(Date.parse(String(expiresAt))), 'the end of the grants is malformed');
  if (renewed !== undefined) checkGrant(renewed, 'newer grants');
  return value as unknown as Grants;
}

/** @throws ManifestRejected */
export function checkGrant(grant: unknown, what: string): Grant {
  must(isObject(grant), `task.json grants no access to ${what}`);
  const { path, url } = grant;
  if (typeof path === 'string' && url === undefined) return { path };
  must(typeof url === 'string' && path === undefined, `the grant for ${what} is malformed`);
  return { url };
}

function isAttemptGrant(value: unknown): boolean {
  if (!isObject(value)) return false;
  const { boot, bootRead, files } = value;
  if (!isObject(boot) || !isObject(bootRead) || !isObject(files)) return false;
  return (
    [boot['url'], bootRead['url'], files['url'], files['keyPrefix']].every((text) => typeof text === 'string') &&
    isStrings(boot['headers']) &&
    isStrings(files['fields']) &&
    Number.isSafeInteger(files['maxBytes'])
  );
}

const isStrings = (value: unknown): boolean =>
  isObject(value) && Object.values(value).every((text) => typeof text === 'string');

function must(condition: boolean, message: string): asserts condition {
  if (!condition) throw new ManifestRejected(message);
}
