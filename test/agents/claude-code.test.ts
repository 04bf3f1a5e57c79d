/** The real Claude Code CLI in containers, against a scripted Messages API that the item's allow-list names. */
import assert from 'node:assert/strict';
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import { attemptPrefix } from '@pangolin/contracts/layout';
import type { DispatchManifest } from '@pangolin/contracts/task';
import { Deployment, docker, dockerSkip, ends, git, runOf } from '../spine/harness.ts';

const IMAGE = `pangolin-agent:${process.env['PANGOLIN_IMAGE_TAG'] ?? 'dev'}`;

async function skip(): Promise<false | string> {
  const missing = await dockerSkip();
  if (missing !== false) return missing;
  if (docker('image', 'ls', '-q', IMAGE) !== '') return false;
  const why = `there is no image ${IMAGE}; run scripts/images.sh agent`;
  if (process.env['CI']) throw new Error(`in CI the agent must run: ${why}`);
  return why;
}

/** Of the model, from the secret store of the deployment. */
const KEY = 'the-key-of-a-scripted-model';
const WORKSPACE = '/work/workspace';
const TEST_FILE = `import assert from 'node:assert/strict';
import { test } from 'node:test';
import { sum } from '../src/sum.mjs';
test('two and two', () => assert.equal(sum(2, 2), 4));
`;
const bash = (command: string): object => ({ tool: 'Bash', input: { command, description: 'a step' } });
const fix = { file_path: `${WORKSPACE}/src/sum.mjs`, old_string: 'a - b', new_string: 'a + b' };
const TYPED = { summary: 'The sum is right.', output: { status: 'done', files: ['src/sum.mjs'] } };
const script = {
  'Write the missing test': [
    bash('ls src'),
    { tool: 'Write', input: { file_path: `${WORKSPACE}/test/sum.test.mjs`, content: TEST_FILE } },
    { text: 'The test is there, and it fails.' },
  ],
  'Make the test pass': [
    bash('git apply inputs/patch'),
    { tool: 'Read', input: { file_path: fix.file_path } },
    { tool: 'Edit', input: fix },
    { text: 'Fixed.' },
  ],
  'Only look': [bash('ls'), { text: 'Nothing to do.' }],
  'Too much': [{ status: 429 }],
  'Come back later': [{ status: 429, seconds: 5, then: { text: 'Now it goes.' } }],
  'Say it typed': [
    { tool: 'Edit', input: fix },
    { tool: 'Write', input: { file_path: `${WORKSPACE}/.pangolin/output.json`, content: JSON.stringify(TYPED) } },
    { text: 'Fixed, and told.' },
  ],
  'Note it by protocol': [
    { tool: 'Write', input: { file_path: `${WORKSPACE}/notes.txt`, content: 'by protocol\n' } },
    { text: 'Noted by protocol.' },
  ],
  'Note it by command': [
    { tool: 'Write', input: { file_path: `${WORKSPACE}/notes.txt`, content: 'by command\n' } },
    { text: 'Noted by command.' },
  ],
};
/** Leaves marks in the workspace, and so in the patch, wherever it runs. */
const hook = (name: string): object => ({ hooks: [{ type: 'command', command: `touch ${WORKSPACE}/${name}` }] });
const repositorySettings = {
  hooks: { SessionStart: [hook('HOOK-SESSION')], PreToolUse: [{ matcher: '*', ...hook('HOOK-TOOL') }] },
};
const repositoryServers = { mcpServers: { mark: { command: 'touch', args: [`${WORKSPACE}/MCP-STARTED`] } } };

const file = (kind: string, name: string, spec: object): string =>
  JSON.stringify({ apiVersion: 'pangolin.dev/v1', kind, metadata: { name }, spec });

describe('Claude Code on docker', { skip: await skip() }, () => {
  const network = `pangolin-agents-${process.pid}`;
  let deployment: Deployment;
  let model: string;
  let requests: { words: string; step: number; key: boolean; says: string[]; errors: string[]; model: string }[];

  before(async () => {
    deployment = new Deployment('docker');
    docker('network', 'create', network);
    const source = join(import.meta.dirname, 'messages-endpoint.mjs');
    const env = ['-e', `SCRIPT=${JSON.stringify(script)}`, '-e', `KEY=${KEY}`];
    const place = ['--network', network, '--network-alias', 'model.test', '-v', `${source}:/endpoint.mjs:ro`];
    model = docker('run', '-d', ...place, ...env, '--entrypoint', 'node', IMAGE, '/endpoint.mjs');
    writeFileSync(
      join(deployment.storage, 'pangolin.yaml'),
      `egress: { network: ${network}, internal: ['model.test:8080'] }\n`,
    );
    makeProject(deployment.repo);
    await register(deployment);
    const common = { image: IMAGE, network: { allow: ['model.test:8080'] }, retry: { maxAttempts: 1 } };
    const say = (prompt: string): object => ({ inputs: { prompt } });
    deployment.drop(
      'run.json',
      runOf(
        'run',
        deployment.repo,
        [
          { id: 'test', subagent: 'developer', ...say('Write the missing test.') },
          {
            id: 'fix',
            subagent: 'developer',
            needs: { patch: { from: 'test', select: { kind: 'patch' } } },
            ...say('Make the test pass.'),
          },
          { id: 'granted', subagent: 'trusting', capabilities: [], ...say('Only look.') },
          {
            id: 'busy',
            subagent: 'developer',
            ...say('Too much.'),
            retry: { rules: [{ reasons: ['ModelRateLimited'], action: 'fail' }] },
          },
          { id: 'later', subagent: 'subscribed', ...say('Come back later.') },
          { id: 'typed', subagentShape: 'dev.code-edit', env: ['model'], ...say('Say it typed.') },
          { id: 'protocol', subagent: 'by-protocol', ...say('Note it by protocol.') },
          { id: 'command', subagent: 'by-command', ...say('Note it by command.') },
        ],
        { defaults: common },
      ),
    );
    // One agent at a time: each has the whole machine, and a deadline of its own.
    const controller = deployment.serve({ untilIdle: true, args: ['--concurrency', '1'] });
    const said = (message: string): number => controller.log.filter(({ msg }) => msg === message).length;
    for (const count of [1, 2, 3, 4, 5, 6, 7, 8])
      await controller.logged(`end ${count}`, () => said('item ended') >= count);
    assert.equal((await controller.end()).code, 0, controller.text);
    requests = docker('logs', model)
      .split('\n')
      .filter((line) => line.startsWith('{'))
      .map((line) => JSON.parse(line) as (typeof requests)[number]);
  });
  after(async () => {
    await deployment?.dispose();
    if (model) docker('rm', '-f', model);
    docker('network', 'rm', network);
  });

  const patchOf = (itemId: string): string =>
    readFileSync(join(deployment.storage, attemptPrefix({ runId: 'run', itemId, attempt: 1 }), 'patch'), 'utf8');
  const verifyOf = (itemId: string) => deployment.output('run', itemId).blocks.find(({ id }) => id === 'verify');

  test('the first agent edits files with its own tools, the second works on its patch', async () => {
    const ended = ends(await deployment.status('run'));
    const said = `${deployment.printed('run', 'test')}\n${deployment.printed('run', 'fix')}\n${JSON.stringify(requests)}`;
    assert.deepEqual([ended['test'], ended['fix']], ['done Succeeded 1', 'done Succeeded 1'], said);
    assert.match(patchOf('test'), /^\+test\('two and two'/m);
    assert.match(patchOf('fix'), /^\+export const sum = \(a, b\) => a \+ b;$/m);
    assert.deepEqual(
      requests.flatMap(({ errors }) => errors),
      [],
    );
    assert.match(deployment.printed('run', 'fix'), /^\[Edit\] /m);
  });

  test('verify goes red, then green', () => {
    assert.equal(verifyOf('test')?.status, 'failed');
    assert.equal(verifyOf('fix')?.status, 'succeeded');
  });

  test('the key of the model reaches the agent and no script', () => {
    assert.ok(requests.length >= 7 && requests.every(({ key }) => key));
    assert.match(deployment.printed('run', 'fix'), /^model variables: 0$/m);
  });

  test('what it used is in the result, as its own words, and the command says it', async () => {
    const { stdout } = await deployment.cli('orch', 'status', 'run/fix');
    assert.match(
      stdout,
      /^block agent \(agent\): succeeded in .*; says: .*, 4 turns, 400 tokens in, 80 tokens out, .* USD$/m,
    );
    assert.match(stdout, /^secret [\w/-]+: ANTHROPIC_API_KEY of block agent$/m);
    const usage = deployment.output('run', 'fix').blocks[0]?.usage;
    const { model: name, costUsd, ...counts } = usage ?? { runtime: '' };
    assert.deepEqual(counts, {
      runtime: 'claude-code',
      turns: 4,
      inputTokens: 400,
      outputTokens: 80,
      cacheReadTokens: 0,
      cacheWriteTokens: 0,
    });
    assert.ok(
      name !== undefined &&
        requests.some((request) => request.words === 'Make the test pass' && request.model === name),
    );
    assert.match(costUsd ?? '', /^\d+\.\d+$/);
  });

  test('settings, hooks and MCP servers of the repository run only where the subagent grants it', () => {
    const marks = /HOOK-SESSION|HOOK-TOOL|MCP-STARTED/;
    for (const id of ['test', 'fix', 'protocol', 'command']) assert.doesNotMatch(patchOf(id), marks, id);
    for (const mark of ['HOOK-SESSION', 'HOOK-TOOL', 'MCP-STARTED']) assert.ok(patchOf('granted').includes(mark), mark);
    const says = (words: string) =>
      new Set(requests.filter((each) => each.words === words).flatMap((each) => each.says));
    assert.deepEqual(says('Make the test pass'), new Set(['CAPABILITY-INSTRUCTIONS', 'SYSTEM-WORDS']));
    assert.ok(says('Only look').has('REPOSITORY-INSTRUCTIONS'));
  });

  test('a model that refuses is told apart from an agent that fails', async () => {
    assert.equal(ends(await deployment.status('run'))['busy'], 'failed ModelRateLimited 1');
  });

  test('a subscription that is used up parks its item until the time that it named', async () => {
    assert.equal(ends(await deployment.status('run'))['later'], 'done Succeeded 2');
    const { reason, resetAt } = deployment.output('run', 'later', 1);
    assert.equal(reason, 'ModelRateLimited');
    const events = deployment.events('run').filter((event) => 'itemId' in event && event.itemId === 'later');
    assert.ok(events.some((event) => event.kind === 'item.retried' && event.reason === 'ModelRateLimited'));
    const again = events.find((event) => event.kind === 'item.fired' && event.attempt === 2);
    assert.ok(resetAt !== undefined && again !== undefined && again.at >= resetAt, `${again?.at} ${resetAt}`);
  });

  test('the shape of the pack holds the CLI to its output', async () => {
    const ended = ends(await deployment.status('run'))['typed'];
    assert.equal(ended, 'done Succeeded 1', deployment.printed('run', 'typed'));
    assert.deepEqual(deployment.output('run', 'typed').asserted, TYPED);
    assert.match(patchOf('typed'), /^\+export const sum = \(a, b\) => a \+ b;$/m);
  });

  test('an agent of the Agent Client Protocol and a command work in containers too', async () => {
    for (const kind of ['protocol', 'command']) {
      const ended = ends(await deployment.status('run'))[kind];
      assert.equal(ended, 'done Succeeded 1', deployment.printed('run', kind));
      assert.match(patchOf(kind), new RegExp(`^\\+by ${kind}$`, 'm'));
      assert.match(deployment.printed('run', kind), new RegExp(`^Noted by ${kind}\\.$`, 'm'));
    }
    const { model: _, ...usage } = deployment.output('run', 'protocol').blocks[0]?.usage ?? { runtime: '' };
    assert.deepEqual(
      { ...usage, costUsd: typeof usage.costUsd },
      {
        runtime: 'acp',
        turns: 2,
        inputTokens: 200,
        outputTokens: 40,
        cacheReadTokens: 0,
        cacheWriteTokens: 0,
        costUsd: 'string',
      },
    );
  });

  test('the manifest holds references, and the bundle verifies', async () => {
    const manifests = deployment.predicates('run', 'dispatch') as readonly DispatchManifest[];
    const manifest = manifests.find(({ itemId }) => itemId === 'fix');
    assert.deepEqual(
      [manifest?.subagent?.ref, manifest?.capabilities?.map(({ ref }) => ref), manifest?.env?.map(({ ref }) => ref)],
      ['developer', ['rules'], ['model']],
    );
    await deployment.verified('run');
  });
});

/** A small program with a fault, and configuration for agents that nobody asked for. */
function makeProject(dir: string): void {
  mkdirSync(join(dir, '.claude'));
  mkdirSync(join(dir, 'test'));
  writeFileSync(join(dir, 'src', 'sum.mjs'), 'export const sum = (a, b) => a - b;\n');
  writeFileSync(join(dir, '.claude', 'settings.json'), JSON.stringify(repositorySettings));
  writeFileSync(join(dir, '.mcp.json'), JSON.stringify(repositoryServers));
  writeFileSync(join(dir, 'CLAUDE.md'), 'REPOSITORY-INSTRUCTIONS\n');
  git(dir, 'add', '-A');
  git(dir, 'commit', '-q', '-m', 'a program');
}

async function register(deployment: Deployment): Promise<void> {
  const developer = {
    runtime: { kind: 'claude-code' },
    level: 'standard',
    system: 'SYSTEM-WORDS',
    turns: 20,
    capabilities: ['rules'],
    env: ['model'],
    verify: 'echo "model variables: $(env | grep -c ANTHROPIC)"; node --test test/*.test.mjs',
    contextRequires: { paths: ['src/sum.mjs'], executables: ['git', 'claude'] },
  };
  const common = { env: ['model'], contextRequires: { executables: ['claude', 'claude-agent-acp'] } };
  const byProtocol = { ...common, runtime: { kind: 'acp', command: ['claude-agent-acp'] } };
  const print = ['claude', '--print', '--dangerously-skip-permissions'];
  const byCommand = { ...common, runtime: { kind: 'command', command: print } };
  const subscribed = { runtime: { kind: 'claude-code' }, env: ['subscription'] };
  const trusting = { ...developer, repositoryConfig: true, verify: 'true' };
  const model = {
    values: { ANTHROPIC_BASE_URL: 'http://model.test:8080' },
    secrets: { ANTHROPIC_API_KEY: { ref: 'model-key' } },
  };
  const subscription = {
    values: model.values,
    secrets: { CLAUDE_CODE_OAUTH_TOKEN: { ref: 'model-key' } },
  };
  assert.equal((await deployment.cli('init', deployment.dir)).code, 0);
  const secrets = join(deployment.storage, 'controller', 'secrets');
  mkdirSync(secrets, { recursive: true, mode: 0o700 });
  writeFileSync(join(secrets, 'model-key'), `${KEY}\n`, { mode: 0o600 });
  const things = join(deployment.dir, 'things');
  mkdirSync(things);
  for (const [kind, name, spec] of [
    ['Capability', 'rules', { files: { 'CLAUDE.md': { text: 'CAPABILITY-INSTRUCTIONS\n' } } }],
    ['EnvBundle', 'model', model],
    ['Subagent', 'developer', developer],
    ['EnvBundle', 'subscription', subscription],
    ['Subagent', 'trusting', trusting],
    ['Subagent', 'subscribed', subscribed],
    ['Subagent', 'by-protocol', byProtocol],
    ['Subagent', 'by-command', byCommand],
  ] as const)
    writeFileSync(join(things, `${name}.json`), file(kind, name, spec));
  const { code, stderr } = await deployment.cli('apply', '-f', things);
  assert.equal(code, 0, stderr);
}
