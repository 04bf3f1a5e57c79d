/** What an item did and was given, for people. */
import type { BlockOutput } from '@pangolin/contracts/block-output';
import type { BlockResult, Usage } from '@pangolin/contracts/output';
import { formatDuration } from '@pangolin/contracts/units';
import type { Destination, SecretGrant, Work } from '../read/work.ts';
import { printable } from '../terminal.ts';

/** Destinations that are shown; JSON has them all. */
const DESTINATIONS_MAX = 50;

/** Paragraphs, each with an empty line before it. */
export function renderWork({ asserted, blocks, destinations, secrets }: Work): string[] {
  const parts = [
    asserted ? assertedLines(asserted) : [],
    (blocks ?? []).map(blockLine),
    (secrets ?? []).map(secretLine),
    destinations ? networkLines(destinations) : [],
  ];
  return parts.flatMap((lines) => (lines.length === 0 ? [] : ['', ...lines.map(printable)]));
}

function assertedLines({ summary, output, intents = [], signals = [] }: BlockOutput): string[] {
  const json = (value: unknown): string => (value === undefined ? '' : ` ${JSON.stringify(value)}`);
  return [
    ...(summary === undefined ? [] : summary.split('\n')),
    ...(output === undefined ? [] : [`output:${json(output)}`]),
    ...intents.map(
      ({ kind, summary: why, params }) => `intent ${kind}:${why === undefined ? '' : ` ${why}`}${json(params)}`,
    ),
    ...signals.map(
      ({ name, message, value }) => `signal ${name}:${json(value)}${message === undefined ? '' : ` ${message}`}`,
    ),
  ];
}

/** `block 0 (agent): succeeded in 12s; says: claude-sonnet-4-5, 4 turns, 1200 tokens in, 340 out, 0.0123 USD`. */
function blockLine({ index, id, kind, status, reason, exitCode, durationMs, usage }: BlockResult): string {
  const how = [
    reason === undefined ? status : `${status} (${reason}${exitCode === undefined ? '' : `, exit code ${exitCode}`})`,
    ...(durationMs === undefined ? [] : [`in ${formatDuration(durationMs)}`]),
  ];
  return `block ${id ?? index} (${kind}): ${how.join(' ')}${usage === undefined ? '' : `; says: ${usageOf(usage)}`}`;
}

function usageOf(usage: Usage): string {
  const { runtime, model, turns, inputTokens, outputTokens, cacheReadTokens, cacheWriteTokens, costUsd } = usage;
  const count = (n: number | undefined, what: string): string[] => (n === undefined ? [] : [`${n} ${what}`]);
  return [
    model ?? runtime,
    ...count(turns, turns === 1 ? 'turn' : 'turns'),
    ...count(inputTokens, 'tokens in'),
    ...count(outputTokens, 'tokens out'),
    ...count(cacheReadTokens || undefined, 'read from cache'),
    ...count(cacheWriteTokens || undefined, 'written to cache'),
    ...(costUsd === undefined ? [] : [`${costUsd} USD`]),
  ].join(', ');
}

/** `secret db/password: DB_PASSWORD of block migrate`; as a file the variable holds its path. */
function secretLine({ ref, variable, as, blocks }: SecretGrant): string {
  const where = blocks.length === 1 ? `block ${blocks[0]}` : `blocks ${blocks.join(', ')}`;
  return `secret ${ref}: ${variable}${as === 'file' ? ' (a file)' : ''} of ${where}`;
}

function networkLines(all: readonly Destination[]): string[] {
  if (all.length === 0) return ['network: tried nothing'];
  const lines = all.slice(0, DESTINATIONS_MAX).map(({ host, port, allowed, sent, received, refused }) => {
    const said = [
      ...(allowed === 0 ? [] : [`reached ${times(allowed)}, ${sent} bytes sent, ${received} received`]),
      ...Object.entries(refused).map(([reason, n]) => `refused ${times(n)}: ${reason}`),
    ];
    return `network ${host}:${port}: ${said.join('; ')}`;
  });
  return all.length > DESTINATIONS_MAX
    ? [...lines, `… and ${all.length - DESTINATIONS_MAX} more; -o json has all.`]
    : lines;
}

const times = (n: number): string => (n === 1 ? 'once' : `${n} times`);
