/** `map` with at most `parallel` calls at a time; results in the order of the inputs. */
export async function mapBounded<T, R>(
  inputs: readonly T[],
  parallel: number,
  call: (input: T) => Promise<R>,
): Promise<R[]> {
  const results: R[] = [];
  let next = 0;
  const work = async (): Promise<void> => {
    while (next < inputs.length) {
      const index = next++;
      results[index] = await call(inputs[index]!);
    }
  };
  await Promise.all(Array.from({ length: Math.min(parallel, inputs.length) }, work));
  return results;
}
