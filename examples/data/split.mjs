// sales.csv → outputs/parts/<n>.csv, each with the header and every n-th row.
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';

const { parts } = JSON.parse(readFileSync(process.env.PANGOLIN_PARAMS, 'utf8'));
const [header, ...rows] = readFileSync('sales.csv', 'utf8').trimEnd().split('\n');
mkdirSync('outputs/parts', { recursive: true });
for (let part = 0; part < parts; part++) {
  const own = rows.filter((_, index) => index % parts === part);
  writeFileSync(`outputs/parts/${part + 1}.csv`, [header, ...own, ''].join('\n'));
}
console.log(`${rows.length} rows in ${parts} parts`);
