-- Evidence (evidence.md §3.11). Rows are only ever added, except for the progress of a seal.

-- One canonical JSON line an event: the leaves of the run's tree.
CREATE TABLE IF NOT EXISTS run_event (
  run_id TEXT NOT NULL, seq INTEGER NOT NULL, line BLOB NOT NULL, PRIMARY KEY (run_id, seq)
) WITHOUT ROWID;

-- Where a run's tree ends: what appending needs. `closed` after run.completed: no event follows it.
CREATE TABLE IF NOT EXISTS run_tree (
  run_id TEXT PRIMARY KEY, size INTEGER NOT NULL, frontier BLOB NOT NULL, last_at INTEGER NOT NULL, closed INTEGER NOT NULL
) WITHOUT ROWID;

-- Signed statements, one canonical DSSE envelope each. Only ever appended to, index included: one that is by digest writes pages all over the file.
CREATE TABLE IF NOT EXISTS statement (sn INTEGER PRIMARY KEY, run_id TEXT NOT NULL, envelope BLOB NOT NULL);
CREATE INDEX IF NOT EXISTS statement_run ON statement (run_id);

-- The deployment's log. `ref` says what the leaf is for, so that a repeated append finds its first one.
CREATE TABLE IF NOT EXISTS log_leaf (idx INTEGER PRIMARY KEY, body BLOB NOT NULL, ref TEXT NOT NULL UNIQUE);

-- Its hashes at every eighth level (0 = leaves): the contents of the tiles, and all that proofs need.
CREATE TABLE IF NOT EXISTS log_hash (
  level INTEGER NOT NULL, idx INTEGER NOT NULL, hash BLOB NOT NULL, PRIMARY KEY (level, idx)
) WITHOUT ROWID;

-- Every checkpoint ever signed: one root for one size.
CREATE TABLE IF NOT EXISTS log_checkpoint (size INTEGER PRIMARY KEY, root BLOB NOT NULL, note TEXT NOT NULL);

-- Every form that a checkpoint's note had once a witness cosigned it, by digest: a run names the one that it was opened after.
CREATE TABLE IF NOT EXISTS log_note (sha256 TEXT PRIMARY KEY, note TEXT NOT NULL) WITHOUT ROWID;

-- The newest size that each witness has signed.
CREATE TABLE IF NOT EXISTS witness (name TEXT PRIMARY KEY, size INTEGER NOT NULL) WITHOUT ROWID;

-- The newest checkpoint that each anchor keeps.
CREATE TABLE IF NOT EXISTS checkpoint_anchor (anchor TEXT PRIMARY KEY, size INTEGER NOT NULL) WITHOUT ROWID;

-- Heads of runs that go on. `log_index` is null until the head is in the log, `checkpoint_size` until a published checkpoint covers it.
CREATE TABLE IF NOT EXISTS run_head (
  run_id TEXT NOT NULL, size INTEGER NOT NULL, root TEXT NOT NULL, at INTEGER NOT NULL, envelope BLOB NOT NULL,
  public_key BLOB NOT NULL, log_index INTEGER, checkpoint_size INTEGER, PRIMARY KEY (run_id, size)
) WITHOUT ROWID;
CREATE INDEX IF NOT EXISTS run_head_waiting ON run_head (run_id, size) WHERE checkpoint_size IS NULL;
CREATE INDEX IF NOT EXISTS run_open ON run_tree (run_id) WHERE closed = 0;

-- One seal a run, and how far it has come. `tokens` is JSON, authority → base64 of its RFC 3161 response.
CREATE TABLE IF NOT EXISTS seal (
  sn INTEGER PRIMARY KEY, run_id TEXT NOT NULL UNIQUE, stage TEXT NOT NULL,
  payload BLOB, sig BLOB, keyid TEXT, public_key BLOB, tokens TEXT, log_index INTEGER, checkpoint_size INTEGER
);
CREATE INDEX IF NOT EXISTS seal_waiting ON seal (stage, sn) WHERE stage <> 'sealed';
