/** Findings become Problems: each gets the file and the nearest place in it. */
import type { Finding } from './explain.ts';
import type { Problem } from './status.ts';
import type { Locate, Place } from './text-place.ts';

/** In the order of the text. A pointer to what is not there (a missing field) gets the place of what should hold it. */
export function located(findings: readonly Finding[], file: string, locate: Locate): Problem[] {
  return findings
    .map(({ at, ...finding }) => ({ file, ...placeOf(finding.path, at, locate), ...finding }))
    .sort((a, b) => (a.line ?? 0) - (b.line ?? 0) || (a.column ?? 0) - (b.column ?? 0));
}

function placeOf(pointer: string, at: 'value' | 'key' | undefined, locate: Locate): Place | undefined {
  for (let path = pointer; ; path = path.slice(0, path.lastIndexOf('/'))) {
    const place = locate(path, path === pointer ? at : 'value');
    if (place !== undefined || path === '') return place;
  }
}
