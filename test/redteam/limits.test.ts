/** Hostile amounts in real containers: the item ends with the right reason, the host stays well. */
import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import type { Reason } from '@pangolin/contracts/reasons';
import type { SandboxRequest } from '@pangolin/controller/providers/provider';
import { dockerSkip } from '../providers/docker-here.ts';
import { script } from '../worker/harness.ts';
import { attempt, type Attack } from './container.ts';

const MIB = 2 ** 20;

/** What it does → why the item fails, and the words that say so. The same with the limit that stops it raised does not fail. */
const bombs: readonly {
  readonly name: string;
  readonly command: string;
  readonly reason: Reason;
  readonly says: RegExp;
  readonly asked: SandboxRequest;
  readonly weak: SandboxRequest;
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
      let up = 0;
      for (let i = 0; i < 40; i++)
        spawn("sleep", ["60"]).on("error", () => process.exit(7)).on("spawn", () => ++up === 40 && process.exit(0))'`,
    reason: 'ExitNonZero',
    says: /exited with 7/,
    asked: { pids: 40 },
    weak: { pids: 400 },
  },
];

describe('a block that makes', { skip: await dockerSkip(), concurrency: 2 }, () => {
  for (const { name, command, reason, says, asked, weak } of bombs) {
    test(`${name} ends with ${reason}`, async () => {
      const task: Attack = { blocks: [script(command)], timeoutMs: 180_000 };
      const { output } = await attempt({ ...task, asked });
      assert.deepEqual([output.status, output.reason, output.partial], ['failed', reason, true], output.message);
      assert.match(output.message ?? '', says);
      const free = await attempt({ ...task, asked: weak });
      assert.equal(free.output.reason, undefined, `it fails for another cause: ${free.output.message}`);
    });
  }

  test('more files than its limit fails also when it ends before anybody has looked, links counted', async () => {
    const command = `node -e 'fs.writeFileSync("f", ""); for (let i = 0; i < 300; i++) fs.linkSync("f", "l" + i)'`;
    const { output } = await attempt({ blocks: [script(command)], sandbox: { diskFiles: 200 } });
    assert.deepEqual([output.status, output.reason, output.partial], ['failed', 'DiskQuotaExceeded', true]);
    const free = await attempt({ blocks: [script(command)], sandbox: { diskFiles: 2000 } });
    assert.equal(free.output.status, 'succeeded', free.output.message);
  });
});
