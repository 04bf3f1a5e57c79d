/** From inside a block of a real run on Docker: what can it reach, and what can it forge? */
import assert from 'node:assert/strict';
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import { attemptPrefix } from '@pangolin/contracts/layout';
import { blocks, Deployment, dockerSkip, ends, outputs, patch, runOf, script } from './harness.ts';

/** Prints `name: what it found` lines; nothing after the colon is what we want. */
const PROBE = String.raw`
mine=$(id -u)
found() { printf '%s:%s\n' "$1" "$(tr '\n' ' ' | sed 's/ *$//; s/^/ /; s/^ $//')"; }
env | cut -d= -f1 | sort | found variables
id -u | found uid
grep -E '^(CapInh|CapPrm|CapEff|CapAmb|NoNewPrivs)' /proc/self/status | tr -s '\t ' '=' | found privileges
for p in /proc/[0-9]*; do
  [ "$(stat -c %u $p 2>/dev/null)" = "$mine" ] && continue
  for f in environ maps mem; do head -c1 $p/$f >/dev/null 2>&1 && echo "$p/$f"; done
  ls $p/fd/ 2>/dev/null | sed "s|^|$p/fd/|"
  readlink $p/cwd $p/root $p/exe 2>/dev/null
done | found others
for p in /proc/[0-9]*; do [ "$(stat -c %u $p 2>/dev/null)" = 0 ] && echo $p; done | wc -l | found strangers
for p in /proc/[0-9]*; do
  [ "$(stat -c %u $p 2>/dev/null)" = "$mine" ] || continue
  tr '\0' '\n' < $p/environ 2>/dev/null | grep -E '^PANGOLIN_(IN|OUT|WORK|MANIFEST_SHA256|GRACE_MS|BLOCK_UID|BLOCK_GID)='
done | found runner-variables
ls -la /proc/self/fd | grep -E 'socket|/pangolin|/work/private' | grep -vE '/(stdout|stderr) \(deleted\)$' | found descriptors
{ ls /pangolin/in; cat /pangolin/in/task.json; } 2>/dev/null | found in
{ ls /pangolin/out; touch /pangolin/out/boot.json /pangolin/out/output.json && echo touched; } 2>/dev/null | found out
ls /work/private 2>/dev/null | found private
find / -name 'spine-secret*' -o -name state.db 2>/dev/null | found store
ls -d /var/run/docker.sock /run/docker.sock 2>/dev/null | found engine
for p in 1 $(ps -eo pid=,uid= | awk -v m=$mine '$2 != m { print $1 }'); do kill -9 $p 2>/dev/null && echo $p; done | found killed
for d in / /opt/pangolin /etc /usr/bin; do touch $d/x 2>/dev/null && echo $d; done | found writable
tail -n +3 /proc/net/dev | cut -d: -f1 | tr -d ' ' | found interfaces
node -e 'require("net").connect(53, "1.1.1.1").on("connect", () => console.log("out")).on("error", () => process.exit())' | found network
su -c 'echo root' 2>/dev/null </dev/null | found su
unshare -r true 2>/dev/null && ls /pangolin/in 2>/dev/null | found userns || found userns </dev/null
mount -t tmpfs none /tmp 2>/dev/null && echo mounted | found mount || found mount </dev/null
`;

const NAMES =
  'CI HOME LANG PANGOLIN_ATTEMPT PANGOLIN_INPUTS PANGOLIN_ITEM_ID PANGOLIN_OUTPUTS PANGOLIN_PARAMS PANGOLIN_RUN_ID PATH PWD TMPDIR';
const NONE = '0000000000000000';
const EXPECTED: Readonly<Record<string, string>> = {
  variables: NAMES,
  uid: '1000',
  privileges: `CapInh:=${NONE} CapPrm:=${NONE} CapEff:=${NONE} CapAmb:=${NONE} NoNewPrivs:=1`,
  interfaces: 'lo',
};

/** Changes one line and does everything to have another change captured, or none. */
const FORGE = String.raw`
sed -i 's/^one/changed/' src/a.txt
forged='{"schema":"output/1","runId":"run","itemId":"forge","attempt":1,"status":"succeeded","partial":false,"blocks":[],"products":{"outputs":{}},"logs":[]}'
mkdir -p .pangolin outputs
for place in . .. outputs /pangolin/out /work /work/private /tmp; do
  echo "$forged" > $place/output.json; echo '{"schema":"boot/1"}' > $place/boot.json; echo 'evil' > $place/patch
done 2>/dev/null
rm -f output.json boot.json patch
printf '#!/bin/sh\necho evil >> src/b.txt; touch pwned outputs/pwned\n' > /tmp/hook; chmod +x /tmp/hook
for hook in pre-commit post-checkout post-index-change reference-transaction; do cp /tmp/hook .git/hooks/$hook; done
git config core.fsmonitor /tmp/hook; git config core.hooksPath .git/hooks; git config diff.external /tmp/hook
git config filter.evil.clean "sed s/changed/forged/"; git config filter.evil.smudge cat
printf '* filter=evil diff=evil -text\n' > .git/info/attributes
git config diff.evil.textconv "echo forged"; git config core.worktree /tmp
git update-index --assume-unchanged src/a.txt
printf '*\n' > .git/info/exclude
(setsid sh -c 'trap "" TERM HUP INT; while :; do touch /tmp/alive; sleep 0.01; done' </dev/null >/dev/null 2>&1 &)
until [ -e /tmp/alive ]; do sleep 0.01; done
`;

describe('a block on docker', { skip: await dockerSkip() }, () => {
  let deployment: Deployment;
  let found: Map<string, string>;
  before(async () => {
    deployment = new Deployment('docker');
    writeFileSync(join(deployment.storage, 'spine-secret-store'), 'nobody reads this');
    deployment.drop(
      'run.json',
      runOf('run', deployment.repo, [
        {
          id: 'first',
          ...blocks(script('echo secret > outputs/spine-secret-other; cp outputs/spine-secret-other /tmp'), outputs),
        },
        { id: 'probe', depends_on: ['first'], ...blocks(script(PROBE)) },
        { id: 'forge', ...blocks(script(FORGE), patch) },
      ]),
    );
    await deployment.settle();
    assert.deepEqual(
      ends(await deployment.status('run')),
      { first: 'done Succeeded 1', probe: 'done Succeeded 1', forge: 'done Succeeded 1' },
      deployment.printed('run', 'probe'),
    );
    const lines = deployment.printed('run', 'probe').split('\n');
    found = new Map(lines.map((line) => [line.slice(0, line.indexOf(':')), line.slice(line.indexOf(':') + 1).trim()]));
  });
  after(() => deployment.dispose());

  const what: Readonly<Record<string, string>> = {
    variables: 'gets a clean environment',
    'runner-variables': 'sees no variable of the runner in any environment it can read',
    others: 'reads neither environment, memory, descriptors nor directories of the runner',
    descriptors: 'inherits no descriptor of the runner',
    in: 'cannot look into its own input directory',
    out: 'can neither read nor write the attempt directory',
    private: 'cannot look into the private directory of the runner',
    store: 'finds nothing of the store, of other attempts or of the run-state',
    engine: 'finds no way to the Docker engine',
    killed: 'can kill nobody of another user',
    writable: 'cannot change the image',
    interfaces: 'has no network interface but loopback',
    network: 'reaches nobody',
    uid: 'is not root',
    privileges: 'holds no capability and can gain none',
    su: 'does not become root',
    userns: 'sees no more as root of its own user namespace',
    mount: 'cannot mount',
  };
  for (const [name, sentence] of Object.entries(what)) {
    test(sentence, () => assert.equal(found.get(name), EXPECTED[name] ?? '', deployment.printed('run', 'probe')));
  }

  test('was looking at somebody: the init and the runner are there', () => {
    assert.ok(Number(found.get('strangers')) >= 2, found.get('strangers'));
  });

  test('forges neither the sentinel, the boot record nor the patch, and leaves no daemon', async () => {
    const change = (await deployment.cli('orch', 'patch', 'run/forge')).stdout;
    assert.deepEqual(
      [...change.matchAll(/^diff --git a\/(.*) b\//gm)].map((match) => match[1]),
      ['src/a.txt'],
    );
    assert.match(change, /^-one$[^]*^\+changed$/m);
    assert.doesNotMatch(change, /evil|forged|pwned/);
    const at = join(deployment.storage, attemptPrefix({ runId: 'run', itemId: 'forge', attempt: 1 }));
    assert.match(readFileSync(join(at, 'boot.json'), 'utf8'), /"worker"/);
    const output = deployment.output('run', 'forge');
    assert.equal(output.blocks.length, 2);
    assert.equal(readFileSync(join(at, 'patch'), 'utf8'), change);
    const logs = output.logs.map(({ file }) => readFileSync(join(at, file), 'utf8')).join('');
    assert.match(logs, /killed \d+ processes that the block left behind/);
    await deployment.swept();
    await deployment.verified('run');
  });
});
