import { mkdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { command } from '../command.ts';

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

export const init = command({
  description: 'Write an example run.yaml and a storage folder; nothing that exists is changed',
  args: { dir: { type: 'positional', required: false, description: 'Where. Else here.' } },
  async run({ dir = '.' }, context) {
    const file = join(dir, 'run.yaml');
    const storage = join(dir, '.pangolin');
    const madeStorage = (await mkdir(storage, { recursive: true })) !== undefined;
    const wroteFile = await writeNew(file, EXAMPLE);
    const created = [...(wroteFile ? [file] : []), ...(madeStorage ? [storage] : [])];
    const kept = [file, storage].filter((path) => !created.includes(path));
    if (context.json) return await context.printJson({ created, kept });
    for (const path of created) await context.print(`created ${path}`);
    for (const path of kept) await context.print(`kept ${path}`);
    const inDir = dir === '.' ? '' : `cd ${dir} && `;
    context.note(
      `Next: ${inDir}pangolin orch submit run.yaml && pangolin orch serve --until-idle && pangolin orch status`,
    );
  },
});

async function writeNew(path: string, text: string): Promise<boolean> {
  try {
    await writeFile(path, text, { flag: 'wx' });
    return true;
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'EEXIST') return false;
    throw error;
  }
}
