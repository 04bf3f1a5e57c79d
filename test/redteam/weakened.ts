/**
 * The shipped code with guards taken out of it. The red team attacks this first: an attack that fails here as well would
 * prove nothing by failing on what ships.
 */
import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { WORKER_IMAGE } from '@pangolin/controller/providers/open';
import { docker, repository } from '../spine/harness.ts';

/** The words of a guard, how often they stand in the code, and what takes their place. */
export type Cut = readonly [words: RegExp, times: number, instead: string];

/** Of the worker and the egress proxy, as they are bundled. Some limits are lowered besides: nobody has to write what the real ones let through. */
const cuts = {
  'the limit of the log': [
    [/totalBytes: 256 \* 2 \*\* 20/g, 1, 'totalBytes: 4 * 2 ** 20'],
    [/if \(this\.#blockBytes < this\.#limits\.totalBytes\) return;/g, 1, 'return;'],
  ],
  'the length of files': [
    [/var OUTPUT_BYTES_MAX = [^;]+;/g, 1, 'var OUTPUT_BYTES_MAX = 4 * 2 ** 20;'],
    [/var PATCH_BYTES_MAX = [^;]+;/g, 1, 'var PATCH_BYTES_MAX = 4 * 2 ** 20;'],
    [/if \(stats\.size > left\) \{/g, 1, 'if (false) {'],
    [
      /if \(size > bytesMax\) throw new AttemptFailure\("OutputTooLarge"/g,
      1,
      'if (false) throw new AttemptFailure("OutputTooLarge"',
    ],
    [/if \(this\.#newBytes > newBytesMax\) \{/g, 1, 'if (false) {'],
    [/if \(bytes > PATCH_BYTES_MAX\) \{/g, 1, 'if (false) {'],
  ],
  'the depth of outputs': [[/if \(depth > OUTPUT_DEPTH_MAX\) \{/g, 1, 'if (false) {']],
  'the number of outputs': [
    [/var OUTPUT_FILES_MAX = [^;]+;/g, 1, 'var OUTPUT_FILES_MAX = 50;'],
    [/ > OUTPUT_FILES_MAX\) throw tooMany\(\);/g, 1, ');'],
  ],
  'the kinds of files': [
    [/return entry\.isSymbolicLink\(\) \? "link" : "special";/g, 1, 'return "file";'],
    [/(?<=var FILE_FLAGS = .*) \| \w+\.O_NOFOLLOW/g, 1, ''],
    [/if \(!stats\.isFile\(\) \|\| to\.ownerUid !== void 0 && [^{]+\{/g, 1, 'if (false) {'],
    [/if \(this\.#rules\.ownerUid !== void 0 && uid !== this\.#rules\.ownerUid\) \{/g, 1, 'if (false) {'],
  ],
  'the disk quota': [[/if \(limits === void 0\) return async \(\) => void 0;/g, 1, 'return async () => void 0;']],
  'the search for secrets': [[/if \(ref !== void 0\) throw inProduct\(what, ref\);/g, 2, ';']],
  'the end of a secret': [
    [/release: \(\) => \w+\(home, \{ recursive: true, force: true \}\)/g, 1, 'release: async () => {}'],
  ],
  'the list of hosts': [[/(?<=^function isAllowed\([^)]*\) \{)/gm, 1, ' return true;']],
  'the name in a handshake': [[/(?<=^function cutFor\([^\n]*\) \{)/gm, 1, ' return undefined;']],
  'the Host of a request': [[/named !== null && named\.host === url\?\.host \? url : void 0/g, 1, 'url']],
  'the memory of names': [[/if \(known !== void 0\) return known;/g, 1, '']],
  'internal addresses': [[/(?<=^function isInternal\([^)]*\) \{)/gm, 1, ' return false;']],
} satisfies Readonly<Record<string, readonly Cut[]>>;

/** @throws AssertionError where the code does not hold those words as often: the guard is another one by now */
export function cutOut(files: readonly string[], all: readonly Cut[]): void {
  const texts = new Map(files.map((file) => [file, readFileSync(file, 'utf8')]));
  for (const [words, times, instead] of all) {
    let found = 0;
    for (const [file, text] of texts)
      texts.set(
        file,
        text.replace(words, () => (found++, instead)),
      );
    assert.equal(found, times, `${words.source} is no guard of the code`);
  }
  for (const [file, text] of texts) writeFileSync(file, text);
}

/** `worker.mjs` and `egress.mjs` without any of these guards. */
export function weakenedPrograms(dir: string): void {
  execFileSync(process.execPath, [join(repository, 'scripts', 'build.mjs'), 'worker', dir]);
  const programs = readdirSync(dir).map((name) => join(dir, name));
  cutOut(programs, Object.values(cuts).flat());
}

/** An image like the worker's, but without these guards. */
export function weakenedImage(): string {
  const dir = mkdtempSync(join(tmpdir(), 'pangolin-weakened-'));
  const image = `pangolin-weakened:${process.pid}`;
  try {
    weakenedPrograms(dir);
    writeFileSync(join(dir, 'Dockerfile'), `FROM ${WORKER_IMAGE}\nCOPY *.mjs /opt/pangolin/\n`);
    execFileSync('docker', ['build', '-q', '--force-rm', '-t', image, dir], {
      env: { ...process.env, DOCKER_BUILDKIT: '0' },
      stdio: ['ignore', 'ignore', 'pipe'],
    });
    return image;
  } finally {
    rmSync(dir, { recursive: true, force: true });
  }
}

/** The image with a variable in the environment of its programs, the egress proxy among them. */
export function withVariable(base: string, variable: string): string {
  const image = `${base}-env-${process.pid}`;
  const input = `FROM ${base}\nENV ${variable}\n`;
  execFileSync('docker', ['build', '-q', '--force-rm', '-t', image, '-'], {
    env: { ...process.env, DOCKER_BUILDKIT: '0' },
    stdio: ['pipe', 'ignore', 'pipe'],
    input,
  });
  return image;
}

export const removeImage = (image: string): void => void docker('rmi', '-f', image);
