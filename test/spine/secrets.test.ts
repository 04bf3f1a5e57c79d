/** A secret on Docker: it reaches the block that it is granted to, and no file, log, product, evidence or inspection. */
import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { globSync, lstatSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import { blocks, Deployment, docker, dockerSkip, ends, patch, runOf, script } from './harness.ts';
import { poll } from '../poll.ts';

const TOKEN = 'tok-4f9b1c7e2d';
const KEY = `-----BEGIN KEY-----\n${'k3y0'.repeat(16)}\n-----END KEY-----\n`;
const token = { TOKEN: { ref: 'registry/token' } };
const keyFile = { KEY: { ref: 'deploy-key', as: 'file' } };

/** Prints the value in several forms and over several writes. */
const PRINT = String.raw`
printf 'plain %s\n' "$TOKEN"; printf '%s' "$TOKEN" | base64; printf 'user:%s' "$TOKEN" | base64
printf 'tok-4f9b'; sleep 0.2; printf '1c7e2d\n'; node -p 'JSON.stringify(process.env.TOKEN)' >&2
[ "$TOKEN" = "$(printf 'tok-%s' 4f9b)1c7e2d" ] && echo granted
mkdir -p .pangolin; printf '{"summary":"used %s","output":{"seen":"\\u0074%s"}}' "$TOKEN" "$(printf %s "$TOKEN" | cut -c2-)" > .pangolin/output.json
`;
const FILE = String.raw`
cat "$KEY"; stat -c 'mode %a of %u on %m' "$KEY"; stat -f -c 'kind %T' "$KEY"; ls "$(dirname "$(dirname "$KEY")")" 2>&1 | head -1
printf '%s' "$KEY" > /tmp/where; echo "token is [$TOKEN]"
`;
const AFTER = 'echo "token is [$TOKEN] key is [$KEY]"; cat "$(cat /tmp/where)" 2>&1; env | grep -c tok-; true';

describe('secrets on docker', { skip: await dockerSkip() }, () => {
  let deployment: Deployment;

  before(async () => {
    deployment = new Deployment('docker');
    const dir = join(deployment.storage, 'controller', 'secrets');
    mkdirSync(dir, { recursive: true, mode: 0o700 });
    writeFileSync(join(dir, 'registry%2Ftoken'), TOKEN, { mode: 0o600 });
    writeFileSync(join(dir, 'deploy-key'), KEY, { mode: 0o600 });
    const item = (id: string, ...list: object[]): object => ({ id, ...blocks(...list) });
    deployment.drop(
      'run.json',
      runOf('run', deployment.repo, [
        item(
          'prints',
          script(PRINT, { secrets: token }),
          script(FILE, { secrets: keyFile }),
          script(AFTER),
          outputs2(),
        ),
        item('in-patch', script('echo "token=$TOKEN" > src/config', { secrets: token }), patch),
        item(
          'in-binary',
          script('printf "\\0\\1%s\\0" "$TOKEN" | tee -a src/raw.bin >/dev/null', { secrets: token }),
          patch,
        ),
        item('unknown', script('true', { secrets: { X: { ref: 'nobody-knows' } } })),
      ]),
    );
    await deployment.settle();
  });
  after(() => deployment?.dispose());

  /** Captures nothing that has to be there. */
  function outputs2(): object {
    return { kind: 'capture', what: 'outputs' };
  }

  test('each item ends with the right reason', async () => {
    const status = await deployment.status('run');
    assert.deepEqual(ends(status), {
      prints: 'done Succeeded 1',
      'in-patch': 'failed SecretInProduct 1',
      'in-binary': 'failed SecretInProduct 1',
      unknown: 'denied SecretUnavailable 0',
    });
    assert.match(
      status.items.find(({ id }) => id === 'in-patch')?.message ?? '',
      /src\/config holds the secret registry\/token/,
    );
    assert.match(status.items.find(({ id }) => id === 'unknown')?.message ?? '', /no readable secret nobody-knows in /);
  });

  test('the block that is granted it has it, by environment or by a file in memory, and the next block has neither', () => {
    const printed = deployment.printed('run', 'prints');
    assert.match(printed, /^granted$/m);
    assert.match(printed, /mode 400 of 1000 on \/run\/secrets$/m);
    assert.match(printed, /^kind tmpfs$/m);
    assert.match(printed, /Permission denied/);
    assert.match(printed, /^token is \[\]$/m);
    assert.match(printed, /^token is \[\] key is \[\]\ncat: .*No such file/m);
    assert.match(printed, /^0$/m);
  });

  test('no form of it is in a file of the storage, but the store itself: logs, outputs, evidence, status, tasks, database', async () => {
    await deployment.verified('run');
    const forms = [
      TOKEN,
      Buffer.from(TOKEN).toString('base64').replace(/=+$/, ''),
      Buffer.from(`user:${TOKEN}`).toString('base64').slice(8, 20),
      'k3y0k3y0',
    ];
    const files = globSync('**/*', { cwd: deployment.storage }).filter(
      (name) => !name.startsWith('controller/secrets'),
    );
    const paths = [...files.map((name) => join(deployment.storage, name)), join(deployment.dir, 'run.bundle.json')];
    let seen = 0;
    for (const path of paths) {
      if (!lstatSync(path).isFile()) continue;
      const text = readFileSync(path, 'latin1');
      for (const form of forms) assert.ok(!text.includes(form) && !path.includes(TOKEN), `${form} is in ${path}`);
      seen++;
    }
    assert.ok(seen > 30, `looked at only ${seen} files`);
    const marks = deployment.printed('run', 'prints').match(/\[secret registry\/token\]/g) ?? [];
    assert.ok(marks.length >= 5, deployment.printed('run', 'prints'));
    assert.equal(deployment.output('run', 'prints').asserted?.summary, 'used [secret registry/token]');
  });

  test('the command says which block was granted what, by name', async () => {
    const { stdout } = await deployment.cli('orch', 'status', 'run/prints');
    assert.match(stdout, /^secret registry\/token: TOKEN of block/m);
    assert.match(stdout, /^secret deploy-key: \w+ \(a file\) of block/m);
    for (const value of [TOKEN, KEY]) assert.ok(!stdout.includes(value), stdout);
  });

  test('the manifest names what is granted', () => {
    const manifests = deployment.predicates('run', 'dispatch') as { itemId: string; secrets?: string[] }[];
    assert.deepEqual(manifests.find(({ itemId }) => itemId === 'prints')?.secrets, ['deploy-key', 'registry/token']);
  });

  test('a controller that dies before it hands a secret over leaves that to the next one; inspection shows nothing', async () => {
    deployment.drop(
      'again.json',
      runOf('again', deployment.repo, [
        {
          id: 'one',
          ...blocks(
            script('[ -n "$TOKEN" ] && echo granted; until [ -e /tmp/go ]; do sleep 0.1; done', { secrets: token }),
          ),
        },
      ]),
    );
    const first = deployment.serve();
    const { task } = await first.logged('the dispatch', ({ task: name }) => name !== undefined);
    const exists = (): boolean => docker('ps', '-a', '--filter', `name=${task}`, '--format', '{{.Names}}') !== '';
    await poll('the container', exists, () => first.text);
    first.child.kill('SIGKILL');
    await first.end();
    const second = deployment.serve();
    await poll(
      'the block has its secret',
      () => deployment.printed('again', 'one').includes('granted'),
      () => second.text,
    );
    const seen = docker('inspect', task!) + execFileSync('docker', ['logs', task!], { encoding: 'utf8' });
    assert.ok(!seen.includes(TOKEN) && seen.includes('PANGOLIN_IN'));
    docker('exec', task!, 'touch', '/tmp/go');
    await poll(
      'the run is sealed',
      () => second.log.some(({ msg, run }) => msg === 'run sealed' && run === 'again'),
      () => second.text,
    );
    await second.stop();
    await deployment.verified('again');
    await deployment.swept();
  });
});
