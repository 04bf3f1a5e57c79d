/** One bounded HTTP exchange with a party outside: a deadline over everything, no redirects, a limit on the answer. */
import { messageOf, PangolinError } from '@pangolin/contracts/errors';

export interface Exchange {
  readonly url: string;
  readonly contentType: string;
  readonly body: Uint8Array;
  /** Ends the exchange. */
  readonly signal: AbortSignal;
  /** Bytes of an answer; more is an error. */
  readonly bytesMax: number;
}

export interface Answer {
  readonly status: number;
  readonly contentType: string;
  readonly body: Buffer;
}

/** POSTs. @throws PangolinError UNAVAILABLE when there is no whole answer in time. */
export async function post({ url, contentType, body, signal, bytesMax }: Exchange): Promise<Answer> {
  try {
    const response = await fetch(url, {
      method: 'POST',
      headers: { 'content-type': contentType },
      body: Buffer.from(body),
      redirect: 'error',
      signal,
    });
    const chunks: Uint8Array[] = [];
    let length = 0;
    for await (const chunk of response.body ?? []) {
      length += chunk.length;
      if (length > bytesMax) throw new PangolinError('UNAVAILABLE', `its answer is longer than ${bytesMax} bytes`);
      chunks.push(chunk);
    }
    const type = response.headers.get('content-type') ?? '';
    return { status: response.status, contentType: type.split(';')[0]!.trim(), body: Buffer.concat(chunks) };
  } catch (cause) {
    const why = cause instanceof Error && cause.cause instanceof Error ? cause.cause.message : messageOf(cause);
    throw new PangolinError('UNAVAILABLE', `${new URL(url).host} gave no answer: ${why}`, { cause });
  }
}
