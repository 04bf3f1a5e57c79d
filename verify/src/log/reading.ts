/** What somebody signed for the log turns out to be: one of ours, one of another log, not to be judged, or none. */
export type Reading<T> =
  | { readonly known: T }
  | 'foreign'
  /** Signed as it should be with a key that the trust file lacks; `leaf` is the hash of its entry, base64. */
  | { readonly unknown: string; readonly leaf: string }
  | { readonly problem: string };
