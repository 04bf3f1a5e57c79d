/** Durations `90s|15m|1h30m`, sizes `512Mi`, CPU `500m`: the notations of Go and Kubernetes. */

/** Composite of d, h, m, s, ms in that order; at least one part. */
export const DURATION_PATTERN = '^(?=.)(\\d{1,6}d)?(\\d{1,6}h)?(\\d{1,6}m)?(\\d{1,6}s)?(\\d{1,6}ms)?$';
/** Bytes, or a Kubernetes quantity with a binary or decimal suffix. */
export const SIZE_PATTERN = '^\\d{1,12}(Ki|Mi|Gi|Ti|k|M|G|T)?$';
/** Whole or fractional CPUs, or millicpu. */
export const CPU_PATTERN = '^(\\d{1,4}m|\\d{1,3}(\\.\\d{1,3})?)$';

const durationParts = /^(?:(\d+)d)?(?:(\d+)h)?(?:(\d+)m)?(?:(\d+)s)?(?:(\d+)ms)?$/;
const sizeFactors: Readonly<Record<string, number>> = {
  '': 1,
  Ki: 2 ** 10,
  Mi: 2 ** 20,
  Gi: 2 ** 30,
  Ti: 2 ** 40,
  k: 1e3,
  M: 1e6,
  G: 1e9,
  T: 1e12,
};

/** Milliseconds. The text must match DURATION_PATTERN. */
export function parseDuration(text: string): number {
  const match = durationParts.exec(text);
  if (!match || text === '') throw new RangeError(`not a duration: ${text}`);
  const [d, h, m, s, ms] = match.slice(1).map((part) => Number(part ?? 0)) as [number, number, number, number, number];
  return (((d * 24 + h) * 60 + m) * 60 + s) * 1000 + ms;
}

/** Bytes. The text must match SIZE_PATTERN. */
export function parseSize(text: string): number {
  const match = /^(\d+)([A-Za-z]*)$/.exec(text);
  const factor = match ? sizeFactors[match[2] ?? ''] : undefined;
  if (!match || factor === undefined) throw new RangeError(`not a size: ${text}`);
  return Number(match[1]) * factor;
}

/** Thousandths of a CPU. The text must match CPU_PATTERN. */
export function parseCpu(text: string): number {
  const value = text.endsWith('m') ? Number(text.slice(0, -1)) : Math.round(Number(text) * 1000);
  if (!Number.isFinite(value) || text === '') throw new RangeError(`not a CPU quantity: ${text}`);
  return value;
}

/** `1h2m`, `4.2s`, `310ms`: for people, never for parsing. */
export function formatDuration(ms: number): string {
  if (ms < 1000) return `${Math.round(ms)}ms`;
  if (ms < 60_000) return `${(ms / 1000).toFixed(1)}s`;
  const minutes = Math.floor(ms / 60_000);
  const seconds = Math.floor((ms % 60_000) / 1000);
  if (minutes < 60) return seconds === 0 ? `${minutes}m` : `${minutes}m${seconds}s`;
  return minutes % 60 === 0 ? `${Math.floor(minutes / 60)}h` : `${Math.floor(minutes / 60)}h${minutes % 60}m`;
}

/** RFC 3339 with milliseconds in UTC, 24 characters (evidence.md §3.1). */
export function formatTime(epochMs: number): string {
  return new Date(epochMs).toISOString();
}
