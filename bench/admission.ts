/**
 * Specs a second from files in inbox/ to their receipts, by the shipped controller. One item of another run holds the
 * only slot meanwhile, so that nothing but admission is measured. The floor reads as many files and writes as many
 * receipts with an fsync each, one after the other.
 */
import { existsSync, mkdirSync, readdirSync, readFileSync, renameSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { inTemporary, median, round, timed, until, withController, type Row } from './figures.ts';

const SPECS = 1000;
/** The disk of a shared machine is not the same from one second to the next. */
const FLOORS = 3;
const HOLDER = 'holder';

export async function admission(): Promise<Row[]> {
  return await inTemporary(async (dir) => {
    const storage = join(dir, 'storage');
    const inbox = join(storage, 'inbox');
    const receipts = join(storage, 'receipts');
    const staged = join(dir, 'staged');
    for (const folder of [inbox, receipts, staged]) mkdirSync(folder, { recursive: true });
    for (let n = 0; n < SPECS; n++) writeFileSync(join(staged, `${n}.json`), specOf(`run-${n}`, 'true'));

    const seconds = await withController(storage, ['--compute', 'process', '--concurrency', '1'], async () => {
      writeFileSync(join(inbox, `${HOLDER}.json`), specOf(HOLDER, 'sleep 300'));
      await until('the holder runs', 60, () => existsSync(join(storage, 'runs', HOLDER, 'attempts/a/1/boot.json')));
      const ms = await timed(async () => {
        for (let n = 0; n < SPECS; n++) renameSync(join(staged, `${n}.json`), join(inbox, `${n}.json`));
        await until('the receipts', 300, () => readdirSync(receipts).length > SPECS, 20);
      });
      await cancelHolder(storage);
      return ms / 1000;
    });

    const floors: number[] = [];
    for (let n = 0; n < FLOORS; n++) floors.push(await timed(() => floorOf(join(dir, `floor-${n}`), receipts)));
    const floor = median(floors) / 1000;
    return [
      {
        specs: SPECS,
        seconds: round(seconds),
        specsPerSecond: Math.round(SPECS / seconds),
        floorSeconds: round(floor),
        floorPerSecond: Math.round(SPECS / floor),
        ratioToFloor: round(seconds / floor),
      },
    ];
  });
}

function specOf(id: string, command: string): string {
  return JSON.stringify({ id, items: [{ id: 'a', pipeline: { blocks: [{ kind: 'script', command }] } }] });
}

/** So that no process outlives the benchmark. */
async function cancelHolder(storage: string): Promise<void> {
  const control = { schema: 'control/1', verb: 'cancel', run: HOLDER, actor: 'service:bench' };
  mkdirSync(join(storage, 'control'), { recursive: true });
  writeFileSync(join(storage, 'control', 'cancel.json'), JSON.stringify(control));
  await until('the holder stops', 60, () => existsSync(join(storage, 'runs', HOLDER, 'attempts/a/1/output.json')));
}

function floorOf(target: string, receipts: string): void {
  mkdirSync(target);
  for (const name of readdirSync(receipts)) {
    writeFileSync(join(target, name), readFileSync(join(receipts, name)), { flush: true });
  }
}
