/** `controller/lease.json`: who serves a storage. */

export interface Lease {
  readonly schema: 'lease/1';
  /** Counts the controllers that this storage has had: a higher one has taken over. */
  readonly epoch: number;
  /** Of the run-state; a controller with the same one is the same deployment, started again. */
  readonly deployment: string;
  readonly host: string;
  readonly pid: number;
  /** RFC 3339: when this controller began, and when it last said so. */
  readonly since: string;
  readonly renewedAt: string;
  /** Not renewed for so long, it has ended. */
  readonly ttlMs: number;
  /** It has stopped of its own accord. */
  readonly released?: true;
}

/** Whether the lease keeps others out at `now` (ms since 1970). Clocks may differ by a fraction of `ttlMs`. */
export function isLeased(lease: Lease, now: number): boolean {
  return lease.released !== true && Date.parse(lease.renewedAt) + lease.ttlMs > now;
}
