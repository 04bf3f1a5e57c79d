/** Takes in what was dropped under inbox/ and control/: read and checked in the background, applied by a pass. */
import { randomBytes } from 'node:crypto';
import { stat } from 'node:fs/promises';
import { canonicalBytes } from '@pangolin/contracts/canonical';
import { isPangolinError, messageOf } from '@pangolin/contracts/errors';
import { sha256 } from '@pangolin/contracts/digest';
import { casKey, CONTROL, INBOX, receiptKey } from '@pangolin/contracts/layout';
import { SPEC_BYTES_MAX, type AdmittedRun } from '@pangolin/contracts/run';
import { RUN_LOG_SCHEMA } from '@pangolin/contracts/run-log';
import type { Problem, Receipt } from '@pangolin/contracts/status';
import { actorOfSubmission } from '@pangolin/contracts/submission';
import { formatTime } from '@pangolin/contracts/units';
import type { ObjectStore } from '@pangolin/storage/object-store';
import { applyControl, readControl, type ReadControl } from './controls.ts';
import { addItems } from './dependencies.ts';
import { ENGINE, type Engine } from './engine.ts';
import { mapBounded } from './bounded.ts';
import type { Pass } from './pass.ts';

const ADMIT_PARALLEL = 4;
/** A file that was written to this recently may still be growing. */
const SETTLE_MS = 250;

export type AdmitResult =
  | { readonly ok: true; readonly run: AdmittedRun }
  | { readonly ok: false; readonly run?: string; readonly problems: readonly Problem[] };

/** Reads, validates and pins one submitted file. */
export type Admit = (bytes: Buffer, file: string) => Promise<AdmitResult>;

interface Dropped {
  readonly key: string;
  /** File name under its prefix. */
  readonly name: string;
  readonly sha256: string;
  readonly actor: string;
}
type Submission =
  | (Dropped & { readonly kind: 'run'; readonly run: AdmittedRun; readonly plan: string })
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
      this.#ready.push(submission);
      engine.wake();
    } catch (error) {
      if (isPangolinError(error, 'NOT_FOUND')) return this.#release(key, false);
      engine.log.warn({ key, err: error }, `a submission could not be read yet: ${messageOf(error)}`);
      this.#later(engine, key);
    }
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
        of: 'Run',
        ...dropped,
        problems: result.problems,
        ...(result.run !== undefined && { run: result.run }),
      };
    }
    // Both are named by digests in the run log, so they are durable before it is.
    const spec = canonicalBytes(result.run);
    const plan = sha256(spec);
    await this.#store.put(casKey(dropped.sha256), bytes);
    await this.#store.put(casKey(plan), spec);
    return { kind: 'run', ...dropped, run: result.run, plan };
  }
}

/** Applies what was read, inside the transaction. */
export async function applySubmissions(pass: Pass, submissions: readonly Submission[]): Promise<void> {
  for (const submission of submissions) {
    let receipt: Partial<Receipt> & Pick<Receipt, 'verdict'> = internalError(submission.name);
    await pass.guard({ submission: submission.name }, async () => {
      if (submission.kind === 'run') receipt = admitRun(pass, submission);
      else if (submission.kind === 'control') receipt = await applyControl(pass, submission.control, submission.name);
      else
        receipt = {
          verdict: 'rejected',
          kind: submission.of,
          errors: submission.problems,
          ...(submission.run !== undefined && { run: submission.run }),
        };
    });
    const whole: Receipt = {
      schema: 'receipt/1',
      submission: submission.name,
      sha256: submission.sha256,
      at: formatTime(pass.now),
      kind: submission.kind === 'control' ? 'Control' : 'Run',
      actor: submission.actor,
      errors: [],
      ...receipt,
    };
    pass.engine.log.info({ submission: whole.submission, run: whole.run, verdict: whole.verdict }, 'submission');
    const { admission } = pass.engine;
    // Crash before this: the file is read again, and the run that exists answers it the same way.
    pass.effects.push({ kind: 'acknowledge', done: () => admission.acknowledge(submission, whole) });
  }
}

const internalError = (name: string): Pick<Receipt, 'verdict' | 'errors'> => ({
  verdict: 'rejected',
  errors: [{ file: name, path: '', code: 'Internal', message: 'the controller could not apply it; its log says why' }],
});

function admitRun(
  pass: Pass,
  submission: Extract<Submission, { kind: 'run' }>,
): Partial<Receipt> & Pick<Receipt, 'verdict'> {
  const { state } = pass.engine;
  const { run } = submission;
  const existing = state.run(run.id);
  if (existing?.spec === run.spec) {
    const again = existing.submission !== submission.name;
    return { verdict: 'accepted', run: run.id, ...(again && { duplicate: true }) };
  }
  if (existing) {
    const problem: Problem = {
      file: submission.name,
      path: '',
      code: 'Conflict',
      message: `a run ${run.id} with another spec exists`,
      hint: 'The run id is the idempotency key; give the changed spec a new one.',
    };
    return { verdict: 'rejected', run: run.id, errors: [problem] };
  }
  insertRun(pass, {
    run,
    plan: submission.plan,
    actor: submission.actor,
    submission: submission.name,
    submissionDigest: submission.sha256,
  });
  return { verdict: 'accepted', run: run.id };
}

/** Admits a run: its rows and the first entry of its log. */
export function insertRun(
  pass: Pass,
  entry: {
    readonly run: AdmittedRun;
    readonly plan: string;
    readonly actor: string;
    readonly submission: string;
    readonly submissionDigest?: string;
    readonly retryOf?: string;
  },
): void {
  const { state, evidence, logOrigin, memory } = pass.engine;
  const run = state.insertRun({ ...entry, at: pass.now, tag: memory.queues.get(entry.run.queue).tag });
  state.addPipelines(entry.run.pipelines);
  addItems(pass, run, entry.run.items);
  const after = evidence.lastCheckpoint();
  pass.event(
    entry.run.id,
    {
      kind: 'run.submitted',
      schema: RUN_LOG_SCHEMA,
      logOrigin,
      plan: { sha256: entry.plan },
      ...(entry.submissionDigest !== undefined && { submission: { sha256: entry.submissionDigest } }),
      nonce: randomBytes(16).toString('hex'),
      ...(after && { after: { size: after.size, root: after.root } }),
      engine: ENGINE,
    },
    entry.actor,
  );
}
