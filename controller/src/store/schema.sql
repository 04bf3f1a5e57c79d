-- Run-state. One writer (the controller), one transaction a pass. Evidence tables are in evidence.sql, in the same file.
CREATE TABLE IF NOT EXISTS meta (key TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID;

CREATE TABLE IF NOT EXISTS run (
  rn           INTEGER PRIMARY KEY,
  run_id       TEXT NOT NULL UNIQUE,
  queue        TEXT NOT NULL,
  spec         TEXT NOT NULL,             -- digest of the canonical submitted spec: the idempotency check
  plan         TEXT NOT NULL,             -- digest of spec.json, the admitted run
  labels       TEXT NOT NULL,
  actor        TEXT NOT NULL,
  submission   TEXT NOT NULL,             -- the file name it came in, for its receipt
  phase        TEXT NOT NULL,             -- running | succeeded | failed | cancelled
  cancelled    TEXT,                      -- why, once somebody cancelled the run
  open         INTEGER NOT NULL,          -- items that are not terminal
  submitted_at INTEGER NOT NULL,
  finished_at  INTEGER,
  sealed_at    INTEGER,
  spec_written INTEGER NOT NULL DEFAULT 0,
  paused       INTEGER NOT NULL DEFAULT 0,
  open_ended   INTEGER NOT NULL DEFAULT 0, -- 1: takes extensions, and does not complete, until it is closed
  exits        INTEGER NOT NULL DEFAULT 0, -- onExit items that wait for all the others
  timeout_ms   INTEGER,                   -- the run's own timeout
  due_at       INTEGER,                   -- end of it; NULL while it is paused
  left_ms      INTEGER,                   -- what was left until due_at when it was paused
  tag          INTEGER NOT NULL,          -- the last place that one of its items took in the queue
  changed      INTEGER NOT NULL DEFAULT 1, -- counts changes since the last publication; 0: nothing to publish
  patterned    INTEGER NOT NULL DEFAULT 0, -- 1: it has a pattern
  retry_of     TEXT
);
CREATE INDEX IF NOT EXISTS run_open ON run (rn) WHERE finished_at IS NULL OR sealed_at IS NULL OR changed > 0;

CREATE INDEX IF NOT EXISTS run_due ON run (due_at) WHERE due_at IS NOT NULL AND finished_at IS NULL;
CREATE INDEX IF NOT EXISTS run_unsealed ON run (rn) WHERE finished_at IS NOT NULL AND sealed_at IS NULL;

-- Declared queues, as kind: Queue has them. The default queue exists without one, and without a spec when it is only paused.
-- paused_by: who paused it; NULL while it goes on.
CREATE TABLE IF NOT EXISTS queue (name TEXT PRIMARY KEY, spec TEXT, paused_by TEXT) WITHOUT ROWID;

-- Kept by triggers, so that a status costs its phases and never its items.
CREATE TABLE IF NOT EXISTS run_count (rn INTEGER, phase TEXT, n INTEGER NOT NULL, PRIMARY KEY (rn, phase)) WITHOUT ROWID;

CREATE TABLE IF NOT EXISTS pipeline (sha256 TEXT PRIMARY KEY, spec TEXT NOT NULL) WITHOUT ROWID;

-- Patterns that runs have pinned (AdmittedPattern).
CREATE TABLE IF NOT EXISTS pattern (rn INTEGER PRIMARY KEY, spec TEXT NOT NULL);
-- What open-ended runs hand on (Inherited).
CREATE TABLE IF NOT EXISTS inherited (rn INTEGER PRIMARY KEY, spec TEXT NOT NULL);
-- Splitters whose map items split again: how many these are, and of how many the end is not known yet.
CREATE TABLE IF NOT EXISTS pattern_join (
  rn INTEGER, splitter TEXT, branches INTEGER NOT NULL, missing INTEGER NOT NULL, PRIMARY KEY (rn, splitter)
) WITHOUT ROWID;

CREATE TABLE IF NOT EXISTS item (
  iid         INTEGER PRIMARY KEY,
  rn          INTEGER NOT NULL,
  item_id     TEXT NOT NULL,
  queue       TEXT NOT NULL,
  spec        TEXT NOT NULL,              -- AdmittedItem
  phase       TEXT NOT NULL,
  reason      TEXT NOT NULL,
  message     TEXT,
  priority    INTEGER NOT NULL,
  tag         INTEGER NOT NULL DEFAULT 0, -- its place in the queue, fair between runs
  rank        INTEGER NOT NULL DEFAULT 0, -- tag, moved ahead by priority: lowest first
  ready_at    INTEGER,                    -- ms: since when it waits for nothing but a slot and its locks
  on_exit     INTEGER NOT NULL DEFAULT 0,
  attempt     INTEGER NOT NULL DEFAULT 0, -- attempts fired
  charged     INTEGER NOT NULL DEFAULT 0, -- failures on the item's own budget
  infra       INTEGER NOT NULL DEFAULT 0, -- failures on the infrastructure budget
  parks       INTEGER NOT NULL DEFAULT 0, -- times it was parked by a retry rule
  runnable    INTEGER NOT NULL DEFAULT 0, -- 1: ready and neither backing off nor blocked
  blocked_on  TEXT,                       -- the held lock, or the pause, it was last seen waiting for; reset on start
  due_at      INTEGER,                    -- ms: end of backoff or of the wait for a slot (ready), boot deadline (starting), timeout (running), kill (stop set), decision (waiting)
  left_ms     INTEGER,                    -- what was left until due_at when its run or queue was paused
  stop        TEXT,                       -- the reason its task was told to stop
  task        TEXT,                       -- task of the running attempt
  dispatch    TEXT,                       -- payload digest of that attempt's manifest
  statement   INTEGER,                    -- where that manifest is among the signed statements
  started_at  INTEGER,
  finished_at INTEGER,
  partial     INTEGER NOT NULL DEFAULT 0,
  red         INTEGER NOT NULL DEFAULT 0, -- 1: its last attempt succeeded, and a block with lens verify did not
  products    TEXT,                       -- {patch?: ProductRef, outputs: {path: ProductRef}}
  question    TEXT,                       -- NeedsInput, while it waits for an answer
  answer      TEXT,                       -- Answer to its last question, for its next attempts
  UNIQUE (rn, item_id)
);
CREATE INDEX IF NOT EXISTS item_ready ON item (queue, rank, iid) WHERE runnable = 1;
CREATE INDEX IF NOT EXISTS item_ready_long ON item (queue, ready_at, iid) WHERE runnable = 1;
CREATE INDEX IF NOT EXISTS item_blocked ON item (blocked_on, queue, rank, iid) WHERE blocked_on IS NOT NULL;
CREATE INDEX IF NOT EXISTS item_blocked_long ON item (blocked_on, queue, ready_at, iid) WHERE blocked_on IS NOT NULL;
CREATE INDEX IF NOT EXISTS item_order ON item (rn);
CREATE INDEX IF NOT EXISTS item_due ON item (due_at) WHERE due_at IS NOT NULL;
CREATE UNIQUE INDEX IF NOT EXISTS item_task ON item (task) WHERE task IS NOT NULL;

-- Dependencies of an item that are not satisfied yet. Apart from its row, which is large when it gathers thousands of others.
CREATE TABLE IF NOT EXISTS waits (iid INTEGER PRIMARY KEY, unmet INTEGER NOT NULL);
-- What items that are done have yielded, one by one: what one of thousands is asked for does not read the others.
CREATE TABLE IF NOT EXISTS product (
  iid INTEGER, output TEXT, sha256 TEXT NOT NULL, PRIMARY KEY (iid, output)
) WITHOUT ROWID;

-- rule: how src has to end for dst: done | failed | always. any: one of the edges of dst with the same grp has to be done.
CREATE TABLE IF NOT EXISTS edge (
  src INTEGER, dst INTEGER, grp TEXT NOT NULL, rule TEXT NOT NULL, PRIMARY KEY (src, dst, grp)
) WITHOUT ROWID;
-- The any-of groups that are not decided: how many of their sources still can be done.
CREATE TABLE IF NOT EXISTS edge_group (dst INTEGER, grp TEXT, undecided INTEGER NOT NULL, PRIMARY KEY (dst, grp)) WITHOUT ROWID;

-- Controls that took effect, so that one read twice after a crash does nothing twice.
CREATE TABLE IF NOT EXISTS control (id TEXT PRIMARY KEY, at INTEGER NOT NULL) WITHOUT ROWID;

CREATE TRIGGER IF NOT EXISTS item_added AFTER INSERT ON item BEGIN
  INSERT INTO run_count VALUES (new.rn, new.phase, 1) ON CONFLICT DO UPDATE SET n = n + 1;
END;
CREATE TRIGGER IF NOT EXISTS item_moved AFTER UPDATE OF phase ON item WHEN old.phase <> new.phase BEGIN
  UPDATE run_count SET n = n - 1 WHERE rn = old.rn AND phase = old.phase;
  INSERT INTO run_count VALUES (new.rn, new.phase, 1) ON CONFLICT DO UPDATE SET n = n + 1;
END;
