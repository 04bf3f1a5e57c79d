/**
 * `verify-process.ts verify|floor BUNDLE TRUST`: does one of the two once and prints what it took: the whole
 * command in the first case, the reading and hashing that nothing can do without in the second.
 */
import { createHash, createPublicKey, verify as verifySignature } from 'node:crypto';
import { readFileSync, statSync } from 'node:fs';
import { readFile } from 'node:fs/promises';
import { pae } from '@pangolin/contracts/dsse';
import type { Envelope } from '@pangolin/contracts/dsse';
import type { TrustDocument } from '@pangolin/contracts/trust';
import { openBundle } from '@pangolin/verify/readers/open';
import { parseTrustFile } from '@pangolin/verify/trust-file';
import type { Report } from '@pangolin/verify/report';
import { runVerify } from '@pangolin/verify/run-verify';
import type { Measured } from './verify.ts';

const [what, path, trustPath] = process.argv.slice(2) as [string, string, string];
const trust = parseTrustFile(await readFile(trustPath));

const work: Readonly<Record<string, () => Promise<string | undefined>>> = {
  async verify() {
    let report = '';
    const keep = (text: string): void => void (report += text);
    await runVerify([path, '--trust', trustPath, '-o', 'json'], { stdout: keep, stderr: keep });
    return (JSON.parse(report) as Report).verdict;
  },
  async floor() {
    const { reader, close } = await openBundle(path);
    const key = attestKey(trust);
    for (const { name } of await reader.list()) {
      const bytes = await reader.read(name);
      createHash('sha256').update(bytes).digest();
      if (!name.startsWith('attestations/')) continue;
      const { dsseEnvelope } = JSON.parse(bytes.toString('utf8')) as { readonly dsseEnvelope: Envelope };
      const signature = Buffer.from(dsseEnvelope.signatures[0]!.sig, 'base64');
      verifySignature('sha256', pae(Buffer.from(dsseEnvelope.payload, 'base64')), key, signature);
    }
    await close();
    return undefined;
  },
};

function attestKey({ signers }: TrustDocument) {
  const signer = signers.find(({ roles }) => roles.includes('attest'))!;
  return createPublicKey({ key: Buffer.from(signer.publicKey, 'base64'), format: 'der', type: 'spki' });
}

/** Of this program alone. Linux hands the maximum that `resourceUsage` knows down from the process that started this one. */
function peakKiB(): number {
  try {
    return Number(/^VmHWM:\s*(\d+) kB$/m.exec(readFileSync('/proc/self/status', 'utf8'))![1]);
  } catch {
    return process.resourceUsage().maxRSS;
  }
}

const started = performance.now();
const verdict = await work[what]!();
const ms = performance.now() - started;
const peakRssMiB = Math.round(peakKiB() / 1024);
const measured: Measured = { ms, peakRssMiB, bytes: statSync(path).size, ...(verdict !== undefined && { verdict }) };
console.log(JSON.stringify(measured));
