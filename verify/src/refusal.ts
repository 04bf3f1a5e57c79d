/** How a check says no, or that it cannot say. Everything else that is thrown inside the verifier is a bug of the verifier. */
import { isPangolinError, messageOf } from '@pangolin/contracts/errors';
import type { Failure } from './report.ts';

/** The evidence does not hold; the message is the sentence that the report prints. */
export class Refusal extends Error {
  /** The class of the failure when it is not the one of the check. */
  readonly failure: Failure | undefined;

  constructor(message: string, options?: ErrorOptions & { readonly failure?: Failure }) {
    super(message, options);
    this.name = 'Refusal';
    this.failure = options?.failure;
  }
}

/** @throws Refusal */
export function refuse(sentence: string, failure?: Failure): never {
  throw new Refusal(sentence, failure === undefined ? {} : { failure });
}

/** Nothing is wrong, but something that a check needs is not there; the message ends `It cannot be checked because …`. */
export class Unavailable extends Error {
  override readonly name = 'Unavailable';
}

/** @throws Unavailable */
export function lack(because: string): never {
  throw new Unavailable(because);
}

/** Runs a parser of the contracts, whose refusals are PangolinErrors, and makes them ours. @throws Refusal */
export function reading<T>(what: string, parse: () => T): T {
  try {
    return parse();
  } catch (error) {
    if (!isPangolinError(error)) throw error;
    throw new Refusal(`${what}: ${messageOf(error)}`, { cause: error });
  }
}

/** A string of the evidence as it may stand in a sentence: quoted, escaped, cut short. */
export function quote(text: string): string {
  return JSON.stringify(text.length > 120 ? `${text.slice(0, 120)}…` : text);
}
