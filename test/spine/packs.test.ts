/** The packs that `pangolin init` registers, by their examples, and what their shapes refuse: on processes, and in containers where Docker is. */
import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { copyFileSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { bundleFile, type BundleDocument } from '@pangolin/contracts/bundle';
import { specKey } from '@pangolin/contracts/layout';
import type { AdmittedRun } from '@pangolin/contracts/admitted-run';
import { Deployment, repository } from './harness.ts';
import { poll } from '../poll.ts';

const examples = join(repository, 'examples');

async function withDeployment(body: (deployment: Deployment) => Promise<void>): Promise<void> {
  const deployment = new Deployment('process');
  try {
    const init = await deployment.cli('init', deployment.dir, '-o', 'json');
    assert.equal(init.code, 0, init.stderr);
    await body(deployment);
  } finally {
    await deployment.dispose();
  }
}
const example = (dir: string, ...names: readonly string[]): void => {
  mkdirSync(dir, { recursive: true });
  for (const name of names) copyFileSync(join(examples, 'packs', name), join(dir, name));
};
const blocks = (command: string) => ({
  blocks: [
    { kind: 'script', command },
    { kind: 'capture', what: 'outputs' },
  ],
});

/** Adds up in numbers what the pack adds up in decimals. */
function expected(csv: string): string {
  const total = new Map<string, number[]>();
  for (const row of csv.trimEnd().split('\n').slice(1)) {
    const [, , region, quantity, cents] = row.split(',');
    const [rows = 0, quantities = 0, sums = 0] = total.get(region!) ?? [];
    total.set(region!, [rows + 1, quantities + Number(quantity), sums + Number(cents)]);
  }
  const lines = [...total]
    .sort(([a], [b]) => (a < b ? -1 : 1))
    .map(([region, sums]) => `${region},${sums.join(',')}\n`);
  return `region,rows,quantity,cents\n${lines.join('')}`;
}

/** Both examples on one deployment. */
const packs = () =>
  withDeployment(async (deployment) => {
    const submit = async (file: string): Promise<void> => {
      const submitted = await deployment.cli('orch', 'submit', file, '--receipt-timeout', '0s');
      assert.equal(submitted.code, 0, submitted.stderr);
    };
    const [data, dev] = [join(deployment.dir, 'data'), join(deployment.dir, 'dev')];
    execFileSync(process.execPath, [join(examples, 'data', 'make.mjs'), data, '5000']);
    example(data, 'data.yaml', 'data.queue.yaml');
    deployment.copyIn(join(data, 'data.queue.yaml'), 'queue.yaml');
    example(dev, 'dev.yaml', 'fixer.yaml');
    for (const [name, text] of Object.entries(sources)) writeFileSync(join(dev, name), text);
    const registered = await deployment.cli('subagent', 'register', join(dev, 'fixer.yaml'));
    assert.equal(registered.code, 0, registered.stderr);
    await submit(join(data, 'data.yaml'));
    await submit(join(dev, 'dev.yaml'));
    await deployment.settle({ args: ['--unsandboxed'] });
    assert.deepEqual(deployment.receipt('queue.yaml')?.errors, []);
    await checkData(deployment, readFileSync(join(data, 'sales.csv'), 'utf8'));
    await checkDev(deployment);
  });

const sources = {
  'sum.mjs': 'export const sum = (a, b) => a - b;\n',
  'name.mjs': "export const name = 'Helo';\n",
  'check.mjs':
    "import { sum } from './sum.mjs';\nimport { name } from './name.mjs';\nprocess.exit(sum(1, 2) === 3 && name === 'Hello' ? 0 : 3);\n",
};

async function checkData(deployment: Deployment, csv: string): Promise<void> {
  const status = await deployment.status('packs-data');
  assert.equal(status.phase, 'succeeded', JSON.stringify(status.failed));
  assert.equal(status.items.length, 7);
  const out = join(deployment.dir, 'out');
  const outputs = await deployment.cli('orch', 'outputs', 'packs-data/sales.reduce', '--to', out, '-o', 'json');
  const { asserted } = JSON.parse(outputs.stdout) as { asserted: unknown };
  assert.deepEqual(asserted, { summary: '5000 rows in 4 groups', output: { groups: 4, rows: 5000 } });
  assert.equal(readFileSync(join(out, 'table.csv'), 'utf8'), expected(csv));
  await deployment.verified('packs-data');
}

async function checkDev(deployment: Deployment): Promise<void> {
  const status = await deployment.status('packs-dev');
  assert.equal(status.phase, 'succeeded', JSON.stringify(status.failed));
  const check = await deployment.cli('orch', 'status', 'packs-dev/check');
  assert.match(check.stdout, /^green\noutput: \{"exitCode":0,"green":true\}$/m);
  const sum = await deployment.cli('orch', 'status', 'packs-dev/sum');
  assert.match(sum.stdout, /^changed sum\.mjs\noutput: \{"files":\["sum\.mjs"\],"status":"done"\}\nsignal files: 1$/m);
  const { stdout: patch } = await deployment.cli('orch', 'patch', 'packs-dev/both');
  assert.match(patch, /^\+export const name = 'Hello';$[^]*^\+export const sum = \(a, b\) => a \+ b;$/m);
  // An auditor reads what the agents were told, and what was promised of them.
  const plan = readFileSync(join(deployment.storage, specKey('packs-dev')), 'utf8');
  const { items } = JSON.parse(plan) as AdmittedRun;
  const { files } = JSON.parse(readFileSync(await deployment.verified('packs-dev'), 'utf8')) as BundleDocument;
  const told = files[bundleFile.blob(items[0]!.subagent!.sha256)];
  assert.match(told as string, /"kind":"command"/);
  for (const { shape } of items) assert.match(files[bundleFile.blob(shape!.sha256)] as string, /"effects":/);
}

test('the packs do what their examples say', () => packs());

test('what an attempt yields is held to its shape, and counts as a failed attempt of its own', () =>
  withDeployment(async (deployment) => {
    const shape = (name: string, spec: object): string => {
      const file = join(deployment.dir, `${name}.json`);
      writeFileSync(file, JSON.stringify({ apiVersion: 'pangolin.dev/v1', kind: 'Shape', metadata: { name }, spec }));
      return file;
    };
    const output = { type: 'object', required: ['n'], properties: { n: { type: 'integer' } } };
    for (const file of [shape('n', { effects: 'pure', output }), shape('asks', { effects: 'write-impure' })])
      assert.equal((await deployment.cli('shape', 'register', file)).code, 0);
    const say = (text: string) => blocks(`echo kept > outputs/kept; cat > .pangolin/output.json <<'E'\n${text}\nE`);
    const intents = '{"intents":[{"kind":"dev.open-pr","params":{"base":"main"}}]}';
    deployment.drop('typed.json', {
      id: 'typed',
      items: [
        { id: 'right', subagentShape: 'n', pipeline: say('{"output":{"n":2}}') },
        {
          id: 'text',
          subagentShape: 'n',
          pipeline: say('{"output":{"n":"two"}}'),
          retry: { maxAttempts: 2, backoff: { initial: '1ms' } },
        },
        { id: 'none', subagentShape: 'n', pipeline: say('{"summary":"nothing to say"}') },
        { id: 'effects', subagentShape: 'n', pipeline: say(intents.replace('{', '{"output":{"n":1},')) },
        { id: 'may', subagentShape: 'asks', pipeline: say(intents) },
        { id: 'malformed', pipeline: say('{"summery":"x"}') },
      ],
    });
    await deployment.settle();
    const { items, phase } = await deployment.status('typed');
    assert.equal(phase, 'failed');
    const of = (id: string) => items.find((item) => item.id === id)!;
    assert.deepEqual([of('right').phase, of('may').phase], ['done', 'done']);
    const mismatch: readonly (readonly [string, number, RegExp])[] = [
      ['text', 2, /^the output is not that of the shape n: \/output\/n must be integer$/],
      ['none', 1, /^the shape n wants an `output`/],
      ['effects', 1, /^the shape n is pure, and its blocks ask for effects \(intents\)$/],
      [
        'malformed',
        1,
        /^\.pangolin\/output\.json: it has a field "summery", and may have summary, output, intents, signals$/,
      ],
    ];
    for (const [id, attempts, message] of mismatch) {
      assert.deepEqual(
        [of(id).phase, of(id).reason, of(id).attempts],
        ['failed', 'OutputSchemaMismatch', attempts],
        id,
      );
      assert.match(of(id).message ?? '', message);
      assert.deepEqual(
        [of(id).partial, Object.keys(of(id).outputs ?? {})],
        [true, ['kept']],
        `${id} keeps what it left`,
      );
    }
    const may = await deployment.cli('orch', 'status', 'typed/may');
    assert.match(may.stdout, /^intent dev\.open-pr: \{"base":"main"\}$/m);
    await deployment.verified('typed');
  }));

test('items that join later are held to their shapes', () =>
  withDeployment(async (deployment) => {
    const typed = blocks(`echo '{"output":{"parts":1,"rows":0}}' > .pangolin/output.json`);
    const first = { id: 'a', subagentShape: 'data.split', inputs: { parts: 1 }, pipeline: typed };
    deployment.drop('open.json', { id: 'open', openEnded: true, items: [first] });
    const controller = deployment.serve();
    await poll('the run is admitted', () => deployment.receipt('open.json') !== undefined);
    const answer = async (name: string, item: object) => {
      const spec = { run: 'open', items: [{ id: name, subagentShape: 'data.transform', ...item }] };
      deployment.drop(`${name}.json`, { apiVersion: 'pangolin.dev/v1', kind: 'Extension', spec });
      const { errors } = await poll('it is answered', () => deployment.receipt(`${name}.json`));
      return errors.map(({ code, path, message }) => `${code} ${path} ${message}`).join('\n');
    };
    const part = (path: string) => ({ needs: { part: { from: 'a', select: { kind: 'output', path } } } });
    const inputs = { groupBy: ['x'] };
    assert.equal(await answer('good', { inputs, ...part('parts/1.csv') }), '');
    assert.match(
      await answer('gap', { inputs, ...part('other.json') }),
      /^Conflict \/spec\/items\/0 .*takes data\/csv, and "a" \(data\.split\) declares no type for outputs\/other\.json$/,
    );
    assert.match(await answer('inputs', part('parts/1.csv')), /^InputSchemaMismatch .*required property 'groupBy'$/);
    await controller.stop();
  }));
