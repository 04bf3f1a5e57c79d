/** Reads what a dependency document (contracts/dependency-document) says of itself. */
import type { DependencyFormat } from '@pangolin/contracts/dependency-document';
import { isUtf8 } from 'node:buffer';
import { isObject } from './shape.ts';

export interface DependencySummary {
  /** `1.6`, `2.3`. */
  readonly version: string;
  /** Components or packages. */
  readonly components: number;
}

/** Undefined for anything that is not a document of this format. */
export function readDependencies(format: DependencyFormat, bytes: Buffer): DependencySummary | undefined {
  const document = parse(bytes);
  if (document === undefined) return undefined;
  if (format === 'CycloneDX') {
    const { bomFormat, specVersion, components = [] } = document;
    if (bomFormat !== 'CycloneDX') return undefined;
    return summary(specVersion, components);
  }
  const { spdxVersion, packages = [] } = document;
  if (typeof spdxVersion === 'string') return summary(spdxVersion.replace(/^SPDX-/, ''), packages);
  return readSpdx3(document);
}

/** SPDX 3 is JSON-LD: a graph of elements, one of which says what version of the model it follows. */
function readSpdx3(document: Record<string, unknown>): DependencySummary | undefined {
  const graph = document['@graph'];
  if (!String(document['@context']).includes('spdx.org') || !Array.isArray(graph)) return undefined;
  const elements = graph.filter(isObject);
  const version = elements.find(({ specVersion }) => specVersion !== undefined)?.specVersion;
  return summary(
    version,
    elements.filter(({ type }) => type === 'software_Package'),
  );
}

function summary(version: unknown, components: unknown): DependencySummary | undefined {
  const known = typeof version === 'string' && /^\d{1,3}(?:\.\d{1,3}){0,2}$/.test(version) && Array.isArray(components);
  return known ? { version, components: components.length } : undefined;
}

function parse(bytes: Buffer): Record<string, unknown> | undefined {
  try {
    const value: unknown = isUtf8(bytes) ? JSON.parse(bytes.toString('utf8')) : undefined;
    return isObject(value) ? value : undefined;
  } catch {
    // It is the block's word, and this one says nothing.
    return undefined;
  }
}
