// Runs `command` of the inputs → outputs/report.txt, what it printed; its exit code is ours.
import { spawn } from 'node:child_process';
import { createWriteStream, readFileSync, writeFileSync } from 'node:fs';
import { finished } from 'node:stream/promises';

const { command } = JSON.parse(readFileSync(process.env.PANGOLIN_PARAMS, 'utf8'));
const report = createWriteStream('outputs/report.txt');
const child = spawn('/bin/sh', ['-c', command], { stdio: ['ignore', 'pipe', 'pipe'] });
for (const stream of [child.stdout, child.stderr]) {
  stream.pipe(process.stdout);
  stream.pipe(report, { end: false });
}
// A command that dies by a signal is as red as one that says so.
const exitCode = await new Promise((resolve) => child.on('close', (code) => resolve(code ?? 255)));
report.end();
await finished(report);
const summary = exitCode === 0 ? 'green' : `red: exit code ${exitCode}`;
writeFileSync('.pangolin/output.json', JSON.stringify({ summary, output: { green: exitCode === 0, exitCode } }));
process.exitCode = exitCode;
