// Writes docs/cli.md from the command definitions; with --check it only says whether the file is current.
import { readFileSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { globalFlags } from '../cli/src/context.ts';
import { PROGRAM, program } from '../cli/src/program.ts';
import { childrenOf, resolve } from '../cli/src/strict.ts';
import { globalRows, usageOf } from '../cli/src/usage.ts';

const root = dirname(dirname(fileURLToPath(import.meta.url)));
const file = join(root, 'docs', 'cli.md');

const PREFACE = `# Command line

<!-- Made by scripts/generate-cli-docs.mjs from the commands themselves. Do not edit. -->

From a checkout: \`bin/pangolin\`. Results go to stdout, everything else to stderr. There is no colour off a terminal or
with \`NO_COLOR\`. Unknown flags, words and values are refused with exit code 2.

## Exit codes

| code | meaning |
|---|---|
| 0 | ok |
| 1 | the run failed, or what is stored does not hold |
| 2 | invalid input or usage |
| 3 | not found |
| 4 | conflict |
| 5 | denied or not supported |
| 6 | unavailable: the storage, git or a controller did not answer in time |

\`pangolin verify\` has its own: 0 verified, 1 failed, 2 unusable input, 3 below what is required, 4 incomplete.

## JSON

With \`-o json\` the result is one document on stdout; \`orch watch\`, \`orch submit --wait\` and \`orch logs\` print one
document a line. An error is \`{"error": {"code", "message", "hint"?, "details"?, "exitCode"}}\` on stderr.

| command | document |
|---|---|
| \`orch submit\`, \`cancel\`, \`retry\` | the receipt: \`{schema, submission, sha256, at, verdict: accepted\\|rejected, kind, run?, duplicate?, actor, errors: Problem[]}\`, or \`{verdict: "queued", submission, run, errors: []}\` |
| \`orch validate\`; \`validate\` and \`register\` of what is registered | \`{ok: true, …}\` or \`{ok: false, problems: Problem[]}\`; \`submit\` prints the latter for a file that it does not drop |
| \`orch status\` | \`{runs: RunStatus[], receipts?: Receipt[]}\` |
| \`orch status RUN\` | \`RunStatus\` with \`items: ItemStatus[]\` |
| \`orch status RUN/ITEM\` | \`ItemStatus\` with \`blocks: [{index, id?, kind, status, reason?, exitCode?, durationMs?, usage?}]\`, \`secrets?: [{ref, variable, as, blocks}]\`, \`destinations?: [{host, port, allowed, sent, received, refused: {REASON: n}}]\` and \`asserted?: {summary?, output?, intents?, signals?}\` |
| \`orch watch\` | lines \`{type: "item", run, …ItemStatus}\` and \`{type: "run", …RunStatus}\` |
| \`orch logs\` | lines \`{item, attempt, t, block?, stream, line}\` |
| \`orch patch\` | \`{run, item, sha256, size, partial, base64}\`, with \`--apply\` \`applied\` in place of \`base64\` |
| \`orch outputs\` | \`{run, item, outputs: [{path, sha256, size}], to?}\` |
| \`orch audit\` | \`{run, bundle, lean}\` |
| \`orch prove\` | \`{run, item, proof, bytes}\` |
| \`pipeline\`, \`subagent\`, \`capability\`, \`env list\`; \`show\` | \`{pipelines: [{name, digest, at, actor, versions}]}\` (\`subagents\`, \`capabilities\`, \`envBundles\`), \`{name, digest, spec, versions}\` |
| \`apply\`, \`import\` | \`{ok: true, dryRun, changes: [{kind, name, change, digest, previous?, diff}]}\`; change is \`added\`, \`changed\` or \`unchanged\` |
| \`doctor\` | \`{checks: [{name, status: ok\\|warn\\|fail, message, hint?}]}\` |
| \`verify\` | the report of VERIFICATION.md |

A \`Problem\` is \`{file?, line?, column?, path, code, message, hint?}\`.
`;

const cell = (text) => text.replaceAll('<', '&lt;').replaceAll('|', '\\|').replaceAll('\n', ' ');
const table = (title, rows) =>
  rows.length === 0
    ? []
    : [
        '',
        `| ${title} | |`,
        '|---|---|',
        ...rows.map(([term, text]) => `| \`${cell(term.trim())}\` | ${cell(text)} |`),
      ];

async function sections(command, path) {
  const usage = await usageOf(command, path);
  const children = Object.entries((await childrenOf(command)) ?? {});
  const own = [
    '',
    `## ${usage.name}`,
    '',
    `${usage.description}.`,
    '',
    '```',
    usage.synopsis,
    '```',
    ...table('argument', usage.words),
    ...table('flag', usage.flags),
  ];
  const below = [];
  for (const [name, load] of children) below.push(...(await sections(await resolve(load), [...path, name])));
  return children.length > 0 ? below : [...own, ...below];
}

const text = [
  PREFACE,
  '## Flags of every command',
  ...table('flag', globalRows(globalFlags)),
  ...(await sections(program, [PROGRAM])),
  '',
].join('\n');
if (!process.argv.includes('--check')) writeFileSync(file, text);
else if (readFileSync(file, 'utf8') !== text) {
  console.error('docs/cli.md is stale; run node scripts/generate-cli-docs.mjs');
  process.exitCode = 1;
}
