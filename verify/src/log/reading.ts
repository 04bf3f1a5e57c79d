/** What somebody signed for the log turns out to be: one of ours, one of another log, not to be judged, or none. */
export type Reading<T, Told = undefined> =
  | { readonly known: T }
  | 'foreign'
  /** Signed as it should be with a key that the trust file lacks, and what it says; `leaf` is the hash of its entry, base64. */
  | { readonly unknown: string; readonly leaf: string; readonly told: Told }
  | { readonly problem: string };
