/** Hostile amounts and file kinds in real containers: the item ends with the right reason, the host stays well. */
import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import type { Reason } from '@pangolin/contracts/reasons';
import type { SandboxRequest } from '@pangolin/controller/providers/provider';
import { dockerSkip } from '../providers/docker-here.ts';
import { script } from '../worker/harness.ts';
import { attempt } from './container.ts';

const MIB = 2 ** 20;

/** What it does → why the item fails, and the words that say so. The same with room for it does not fail. */
const bombs: readonly {
  readonly name: string;
  readonly command: string;
  readonly reason: Reason;
  readonly says: RegExp;
  readonly asked?: SandboxRequest;
  /** The limit that stops it, raised; absent where the limit is a constant. */
  readonly weak?: SandboxRequest;
}[] = [
  {
    name: 'memory without end',
    command: `node -e 'const a = []; for (let i = 0; i < 30; i++) a.push(Buffer.alloc(${10 * MIB}, 1))'`,
    reason: 'OOMKilled',
    says: /memory limit/,
    asked: { memoryBytes: 200 * MIB },
    weak: { memoryBytes: 900 * MIB },
  },
  {
    name: 'processes without end',
    command: `node -e '
      const { spawn } = require("child_process");
      for (let i = 0; i < 40; i++) spawn("sleep", ["60"]).on("error", () => process.exit(7));
      setTimeout(() => process.exit(0), 1500);'`,
    reason: 'ExitNonZero',
    says: /exited with 7/,
    asked: { pids: 40 },
    weak: { pids: 400 },
  },
  {
    name: 'more bytes than its disk',
    command: 'dd if=/dev/zero of=big bs=1M count=60 2>/dev/null; sleep 30; true',
    reason: 'DiskQuotaExceeded',
    says: /wrote more than 31457280 bytes/,
    asked: { diskBytes: 30 * MIB },
  },
  {
    name: 'a sparse file of 20 GiB in its outputs',
    command: 'truncate -s 20G outputs/sparse',
    reason: 'OutputTooLarge',
    says: /outputs\/ holds more than/,
  },
  {
    name: 'a sparse file of 20 GiB in its workspace',
    command: 'truncate -s 20G sparse',
    reason: 'OutputTooLarge',
    says: /new files hold more than/,
  },
  {
    name: 'directories too deep',
    command: 'd=outputs; for i in $(seq 40); do d=$d/x; done; mkdir -p $d; touch $d/f',
    reason: 'OutputTooLarge',
    says: /nests deeper than 32/,
  },
  {
    name: 'more files than outputs may have',
    command: `node -e 'for (let i = 0; i <= 10000; i++) fs.writeFileSync("outputs/" + i, "")'`,
    reason: 'OutputTooLarge',
    says: /more than 10000 files/,
  },
];

describe('a block that makes', { skip: await dockerSkip(), concurrency: 2 }, () => {
  for (const { name, command, reason, says, asked, weak } of bombs) {
    test(`${name} ends with ${reason}`, async () => {
      const { output } = await attempt({ blocks: [script(command)], timeoutMs: 180_000, ...(asked && { asked }) });
      assert.deepEqual([output.status, output.reason, output.partial], ['failed', reason, true], output.message);
      assert.match(output.message ?? '', says);
      if (weak === undefined) return;
      const free = await attempt({ blocks: [script(command)], timeoutMs: 180_000, asked: weak });
      assert.equal(free.output.reason, undefined, `it fails for another cause: ${free.output.message}`);
    });
  }

  test('a million files ends with DiskQuotaExceeded, at the limit of the task', async () => {
    const command = `node -e 'for (let i = 0; i < 20000; i++) fs.writeFileSync("f" + i, "")'; sleep 30`;
    const { output } = await attempt({ blocks: [script(command)], timeoutMs: 180_000, sandbox: { diskFiles: 5000 } });
    assert.equal(output.reason, 'DiskQuotaExceeded', output.message);
    assert.match(output.message ?? '', /made more than 5000 files/);
  });

  test('more files than its limit fails also when it ends before anybody has looked', async () => {
    const command = `node -e 'for (let i = 0; i < 300; i++) fs.writeFileSync("f" + i, "")'`;
    const { output } = await attempt({ blocks: [script(command)], sandbox: { diskFiles: 200 } });
    assert.deepEqual([output.status, output.reason, output.partial], ['failed', 'DiskQuotaExceeded', true]);
    const free = await attempt({ blocks: [script(command)], sandbox: { diskFiles: 2000 } });
    assert.equal(free.output.status, 'succeeded', free.output.message);
  });

  test('pipes, sockets, links and loops leaves plain files as its product, and nobody waits for the rest', async () => {
    const command = `
      mkfifo outputs/pipe pipe; ln -s /etc/shadow outputs/shadow; ln -s / root; ln -s loop loop; ln /etc/passwd hard 2>/dev/null
      node -e 'require("net").createServer().listen("outputs/socket", () => process.exit())'
      ln -s ../../../pangolin/in outputs/in; echo fine > outputs/fine; mknod outputs/dev b 8 0 2>/dev/null; true`;
    const { output, notes, patch } = await attempt({ blocks: [script(command)] });
    assert.equal(output.status, 'succeeded', output.message);
    assert.deepEqual(Object.keys(output.products.outputs), ['fine']);
    for (const name of ['pipe', 'shadow', 'socket', 'in'])
      assert.match(notes, new RegExp(`outputs/${name} is no regular file`));
    assert.doesNotMatch(patch ?? '', /root:/);
  });
});
