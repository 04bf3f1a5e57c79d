// Lays out the example in a folder: its scripts and files, and sales.csv, the same 120,000 rows every time.
//     node examples/data/make.mjs DIR [ROWS]
import { copyFileSync, createWriteStream, mkdirSync, readdirSync } from 'node:fs';
import { join } from 'node:path';
import { finished } from 'node:stream/promises';

const [dir, count = '120000'] = process.argv.slice(2);
if (dir === undefined) throw new Error('Say where: node make.mjs DIR [ROWS]');
mkdirSync(dir, { recursive: true });
for (const name of readdirSync(import.meta.dirname)) {
  if (name !== 'make.mjs') copyFileSync(join(import.meta.dirname, name), join(dir, name));
}

const regions = ['north', 'south', 'east', 'west'];
// A linear congruential generator (Numerical Recipes): random enough, and the same everywhere.
let state = 20_260_101;
const random = (below) => {
  state = (Math.imul(state, 1_664_525) + 1_013_904_223) >>> 0;
  return Math.floor((state / 2 ** 32) * below);
};

const csv = createWriteStream(join(dir, 'sales.csv'));
csv.write('id,date,region,quantity,cents\n');
for (let id = 1; id <= Number(count); id++) {
  const date = `2025-${String(1 + random(12)).padStart(2, '0')}-${String(1 + random(28)).padStart(2, '0')}`;
  csv.write(`${id},${date},${regions[random(4)]},${1 + random(9)},${100 + random(99_900)}\n`);
}
csv.end();
await finished(csv);
