/** Which paths a file may have that is laid over a workspace. Apart, so that the worker needs no schemas for it. */

/** At the top of the workspace these are the worker's and git's. */
const RESERVED: readonly string[] = ['.git', '.pangolin', 'inputs', 'outputs'];
const PATH_CHARS_MAX = 1024;

/** Why a file of that path cannot be laid over a workspace, or undefined. */
export function pathProblem(path: string): string | undefined {
  const segments = path.split('/');
  if (path.length > PATH_CHARS_MAX) return `is longer than ${PATH_CHARS_MAX} characters`;
  if (!path.isWellFormed() || /[\u0000-\u001f\u007f\\]/.test(path)) return 'holds a control character or a backslash';
  if (path.startsWith('/')) return 'is absolute';
  if (segments.some((segment) => segment === '..')) return 'leaves the workspace';
  if (segments.some((segment) => segment === '' || segment === '.')) return 'has an empty part';
  if (RESERVED.includes(segments[0]!)) return `is under ${segments[0]}/, which is reserved`;
  if (segments.some((segment) => segment.toLowerCase() === '.git')) return 'is part of a git repository';
  return undefined;
}
