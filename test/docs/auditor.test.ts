/** docs/auditor.md, block by block as it stands there, on what the shipped command made; then on what somebody changed. */
import assert from 'node:assert/strict';
import { cpSync, mkdtempSync, readFileSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { after, before, test } from 'node:test';
import { deploy, type Deployment } from '../foreign/deployment.ts';
import { foreign, toolsSkip } from '../foreign/tools.ts';

const page = readFileSync(join(dirname(dirname(import.meta.dirname)), 'docs', 'auditor.md'), 'utf8');
const blocksOf = (language: string): string[] =>
  [...page.matchAll(new RegExp(`^\`\`\`${language}\n([^]*?)^\`\`\``, 'gm'))].map((match) => match[1]!);

const blocks = ['keys', 'openssl', 'cosign', 'products', 'go'] as const;
type Block = (typeof blocks)[number];
const skip = toolsSkip();
let deployment: Deployment;
before(async () => {
  if (!skip) deployment = await deploy();
});
after(() => deployment?.[Symbol.dispose]());

/** Which blocks of the page refuse the evidence after `change`, and what they say. */
function refusing(change: (bundle: string) => void): { readonly blocks: Block[]; readonly said: string } {
  const cwd = mkdtempSync(join(tmpdir(), 'pangolin-auditor-'));
  try {
    for (const name of ['bundle', 'trust.json']) {
      cpSync(join(deployment.dir, name), join(cwd, name), { recursive: true });
    }
    writeFileSync(join(cwd, 'check.go'), blocksOf('go')[0]!);
    change(join(cwd, 'bundle'));
    const scripts = blocksOf('sh');
    assert.equal(scripts.length, blocks.length);
    const answers = scripts.map((script) => foreign('sh', ['-ec', script], { cwd }));
    return {
      blocks: blocks.filter((_, at) => !answers[at]!.ok),
      said: answers.map(({ said }) => said).join('\n'),
    };
  } finally {
    rmSync(cwd, { recursive: true, force: true });
  }
}

test('every line of the auditor page accepts what the shipped command made', { skip }, () => {
  const { blocks, said } = refusing(() => {});
  assert.deepEqual(blocks, [], said);
  // The seal; three products of `edit` and one of `use`.
  assert.equal(said.match(/^Verified OK$/gm)?.length, 1 + 1 + 4, said);
  assert.match(said, /Verification: OK/);
  assert.match(said, /bundle\/events\.jsonl: OK/);
  assert.match(said, /entry 1 of 2 and 6 events: OK/);
});

const edit = (name: string, change: (text: string) => string) => (bundle: string) => {
  const path = join(bundle, name);
  const before = readFileSync(path, 'latin1');
  const changed = change(before);
  assert.notEqual(changed, before);
  writeFileSync(path, changed, 'latin1');
};
const SEAL = 'seal.sigstore.json';
/** Another first character of the base64 text that follows `field`. */
const flip = (field: string) => (text: string) =>
  text.replace(new RegExp(`(${field})(.)`), (_, start: string, first: string) => start + (first === 'A' ? 'B' : 'A'));

const tampered: Readonly<Record<string, readonly [(bundle: string) => void, readonly Block[]]>> = {
  'an event': [edit('events.jsonl', (text) => text.replace('Succeeded', 'Cancelled')), ['openssl', 'cosign', 'go']],
  'an event left out': [edit('events.jsonl', (text) => text.replace(/\n.*/, '')), ['openssl', 'cosign', 'go']],
  'the statement of the seal': [
    edit(SEAL, (text) => {
      const payload = /"payload":"([^"]*)"/.exec(text)![1]!;
      const changed = Buffer.from(payload, 'base64').toString().replace('"succeeded"', '"cancelled"');
      return text.replace(payload, Buffer.from(changed).toString('base64'));
    }),
    ['openssl', 'cosign'],
  ],
  'the proof of the log': [edit(SEAL, flip('"hashes":\\["')), ['cosign', 'go']],
  'the state of the log': [edit(SEAL, (text) => text.replace(/\\n2\\n/, '\\n3\\n')), ['cosign', 'go']],
  'the time stamp': [
    edit(SEAL, (text) => {
      const token = /"signedTimestamp":"([^"]*)"/.exec(text)![1]!;
      const bytes = Buffer.from(token, 'base64');
      bytes[bytes.length - 1]! ^= 1;
      return text.replace(token, bytes.toString('base64'));
    }),
    ['openssl', 'cosign'],
  ],
  'a product': [
    (bundle) => {
      const [statement] = readdirSync(join(bundle, 'provenance'));
      const { subject } = JSON.parse(readFileSync(join(bundle, 'provenance', statement!), 'utf8')) as {
        subject: { digest: { sha256: string } }[];
      };
      edit(`blobs/${subject[0]!.digest.sha256}`, (text) => `${text} `)(bundle);
    },
    ['products'],
  ],
};
for (const [what, [change, expected]] of Object.entries(tampered)) {
  test(`the auditor page notices ${what}`, { skip }, () => {
    const { blocks, said } = refusing(change);
    assert.deepEqual(blocks, expected, said);
  });
}
