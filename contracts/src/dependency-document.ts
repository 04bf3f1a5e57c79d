/**
 * Dependency evidence: a CycloneDX or SPDX document in JSON that a block leaves among its outputs, under a name that ends
 * as those standards recommend. It is a product as any other, sealed by its digest; what it says is the block's word.
 */

/** Bytes of a document that a verifier looks into. */
export const DEPENDENCY_DOCUMENT_BYTES_MAX = 64 * 2 ** 20;

export const dependencyFormats = { '.cdx.json': 'CycloneDX', '.spdx.json': 'SPDX' } as const;
export type DependencyFormat = (typeof dependencyFormats)[keyof typeof dependencyFormats];

/** The format that the name of a product (`outputs/<path>`) promises. */
export function dependencyFormatOf(output: string): DependencyFormat | undefined {
  const ending = Object.keys(dependencyFormats).find((each) => output.startsWith('outputs/') && output.endsWith(each));
  return ending === undefined ? undefined : dependencyFormats[ending as keyof typeof dependencyFormats];
}
