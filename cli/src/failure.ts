/** Everything that was thrown, as lines on stderr and an exit code. */
import { isPangolinError, messageOf } from '@pangolin/contracts/errors';
import type { Paint } from './terminal.ts';
import { printable } from './terminal.ts';

const INTERNAL_EXIT = 1;

/** `{"error": {code, message, hint?, details?, exitCode}}` with JSON, else `error: … [CODE]` and `hint: …`. */
export function renderFailure(
  error: unknown,
  json: boolean,
  paint: Paint,
): { readonly text: string; readonly exitCode: number } {
  const known = isPangolinError(error) ? error : undefined;
  const code = known?.code ?? 'INTERNAL';
  const exitCode = known?.exitCode ?? INTERNAL_EXIT;
  const hint = known ? known.hint : 'This is a fault of pangolin. PANGOLIN_DEBUG=1 prints where it happened.';
  const message = messageOf(error);
  if (json) {
    const details = known?.details;
    const body = {
      code,
      message,
      ...(hint !== undefined && { hint }),
      ...(details !== undefined && { details }),
      exitCode,
    };
    return { text: `${JSON.stringify({ error: body })}\n`, exitCode };
  }
  const lines = [`${paint('red', 'error:')} ${printable(message)} [${code}]`];
  if (hint !== undefined) lines.push(`${paint('cyan', 'hint:')} ${printable(hint)}`);
  if (process.env.PANGOLIN_DEBUG === '1' && error instanceof Error) lines.push(stackOf(error));
  return { text: `${lines.join('\n')}\n`, exitCode };
}

function stackOf(error: Error): string {
  const cause = error.cause instanceof Error ? `\ncaused by ${stackOf(error.cause)}` : '';
  return `${error.stack ?? error.message}${cause}`;
}
