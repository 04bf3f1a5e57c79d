/** Publishes the deployment's log as C2SP tlog-tiles under `log/`, and refuses to fork it. */
import { sha256 } from '@pangolin/contracts/digest';
import { PangolinError } from '@pangolin/contracts/errors';
import {
  formatCheckpoint,
  formatNote,
  noteKeyId,
  NOTE_BYTES_MAX,
  parseCheckpoint,
  parseNote,
  verifyNote,
  type Checkpoint,
} from '@pangolin/contracts/note';
import { encodeEntries, TILE_WIDTH, tilePath, tilesBetween, type Tile } from '@pangolin/contracts/tlog';
import type { ObjectStore } from '@pangolin/storage/object-store';
import type { EvidenceStore } from '../store/evidence.ts';
import type { StoredCheckpoint } from '../store/log.ts';
import type { Keys, LogSigner } from './keys.ts';
import { putOnce } from './put-once.ts';

interface Published extends Checkpoint {
  readonly note: string;
  readonly etag: string;
}

export class LogPublisher {
  readonly #evidence: EvidenceStore;
  readonly #store: ObjectStore;
  readonly #signer: LogSigner;
  readonly #prefix: string;
  readonly #checkpoint: string;

  constructor(evidence: EvidenceStore, store: ObjectStore, { log: signer, logPrefix }: Keys) {
    this.#evidence = evidence;
    this.#store = store;
    this.#signer = signer;
    this.#prefix = logPrefix;
    this.#checkpoint = `${logPrefix}checkpoint`;
  }

  /**
   * That database, keys and storage belong to one log, and that the database knows everything that was published.
   * @throws PangolinError CONFLICT when going on would fork the log; INTEGRITY when the database contradicts itself.
   */
  async check(): Promise<void> {
    const { log } = this.#evidence;
    const last = log.lastCheckpoint();
    if (last) {
      this.#read(last.note, 'the newest checkpoint of the database');
      if (log.size() < last.size || !log.root(last.size).equals(last.root)) {
        throw new PangolinError('INTEGRITY', 'the log in the database is not the one that was signed', {
          hint: 'The database is damaged; restore it from a backup that is as new as the storage.',
        });
      }
    }
    await this.#published();
  }

  /** Brings tiles and checkpoint up to the log in the database. Repeatable at any point. */
  async publish(): Promise<StoredCheckpoint> {
    const { log } = this.#evidence;
    const published = await this.#published();
    const size = log.size();
    // From what is published, not from what was signed: tiles that got lost come back.
    await this.#writeTiles(published?.size ?? 0, size);
    // Crash here: tiles that no checkpoint covers yet. The next try finds them equal.
    const checkpoint = log.checkpoint(size) ?? (await this.#sign(size));
    // Crash here: signed but not published. The next try publishes the same note.
    if (published?.note !== checkpoint.note) {
      await this.#store.put(
        this.#checkpoint,
        checkpoint.note,
        published ? { ifMatch: published.etag } : { ifAbsent: true },
      );
    }
    return checkpoint;
  }

  async #writeTiles(from: number, to: number): Promise<void> {
    for (const tile of tilesBetween(from, to)) {
      const bytes = this.#tileBytes(tile);
      const key = `${this.#prefix}${tilePath(tile)}`;
      await putOnce(this.#store, key, sha256(bytes), () => bytes);
      // A checkpoint over tiles that nobody can read would be for good.
      if (!(await this.#store.get(key)).equals(bytes)) {
        throw new PangolinError('INTEGRITY', `the storage returns other bytes for ${key} than were written`);
      }
    }
  }

  #tileBytes({ level, index, width }: Tile): Buffer {
    const { log } = this.#evidence;
    return level === 'entries' ? encodeEntries(log.leaves(index * TILE_WIDTH, width)) : log.tile(level, index, width);
  }

  async #sign(size: number): Promise<StoredCheckpoint> {
    const { log } = this.#evidence;
    const { note: key } = this.#signer;
    const root = log.root(size);
    const text = formatCheckpoint({ origin: key.name, size, root });
    const signature = await this.#signer.sign(Buffer.from(text, 'utf8'));
    const note = formatNote({ text, signatures: [{ name: key.name, keyId: noteKeyId(key), signature }] });
    const checkpoint = { size, root, note };
    await this.#evidence.transact(() => log.addCheckpoint(checkpoint));
    return checkpoint;
  }

  /** What the storage holds, after a check that the database holds at least as much of the same log. */
  async #published(): Promise<Published | undefined> {
    const { log } = this.#evidence;
    const info = await this.#store.head(this.#checkpoint);
    if (!info) return undefined;
    const note = (await this.#store.get(this.#checkpoint, { maxBytes: NOTE_BYTES_MAX })).toString('utf8');
    const published = this.#read(note, this.#checkpoint);
    const known = published.size <= log.size();
    if (!known || !log.root(published.size).equals(published.root)) {
      throw new PangolinError(
        'CONFLICT',
        known
          ? `the storage has another log of ${published.size} entries than the database`
          : `the storage has a log of ${published.size} entries, the database only ${log.size()}`,
        {
          hint: 'Going on would fork the log. Serve with the newest database; if there is none, `pangolin key new-origin` begins a new log.',
        },
      );
    }
    return { ...published, note, etag: info.etag };
  }

  /** @throws PangolinError CONFLICT unless it is a checkpoint of our log under our key. */
  #read(text: string, what: string): Checkpoint {
    const { note: key } = this.#signer;
    try {
      const { text: signed, signatures } = parseNote(text);
      const checkpoint = parseCheckpoint(signed);
      if (checkpoint.origin === key.name && signatures.some((one) => verifyNote(signed, one, key))) return checkpoint;
    } catch (cause) {
      throw new PangolinError('CONFLICT', `${what} is not a signed checkpoint`, { cause, hint: KEYS_HINT });
    }
    throw new PangolinError('CONFLICT', `${what} is not signed by the log ${key.name} of these keys`, {
      hint: KEYS_HINT,
    });
  }
}

const KEYS_HINT =
  'Keys, database and storage prefix belong together: put back the ones that were used here before. If they are lost, `pangolin key new-origin` begins a new log beside the old one.';
