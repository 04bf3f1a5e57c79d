import type { TrustDocument } from '@pangolin/contracts/trust';
import { memoryReader } from '../readers/memory.ts';
import type { CheckId, Report } from '../report.ts';
import { runChecks, type VerifyOptions } from '../verify.ts';
import { PROOF, proofChecks } from './checks.ts';

/**
 * Verifies the evidence of one item (contracts/proof). As `verifyBundle`: whatever is wrong is in the report.
 * @param overruled as in `verifyWith`.
 */
export function verifyProof(
  bytes: Buffer,
  trust: TrustDocument | undefined,
  options: VerifyOptions = {},
  overruled?: CheckId,
): Promise<Report> {
  return runChecks(proofChecks, memoryReader(new Map([[PROOF, bytes]])), trust, options, overruled);
}
