// inputs/part, some rows of the CSV → outputs/sums.json: rows and cents by region and month.
import { readFileSync, writeFileSync } from 'node:fs';

const [, ...rows] = readFileSync('inputs/part', 'utf8').trimEnd().split('\n');
const sums = {};
for (const row of rows) {
  const [, date, region, quantity, cents] = row.split(',');
  const sum = (sums[`${region} ${date.slice(0, 7)}`] ??= { rows: 0, cents: 0 });
  sum.rows += 1;
  sum.cents += Number(quantity) * Number(cents);
}
writeFileSync('outputs/sums.json', JSON.stringify(sums));
console.log(`${rows.length} rows`);
