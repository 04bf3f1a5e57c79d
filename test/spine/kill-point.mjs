/**
 * Preloaded into a controller (`NODE_OPTIONS=--import`), so that it dies by SIGKILL at a chosen one of its own effects: a
 * commit, a write into the storage, a process it spawns, a call of the Docker API, a question to those who vouch from outside. The
 * product knows nothing of it.
 *
 *     PANGOLIN_TEST_KILL=write:status#2:before   right before the second one; `after`: right after it; on S3 `put:status`
 *     PANGOLIN_TEST_KILL=commit:item.answered#1:before   the first commit that holds such an event, or what has none: an
 *                                                        item that is `WaitingForApproval` or the like
 *     PANGOLIN_TEST_CLOCK_MS=3600000             its clock is an hour ahead
 *     PANGOLIN_TEST_POINTS=FILE                  writes down every point that is passed
 */
import { createRequire, syncBuiltinESMExports } from 'node:module';
import { appendFileSync, readlinkSync } from 'node:fs';

const require = createRequire(new URL('../../controller/src/serve.ts', import.meta.url));
const kill = /^(.+)#(\d+):(before|after)$/.exec(process.env.PANGOLIN_TEST_KILL ?? '');
const record = process.env.PANGOLIN_TEST_POINTS;
const counts = new Map();

const aheadMs = Number(process.env.PANGOLIN_TEST_CLOCK_MS ?? 0);
const realNow = Date.now;
Date.now = () => realNow() + aheadMs;

/** Counts a point. Answers whether the controller dies after it; when it dies before it, nothing is answered any more. */
function reach(label) {
  const count = (counts.get(label) ?? 0) + 1;
  counts.set(label, count);
  if (record) appendFileSync(record, `${label}\n`);
  const here = kill !== null && kill[1] === label && Number(kill[2]) === count;
  if (here && kill[3] === 'before') die();
  return here;
}

function die() {
  process.kill(process.pid, 'SIGKILL');
}

function around(owner, name, labelOf) {
  const original = owner[name];
  owner[name] = function (...args) {
    const label = labelOf(...args);
    const last = label !== undefined && reach(label);
    const result = Reflect.apply(original, this, args);
    if (!last) return result;
    if (typeof result?.then !== 'function') return die();
    return result.then(die);
  };
}

/** Which kind of object a path is; the folder store names directories by descriptor. */
function objectOf(path) {
  const real = String(path).replace(/^\/proc\/self\/fd\/\d+/, (fd) => readlinkSync(fd));
  const kinds = [
    [/\/controller\/lease\.json$/, 'lease'],
    [/\/cas\/sha256\//, 'product'],
    [/\/receipts\//, 'receipt'],
    [/\/inbox\//, 'inbox'],
    [/\/control\//, 'control'],
    [/\/schedules\//, 'schedule'],
    [/\/status\.json$/, 'status'],
    [/\/items\.ndjson$/, 'items'],
    [/\/runs\/[^/]+\/spec\.json$/, 'spec'],
    [/\/events\.jsonl$/, 'events'],
    [/\/statements\.jsonl$/, 'statements'],
    [/\/heads\.jsonl$/, 'heads'],
    [/\/seal\.sigstore\.json$/, 'seal'],
    [/\/log\/checkpoint$/, 'checkpoint'],
    [/\/log\/tile\//, 'tile'],
    [/\/tasks-in\/[^/]+\/task\.json$/, 'task'],
    [/\/tasks-in\/[^/]+$/, 'inputs'],
    [/\/tasks\/[^/]+$/, 'record'],
  ];
  return kinds.find(([pattern]) => pattern.test(real))?.[1];
}

const labelled = (verb, kind) => (kind === undefined ? undefined : `${verb}:${kind}`);
const files = require('node:fs/promises');
around(files, 'rename', (_from, to) => labelled('write', objectOf(to)));
around(files, 'link', (_from, to) => labelled('write', objectOf(to)));
around(files, 'unlink', (path) => labelled('delete', objectOf(path)));
around(files, 'rm', (path, options) => (options?.recursive ? labelled('delete', objectOf(path)) : undefined));
around(files, 'writeFile', (path) => (typeof path === 'string' ? labelled('write', objectOf(path)) : undefined));

const children = require('node:child_process');
around(children, 'spawn', (_file, args) =>
  args.some((arg) => /\/tasks\/pangolin-/.test(arg)) ? 'start:process' : undefined,
);

const http = require('node:http');
const request = http.request;
http.request = function (...args) {
  const [options] = args;
  const { method, path = '' } = options ?? {};
  const label = dockerCall(method, path) ?? anchorCall(method, path) ?? storeCall(method, path);
  const last = label !== undefined && reach(label);
  const sent = Reflect.apply(request, this, args);
  if (last) sent.prependListener('response', die);
  return sent;
};

function dockerCall(method, path) {
  if (method === 'POST' && path.includes('/containers/create')) return 'docker:create';
  if (method === 'POST' && /\/containers\/[^/]+\/start/.test(path)) return 'docker:start';
  if (method === 'DELETE' && path.includes('/containers/')) return 'docker:remove';
  if (method === 'GET' && /\/containers\/[^/]+\/json/.test(path)) return 'docker:inspect';
  return undefined;
}
function anchorCall(method, path) {
  const kind = /\/anchors\/v1\/[0-9a-f]{64}\/(run|checkpoint)s\//.exec(path)?.[1];
  return method === 'PUT' && kind !== undefined ? `anchor:${kind}` : undefined;
}

/** Of a controller on S3: `put:receipt`, `delete:inbox`. A server-side copy is a put too. */
function storeCall(method, path) {
  const verb = { PUT: 'put', DELETE: 'delete' }[method];
  return verb && labelled(verb, objectOf(path.split('?')[0]));
}

around(globalThis, 'fetch', (url) =>
  String(url).endsWith('/add-checkpoint') ? 'ask:witness' : /\/tsa$/.test(String(url)) ? 'ask:timestamp' : undefined,
);
syncBuiltinESMExports();

const Database = require('better-sqlite3');
const prepare = Database.prototype.prepare;
Database.prototype.prepare = function (sql) {
  const statement = Reflect.apply(prepare, this, [sql]);
  const pointsOf = statements.find(([pattern]) => pattern.test(sql))?.[1];
  if (pointsOf === undefined) return statement;
  const run = statement.run;
  statement.run = function (...args) {
    const last = pointsOf(args).filter(reach).length > 0;
    const result = Reflect.apply(run, statement, args);
    if (last) die();
    return result;
  };
  return statement;
};

/** What the open transaction holds. */
const held = new Set();
function hold(names) {
  for (const name of names) held.add(`commit:${name}`);
  return [];
}
function release() {
  const points = ['commit', ...held];
  held.clear();
  return points;
}
/** The points that a statement is, by its text and arguments. */
const statements = [
  [/^COMMIT$/, release],
  [/^INSERT INTO item \(/, () => ['insert:item']],
  [/^INSERT INTO run_event /, ([, , line]) => hold([/"kind":"([a-z.]+)"/.exec(line)[1]])],
  [/^UPDATE item SET /, (args) => hold(args.filter((arg) => /^WaitingFor(Approval|Input|Retry)$/.test(arg)))],
];
