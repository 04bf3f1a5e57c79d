/** Like Promise.all over a map, with at most `limit` calls under way. The first rejection rejects the whole. */
export async function mapBounded<T, R>(
  inputs: readonly T[],
  limit: number,
  call: (input: T) => Promise<R>,
): Promise<R[]> {
  const results: R[] = Array.from({ length: inputs.length });
  let next = 0;
  const worker = async (): Promise<void> => {
    for (let at = next++; at < inputs.length; at = next++) results[at] = await call(inputs[at]!);
  };
  await Promise.all(Array.from({ length: Math.min(limit, inputs.length) }, worker));
  return results;
}
