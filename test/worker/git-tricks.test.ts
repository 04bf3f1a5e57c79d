/**
 * What a block does to git in its workspace, against the patch. Each trick is first shown to hide the change, or to have its
 * own program run, where somebody captures with the workspace's own `.git`.
 */
import assert from 'node:assert/strict';
import { execFileSync, spawnSync } from 'node:child_process';
import { existsSync, mkdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { parseAssignment } from '@pangolin/worker-image/assignment';
import { capturePatch } from '@pangolin/worker-image/capture/patch';
import { optionsFrom } from '@pangolin/worker-image/options';
import { Secrets } from '@pangolin/worker-image/secrets';
import { stage } from '@pangolin/worker-image/stage/stage';
import { StoreClient } from '@pangolin/worker-image/store-client';
import { TaskGrants } from '@pangolin/worker-image/task-grants';
import { BLOCK_UID, needsRoot, prepare, run, script, type Dirs } from './harness.ts';

const commit = 'git -c user.name=x -c user.email=x commit -q';
const attributes = `printf '* -diff filter=evil text eol=crlf ident working-tree-encoding=UTF-16\\n' > .gitattributes
  cp .gitattributes .git/info/attributes; git config filter.evil.clean 'touch pwned; cat'`;
const programs = `git config core.fsmonitor 'touch pwned; false'; git config diff.external 'touch pwned'; git config core.hooksPath .
  git config core.pager 'touch pwned'; printf '#!/bin/sh\\ntouch pwned\\n' > post-index-change; chmod +x post-index-change`;
const home = `printf '[core]\\nfsmonitor=touch pwned\\nexcludesFile=/tmp/x\\n[diff]\\nexternal=false\\n' > $HOME/.gitconfig
  mkdir -p $HOME/.config/git; cp $HOME/.gitconfig $HOME/.config/git/config`;
const replaced =
  'git add -A; git replace -f HEAD $(git -c user.name=x -c user.email=x commit-tree -m x $(git write-tree))';
const assumed = 'git update-index --assume-unchanged a; git update-index --skip-worktree a';
const excluded = 'echo "*" > .git/info/exclude';
const ignored = 'echo "*" > .gitignore';

const tricks: Readonly<Record<string, string>> = {
  'its own .git rewritten': `rm -rf .git; git init -q .; git add -A; ${commit} -m forged`,
  'its own .git removed': 'rm -rf .git',
  'its own .git as a link': 'rm -rf .git; ln -s /nowhere .git',
  'the change committed': `${commit} -am forged`,
  'assume-unchanged and skip-worktree': assumed,
  'a sparse checkout':
    'git config sparse.expectFilesOutsideOfPatterns true; git sparse-checkout set --no-cone /b; echo changed > a',
  'info/exclude': excluded,
  'a .gitignore': ignored,
  attributes,
  'a monitor, hooks, an external diff and a pager': programs,
  'a .gitconfig at home': home,
  'replace refs': replaced,
  'an alternate object store': 'echo /nowhere > .git/objects/info/alternates; rm -rf .git/objects/pack',
  'a worktree elsewhere': 'git config core.worktree /tmp; git config core.bare true',
};

const CHANGE = 'echo changed > a; echo new > n';
const files = { a: 'original\n', b: 'b\n' };

/** Both changes in plain words, and nothing else of the tree. */
const isWhole = (patch: string): boolean =>
  [/^diff --git a\/a b\/a\n[^]*?\n-original\n\+changed$/m, /^diff --git a\/n b\/n$/m].every((line) =>
    line.test(patch),
  ) && !/ b\/(b|pwned)$/m.test(patch);

let prepared: Promise<Dirs> | undefined;
for (const [what, command] of Object.entries(tricks)) {
  test(`what is captured does not change by ${what}`, needsRoot, async () => {
    const dirs = await (prepared ??= prepare({ files, blocks: [script('true')] }));
    const never = new AbortController().signal;
    const [work, out, naive] = ['work', 'out', 'naive'].map((name) => join(dirs.base, what.replaceAll('/', ' '), name));
    mkdirSync(out!, { recursive: true });
    const options = optionsFrom({ ...dirs.env, PANGOLIN_WORK: work, PANGOLIN_OUT: out }, never);
    const assignment = parseAssignment(readFileSync(join(dirs.in, 'task.json')), options.manifest);
    const grants = new TaskGrants(dirs.in, new StoreClient(), assignment.grants);
    const staged = await stage(assignment, options, grants, never);
    const { workspace, user } = staged.places;
    const asBlock = (cwd: string, line: string): string =>
      spawnSync('/bin/sh', ['-c', line], {
        cwd,
        env: { PATH: options.path, HOME: staged.places.home },
        ...user,
        encoding: 'latin1',
      }).stdout;
    asBlock(workspace, `${CHANGE}; ${command}`);
    execFileSync('cp', ['-a', workspace, naive!]);
    const careless = asBlock(naive!, 'git add -A; git --no-pager diff --cached HEAD');
    assert.ok(!isWhole(careless) || existsSync(join(naive!, 'pwned')), `the attack does not work at all: ${careless}`);

    await capturePatch(staged, out!, new Secrets(new Map()), never, () => undefined);
    const patch = readFileSync(join(out!, 'patch'), 'latin1');
    assert.ok(isWhole(patch), patch);
    assert.equal(existsSync(join(workspace, 'pwned')), false);
  });
}

test('nor by many of them at once, in the worker that ships', needsRoot, async () => {
  const all = [CHANGE, replaced, assumed, excluded, ignored, attributes, programs, home].join('\n');
  const { output, patch, dirs, notes } = await run({
    files,
    blocks: [script(all), { kind: 'capture', what: 'patch', required: true }],
  });
  assert.equal(output.status, 'succeeded', `${output.message} ${notes}`);
  assert.ok(isWhole(patch ?? ''), patch);
  assert.equal(existsSync(join(dirs.work, 'workspace', 'pwned')), false);
  assert.equal(output.sandbox?.user, 'separate', `as ${BLOCK_UID}`);
});
