/** The oracle of evidence.md §8: a mutant is failed or strictly lowers a dimension; anything else is an escape. */
import assert from 'node:assert/strict';
import type { TestContext } from 'node:test';
import { memoryReader } from '@pangolin/verify/readers/memory';
import type { BundleReader } from '@pangolin/verify/bundle-reader';
import type { CheckId, Failure, Report } from '@pangolin/verify/report';
import { verifyWith, type VerifyOptions } from '@pangolin/verify/verify';
import type { TrustDocument } from '@pangolin/contracts/trust';
import type { Files } from './forge.ts';

export interface Mutant {
  readonly name: string;
  readonly files?: Files;
  /** Instead of `files`, for what no set of files can be. */
  readonly reader?: BundleReader;
  readonly trust?: TrustDocument;
  readonly options?: VerifyOptions;
  /** The classes that may notice it first. Absent: any. */
  readonly failure?: readonly Failure[];
  /** True when nothing is wrong with it but that the trust file lacks its key: incomplete, and no check fails. */
  readonly strange?: boolean;
  /** True for a removal that may lower a dimension instead of failing. */
  readonly mayLower?: boolean;
}

export interface Tally {
  failed: number;
  lowered: number;
  readonly escaped: string[];
  /** Internal errors and failures of a class that was not expected. */
  readonly wrong: string[];
}

const ranks: Readonly<Record<Report['verdict'], number>> = { failed: 0, incomplete: 1, verified: 2 };
const guarantees = ['detect', 'external-immutable', 'witnessed'];
const tiers = ['asserted', 'tsa-attested'];

/** The dimensions that deleting a part may lower and nothing may raise. */
function dimensions(report: Report): number[] {
  return [
    ranks[report.verdict],
    guarantees.indexOf(report.guarantee),
    tiers.indexOf(report.timeTier),
    // A bracket only ever becomes wider.
    Date.parse(report.timeBracket.notBefore ?? '') || -Infinity,
    -Date.parse(report.timeBracket.notAfter ?? '') || -Infinity,
    report.blobs.present,
    report.statements.present,
    report.statements.signed,
  ];
}

const whyFailed = (report: Report): string | undefined =>
  Object.values(report.checks).find(({ result }) => result === false)?.detail;

export function isLower(mutant: Report, base: Report): boolean {
  const before = dimensions(base);
  const after = dimensions(mutant);
  return after.every((value, at) => value <= before[at]!) && after.some((value, at) => value < before[at]!);
}

export class Harness {
  readonly tally: Tally = { failed: 0, lowered: 0, escaped: [], wrong: [] };
  readonly #trust: TrustDocument;
  readonly #base: Report;

  constructor(trust: TrustDocument, base: Report) {
    this.#trust = trust;
    this.#base = base;
  }

  get count(): number {
    return this.tally.failed + this.tally.lowered + this.tally.escaped.length + this.tally.wrong.length;
  }

  report(mutant: Mutant, overruled?: CheckId): Promise<Report> {
    const reader = mutant.reader ?? memoryReader(mutant.files!);
    return verifyWith(reader, mutant.trust ?? this.#trust, mutant.options ?? {}, overruled);
  }

  async try(mutant: Mutant): Promise<void> {
    let report: Report;
    try {
      report = await this.report(mutant);
    } catch (error) {
      this.tally.wrong.push(`${mutant.name}: threw ${error instanceof Error ? error.stack : String(error)}`);
      return;
    }
    if (report.verdict === 'failed') {
      const expected = mutant.failure === undefined || mutant.failure.includes(report.failure!);
      if (expected) this.tally.failed++;
      else this.tally.wrong.push(`${mutant.name}: failed as ${report.failure}: ${whyFailed(report)}`);
      return;
    }
    if (mutant.strange === true && report.verdict === 'incomplete') this.tally.lowered++;
    else if (mutant.mayLower === true && isLower(report, this.#base)) this.tally.lowered++;
    else this.tally.escaped.push(mutant.name);
  }

  /** Fails for every one that gets through, and when there are fewer than `atLeast`. */
  async tryAll(mutants: Iterable<Mutant>, atLeast: number, t: TestContext): Promise<void> {
    for (const mutant of mutants) await this.try(mutant);
    const { failed, lowered, escaped, wrong } = this.tally;
    t.diagnostic(`${this.count} mutants: ${failed} failed, ${lowered} lowered, ${escaped.length} escaped`);
    assert.deepEqual({ escaped: escaped.slice(0, 20), wrong: wrong.slice(0, 20) }, { escaped: [], wrong: [] });
    assert.ok(this.count >= atLeast, `only ${this.count} mutants`);
  }
}
