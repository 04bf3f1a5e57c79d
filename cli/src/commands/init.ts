import { existsSync } from 'node:fs';
import { mkdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { PangolinError } from '@pangolin/contracts/errors';
import type { ObjectStore } from '@pangolin/storage/object-store';
import { command } from '../command.ts';
import { DEFAULT_STORAGE } from '../context.ts';
import { packageFile } from '../package-file.ts';
import type { Change } from '../registry/apply-things.ts';
import { wordsOf } from '../registry/words.ts';

const EXAMPLE = `# A Run: items that a controller runs as tasks. Submit it with: pangolin orch submit run.yaml --wait
apiVersion: pangolin.dev/v1
kind: Run
metadata:
  # The id is the idempotency key: the same id with the same spec changes nothing, with another spec it is refused.
  name: hello-1
spec:
  # What every item starts from. Without it an item starts from an empty directory.
  # workspace: { git: { url: . } }
  defaults: { timeout: 5m, retry: { maxAttempts: 2 } }
  items:
    - id: hello
      pipeline:
        blocks:
          - { kind: script, command: "echo hello > outputs/hello.txt" }
          - { kind: capture, what: outputs, required: true }
    # Starts when \`hello\` is done, and finds its product as inputs/greeting.
    - id: shout
      needs: { greeting: { from: hello, select: { kind: output, path: hello.txt } } }
      pipeline:
        blocks:
          - { kind: script, command: "tr a-z A-Z < inputs/greeting > outputs/shout.txt" }
          - { kind: capture, what: outputs, required: true }
`;

/** The packs that ship: things to register, in the form that `pangolin apply` takes. */
const PACKS = packageFile('packs');

export const init = command({
  description: 'Write an example run.yaml and register the packs `dev` and `data`; nothing that exists is changed',
  args: {
    dir: { type: 'positional', required: false, description: 'Where. Else here.' },
    actor: { type: 'string', description: 'Who registers: human:NAME, agent:NAME or service:NAME. Else human:<you>.' },
  },
  async run({ dir = '.', actor }, context) {
    const own = context.location === DEFAULT_STORAGE;
    const storage = own ? join(dir, '.pangolin') : context.location;
    const file = join(dir, 'run.yaml');
    const isNew = own && !existsSync(storage);
    await mkdir(dir, { recursive: true });
    const wroteFile = await writeNew(file, EXAMPLE);
    const { openStore } = await import('@pangolin/storage/open');
    const packs = await registerPacks(await openStore(storage), actor);
    const created = [...(wroteFile ? [file] : []), ...(isNew ? [storage] : [])];
    const kept = [file, storage].filter((path) => !created.includes(path));
    const changes = packs.map(({ kind, name, change, digest }) => ({ kind, name, change, digest }));
    if (context.json) return await context.printJson({ created, kept, packs: changes });
    for (const path of created) await context.print(`created ${path}`);
    for (const path of kept) await context.print(`kept ${path}`);
    for (const { kind, name, change } of packs) {
      if (change === 'added') await context.print(`registered ${wordsOf(kind).one} ${name}`);
      if (change === 'changed')
        await context.print(`kept ${wordsOf(kind).one} ${name}, which is not the one that ships`);
    }
    if (packs.some(({ change }) => change === 'changed'))
      context.note(`\`pangolin apply -f ${PACKS}\` registers those that ship; runs that are admitted keep theirs.`);
    const inDir = dir === '.' ? '' : `cd ${dir} && `;
    context.note(
      `Next: ${inDir}pangolin orch submit run.yaml && pangolin orch serve --until-idle && pangolin orch status`,
    );
  },
});

/** Those whose names are free. What somebody has registered under one of them stays. */
async function registerPacks(store: ObjectStore, actor: string | undefined): Promise<Change[]> {
  const { declaredIn } = await import('../registry/declared.ts');
  const { applyThings } = await import('../registry/apply-things.ts');
  const { things, problems } = await declaredIn(PACKS);
  if (problems.length > 0) throw new PangolinError('INTERNAL', `a pack is damaged: ${problems[0]!.message}`);
  const planned = await applyThings(store, things, { dryRun: true, actor });
  const free = things.filter((_, index) => planned[index]!.change === 'added');
  await applyThings(store, free, { dryRun: false, actor });
  return planned;
}

async function writeNew(path: string, text: string): Promise<boolean> {
  try {
    await writeFile(path, text, { flag: 'wx' });
    return true;
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'EEXIST') return false;
    throw error;
  }
}
