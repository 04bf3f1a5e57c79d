/** How a check says no. Everything else that is thrown inside the verifier is a bug of the verifier. */
import { isPangolinError, messageOf } from '@pangolin/contracts/errors';

/** The evidence does not hold; the message is the sentence that the report prints. */
export class Refusal extends Error {
  constructor(message: string, options?: ErrorOptions) {
    super(message, options);
    this.name = 'Refusal';
  }
}

/** @throws Refusal */
export function refuse(sentence: string): never {
  throw new Refusal(sentence);
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
