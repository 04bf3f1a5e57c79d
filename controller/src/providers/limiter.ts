/** At most `max` calls under way at once; the others wait in order. */
export function createLimiter(max: number): <T>(call: () => Promise<T>) => Promise<T> {
  const waiting: (() => void)[] = [];
  let free = max;
  return async (call) => {
    if (free > 0) free--;
    else await new Promise<void>((resolve) => waiting.push(resolve));
    try {
      return await call();
    } finally {
      const next = waiting.shift();
      // The slot is handed on, so that nobody overtakes.
      if (next) next();
      else free++;
    }
  };
}
