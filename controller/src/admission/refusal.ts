/** A workspace that cannot be pinned: an expected outcome, carried as an exception inside this folder and a value outside. */
import { PangolinError } from '@pangolin/contracts/errors';

export interface Refusal {
  /** CamelCase, as in Problem. */
  readonly code: string;
  readonly message: string;
  readonly hint?: string;
}

export function refuse(code: string, message: string, hint?: string): never {
  throw new PangolinError('INVALID', message, { ...(hint !== undefined && { hint }), details: { refusal: code } });
}

/** The refusal that was thrown, or undefined for every other error. */
export function refusalOf(error: unknown): Refusal | undefined {
  if (!(error instanceof PangolinError)) return undefined;
  const code = (error.details as { readonly refusal?: unknown } | undefined)?.refusal;
  if (typeof code !== 'string') return undefined;
  return { code, message: error.message, ...(error.hint !== undefined && { hint: error.hint }) };
}
