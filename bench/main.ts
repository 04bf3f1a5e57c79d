/** `npm run bench [-- NAME…] [-o json]`: our figures beside a floor measured in the same run. Machines are noisy: read the ratios. */
import { parseArgs } from 'node:util';
import type { Row } from './figures.ts';

export type { Row };

const benches: Readonly<Record<string, () => Promise<Row[]>>> = {
  engine: async () => (await import('./engine.ts')).engine(),
  docker: async () => (await import('./docker.ts')).docker(),
  cli: async () => (await import('./cli.ts')).cli(),
  admission: async () => (await import('./admission.ts')).admission(),
  evidence: async () => (await import('./evidence.ts')).evidence(),
  verify: async () => (await import('./verify.ts')).verify(),
  image: async () => (await import('./image.ts')).image(),
  idle: async () => (await import('./idle.ts')).idle(),
};

const { values, positionals } = parseArgs({
  allowPositionals: true,
  options: { output: { type: 'string', short: 'o', default: 'text' } },
});
const names = positionals.length > 0 ? positionals : Object.keys(benches);
const report: Record<string, unknown> = {};
for (const name of names) {
  const bench = benches[name];
  if (!bench) {
    console.error(`no bench ${name}; there are: ${Object.keys(benches).join(', ')}`);
    process.exit(2);
  }
  const results = await bench();
  if (values.output === 'json') {
    report[name] = { results };
  } else {
    console.log(`\n${name}`);
    console.table(results);
  }
}
// One bench answers with its own shape, several with one member each.
if (values.output === 'json') console.log(JSON.stringify(names.length === 1 ? report[names[0]!] : report, null, 2));
