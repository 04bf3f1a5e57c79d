/** Registered things as files: what is taken, what is refused, and in which words. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { credentialPattern, credentialPatterns } from '@pangolin/contracts/credentials';
import { readThing, thingKindOf, type ThingKind } from '@pangolin/contracts/things';

function problems(kind: ThingKind, file: string, spec: string): string[] {
  const text = `apiVersion: pangolin.dev/v1\nkind: ${file}\nmetadata: { name: x }\nspec: ${spec}\n`;
  const read = readThing(kind, Buffer.from(text), 'x.yaml');
  return read.ok ? [] : read.problems.map(({ line, code, path, message }) => `${line} ${code} ${path} ${message}`);
}

const rows: readonly (readonly [
  what: string,
  kind: ThingKind,
  file: string,
  spec: string,
  expected: RegExp | undefined,
])[] = [
  [
    'a subagent',
    'subagent',
    'Subagent',
    '{ runtime: { kind: claude-code }, level: fast, prompt: "Fix {{what}}" }',
    undefined,
  ],
  [
    'a misspelt field',
    'subagent',
    'Subagent',
    '{ runtime: { kind: claude-code }, promt: x }',
    /^4 UnknownField \/spec\/promt/,
  ],
  ['another runtime', 'subagent', 'Subagent', '{ runtime: { kind: gpt } }', /\/spec\/runtime\/kind/],
  ['a command runtime without a command', 'subagent', 'Subagent', '{ runtime: { kind: command } }', /command/],
  [
    'a level for a model',
    'subagent',
    'Subagent',
    '{ runtime: { kind: claude-code }, model: max }',
    /^4 InvalidValue \/spec\/model "max" is a level, and no model$/,
  ],
  [
    'a model and a level',
    'subagent',
    'Subagent',
    '{ runtime: { kind: claude-code }, model: m, level: max }',
    /^4 GivenTwice \/spec\/level/,
  ],
  [
    'tools of a command',
    'subagent',
    'Subagent',
    '{ runtime: { kind: command, command: [a] }, tools: [Bash] }',
    /\/spec\/tools .*cannot be told/,
  ],
  [
    'a required path outside',
    'subagent',
    'Subagent',
    '{ runtime: { kind: claude-code }, contextRequires: { paths: [ ../x ] } }',
    /not a path inside/,
  ],
  ['a capability', 'capability', 'Capability', '{ files: { bin/x: { mode: "0755", text: hi } } }', undefined],
  ['a path that climbs', 'capability', 'Capability', '{ files: { a/../../x: { text: hi } } }', /leaves the workspace/],
  ['an absolute path', 'capability', 'Capability', '{ files: { /etc/passwd: { text: hi } } }', /is absolute/],
  [
    'a path into git',
    'capability',
    'Capability',
    '{ files: { sub/.GIT/hooks/post-commit: { text: hi } } }',
    /git repository/,
  ],
  ['a reserved path', 'capability', 'Capability', '{ files: { .pangolin/output.json: { text: hi } } }', /reserved/],
  [
    'a file that is a directory',
    'capability',
    'Capability',
    '{ files: { a: { text: x }, a/b: { text: y } } }',
    /a file and a directory/,
  ],
  [
    'a set-uid mode',
    'capability',
    'Capability',
    '{ files: { a: { mode: "4755", text: x } } }',
    /\/spec\/files\/a\/mode/,
  ],
  ['a link', 'capability', 'Capability', '{ files: { a: { symlink: /etc } } }', /UnknownField/],
  ['no content', 'capability', 'Capability', '{ files: { a: {} } }', /needs its content/],
  ['broken base64', 'capability', 'Capability', '{ files: { a: { base64: "aGk" } } }', /not base64/],
  [
    'an env bundle',
    'env',
    'EnvBundle',
    '{ values: { URL: "http://x" }, secrets: { KEY: { ref: my/key } } }',
    undefined,
  ],
  [
    'a credential',
    'env',
    'EnvBundle',
    '{ values: { URL: "https://me:hunter22@x" } }',
    /^4 CredentialInValue \/spec\/values\/URL .*\(UrlPassword\)$/,
  ],
  ['a value for a secret', 'env', 'EnvBundle', '{ secrets: { KEY: hunter22 } }', /\/spec\/secrets\/KEY/],
  ['a name of the worker', 'env', 'EnvBundle', '{ values: { PANGOLIN_INPUTS: x } }', /worker's own/],
  ['value and secret', 'env', 'EnvBundle', '{ values: { A: x }, secrets: { A: { ref: a } } }', /a value and a secret/],
];

for (const [what, kind, file, spec, expected] of rows) {
  test(`${kind}: ${what}`, () => {
    const found = problems(kind, file, spec);
    if (expected === undefined) assert.deepEqual(found, []);
    else assert.match(found.join('\n'), expected);
  });
}

test('kinds are told by what their files say', () => {
  assert.deepEqual(['Pipeline', 'Subagent', 'Capability', 'EnvBundle', 'Run'].map(thingKindOf), [
    'pipeline',
    'subagent',
    'capability',
    'env',
    undefined,
  ]);
});

// Made up of parts, so that no scanner takes this file for a leak.
const long = (n: number): string => 'a1B2c3D4e5F6'.repeat(10).slice(0, n);
const samples: Readonly<Record<string, readonly [variable: string, value: string]>> = {
  PrivateKey: ['X', `-----BEGIN EC ${'PRIVATE'} KEY-----\nabc`],
  AnthropicKey: ['X', `sk-ant-${long(24)}`],
  OpenAiKey: ['X', `sk-${long(24)}`],
  AwsAccessKeyId: ['X', `AKIA${'A2'.repeat(8)}`],
  GitHubToken: ['X', `ghp_${long(36)}`],
  GitLabToken: ['X', `glpat-${long(20)}`],
  SlackToken: ['X', `xoxb-${long(12)}`],
  GoogleApiKey: ['X', `AIza${long(35)}`],
  StripeKey: ['X', `sk_live_${long(16)}`],
  NpmToken: ['X', `npm_${long(36)}`],
  JsonWebToken: ['X', `eyJ${long(10)}.${long(10)}.${long(10)}`],
  UrlPassword: ['X', 'postgres://app:pw1234@db/x'],
  AuthorizationHeader: ['X', `Bearer ${long(20)}`],
  SecretName: ['DB_PASSWORD', 'hunter22'],
};

test('every credential pattern has a sample that it, and no earlier one, names', () => {
  for (const { name } of credentialPatterns) assert.equal(credentialPattern(...samples[name]!), name);
  for (const [variable, value] of [
    ['URL', 'https://example.invalid/a?b=c'],
    ['MODEL', 'claude-standard-4'],
    ['TOKEN_BUDGET', '100000000'],
    ['API_KEY', 'dummy'],
    ['PATH', '/usr/bin:/bin'],
  ] as const) {
    assert.equal(credentialPattern(variable, value), undefined, value);
  }
});
