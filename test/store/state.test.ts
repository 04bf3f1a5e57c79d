import assert from 'node:assert/strict';
import { mkdtempSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import Database from 'better-sqlite3';
import { StateStore } from '@pangolin/controller/store/state';

test('a state of another layout is refused and left as it is', () => {
  const path = join(mkdtempSync(join(tmpdir(), 'pangolin-state-')), 'state.db');
  new StateStore(path).close();
  const db = new Database(path);
  const tables = db.prepare('SELECT sql FROM sqlite_schema').all();
  db.pragma('user_version = 0');
  db.close();

  assert.throws(() => new StateStore(path), { code: 'UNSUPPORTED', message: /state\.db has layout 0/ });

  const after = new Database(path);
  assert.deepEqual(after.prepare('SELECT sql FROM sqlite_schema').all(), tables);
  assert.equal(after.pragma('user_version', { simple: true }), 0);
  after.close();
});

test('a state of our own layout opens again', () => {
  const path = join(mkdtempSync(join(tmpdir(), 'pangolin-state-')), 'state.db');
  new StateStore(path).close();
  new StateStore(path).close();
});

test('what is no run-state is refused by its name, with a way out', () => {
  const dir = mkdtempSync(join(tmpdir(), 'pangolin-state-'));
  const path = join(dir, 'state.db');
  writeFileSync(path, 'not a database, but long enough to be taken for one when it is opened');
  assert.throws(() => new StateStore(path), { code: 'INTEGRITY', message: /state\.db is damaged/ });
  assert.throws(() => new StateStore(dir), { code: 'DENIED', message: /cannot be written/ });
});
