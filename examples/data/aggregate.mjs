// inputs/part-00001 and so on, the sums of all parts → outputs/revenue.csv.
import { readdirSync, readFileSync, writeFileSync } from 'node:fs';

const total = new Map();
for (const name of readdirSync('inputs').filter((each) => each.startsWith('part-'))) {
  for (const [key, { rows, cents }] of Object.entries(JSON.parse(readFileSync(`inputs/${name}`, 'utf8')))) {
    const sum = total.get(key) ?? { rows: 0, cents: 0 };
    total.set(key, { rows: sum.rows + rows, cents: sum.cents + cents });
  }
}
const lines = [...total].sort(([a], [b]) => (a < b ? -1 : 1));
const text = lines.map(([key, { rows, cents }]) => `${key.replace(' ', ',')},${rows},${cents}\n`).join('');
writeFileSync('outputs/revenue.csv', `region,month,rows,cents\n${text}`);
