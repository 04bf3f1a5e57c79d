/** Takes in what was dropped under inbox/ and control/: read and checked in the background, applied by a pass. */
import { stat } from 'node:fs/promises';
import { canonicalBytes } from '@pangolin/contracts/canonical';
import { isPangolinError, messageOf } from '@pangolin/contracts/errors';
import { sha256 } from '@pangolin/contracts/digest';
import { casKey, CONTROL, INBOX, receiptKey } from '@pangolin/contracts/layout';
import type { AdmittedQueue } from '@pangolin/contracts/queue';
import type { AdmittedSchedule } from '@pangolin/contracts/schedule';
import type { AdmittedRun, Extension } from '@pangolin/contracts/admitted-run';
import { SPEC_BYTES_MAX } from '@pangolin/contracts/run';
import type { Problem, Receipt } from '@pangolin/contracts/status';
import { actorOfSubmission } from '@pangolin/contracts/submission';
import type { ObjectStore } from '@pangolin/storage/object-store';
import { readControl, type ReadControl } from './controls.ts';
import type { Engine } from './engine.ts';
import { mapBounded } from '@pangolin/contracts/map-bounded';

const ADMIT_PARALLEL = 16;
/** A file that was written to this recently may still be growing. */
const SETTLE_MS = 250;
/** How often a run of an unknown queue, say, is looked at while other files are on their way in. */
const LOOKS_MAX = 4;
const COMES_LATER: ReadonlySet<string> = new Set(['UnknownQueue', 'NotFound']);

/** What a file under inbox/ can be, checked and pinned. */
export type Document =
  | { readonly kind: 'Run'; readonly run: AdmittedRun }
  | { readonly kind: 'Queue'; readonly name: string; readonly queue: AdmittedQueue; readonly paused?: boolean }
  | {
      readonly kind: 'Schedule';
      readonly name: string;
      readonly schedule: AdmittedSchedule;
      readonly digest: string;
      readonly paused?: boolean;
    }
  /** Items for an open-ended run. */
  | { readonly kind: 'Extension'; readonly run: string; readonly extension: Extension };

export type AdmitResult =
  | { readonly ok: true; readonly document: Document }
  | {
      readonly ok: false;
      readonly of: Document['kind'];
      readonly run?: string;
      readonly problems: readonly Problem[];
    };

/** Reads, validates and pins one submitted file. */
export type Admit = (bytes: Buffer, file: string) => Promise<AdmitResult>;

interface Dropped {
  readonly key: string;
  /** File name under its prefix. */
  readonly name: string;
  readonly sha256: string;
  readonly actor: string;
}
export type Submission =
  /** \`plan\`: of a Run, the digest of its admitted spec. */
  | (Dropped & { readonly kind: 'document'; readonly document: Document; readonly plan: string | undefined })
  | (Dropped & { readonly kind: 'control'; readonly control: ReadControl })
  | (Dropped & {
      readonly kind: 'rejected';
      readonly of: Receipt['kind'];
      readonly run?: string;
      readonly problems: readonly Problem[];
    });

export class Admission {
  readonly #store: ObjectStore;
  readonly #admit: Admit;
  readonly #changed = new Set<string>([INBOX, CONTROL]);
  /** Keys that are being read, or read and not acknowledged yet. */
  readonly #taken = new Set<string>();
  /** File → how often it has been read for something that was not there. */
  readonly #looks = new Map<string, number>();
  #ready: Submission[] = [];

  constructor(store: ObjectStore, admit: Admit) {
    this.#store = store;
    this.#admit = admit;
  }

  /** Something under `prefix` may be new. */
  hint(prefix: string): void {
    this.#changed.add(prefix);
  }

  /** Nothing is dropped, being read or waiting for a pass, as far as is known. */
  get idle(): boolean {
    return this.#changed.size === 0 && this.#taken.size === 0;
  }

  /** Starts reading what is new. Wakes the engine when something is ready for a pass. */
  async scan(engine: Engine): Promise<void> {
    for (const prefix of [...this.#changed]) {
      this.#changed.delete(prefix);
      try {
        const keys = await this.#newKeys(prefix);
        for (const key of keys) this.#taken.add(key);
        void mapBounded(keys, ADMIT_PARALLEL, (key) => this.#read(engine, prefix, key));
      } catch (error) {
        this.hint(prefix);
        throw error;
      }
    }
  }

  /** Names that start with a dot are somebody's temporary files and are left alone. */
  async #newKeys(prefix: string): Promise<string[]> {
    const keys: string[] = [];
    for (let after: string | undefined; ;) {
      const page = await this.#store.list(prefix, after === undefined ? {} : { after });
      for (const { key } of page.objects) {
        if (!key.slice(prefix.length).startsWith('.') && !this.#taken.has(key)) keys.push(key);
      }
      after = page.next;
      if (after === undefined) return keys;
    }
  }

  drain(): Submission[] {
    const ready = this.#ready;
    this.#ready = [];
    return ready;
  }

  /** For the next pass: this one has failed, and with it whatever it did about them. */
  putBack(submissions: readonly Submission[]): void {
    this.#ready.unshift(...submissions);
  }

  /** The file is dealt with: receipt written, then removed unless it was replaced meanwhile. */
  async acknowledge(submission: Dropped, receipt: Receipt): Promise<void> {
    let again = true;
    try {
      await this.#store.put(receiptKey(submission.name), JSON.stringify(receipt, null, 2) + '\n');
      const now = await this.#store.head(submission.key);
      again = now !== undefined && now.sha256 !== submission.sha256;
      if (!again) await this.#store.delete(submission.key);
    } finally {
      this.#release(submission.key, again);
    }
  }

  #release(key: string, again: boolean): void {
    this.#taken.delete(key);
    if (again) this.hint(key.startsWith(INBOX) ? INBOX : CONTROL);
  }

  async #read(engine: Engine, prefix: string, key: string): Promise<void> {
    try {
      if (prefix === INBOX && !(await this.#settled(key))) return this.#later(engine, key);
      const submission = await this.#understand(prefix, key);
      if (this.#mayComeLater(submission)) return this.#later(engine, key);
      this.#ready.push(submission);
      engine.wake();
    } catch (error) {
      if (isPangolinError(error, 'NOT_FOUND')) return this.#release(key, false);
      engine.log.warn({ key, err: error }, `a submission could not be read yet: ${messageOf(error)}`);
      this.#later(engine, key);
    }
  }

  /** What is dropped together is read in any order: a queue is declared before its runs are judged, and a run before its extensions. */
  #mayComeLater(submission: Submission): boolean {
    const { key } = submission;
    const looks = this.#looks.get(key) ?? 0;
    const isUnknown = submission.kind === 'rejected' && submission.problems.some(({ code }) => COMES_LATER.has(code));
    // Once in any case: it may have come while this file was read.
    if (!isUnknown || looks >= LOOKS_MAX || (looks > 0 && this.#taken.size === 1)) {
      this.#looks.delete(key);
      return false;
    }
    this.#looks.set(key, looks + 1);
    return true;
  }

  #later(engine: Engine, key: string): void {
    // Stays taken, so that the controller does not count as idle, and is looked at again.
    setTimeout(() => {
      this.#release(key, true);
      engine.wake();
    }, SETTLE_MS);
  }

  /** A local file dropped by a copy appears before it is whole. */
  async #settled(key: string): Promise<boolean> {
    const path = this.#store.localPath(key);
    if (path === undefined || actorOfSubmission(key.slice(INBOX.length)) !== undefined) return true;
    const { mtimeMs } = await stat(path);
    return Math.abs(Date.now() - mtimeMs) >= SETTLE_MS;
  }

  async #understand(prefix: string, key: string): Promise<Submission> {
    const name = key.slice(prefix.length);
    let bytes: Buffer;
    try {
      bytes = await this.#store.get(key, { maxBytes: SPEC_BYTES_MAX });
    } catch (error) {
      if (!isPangolinError(error, 'TOO_LARGE')) throw error;
      const digest = (await this.#store.head(key))?.sha256 ?? sha256('');
      const problem = {
        file: name,
        path: '',
        code: 'TooLarge',
        message: error.message,
        hint: `At most ${SPEC_BYTES_MAX} bytes.`,
      };
      return {
        kind: 'rejected',
        of: 'unknown',
        key,
        name,
        sha256: digest,
        actor: 'service:inbox',
        problems: [problem],
      };
    }
    const dropped = { key, name, sha256: sha256(bytes), actor: actorOfSubmission(name) ?? 'service:inbox' };
    if (prefix === CONTROL) {
      const control = readControl(bytes, name);
      if ('problems' in control) return { kind: 'rejected', of: 'Control', ...dropped, problems: control.problems };
      return { kind: 'control', ...dropped, control, actor: control.actor };
    }
    const result = await this.#admit(bytes, name);
    if (!result.ok) {
      return {
        kind: 'rejected',
        of: result.of,
        ...dropped,
        problems: result.problems,
        ...(result.run !== undefined && { run: result.run }),
      };
    }
    const { document } = result;
    if (document.kind !== 'Run') return { kind: 'document', ...dropped, document, plan: undefined };
    // Both are named by digests in the run log, so they are durable before it is.
    const spec = canonicalBytes(document.run);
    const plan = sha256(spec);
    await this.#store.put(casKey(dropped.sha256), bytes);
    await this.#store.put(casKey(plan), spec);
    return { kind: 'document', ...dropped, document, plan };
  }
}
