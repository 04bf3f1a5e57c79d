-- Schedules and what became of their slots. One transaction with the pass that decided it.
CREATE TABLE IF NOT EXISTS schedule (
  name    TEXT PRIMARY KEY,
  spec    TEXT NOT NULL,                  -- AdmittedSchedule
  digest  TEXT NOT NULL,                  -- of spec: declaring the same again changes nothing
  paused  INTEGER NOT NULL,
  seen_at INTEGER NOT NULL,               -- slots up to here are decided
  next_at INTEGER,                        -- the next slot; NULL while paused or removed
  actor   TEXT NOT NULL,
  removed INTEGER NOT NULL DEFAULT 0,     -- kept until readers are told
  changed INTEGER NOT NULL DEFAULT 1      -- counts changes since the last publication; 0: nothing to publish
) WITHOUT ROWID;
CREATE INDEX IF NOT EXISTS schedule_next ON schedule (next_at) WHERE next_at IS NOT NULL;
CREATE INDEX IF NOT EXISTS schedule_changed ON schedule (name) WHERE changed > 0;

CREATE TABLE IF NOT EXISTS schedule_slot (
  schedule   TEXT NOT NULL,
  slot       INTEGER NOT NULL,            -- ms; of a trigger: when it was asked for
  run_id     TEXT NOT NULL,
  outcome    TEXT NOT NULL,               -- due | submitted | rejected | skipped
  why        TEXT,
  actor      TEXT,                        -- who triggered it
  submission TEXT,                        -- file name under inbox/, unless it was skipped
  document   BLOB,                        -- the file, until it is answered
  PRIMARY KEY (schedule, slot)
) WITHOUT ROWID;
CREATE UNIQUE INDEX IF NOT EXISTS schedule_slot_due ON schedule_slot (submission) WHERE outcome = 'due';
