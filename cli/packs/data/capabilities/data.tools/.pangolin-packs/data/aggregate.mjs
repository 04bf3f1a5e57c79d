// inputs/part-*, the groups of all parts → outputs/table.csv, sorted.
import { readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { formatCsv, formatDecimal, parseDecimal } from './csv.mjs';
import { say } from './say.mjs';

const total = new Map();
let columns;
for (const name of readdirSync('inputs').filter((each) => each.startsWith('part-'))) {
  const { groupBy, sum, groups } = JSON.parse(readFileSync(`inputs/${name}`, 'utf8'));
  columns ??= { groupBy, sum };
  if (JSON.stringify(columns) !== JSON.stringify({ groupBy, sum })) throw new Error(`inputs/${name} has other columns`);
  for (const { key, rows, sums } of groups) {
    const id = JSON.stringify(key);
    const all = total.get(id) ?? { key, rows: 0, sums: sums.map(() => 0n) };
    all.rows += rows;
    all.sums = all.sums.map((value, index) => value + parseDecimal(sums[index]));
    total.set(id, all);
  }
}
const sorted = [...total.values()].sort((a, b) => (JSON.stringify(a.key) < JSON.stringify(b.key) ? -1 : 1));
const table = sorted.map(({ key, rows, sums }) => [...key, String(rows), ...sums.map(formatDecimal)]);
writeFileSync('outputs/table.csv', formatCsv([[...columns.groupBy, 'rows', ...columns.sum], ...table]));
const rows = sorted.reduce((sum, group) => sum + group.rows, 0);
say(`${rows} rows in ${sorted.length} groups`, { groups: sorted.length, rows });
