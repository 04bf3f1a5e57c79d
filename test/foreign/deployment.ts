/** Two runs of the shipped command, stamped by `openssl ts` and sealed into one log: what a stranger gets to check. */
import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { copyFileSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { makeAuthority, serveAuthority } from '../audit/tsa.ts';
import { pangolin } from '../cli/harness.ts';

const SBOM = JSON.stringify({ bomFormat: 'CycloneDX', specVersion: '1.6', components: [{ name: 'left-pad' }] });

const run = (id: string): string =>
  JSON.stringify({
    id,
    workspace: { path: './repo' },
    items: [
      {
        id: 'edit',
        pipeline: {
          blocks: [
            {
              kind: 'script',
              command: `echo ${id} >> hello.txt; mkdir -p outputs; echo ${id} > outputs/report.txt; echo '${SBOM}' > outputs/app.cdx.json`,
            },
            { kind: 'capture', what: 'patch' },
          ],
        },
      },
      {
        id: 'use',
        needs: { patch: { from: 'edit', select: { kind: 'patch' } } },
        pipeline: { blocks: [{ kind: 'script', command: 'cat inputs/patch > outputs/used' }] },
      },
    ],
  });

export interface Deployment {
  /**
   * `bundle/` of run-2, `run-1.json` and `run-2.json`, `proof.json` of run-2/use; `trust.json` of the auditor, `tsa-chain.pem`; `log/`, and
   * `older`, its checkpoint after run-1.
   */
  readonly dir: string;
  [Symbol.dispose](): void;
}

export async function deploy(): Promise<Deployment> {
  const dir = mkdtempSync(join(tmpdir(), 'pangolin-foreign-'));
  const at = (name: string): string => join(dir, name);
  const command = async (line: string): Promise<string> => {
    const { code, stdout, stderr } = await pangolin(['--storage', at('storage'), ...line.split(' ')], { cwd: dir });
    assert.equal(code, 0, `pangolin ${line}\n${stderr}`);
    return stdout;
  };
  using authority = makeAuthority();
  await using tsa = await serveAuthority(authority);
  await command('key init');
  writeFileSync(
    at('storage/pangolin.yaml'),
    JSON.stringify({ evidence: { timestamp: [{ id: 'tsa', url: tsa.url }] } }),
  );
  mkdirSync(at('repo'));
  writeFileSync(at('repo/hello.txt'), 'hello\n');
  const identity = ['-c', 'user.name=a', '-c', 'user.email=a@example.org'];
  for (const args of [
    ['init', '-q'],
    ['add', '.'],
    [...identity, 'commit', '-qm', 'first'],
  ]) {
    execFileSync('git', args, { cwd: at('repo') });
  }
  for (const id of ['run-1', 'run-2']) {
    writeFileSync(at(`${id}.yaml`), run(id));
    await command(`orch submit ${id}.yaml --receipt-timeout 0s`);
    await command('orch serve --until-idle --compute process');
    await command(`orch audit ${id} --out ${id}.json`);
    if (id === 'run-1') copyFileSync(at('storage/log/checkpoint'), at('older'));
  }
  await command('orch audit run-2 --out bundle');
  await command('orch prove run-2/use --out proof.json');
  writeFileSync(at('tsa-root.pem'), authority.rootPem);
  writeFileSync(at('tsa-chain.pem'), authority.signerPem + authority.rootPem);
  writeFileSync(at('trust.json'), await command('trust export --tsa-certificates tsa-root.pem'));
  execFileSync('cp', ['-r', at('storage/log'), at('log')]);
  return { dir, [Symbol.dispose]: () => rmSync(dir, { recursive: true, force: true }) };
}
