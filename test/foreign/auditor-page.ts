/** docs/auditor.md, block by block as it stands there, on what the shipped command made; then on what somebody changed. */
import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { cpSync, mkdtempSync, readFileSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { test } from 'node:test';
import type { Deployment } from './deployment.ts';
import { foreign, toolsSkip } from './tools.ts';

const root = dirname(dirname(import.meta.dirname));
const page = readFileSync(join(root, 'docs', 'auditor.md'), 'utf8');
const blocksOf = (language: string): string[] =>
  [...page.matchAll(new RegExp(`^\`\`\`${language}\n([^]*?)^\`\`\``, 'gm'))].map((match) => match[1]!);

const blocks = ['keys', 'openssl', 'cosign', 'products', 'go', 'ours'] as const;
type Block = (typeof blocks)[number];
/** Built once. */
let program: Buffer | undefined;
function pangolinVerify(): Buffer {
  if (program) return program;
  const dir = mkdtempSync(join(tmpdir(), 'pangolin-verify-'));
  execFileSync(process.execPath, [join(root, 'scripts', 'build.mjs'), 'verify', dir], { stdio: 'pipe' });
  program = readFileSync(join(dir, 'pangolin-verify.mjs'));
  rmSync(dir, { recursive: true });
  return program;
}

/** Which of these blocks of the page refuse the evidence after `change`, and what they say. */
function refusing(
  deployment: Deployment,
  change: (dir: string) => void,
  asked: readonly Block[] = blocks,
): { readonly blocks: Block[]; readonly said: string } {
  const cwd = mkdtempSync(join(tmpdir(), 'pangolin-auditor-'));
  try {
    for (const name of ['bundle', 'run-1.json', 'log', 'trust.json']) {
      cpSync(join(deployment.dir, name), join(cwd, name), { recursive: true });
    }
    writeFileSync(join(cwd, 'check.go'), blocksOf('go')[0]!);
    writeFileSync(join(cwd, 'pangolin-verify.mjs'), pangolinVerify());
    change(cwd);
    const scripts = blocksOf('sh');
    assert.equal(scripts.length, blocks.length);
    const answers = asked.map((block) => foreign('sh', ['-ec', scripts[blocks.indexOf(block)]!], { cwd }));
    return { blocks: asked.filter((_, at) => !answers[at]!.ok), said: answers.map(({ said }) => said).join('\n') };
  } finally {
    rmSync(cwd, { recursive: true, force: true });
  }
}

const edit = (name: string, change: (text: string) => string) => (dir: string) => {
  const path = join(dir, name);
  const before = readFileSync(path, 'latin1');
  const changed = change(before);
  assert.notEqual(changed, before);
  writeFileSync(path, changed, 'latin1');
};
const SEAL = 'bundle/seal.sigstore.json';
/** Another first character of the base64 text that follows `field`. */
const flip = (field: string) => (text: string) =>
  text.replace(new RegExp(`(${field})(.)`), (_, start: string, first: string) => start + (first === 'A' ? 'B' : 'A'));

const SEALED = ['keys', 'openssl', 'cosign', 'go', 'ours'] as const;

/** A change, the blocks that read what it changes, and those of them that have to notice. */
const tampered: Readonly<Record<string, readonly [(dir: string) => void, readonly Block[], readonly Block[]]>> = {
  'an event': [
    edit('bundle/events.jsonl', (text) => text.replace('Succeeded', 'Cancelled')),
    SEALED,
    ['openssl', 'cosign', 'go', 'ours'],
  ],
  'an event left out': [
    edit('bundle/events.jsonl', (text) => text.replace(/\n.*/, '')),
    SEALED,
    ['openssl', 'cosign', 'go', 'ours'],
  ],
  'the statement of the seal': [
    edit(SEAL, (text) => {
      const payload = /"payload":"([^"]*)"/.exec(text)![1]!;
      const changed = Buffer.from(payload, 'base64').toString().replace('"succeeded"', '"cancelled"');
      return text.replace(payload, Buffer.from(changed).toString('base64'));
    }),
    SEALED,
    ['openssl', 'cosign', 'ours'],
  ],
  'the proof of the log': [edit(SEAL, flip('"hashes":\\["')), SEALED, ['cosign', 'go', 'ours']],
  'the state of the log': [edit(SEAL, (text) => text.replace(/\\n2\\n/, '\\n3\\n')), SEALED, ['cosign', 'go', 'ours']],
  'the time stamp': [
    edit(SEAL, (text) => {
      const token = /"signedTimestamp":"([^"]*)"/.exec(text)![1]!;
      const bytes = Buffer.from(token, 'base64');
      bytes[bytes.length - 1]! ^= 1;
      return text.replace(token, bytes.toString('base64'));
    }),
    SEALED,
    ['openssl', 'cosign', 'ours'],
  ],
  'a product': [
    (dir) => {
      const [statement] = readdirSync(join(dir, 'bundle/provenance'));
      const { subject } = JSON.parse(readFileSync(join(dir, 'bundle/provenance', statement!), 'utf8')) as {
        subject: { digest: { sha256: string } }[];
      };
      edit(`bundle/blobs/${subject[0]!.digest.sha256}`, (text) => `${text} `)(dir);
    },
    ['keys', 'products', 'ours'],
    ['products', 'ours'],
  ],
  'the log': [
    edit('log/tile/entries/000.p/2', (text) => text.replace('hashedrekord', 'hashedRekord')),
    ['ours'],
    ['ours'],
  ],
  'the bundle of another run in the place of one': [
    (dir) => {
      rmSync(join(dir, 'run-1.json'));
      cpSync(join(dir, 'bundle'), join(dir, 'run-1.json'), { recursive: true });
    },
    ['ours'],
    ['ours'],
  ],
};
/** Tests of the page on this deployment. */
export function auditorPage(deployment: () => Deployment): void {
  const skip = toolsSkip();
  test('every line of the auditor page accepts what the shipped command made', { skip }, () => {
    const { blocks, said } = refusing(deployment(), () => {});
    assert.deepEqual(blocks, [], said);
    // The signature by openssl, the seal; three products of `edit` and one of `use`; the auditor's own summary.
    assert.equal(said.match(/^Verified OK$/gm)?.length, 1 + 1 + 4 + 1, said);
    assert.match(said, /Verification: OK/);
    assert.match(said, /bundle\/events\.jsonl: OK/);
    assert.match(said, /entry 1 of 2 and 6 events: OK/);
    assert.match(said, /^VERIFIED\./m);
    assert.match(said, /^CONSISTENT\..*\n.*2 entries, 2 seals and 0 heads/m);
  });
  for (const [what, [change, asked, expected]] of Object.entries(tampered)) {
    test(`the auditor page notices ${what}`, { skip }, () => {
      const { blocks, said } = refusing(deployment(), change, asked);
      assert.deepEqual(blocks, expected, said);
    });
  }
}
