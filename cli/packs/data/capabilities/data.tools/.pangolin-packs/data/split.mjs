// inputs/source, or the file `source` of the workspace → outputs/parts/<n>.csv, every one with the header.
import { existsSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { formatCsv, parseCsv } from './csv.mjs';
import { say } from './say.mjs';

const { source, parts } = JSON.parse(readFileSync(process.env.PANGOLIN_PARAMS, 'utf8'));
const file = existsSync('inputs/source') ? 'inputs/source' : source;
if (file === undefined) throw new Error('there is no inputs/source, and the inputs name no `source`');
const [header, ...rows] = parseCsv(readFileSync(file, 'utf8'));
if (header === undefined) throw new Error(`${file} has no header`);
mkdirSync('outputs/parts', { recursive: true });
// No part without rows, but one when there are none at all: what comes after gets the header.
const count = Math.max(1, Math.min(parts, rows.length));
const width = String(count).length;
for (let part = 0; part < count; part++) {
  const own = rows.slice(Math.floor((part * rows.length) / count), Math.floor(((part + 1) * rows.length) / count));
  writeFileSync(`outputs/parts/${String(part + 1).padStart(width, '0')}.csv`, formatCsv([header, ...own]));
}
say(`${rows.length} rows in ${count} parts`, { parts: count, rows: rows.length });
