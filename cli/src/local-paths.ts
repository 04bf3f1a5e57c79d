/** Relative paths in a run mean the folder of its file. The controller does not know that folder, so they are made absolute. */
import { resolve } from 'node:path';

type Fields = Readonly<Record<string, unknown>>;

/** The document with absolute paths in its workspaces, or the very same value when there is nothing to change. */
export function absolutePaths(document: unknown, dir: string): unknown {
  if (!isFields(document)) return document;
  if (!isFields(document['spec'])) return specPaths(document, dir);
  return change(document, 'spec', (spec) => specPaths(spec, dir));
}

function specPaths(spec: unknown, dir: string): unknown {
  const inHolder = (holder: unknown): unknown =>
    change(holder, 'workspace', (workspace) => workspacePaths(workspace, dir));
  // A schedule holds the spec of its runs.
  const withRun = change(inHolder(spec), 'run', (run) => (isFields(run) ? specPaths(run, dir) : run));
  const withItems = change(withRun, 'items', (items) =>
    Array.isArray(items) ? same(items, items.map(inHolder)) : items,
  );
  return change(withItems, 'defaults', inHolder);
}

function workspacePaths(workspace: unknown, dir: string): unknown {
  const withPath = change(workspace, 'path', (path) => (typeof path === 'string' ? resolve(dir, path) : path));
  return change(withPath, 'git', (git) =>
    change(git, 'url', (url) => (typeof url === 'string' && isRelativePath(url) ? resolve(dir, url) : url)),
  );
}

/** `./repo`, `..`, `repo`; not `/repo`, `https://host/repo`, `git@host:repo` or `~/repo`. */
function isRelativePath(url: string): boolean {
  return url !== '' && !/^[/~]/.test(url) && !/^[^/]*:/.test(url);
}

/** A copy with one member changed; the same object when the change changes nothing. */
function change(holder: unknown, key: string, map: (value: unknown) => unknown): unknown {
  if (!isFields(holder) || !Object.hasOwn(holder, key)) return holder;
  const value = map(holder[key]);
  return value === holder[key] ? holder : { ...holder, [key]: value };
}

const same = (before: readonly unknown[], after: readonly unknown[]): readonly unknown[] =>
  after.every((value, index) => value === before[index]) ? before : after;

const isFields = (value: unknown): value is Fields =>
  typeof value === 'object' && value !== null && !Array.isArray(value);
