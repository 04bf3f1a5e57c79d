/** Imports flow one way. The table is ARCHITECTURE.md's; anything it does not allow fails here. */
import assert from 'node:assert/strict';
import { globSync, readFileSync } from 'node:fs';
import { dirname, join, relative } from 'node:path';
import { test } from 'node:test';

const root = dirname(import.meta.dirname);
const FILES_MIN = 60;

interface Rule {
  /** Path prefix of the importing file; the longest match decides. */
  readonly from: string;
  /** What a specifier or resolved path may start with. */
  readonly may: readonly string[];
}

const nodeBuiltins = ['node:'];
const rules: readonly Rule[] = [
  { from: 'contracts/src/', may: ['contracts/src/', 'node:crypto'] },
  { from: 'contracts/src/parse.ts', may: ['contracts/src/', 'node:buffer', 'yaml'] },
  { from: 'contracts/src/json-schema.ts', may: ['contracts/src/', 'ajv/', 'node:vm'] },
  { from: 'contracts/src/cron.ts', may: ['contracts/src/', 'croner'] },
  ...[
    'run',
    'policy',
    'workspace',
    'admitted-run',
    'queue',
    'needs-input',
    'schedule',
    'pattern',
    'extension',
    'config',
    'pipeline',
    'subagent',
    'capability',
    'env-bundle',
    'shape',
    'block-output',
    'output',
    'control',
    'status',
    'task',
    'fragments',
    'schema',
    'explain',
  ].map((name) => ({
    from: `contracts/src/${name}.ts`,
    may: ['contracts/src/', 'typebox'],
  })),
  { from: 'storage/src/', may: ['storage/src/', '@pangolin/contracts/', ...nodeBuiltins, '@aws-sdk/'] },
  { from: 'verify/src/', may: ['verify/src/', '@pangolin/contracts/', ...nodeBuiltins] },
  {
    from: 'worker-image/src/',
    may: ['worker-image/src/', '@pangolin/contracts/', '@pangolin/storage/', ...nodeBuiltins],
  },
  {
    from: 'worker-image/src/runtimes/acp.ts',
    may: ['worker-image/src/', '@pangolin/contracts/', ...nodeBuiltins, '@agentclientprotocol/sdk'],
  },
  {
    from: 'controller/src/',
    may: ['controller/src/', '@pangolin/contracts/', '@pangolin/storage/', ...nodeBuiltins, 'pino'],
  },
  {
    from: 'controller/src/secrets/',
    may: ['controller/src/secrets/', '@pangolin/contracts/', ...nodeBuiltins, '@aws-sdk/client-secrets-manager'],
  },
  {
    from: 'controller/src/notifications.ts',
    may: ['@pangolin/contracts/', ...nodeBuiltins, 'pino', '@aws-sdk/client-sqs'],
  },
  { from: 'controller/src/plan/', may: ['controller/src/plan/', '@pangolin/contracts/'] },
  {
    from: 'controller/src/store/',
    may: ['controller/src/store/', '@pangolin/contracts/', ...nodeBuiltins, 'better-sqlite3'],
  },
  {
    from: 'controller/src/audit/',
    may: [
      'controller/src/audit/',
      'controller/src/store/',
      '@pangolin/contracts/',
      '@pangolin/storage/',
      ...nodeBuiltins,
      '@aws-sdk/client-kms',
    ],
  },
  {
    from: 'controller/src/providers/',
    may: [
      'controller/src/providers/',
      'controller/src/egress/',
      '@pangolin/contracts/',
      ...nodeBuiltins,
      'pino',
      'dockerode',
      '@aws-sdk/client-ecs',
    ],
  },
  { from: 'controller/src/egress/', may: ['controller/src/egress/', '@pangolin/contracts/', ...nodeBuiltins] },
  {
    from: 'cli/src/',
    may: [
      'cli/src/',
      '@pangolin/contracts/',
      '@pangolin/storage/',
      '@pangolin/verify/',
      ...nodeBuiltins,
      'citty',
      'cli-table3',
    ],
  },
];

/** What the verifier must never pull in: schemas drag typebox along, and it reads a Run spec as plain JSON. */
const verifierForbids = [
  'run',
  'policy',
  'workspace',
  'admitted-run',
  'queue',
  'pipeline',
  'subagent',
  'capability',
  'env-bundle',
  'shape',
  'block-output',
  'json-schema',
  'edges',
  'things',
  'output',
  'control',
  'status',
  'task',
  'fragments',
  'schema',
  'explain',
  'parse',
  'read-run',
].map((name) => `@pangolin/contracts/${name}`);

interface Import {
  readonly specifier: string;
  readonly dynamic: boolean;
  readonly typeOnly: boolean;
}

function importsOf(text: string): Import[] {
  const found: Import[] = [];
  for (const match of text.matchAll(/^\s*(?:import|export)\s+(type\s)?(?:[^'";]*?\sfrom\s+)?'([^']+)'/gm)) {
    found.push({ specifier: match[2]!, dynamic: false, typeOnly: match[1] !== undefined });
  }
  for (const match of text.matchAll(/\bimport\('([^']+)'\)/g))
    found.push({ specifier: match[1]!, dynamic: true, typeOnly: false });
  return found;
}

const files = globSync('{contracts,storage,verify,worker-image,controller,cli}/src/**/*.ts', { cwd: root });

test('every import is one that the table allows', () => {
  assert.ok(files.length >= FILES_MIN, `saw only ${files.length} files`);
  const broken: string[] = [];
  let seen = 0;
  for (const file of files) {
    const rule = rules.filter(({ from }) => file.startsWith(from)).sort((a, b) => b.from.length - a.from.length)[0];
    assert.ok(rule, `no rule for ${file}`);
    for (const { specifier, dynamic, typeOnly } of importsOf(readFileSync(join(root, file), 'utf8'))) {
      seen++;
      const target = specifier.startsWith('.') ? relative(root, join(root, dirname(file), specifier)) : specifier;
      const lazy =
        file.startsWith('cli/src/') && (dynamic || typeOnly) && /^@pangolin\/(controller|worker-image)\//.test(target);
      const allowed = rule.may.some((prefix) => target.startsWith(prefix));
      if (!allowed && !lazy) broken.push(`${file} imports ${specifier}`);
      if (file.startsWith('verify/') && !typeOnly && verifierForbids.includes(target))
        broken.push(`${file} imports ${specifier}, which is not for the verifier`);
    }
  }
  assert.ok(seen > 200, `saw only ${seen} imports`);
  assert.deepEqual(broken, []);
});

test('heavy libraries are loaded where they are used, never at start', () => {
  const heavy = /^(@aws-sdk\/|dockerode|@kubernetes\/)/;
  const eager = files.flatMap((file) =>
    importsOf(readFileSync(join(root, file), 'utf8'))
      .filter(({ specifier, dynamic, typeOnly }) => heavy.test(specifier) && !dynamic && !typeOnly)
      .map(({ specifier }) => `${file} imports ${specifier}`),
  );
  // The S3 store is itself loaded lazily, by storage/src/open.ts.
  assert.deepEqual(
    eager.filter((line) => !line.startsWith('storage/src/s3')),
    [],
  );
});

test('the planner reads no clock, makes no ids and awaits nothing', () => {
  for (const file of files.filter((path) => path.startsWith('controller/src/plan/'))) {
    const text = readFileSync(join(root, file), 'utf8');
    assert.doesNotMatch(text, /Date\.now|new Date\(|Math\.random|randomUUID|process\.|\bawait\b|setTimeout/, file);
  }
});

test('hashes are taken in the files made for it', () => {
  const users = files.filter((file) => /createHash|crypto\.hash/.test(readFileSync(join(root, file), 'utf8')));
  const allowed =
    /^(contracts\/src\/(digest|merkle|dsse|note|tlog|sigstore-bundle|check-time-stamp)\.ts|verify\/src\/|controller\/src\/audit\/)/;
  assert.deepEqual(
    users.filter((file) => !allowed.test(file)),
    [],
  );
});
