/** Why a control is rejected: it changes nothing, and its receipt says this. */
export class Refusal extends Error {
  readonly code: string;
  readonly hint: string | undefined;
  constructor(code: string, message: string, hint?: string) {
    super(message);
    this.code = code;
    this.hint = hint;
  }
}
