/** Agent blocks in the bundled worker: what an agent gets, what it may leave, and what is made of its end. */
import assert from 'node:assert/strict';
import { mkdirSync, readdirSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { build } from 'esbuild';
import type { Block } from '@pangolin/contracts/pipeline';
import type { Subagent } from '@pangolin/contracts/subagent';
import { run, scratch, script, type Finished, type TaskSpec } from './harness.ts';

const sh = (line: string, rest: Partial<Subagent> = {}): Subagent => ({
  runtime: { kind: 'command', command: ['/bin/sh', '-c', line] },
  prompt: 'Say {{word}} and {{deep.list}}.',
  ...rest,
});
const agent: Block = { kind: 'agent', id: 'agent' };
const params = { word: 'hello $(touch INJECTED) {{deep.list}}', deep: { list: [1, 'two'] } };
const files = { 'README.md': 'old\n' };
const start = (subagent: Subagent, rest: Partial<TaskSpec> = {}): Promise<Finished> =>
  run({ blocks: [agent], files, params, subagent, ...rest });

test('a command reads its prompt, made of the inputs and never run as a shell, and edits the workspace', async () => {
  const { output, printed, patch } = await start(
    sh('cat; echo; cat "$PANGOLIN_PROMPT" "$PANGOLIN_SYSTEM" > both; echo "$PANGOLIN_MODEL"; echo new > README.md', {
      system: 'Be brief.',
      model: 'm-1',
    }),
  );
  const prompt = 'Say hello $(touch INJECTED) {{deep.list}} and [1,"two"].';
  assert.equal(printed, `${prompt}\nm-1`);
  assert.match(patch ?? '', /^\+new$/m);
  assert.ok(patch?.includes(`+${prompt}Be brief.`));
  assert.doesNotMatch(patch ?? '', /INJECTED b/);
  assert.deepEqual(output.blocks[0]?.usage, { runtime: 'command', model: 'm-1' });
});

test('its exit code decides, and nothing that it leaves behind survives', async () => {
  const { output, notes } = await start(sh('sleep 1000 & exit 3'));
  assert.deepEqual([output.reason, output.blocks[0]?.exitCode], ['ExitNonZero', 3]);
  assert.match(notes, /killed 1 processes/);
});

test('what the subagent requires is looked for before anything runs', async () => {
  const contextRequires = { paths: ['README.md', 'src/main.c'], executables: ['sh', 'no-such-tool'], gitHistory: true };
  const { output, printed } = await start(sh('echo ran', { contextRequires }));
  assert.equal(output.reason, 'ContextMissing');
  assert.match(
    output.message ?? '',
    /requires the path src\/main\.c, the program no-such-tool, the history of the repository$/,
  );
  assert.equal(printed, '');
  const there = await start(sh('echo ran', { contextRequires: { paths: ['README.md'], executables: ['sh'] } }));
  assert.equal(there.printed, 'ran');
  const commit = script('git -c user.name=x -c user.email=x commit -q --allow-empty -m second');
  const history = sh('echo ran', { contextRequires: { gitHistory: true } });
  const made = await run({ blocks: [commit, agent], files: { 'README.md': 'read' }, params, subagent: history });
  assert.equal(made.printed, 'ran', made.output.message);
});

test('env bundles reach the kinds of blocks that they are for, and the later one wins', async () => {
  const show = 'echo "$0: $URL $LEVEL $BOTH"';
  const { printed } = await run({
    blocks: [agent, script(show.replace('$0', 'script'), { env: { OWN: 'x' } })],
    params,
    subagent: sh(show.replace('$0', 'agent')),
    env: [
      { values: { URL: 'http://model', LEVEL: 'one' } },
      { values: { LEVEL: 'two', PATH: '/usr/bin:/bin' } },
      { blocks: ['agent', 'script'], values: { BOTH: 'both' } },
    ],
  });
  assert.equal(printed, 'agent: http://model two both\nscript:   both');
});

test('capabilities are laid over the workspace with their modes, and are no part of the patch', async () => {
  const { patch, printed } = await start(
    sh('bin/tool; cat README.md; echo mine >> bin/tool; rm README.md; echo x > new.txt; git status --porcelain'),
    {
      capabilities: [
        {
          files: { 'bin/tool': { mode: '0755', text: '#!/bin/sh\necho first\n' }, 'README.md': { text: 'overlaid\n' } },
        },
        { files: { 'bin/tool': { mode: '0755', base64: Buffer.from('#!/bin/sh\necho second\n').toString('base64') } } },
      ],
    },
  );
  assert.equal(printed, 'second\noverlaid\n D README.md\n?? new.txt');
  assert.deepEqual(patch?.match(/^diff .*$/gm), ['diff --git a/new.txt b/new.txt']);
});

test('a link of the workspace does not lead a capability out of it', async () => {
  const repository = { 'make-link': 'x' };
  const outside = join(scratch, 'outside');
  mkdirSync(outside);
  const { output } = await run({
    blocks: [agent],
    files: repository,
    links: { tools: outside },
    params,
    subagent: sh('true'),
    capabilities: [{ files: { 'tools/evil': { text: 'x' } } }],
  });
  assert.deepEqual([output.reason, /tools is in the way/.test(output.message ?? '')], ['StageFailed', true]);
});

test('configuration that starts programs is away from agents that cannot be told, and back for the patch', async () => {
  const outside = join(scratch, 'config-outside');
  mkdirSync(outside);
  const config = { '.claude/settings.json': 'theirs\n', '.mcp.json': 'theirs\n', '.claude/skills/a.md': 'kept\n' };
  const show = 'find .claude .mcp.json -type f 2>/dev/null | sort';
  const hidden = await start(sh(show), { files: config });
  assert.equal(hidden.printed, '.claude/skills/a.md');
  assert.equal(hidden.patch ?? '', '');
  const granted = await start(sh(show, { repositoryConfig: true }), { files: config });
  assert.equal(granted.printed, '.claude/settings.json\n.claude/skills/a.md\n.mcp.json');
  const capability = { files: { '.mcp.json': { text: 'ours' } } };
  const meant = await start(sh('cat .mcp.json'), { files: config, capabilities: [capability] });
  assert.equal(meant.printed, 'ours');
  const own = await start(sh('echo mine > .mcp.json; rm -r .claude'), { files: config });
  assert.match(own.patch ?? '', /^\+mine$/m);
  assert.doesNotMatch(own.patch ?? '', /settings\.json/, 'what it did not see it has not deleted');
  // What it puts in the way leads nobody out of the workspace.
  const link = await start(sh(`rm -r .claude; ln -s ${outside} .claude`), { files: config });
  assert.match(link.notes, /\.claude\/settings\.json of the workspace could not be put back/);
  assert.deepEqual(readdirSync(outside), []);
  const linked = await start(sh('ls -A'), { files: {}, links: { '.claude': outside } });
  assert.doesNotMatch(linked.printed, /\.claude/);
  assert.equal(linked.patch ?? '', '');
});

test('an agent has a home of its own that no block before it has touched', async () => {
  const { printed } = await run({
    blocks: [script('echo evil > "$HOME/.bashrc"'), agent],
    params,
    subagent: sh('ls -A "$HOME"'),
  });
  assert.equal(printed, 'prompt.txt');
});

test('an agent block without a subagent, and a thing without a grant, are rejected before boot', async () => {
  for (const tamper of [
    (task: Record<string, unknown>) => ((task['grants'] as Record<string, unknown>)['things'] = {}),
  ]) {
    await assert.rejects(run({ blocks: [agent], params, subagent: sh('true'), tamper }), /exit 4/);
  }
  await assert.rejects(run({ blocks: [agent], params }), /exit 4/);
});

const acpAgent = join(scratch, 'acp-agent.mjs');
/** One file that the block user can read, the SDK in it. */
const bundled = build({
  entryPoints: [join(import.meta.dirname, 'acp-agent.mjs')],
  outfile: acpAgent,
  bundle: true,
  platform: 'node',
  format: 'esm',
  logLevel: 'error',
});
function acp(...args: readonly string[]): Subagent {
  return { runtime: { kind: 'acp', command: [process.execPath, acpAgent, ...args] }, prompt: 'Note {{word}}' };
}

test('an agent of the Agent Client Protocol is given its permission and does its work', async () => {
  await bundled;
  for (const mode of [[], ['linger']]) {
    const { output, patch, printed } = await start(acp(...mode), { params: { word: 'this' } });
    assert.equal(output.status, 'succeeded', output.message);
    assert.match(patch ?? '', /^\+Note this$/m);
    assert.equal(printed, '[edit] write notes.txt\npermission: yes');
    assert.deepEqual(output.blocks[0]?.usage, { runtime: 'acp', turns: 2 });
  }
});

test('an agent that refuses or breaks off has failed', async () => {
  await bundled;
  const refused = await start(acp('refuse'));
  assert.deepEqual(
    [refused.output.reason, refused.output.message],
    ['AgentFailed', 'block agent (agent): the agent stopped: refusal'],
  );
  const broken = await start(acp('crash'));
  assert.equal(broken.output.reason, 'AgentFailed');
  assert.match(broken.output.message ?? '', /the conversation broke off/);
  const silent = await start({ runtime: { kind: 'acp', command: ['/bin/cat'] }, prompt: 'x' }, { timeoutMs: 20_000 });
  assert.notEqual(silent.output.status, 'succeeded');
  const missing = await start({ runtime: { kind: 'acp', command: ['/no/such/agent'] }, prompt: 'x' });
  assert.match(missing.output.message ?? '', /could not be started/);
});
