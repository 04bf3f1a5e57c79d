/** A report as a checklist that needs no manual. */
import { plural } from './checks/check.ts';
import { formatDuration } from '@pangolin/contracts/units';
import { checkIds, type Report } from './report.ts';
import { proofChecks } from './proof/checks.ts';
import { checks } from './verify.ts';

const marks = { true: '✓', false: '✗', 'n/a': '–' } as const;

const verdicts: Readonly<Record<Report['verdict'], string>> = {
  verified: 'VERIFIED. Every check that applies holds.',
  failed: 'FAILED. This is not the evidence that was sealed; do not rely on anything in it.',
  incomplete: 'INCOMPLETE. Nothing wrong was found, but not everything could be checked: see the lines with –.',
};

export function renderReport(report: Report): string {
  const titles = new Map((report.item ? proofChecks : checks).map(({ id, title }) => [id, title]));
  const lines = [verdicts[report.verdict], ''];
  if (report.run) lines.push(...runLines(report.run), '');
  if (report.item) {
    const { id, run, origin, outcome, attempts } = report.item;
    lines.push(printable(`Item ${id} of the run ${run} of ${origin}: ${outcome}, ${plural(attempts, 'attempt')}.`), '');
  }
  for (const id of checkIds) {
    const { result, detail } = report.checks[id];
    lines.push(`${marks[String(result) as keyof typeof marks]} ${titles.get(id)!}.`, `    ${printable(detail)}`);
  }
  if (report.verdict === 'verified') lines.push('', ...claimLines(report));
  for (const dimension of report.verdict === 'verified' ? (report.below ?? []) : []) {
    lines.push(`BELOW WHAT YOUR TRUST FILE REQUIRES: ${dimension} is only ${report[dimension]}.`);
  }
  if (report.findings.length > 0) lines.push('', 'What you should know besides:');
  for (const { message } of report.findings) lines.push(`  • ${printable(message)}`);
  if (report.verdict !== 'failed' && report.facts.length > 0) lines.push('', 'Who says what:');
  for (const { observer, statement } of report.verdict === 'failed' ? [] : report.facts) {
    lines.push(`  ${observer.padEnd(10)} ${printable(statement)}`);
  }
  return `${lines.join('\n')}\n`;
}

function runLines(run: NonNullable<Report['run']>): string[] {
  const when = run.completedAt === undefined ? `since ${run.submittedAt}` : `${run.submittedAt} to ${run.completedAt}`;
  return [
    printable(`Run ${run.id} of ${run.origin}: ${run.status}, ${when}.`),
    `${run.items} items, ${run.attempts} attempts, ${run.events} events.`,
  ];
}

function claimLines({
  item,
  claim,
  guarantee,
  timeTier,
  timeBracket,
  authzTier,
  sealDelayMs,
  heads,
  blobs,
  statements,
}: Report): string[] {
  const evident = claim === 'tamper-evident';
  return [
    `Claim: ${claim}. ${evident ? 'Not even the operator could have changed it unnoticed.' : 'Nobody without the keys of the operator could have changed it.'}`,
    `Guarantee: ${guarantee}. ${guarantees[guarantee]}`,
    `Time: ${timeTier}. ${timeTier === 'asserted' ? 'The times are the word of the operator.' : 'A time-stamping authority attests when it was sealed.'}`,
    `Opened: ${timeBracket.notBefore === undefined ? `how early nobody else says. ${timeBracket.unproven!.notBefore}` : `after ${timeBracket.notBefore}, when witnesses had signed the state of the log that it names.`}`,
    `Sealed: ${timeBracket.notAfter === undefined ? `how late nobody else says. ${timeBracket.unproven!.notAfter}` : `before ${timeBracket.notAfter}.`}`,
    ...(sealDelayMs === undefined ? [] : [`Sealed ${formatDuration(sealDelayMs)} after the run was completed.`]),
    ...(heads && heads.count > 0
      ? [
          `While the run went on the log committed to it ${plural(heads.count, 'time')}, at most ${formatDuration(heads.longestMs)} apart.`,
        ]
      : []),
    ...(authzTier === 'n/a' ? [] : [`Authorization: ${authzTier}. ${authorizations[authzTier]}`]),
    ...(item ? [] : [contentLine(blobs, statements)]),
  ];
}

const authorizations: Readonly<Record<Exclude<Report['authzTier'], 'n/a'>, string>> = {
  evaluated: 'Before every attempt a policy, which the log names by digest, allowed it; by the word of the operator.',
  partial: 'The log names a policy that allowed it for some attempts only.',
  none: 'The log says who asked for the run, by the word of the operator; no policy is named.',
};

const contentLine = (blobs: Report['blobs'], statements: Report['statements']): string =>
  `Content: ${blobs.withheld} of ${blobs.present + blobs.withheld} blobs and ${statements.withheld} of ` +
  `${statements.present + statements.withheld} statements are withheld; the log names them by digest.`;

const guarantees: Readonly<Record<Report['guarantee'], string>> = {
  detect: 'No third party vouches for it: whoever holds all keys of the deployment could have written another history.',
  'external-immutable': 'The seal is in storage that the operator cannot rewrite.',
  witnessed: 'Independent witnesses saw the log that it is in.',
};

/** Names in a bundle are chosen by others: no control character of theirs reaches a terminal. */
export function printable(text: string): string {
  return text.replace(
    /[\p{Cc}\p{Cf}\u2028\u2029]/gu,
    (character) => `\\u${character.charCodeAt(0).toString(16).padStart(4, '0')}`,
  );
}
