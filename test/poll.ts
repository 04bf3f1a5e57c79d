/** Waiting for conditions, never for time. */
import { setTimeout as delay } from 'node:timers/promises';

/** Only a hang takes this long, on however busy a machine. */
const GIVE_UP_MS = 180_000;
const LOOK_MS = 25;

/** Looks until there is something. @throws Error saying `what` was waited for in vain, with what `say` knows about it. */
export async function poll<T>(
  what: string,
  look: () => Promise<T | undefined | false> | T | undefined | false,
  say: () => string = () => '',
): Promise<T> {
  for (const giveUpAt = performance.now() + GIVE_UP_MS; ;) {
    const found = await look();
    if (found !== undefined && found !== false) return found;
    if (performance.now() > giveUpAt) throw new Error(`waited in vain: ${what}\n${say()}`);
    await delay(LOOK_MS);
  }
}
