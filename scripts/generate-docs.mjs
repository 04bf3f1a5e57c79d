// Writes docs/reasons.md, docs/limits.md and docs/credentials.md from the code that uses them; with --check it only says what is stale.
import { readFileSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { BUNDLE_BLOB_BYTES_MAX, BUNDLE_DOCUMENT_BYTES_MAX } from '../contracts/src/bundle.ts';
import { DURATION_MAX_MS } from '../contracts/src/check-pipeline.ts';
import { credentialPatterns } from '../contracts/src/credentials.ts';
import { PROBLEMS_MAX } from '../contracts/src/explain.ts';
import * as limits from '../contracts/src/limits.ts';
import { ALIASED_VALUES_MAX, DEPTH_MAX, JSON_BYTES_MAX, YAML_BYTES_MAX } from '../contracts/src/parse.ts';
import { CIRCLES_MAX, NESTING_MAX, REVIEWERS_MAX } from '../contracts/src/pattern.ts';
import { CONCURRENCY_MAX } from '../contracts/src/queue.ts';
import { isTerminal, phases, reasons } from '../contracts/src/reasons.ts';
import { ITEMS_MAX } from '../contracts/src/run.ts';
import { ALIVE_SILENCE_MS } from '../controller/src/alive.ts';
import { CLOSE_MS, DRAIN_MS } from '../controller/src/drain.ts';
import { GRACE_MS, GRACE_MS_MAX } from '../controller/src/providers/provider.ts';
import { CONNECTIONS_MAX } from '../controller/src/egress/egress-log.ts';
import { SCHEDULE_BYTES_MAX, SCHEDULE_NAME_MAX, SLOTS_MAX } from '../contracts/src/schedule.ts';
import { AGED_EVERY, AGEING_MS, PLACES_PER_PRIORITY } from '../controller/src/engine/queues.ts';
import { INFRASTRUCTURE_RETRIES_MAX, PARKS_MAX, RATE_LIMIT_WAIT_MAX_MS } from '../controller/src/plan/retry.ts';
import {
  DEFAULT_DISK_BYTES,
  DEFAULT_MEMORY_BYTES,
  DISK_FILES_MAX,
  MEMORY_BYTES_MIN,
  PIDS_MAX,
  TMP_FILES_MAX,
} from '../controller/src/providers/docker-container.ts';
import { SECRET_BYTES_MAX, SECRET_BYTES_MIN, SECRETS_MAX } from '../contracts/src/secrets.ts';
import {
  DESCRIBE_TASKS_MAX,
  ecsLimits,
  OVERRIDE_CHARACTERS_MAX,
  STOP_TIMEOUT_MAX_S,
} from '../controller/src/providers/ecs-limits.ts';
import { STARTS_MAX } from '../controller/src/providers/fargate.ts';
import { TASK_BYTES_MAX } from '../worker-image/src/read-task.ts';
import { LOG_LIMITS } from '../worker-image/src/log-writer.ts';

const root = dirname(dirname(fileURLToPath(import.meta.url)));
const made = (from) => `<!-- Made by scripts/generate-docs.mjs from ${from}. Do not edit. -->`;
const table = (head, rows) => [
  `| ${head.join(' | ')} |`,
  `|${'---|'.repeat(head.length)}`,
  ...rows.map((row) => `| ${row.map((cell) => String(cell).replaceAll('|', '\\|')).join(' | ')} |`),
];

const classes = [
  ['progress', 'Where a healthy item stands', 'Nothing is wrong.'],
  [
    'item',
    'The work failed',
    'Charged to `retry.maxAttempts`. When that is used up, the item is `failed`, and what depends on its success `skipped`.',
  ],
  [
    'infrastructure',
    'Something around the work failed',
    `Not charged to the item: up to ${INFRASTRUCTURE_RETRIES_MAX} retries of their own, with their own backoff.`,
  ],
  ['decision', 'Somebody or a rule decided', 'Never retried.'],
];

function reasonsPage() {
  const sections = classes.flatMap(([name, title, text]) => [
    '',
    `## ${title} (\`${name}\`)`,
    '',
    text,
    '',
    ...table(
      ['reason', 'what to do'],
      Object.entries(reasons)
        .filter(([, [of]]) => of === name)
        .map(([reason, [, remedy]]) => [`\`${reason}\``, remedy]),
    ),
  ]);
  const named = (terminal) => phases.filter((phase) => isTerminal(phase) === terminal).map((phase) => `\`${phase}\``);
  return [
    '# Reasons',
    '',
    made('contracts/src/reasons.ts'),
    '',
    'Every item is in one phase for one reason of this closed list; `pangolin orch status RUN` shows both, and the message',
    `besides. Phases that go on: ${named(false).join(', ')}. Phases that last: ${named(true).join(', ')}.`,
    ...sections,
    '',
  ].join('\n');
}

const count = (value) => value.toLocaleString('en-US');
function bytes(value) {
  const units = ['bytes', 'KiB', 'MiB', 'GiB'];
  let unit = 0;
  for (; value >= 1024 && value % 1024 === 0; unit++) value /= 1024;
  return `${count(value)} ${units[unit]}`;
}
const days = (ms) => `${Math.floor(ms / 86_400_000)} days`;

const limitSections = [
  [
    'What is submitted',
    'A file beyond one of these is rejected, and its receipt says where.',
    [
      ['a YAML file', bytes(YAML_BYTES_MAX)],
      ['a JSON file', bytes(JSON_BYTES_MAX)],
      ['nesting of a file', `${DEPTH_MAX} levels`],
      ['values that YAML aliases expand to', count(ALIASED_VALUES_MAX)],
      ['problems in one receipt', count(PROBLEMS_MAX)],
      ['items of a run', count(ITEMS_MAX)],
      ['blocks of a pipeline', count(limits.BLOCKS_MAX)],
      ['a command', bytes(limits.COMMAND_BYTES_MAX)],
      ['secrets of a pipeline', count(SECRETS_MAX)],
      ['the value of a secret', `${bytes(SECRET_BYTES_MIN)} to ${bytes(SECRET_BYTES_MAX)}`],
      ['a duration', `more than 0, at most ${days(DURATION_MAX_MS)}`],
      ['concurrency of a queue', count(CONCURRENCY_MAX)],
      ['fixes of a gate, and revisions of a proposal', CIRCLES_MAX],
      ['reviewers of a proposal', REVIEWERS_MAX],
      ['splits within each other', NESTING_MAX],
      ['files of a capability', count(limits.CAPABILITY_FILES_MAX)],
      ['bytes of a capability', bytes(limits.CAPABILITY_BYTES_MAX)],
      ['a JSON Schema of a shape', `${bytes(limits.SCHEMA_BYTES_MAX)}, ${limits.SCHEMA_DEPTH_MAX} levels`],
      ['outputs that a shape gives a type to', count(limits.OUTPUT_TYPES_MAX)],
      ['a system prompt, a template, a prompt', `${count(limits.PROMPT_CHARS_MAX)} characters`],
      ['a schedule', bytes(SCHEDULE_BYTES_MAX)],
      ['the name of a schedule', `${count(SCHEDULE_NAME_MAX)} characters`],
      ['slots of a schedule that are caught up at once, and decisions about it that are kept', count(SLOTS_MAX)],
    ],
  ],
  [
    'How often one item is tried again',
    'Besides `retry.maxAttempts`.',
    [
      ['after losses of infrastructure', count(INFRASTRUCTURE_RETRIES_MAX)],
      ['because a rule parked it, its model was rate-limited, or it asked something', count(PARKS_MAX)],
      ['one wait for a rate-limited model', `${RATE_LIMIT_WAIT_MAX_MS / 3_600_000} hours`],
    ],
  ],
  [
    'Who comes when',
    'Of the items of a queue that wait for nothing but a slot and locks.',
    [
      ['turns of the runs of a queue by which a point of `priority` moves an item ahead', count(PLACES_PER_PRIORITY)],
      [
        'from when on an item is not overtaken for ever: its place is by age now, and its locks are kept for it',
        `${AGEING_MS / 60_000} minutes after it became ready`,
      ],
      [
        'starts of the queue from then until an item begins at the latest, when n others became ready before it',
        `${AGED_EVERY} × (n + 1)`,
      ],
    ],
  ],
  [
    'What an attempt writes',
    'Beyond one of the first six an attempt fails with `OutputTooLarge`.',
    [
      ['files under `outputs/`', count(limits.OUTPUT_FILES_MAX)],
      ['bytes under `outputs/`', bytes(limits.OUTPUT_BYTES_MAX)],
      ['a path under `outputs/`', `${bytes(limits.OUTPUT_PATH_BYTES_MAX)}, ${limits.OUTPUT_DEPTH_MAX} directories`],
      ['the patch', bytes(limits.PATCH_BYTES_MAX)],
      [
        'new files and directories in the workspace, but for what is inside of an ignored directory',
        count(limits.PATCH_NEW_FILES_MAX),
      ],
      ['`.pangolin/output.json`; a larger one fails the attempt', bytes(limits.BLOCK_OUTPUT_BYTES_MAX)],
      ['its summary', `${count(limits.SUMMARY_CHARS_MAX)} characters`],
      ['its intents, and its signals', `${limits.INTENTS_MAX} of each`],
      ['`.pangolin/needs_input.json`', bytes(limits.NEEDS_INPUT_BYTES_MAX)],
      ['its question', `${count(limits.QUESTION_CHARS_MAX)} characters`],
      ['its options', `${limits.OPTIONS_MAX}, each ${count(limits.OPTION_CHARS_MAX)} characters`],
      ['an answer', `${count(limits.ANSWER_CHARS_MAX)} characters`],
      ['`output.json`', bytes(limits.OUTPUT_JSON_BYTES_MAX)],
      ['what all blocks print; the rest is dropped', bytes(LOG_LIMITS.totalBytes)],
      ['a line of it; a longer one is cut into several', bytes(LOG_LIMITS.lineBytes)],
    ],
  ],
  [
    'What the Fargate backend keeps to',
    'The documented limits of ECS and Fargate for an account and region: so many calls at once, and then so many a second.',
    [
      ...Object.entries({
        clusterResourceModify: 'RunTask and StopTask together',
        runTaskOnFargate: 'RunTask',
        launchesOnDemand: 'tasks started on on-demand capacity',
        launchesSpot: 'tasks started on spot capacity',
        clusterResourceRead: 'DescribeTasks and ListTasks together',
        taskDefinitionModify: 'RegisterTaskDefinition',
        taskDefinitionRead: 'DescribeTaskDefinition',
      }).map(([name, what]) => [what, `${ecsLimits[name].burst}, ${ecsLimits[name].perSecond} a second`]),
      ['tasks of one DescribeTasks', count(DESCRIBE_TASKS_MAX)],
      ['what a task is told when it is started', `${count(OVERRIDE_CHARACTERS_MAX)} characters`],
      ['from SIGTERM to SIGKILL', `${STOP_TIMEOUT_MAX_S} s`],
      ['starts that wait; more items stay ready', count(STARTS_MAX)],
    ],
  ],
  [
    'How tasks are stopped, and how a controller ends and is watched',
    '',
    [
      [
        'from SIGTERM to SIGKILL of a task (`orch serve --grace`)',
        `${GRACE_MS / 1000} s; 1 s to ${GRACE_MS_MAX / 3_600_000} h`,
      ],
      ['from SIGTERM until what is under way is given up', `${DRAIN_MS / 1000} s`],
      ['from then until it has ended', `${CLOSE_MS / 1000} s`],
      ['silence of the loop after which `doctor --live` fails', `${ALIVE_SILENCE_MS / 1000} s`],
    ],
  ],
  [
    'What a container gets',
    'Of the Docker backend, for items that do not ask for something else.',
    [
      ['memory, swap included', bytes(DEFAULT_MEMORY_BYTES)],
      ['memory that an item may ask for', `at least ${bytes(MEMORY_BYTES_MIN)}`],
      ['processes and threads', count(PIDS_MAX)],
      ['disk of workspace and scratch space', bytes(DEFAULT_DISK_BYTES)],
      ['files there; more fail the item with `DiskQuotaExceeded`', count(DISK_FILES_MAX)],
      ['files in `/tmp`', count(TMP_FILES_MAX)],
      ['connections of a task with an allow-list; further ones are refused', count(CONNECTIONS_MAX)],
    ],
  ],
  [
    'Files between the parts',
    '',
    [
      ['`task.json`', bytes(TASK_BYTES_MAX)],
      ['a bundle as one JSON document', bytes(BUNDLE_DOCUMENT_BYTES_MAX)],
      ['a product in a bundle; larger ones are withheld', bytes(BUNDLE_BLOB_BYTES_MAX)],
    ],
  ],
];

function limitsPage() {
  const sections = limitSections.flatMap(([title, text, rows]) => [
    '',
    `## ${title}`,
    '',
    ...(text ? [text, ''] : []),
    ...table(['of', 'limit'], rows),
  ]);
  return ['# Limits', '', made('the constants that enforce them'), ...sections, ''].join('\n');
}

function credentialsPage() {
  return [
    '# Values that look like credentials',
    '',
    made('contracts/src/credentials.ts'),
    '',
    'An env bundle that holds such a value is refused when it is registered, by the name of the pattern. Put the value into',
    'the secret store and its reference into `secrets`. The table is a net, not a proof: what it lets through may be a secret.',
    '',
    ...table(
      ['pattern', 'what it is'],
      credentialPatterns.map(({ name, what }) => [`\`${name}\``, what]),
    ),
    '',
  ].join('\n');
}

const pages = new Map([
  ['docs/credentials.md', credentialsPage()],
  ['docs/reasons.md', reasonsPage()],
  ['docs/limits.md', limitsPage()],
]);
for (const [path, text] of pages) {
  if (!process.argv.includes('--check')) writeFileSync(join(root, path), text);
  else if (readFileSync(join(root, path), 'utf8') !== text) {
    console.error(`${path} is stale; run node scripts/generate-docs.mjs`);
    process.exitCode = 1;
  }
}
