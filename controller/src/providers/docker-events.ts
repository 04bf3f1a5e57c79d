/** The engine's event stream, for as long as somebody listens. */
import { setTimeout as sleep } from 'node:timers/promises';

const BACKOFF_MS = { first: 100, max: 5000 };
/** An event with its labels is about 1 KiB. Longer lines are dropped, whatever they are. */
const LINE_BYTES_MAX = 256 * 1024;

export interface EventSource {
  /** Resolves once connected. Lines of JSON, as `GET /events` sends them. */
  readonly connect: (signal: AbortSignal) => Promise<AsyncIterable<Uint8Array | string>>;
  /** Names of all tasks: what may have changed while no stream was there. */
  readonly names: () => Promise<readonly string[]>;
}

/**
 * Calls back with a container's name for each of its events; reconnects for ever with backoff, and after a gap calls back for
 * every task. Resolves once the first connection stands; rejects when that one fails.
 */
export async function followEvents(
  source: EventSource,
  onChange: (name: string) => void,
): Promise<() => Promise<void>> {
  const stop = new AbortController();
  const first = await source.connect(stop.signal);
  const following = follow(source, first, onChange, stop.signal);
  return async () => {
    stop.abort();
    await following;
  };
}

async function follow(
  source: EventSource,
  first: AsyncIterable<Uint8Array | string>,
  onChange: (name: string) => void,
  signal: AbortSignal,
): Promise<void> {
  let stream: AsyncIterable<Uint8Array | string> | undefined = first;
  let backoffMs = BACKOFF_MS.first;
  while (!signal.aborted) {
    try {
      if (!stream) {
        stream = await source.connect(signal);
        backoffMs = BACKOFF_MS.first;
        // Listed after connecting: what ends between the two is told twice rather than never.
        for (const name of await source.names()) onChange(name);
      }
      await readEvents(stream, onChange);
    } catch {
      // A broken stream and an engine that is away look alike, and both are answered by connecting again.
    }
    stream = undefined;
    await sleep(backoffMs, undefined, { signal }).catch(() => undefined);
    backoffMs = Math.min(backoffMs * 2, BACKOFF_MS.max);
  }
}

async function readEvents(stream: AsyncIterable<Uint8Array | string>, onChange: (name: string) => void): Promise<void> {
  const decoder = new TextDecoder();
  let pending = '';
  for await (const chunk of stream) {
    pending += typeof chunk === 'string' ? chunk : decoder.decode(chunk, { stream: true });
    const lines = pending.split('\n');
    pending = lines.pop() ?? '';
    if (pending.length > LINE_BYTES_MAX) pending = '';
    for (const line of lines) {
      const name = containerOf(line);
      if (name !== undefined) onChange(name);
    }
  }
}

/** `{"Type":"container","Action":"die","Actor":{"Attributes":{"name":"…"}}}` */
function containerOf(line: string): string | undefined {
  try {
    const name: unknown = (JSON.parse(line) as { Actor?: { Attributes?: { name?: unknown } } }).Actor?.Attributes?.name;
    return typeof name === 'string' ? name : undefined;
  } catch {
    return undefined;
  }
}
