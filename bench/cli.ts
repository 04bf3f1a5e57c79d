/** How long the command takes to start and answer, beside the same Node doing nothing. Both in turn, on warm caches. */
import { spawnSync } from 'node:child_process';
import { COMMAND, inTemporary, median, round, timed, type Row } from './figures.ts';

const RUNS = 15;
const lines: readonly (readonly string[])[] = [['--help'], ['orch', 'submit', '--help'], ['orch', 'status']];

export async function cli(): Promise<Row[]> {
  return await inTemporary(async (storage) => {
    const rows: Row[] = [];
    for (const line of lines) rows.push(await measure(line, storage));
    return rows;
  });
}

async function measure(line: readonly string[], storage: string): Promise<Row> {
  const env = { ...process.env, PANGOLIN_STORAGE: storage };
  const ours = () => spawnSync(COMMAND, line, { stdio: 'ignore', env });
  const bare = () => spawnSync(process.execPath, ['-e', '0'], { stdio: 'ignore' });
  ours();
  bare();
  const times: { readonly ours: number; readonly bare: number }[] = [];
  for (let run = 0; run < RUNS; run++) times.push({ ours: await timed(ours), bare: await timed(bare) });
  const ms = median(times.map((time) => time.ours));
  const floorMs = median(times.map((time) => time.bare));
  return { command: line.join(' '), ms: round(ms), floorMs: round(floorMs), ratioToFloor: round(ms / floorMs) };
}
