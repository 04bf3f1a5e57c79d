// inputs/part, a CSV file → outputs/groups.json: rows and exact sums by the values of `groupBy`.
import { readFileSync, writeFileSync } from 'node:fs';
import { formatDecimal, parseCsv, parseDecimal } from './csv.mjs';
import { say } from './say.mjs';

const { groupBy, sum = [] } = JSON.parse(readFileSync(process.env.PANGOLIN_PARAMS, 'utf8'));
const [header = [], ...rows] = parseCsv(readFileSync('inputs/part', 'utf8'));
const columnsOf = (names) =>
  names.map((name) => {
    const at = header.indexOf(name);
    if (at === -1) throw new Error(`there is no column ${JSON.stringify(name)}; there are ${header.join(', ')}`);
    return at;
  });
const [keys, sums] = [columnsOf(groupBy), columnsOf(sum)];
const groups = new Map();
for (const row of rows) {
  const key = keys.map((at) => row[at] ?? '');
  const id = JSON.stringify(key);
  const group = groups.get(id) ?? { key, rows: 0, sums: sums.map(() => 0n) };
  group.rows += 1;
  group.sums = group.sums.map((total, index) => total + parseDecimal(row[sums[index]] ?? ''));
  groups.set(id, group);
}
const written = [...groups.values()].map((group) => ({ ...group, sums: group.sums.map(formatDecimal) }));
writeFileSync('outputs/groups.json', JSON.stringify({ groupBy, sum, groups: written }));
say(`${rows.length} rows in ${groups.size} groups`, { groups: groups.size, rows: rows.length });
