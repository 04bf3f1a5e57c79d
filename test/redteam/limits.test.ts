/** Hostile amounts in real containers: the item ends with the right reason, the host stays well. */
import assert from 'node:assert/strict';
import { before, describe, test } from 'node:test';
import type { Reason } from '@pangolin/contracts/reasons';
import { dockerSkip } from '../providers/docker-here.ts';
import { script, type Finished } from '../worker/harness.ts';
import { attempt, type Attack } from './container.ts';

const MIB = 2 ** 20;

/**
 * Every process starts two more, until there are 63 of them or one cannot be started. Who started the first sees either more
 * than 45 alive, or the complaint of a shell. A container has four processes besides, and threads count for the limit as well.
 */
const FORKS = `node -e '
  const bomb = "b() { [ $1 = 0 ] && exec sleep 600; b $(($1 - 1)) & b $(($1 - 1)) & wait; }; b 5";
  const shell = require("child_process").spawn("sh", ["-c", bomb], { stdio: ["ignore", "ignore", "pipe"] });
  shell.on("error", () => process.exit(7));
  shell.stderr.on("data", () => process.exit(7));
  setInterval(() => fs.readdirSync("/proc").filter((name) => +name > 0).length > 45 && process.exit(0), 20)'`;

/** What it does → why the item fails, and the words that say so. */
const bombs: readonly {
  readonly name: string;
  readonly command: string;
  readonly limit: Partial<Attack>;
  readonly reason: Reason;
  readonly says: RegExp;
}[] = [
  {
    name: 'memory without end',
    command: `node -e 'const a = []; for (let i = 0; i < 30; i++) a.push(Buffer.alloc(${10 * MIB}, 1))'`,
    limit: { asked: { memoryBytes: 200 * MIB } },
    reason: 'OOMKilled',
    says: /memory limit/,
  },
  {
    name: 'processes without end',
    command: FORKS,
    limit: { asked: { pids: 40 } },
    reason: 'ExitNonZero',
    says: /exited with 7/,
  },
  {
    name: 'more files than its limit before anybody has looked, links counted',
    command: `node -e 'fs.writeFileSync("f", ""); for (let i = 0; i < 300; i++) fs.linkSync("f", "l" + i)'`,
    limit: { sandbox: { diskFiles: 200 } },
    reason: 'DiskQuotaExceeded',
    says: /more than 200 files/,
  },
];

describe('a block that makes', { skip: await dockerSkip(), concurrency: 2 }, () => {
  let free: Finished;
  before(async () => {
    free = await attempt({
      blocks: bombs.map(({ command }) => script(command)),
      timeoutMs: 180_000,
      asked: { memoryBytes: 900 * MIB },
      sandbox: { diskFiles: 2000 },
      weaken: ({ HostConfig }) => void (HostConfig!.PidsLimit = 0),
    });
  });

  for (const [index, { name, command, limit, reason, says }] of bombs.entries()) {
    test(`${name} ends with ${reason}`, async () => {
      const ends = [free.output.blocks[index]!.status, free.output.status];
      assert.deepEqual(ends, ['succeeded', 'succeeded'], `it fails for another cause: ${free.output.message}`);
      const { output } = await attempt({ blocks: [script(command)], timeoutMs: 180_000, ...limit });
      assert.deepEqual([output.status, output.reason, output.partial], ['failed', reason, true], output.message);
      assert.match(output.message ?? '', says);
    });
  }
});
