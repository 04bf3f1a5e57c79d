/** The examples of every pattern on real tasks, through the shipped command: processes, and containers where Docker is. */
import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { Deployment, dockerSkip, repository, type Compute, type Status } from './harness.ts';

const examples = join(repository, 'examples');
const skipDocker = await dockerSkip();

/** Declares the queue, submits the run and serves until it is sealed and verified. */
async function run(deployment: Deployment, id: string, queueFile: string, runFile: string): Promise<Status> {
  deployment.copyIn(queueFile, `${id}.queue.yaml`);
  await deployment.settle();
  assert.deepEqual(deployment.receipt(`${id}.queue.yaml`)?.errors, []);
  const submitted = await deployment.cli('orch', 'submit', runFile, '--receipt-timeout', '1s');
  assert.equal(submitted.code, 0, submitted.stderr);
  await deployment.settle();
  const status = await deployment.status(id);
  assert.equal(status.phase, 'succeeded', JSON.stringify(status.failed));
  await deployment.verified(id);
  return status;
}

/** Causes of the run's extensions; all of them by its pattern. */
const causes = (deployment: Deployment, id: string): (string | undefined)[] =>
  deployment.events(id).flatMap((event) => {
    if (event.kind !== 'run.extended') return [];
    assert.equal(event.actor, `pattern:${id}`);
    return [event.cause];
  });

const sums = (csv: string): string => {
  const total = new Map<string, { rows: number; cents: number }>();
  for (const row of csv.trimEnd().split('\n').slice(1)) {
    const [, date, region, quantity, cents] = row.split(',');
    const key = `${region},${date!.slice(0, 7)}`;
    const sum = total.get(key) ?? { rows: 0, cents: 0 };
    total.set(key, { rows: sum.rows + 1, cents: sum.cents + Number(quantity) * Number(cents) });
  }
  const lines = [...total].sort(([a], [b]) => (a < b ? -1 : 1));
  return `region,month,rows,cents\n${lines.map(([key, { rows, cents }]) => `${key},${rows},${cents}\n`).join('')}`;
};

async function data(compute: Compute): Promise<void> {
  const deployment = new Deployment(compute);
  try {
    const dir = join(deployment.dir, 'data');
    execFileSync(process.execPath, [join(examples, 'data', 'make.mjs'), dir]);
    const csv = readFileSync(join(dir, 'sales.csv'), 'utf8');
    assert.ok(csv.trimEnd().split('\n').length > 100_000);
    const { items } = await run(deployment, 'data', join(dir, 'queue.yaml'), join(dir, 'run.yaml'));
    const maps = [1, 2, 3, 4, 5, 6].map((n) => `sales.${n}`);
    assert.deepEqual(items.map(({ id }) => id).sort(), ['sales', ...maps, 'sales.reduce']);
    assert.deepEqual(causes(deployment, 'data'), ['sales']);
    const out = join(deployment.dir, 'out');
    assert.equal((await deployment.cli('orch', 'outputs', 'data/sales.reduce', '--to', out)).code, 0);
    assert.equal(readFileSync(join(out, 'revenue.csv'), 'utf8'), sums(csv), 'not what one program computes');
  } finally {
    await deployment.dispose();
  }
}

test('map-reduce: 120,000 rows are split, transformed and aggregated by processes', () => data('process'));
test('map-reduce: 120,000 rows are split, transformed and aggregated in containers', { skip: skipDocker }, () =>
  data('docker'),
);

test('pipeline: a red gate is fixed and checked again, and the fixed product is shipped', async () => {
  const deployment = new Deployment('process');
  try {
    await run(deployment, 'gates', join(examples, 'gates.queue.yaml'), join(examples, 'gates.yaml'));
    assert.deepEqual(causes(deployment, 'gates'), ['test', 'test.check.1']);
    const ship = deployment.events('gates').find((event) => event.kind === 'item.fired' && event.itemId === 'ship');
    assert.ok(ship?.kind === 'item.fired');
    assert.deepEqual(ship.inputs['patch']?.from, { itemId: 'test.fix.1', output: 'patch' });
    const out = join(deployment.dir, 'out');
    assert.equal((await deployment.cli('orch', 'outputs', 'gates/ship', '--to', out)).code, 0);
    assert.match(readFileSync(join(out, 'sum.mjs'), 'utf8'), /a \+ b/);
  } finally {
    await deployment.dispose();
  }
});

test('quorum: a proposal that too few approve is revised, reviewed again and committed', async () => {
  const deployment = new Deployment('process');
  try {
    const { items } = await run(
      deployment,
      'review',
      join(examples, 'review.queue.yaml'),
      join(examples, 'review.yaml'),
    );
    const ids = items.map(({ id }) => id);
    assert.ok(ids.includes('notes.revise.1.commit') && !ids.includes('notes.commit'), ids.join(' '));
    const { stdout } = await deployment.cli('orch', 'patch', 'review/notes.revise.1.commit');
    assert.match(stdout, /\+Title: notes\n\+Author\n\+Date/);
  } finally {
    await deployment.dispose();
  }
});
