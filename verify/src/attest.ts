/**
 * What an auditor found, as a statement that he signs with his own key: a SLSA Verification Summary Attestation v1
 * (slsa.dev/verification_summary/v1) in a Sigstore bundle without log entry. Its subjects are the files that were verified,
 * its policy is the trust file; `SLSA_` levels are none of ours, so the dimensions are levels of our own name and, in
 * full, the field `pangolin_report`.
 */
import { createPrivateKey, createPublicKey, sign, type KeyObject } from 'node:crypto';
import { bundleFile } from '@pangolin/contracts/bundle';
import { keyIdOf, signEnvelope } from '@pangolin/contracts/dsse';
import { sha256, type Sha256 } from '@pangolin/contracts/digest';
import { PangolinError } from '@pangolin/contracts/errors';
import { sigstoreBundleBytes } from '@pangolin/contracts/sigstore-bundle';
import { statementBytes, type Subject } from '@pangolin/contracts/statement';
import { formatTime } from '@pangolin/contracts/units';
import type { BundleReader } from './bundle-reader.ts';
import { exitCodeOf, type Report } from './report.ts';

export const SUMMARY_TYPE = 'https://slsa.dev/verification_summary/v1';
const VERIFIER_ID = 'https://pangolin.dev/attestation/verify@v1';

export interface Verified {
  readonly report: Report;
  /** What was verified: name and digest of each file. */
  readonly subject: readonly Subject[];
  /** Name of the deployment. */
  readonly origin: string;
  /** Digest of the trust file's bytes. */
  readonly policy: Sha256;
  /** Milliseconds since 1970. */
  readonly at: number;
}

/** The statement's bytes. @param verified a report that settles something: not `incomplete`. */
export function summaryStatement({ report, subject, origin, policy, at }: Verified): Buffer {
  const isPassed = exitCodeOf(report) === 0;
  const { verdict, failure, below, claim, guarantee, timeTier, timeBracket, authzTier, closure, blobs, statements } =
    report;
  const run = report.run?.id ?? report.item?.run;
  const path = [run, report.item?.id].filter((part) => part !== undefined).map(encodeURIComponent);
  const seal = subject.filter(({ name }) => name === bundleFile.seal);
  return statementBytes(SUMMARY_TYPE, subject, {
    verifier: { id: VERIFIER_ID },
    timeVerified: formatTime(at),
    resourceUri: [`https://${origin}`, ...path].join('/'),
    policy: { digest: { sha256: policy } },
    ...(seal.length > 0 && { inputAttestations: seal.map(({ name, digest }) => ({ uri: name, digest })) }),
    verificationResult: isPassed ? 'PASSED' : 'FAILED',
    verifiedLevels: isPassed ? [claim, guarantee, timeTier].map(levelOf) : ['FAILED'],
    pangolin_report: {
      verdict,
      ...(failure !== undefined && { failure }),
      ...(below && { below }),
      ...{ claim, guarantee, timeTier, timeBracket, authzTier, closure, blobs, statements },
    },
  });
}

const levelOf = (dimension: string): string => `PANGOLIN_${dimension.toUpperCase().replaceAll('-', '_')}`;

/** What a bundle rests on. */
const RESTS_ON: readonly string[] = [bundleFile.events, bundleFile.seal];

/** The same bundle; its log and its seal are added to `subject` by the very bytes that are read. */
export function noting(reader: BundleReader, subject: Subject[]): BundleReader {
  return {
    list: () => reader.list(),
    digest: (name) => reader.digest(name),
    read: async (name) => {
      const bytes = await reader.read(name);
      if (RESTS_ON.includes(name)) subject.push({ name, digest: { sha256: sha256(bytes) } });
      return bytes;
    },
  };
}

/** The auditor's key. @param pem of an ECDSA P-256 private key, unencrypted. @throws PangolinError INVALID */
export function readAuditorKey(path: string, pem: Buffer): KeyObject {
  const hint = 'Make one with: openssl genpkey -algorithm EC -pkeyopt ec_paramgen_curve:P-256 -out auditor.pem';
  let key: KeyObject;
  try {
    key = createPrivateKey(pem);
  } catch (cause) {
    throw new PangolinError('INVALID', `${path} is not an unencrypted private key in PEM`, { cause, hint });
  }
  if (key.asymmetricKeyDetails?.namedCurve !== 'prime256v1')
    throw new PangolinError('INVALID', `the key in ${path} is not ECDSA P-256, the only kind that every tool verifies`, { hint }); // prettier-ignore
  return key;
}

/** The file: canonical JSON of a Sigstore bundle v0.3 around the signed statement. */
export async function signSummary(key: KeyObject, payload: Buffer): Promise<Buffer> {
  const publicKey = createPublicKey(key).export({ type: 'spki', format: 'der' });
  const signer = { keyid: keyIdOf(publicKey), publicKey, sign: (bytes: Uint8Array) => sign('sha256', bytes, key) };
  return sigstoreBundleBytes({ envelope: await signEnvelope(signer, payload) });
}
