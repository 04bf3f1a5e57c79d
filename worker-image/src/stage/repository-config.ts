/**
 * Configuration by which a repository makes agents start programs of its own: hooks, settings, MCP servers. For agents that
 * cannot be told to leave it alone it is out of the workspace while they run, and back where it was before anything is captured.
 */
import { lstat, mkdir, rename } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import type { Places } from '../places.ts';
import { own } from './workspace.ts';

/** Where agents look for it, relative to the workspace. */
export const CONFIG_PATHS: readonly string[] = [
  '.claude/settings.json',
  '.claude/settings.local.json',
  '.mcp.json',
  '.codex/config.toml',
  '.cursor/hooks.json',
  '.cursor/mcp.json',
  '.gemini/settings.json',
  '.opencode',
  '.vscode/mcp.json',
  'opencode.json',
  'opencode.jsonc',
];

/**
 * Moves away what is there; no block runs meanwhile.
 * @param granted paths that capabilities have laid out: those are meant
 * @returns puts it back, but where the agent has left something of its own; answers the paths that it could not put back
 */
export async function hideRepositoryConfig(
  { workspace, private: store, user }: Pick<Places, 'workspace' | 'private' | 'user'>,
  granted: ReadonlyMap<string, unknown>,
  name: string,
): Promise<() => Promise<string[]>> {
  const hidden: { readonly path: string; readonly kept: string }[] = [];
  const dir = join(store, name);
  await mkdir(dir, { mode: 0o700 });
  for (const path of CONFIG_PATHS) {
    // Of a link on the way the link is what goes: what it leads to may be anywhere.
    const found = await outermost(workspace, path);
    if (found === undefined || granted.has(path) || [...granted.keys()].some((each) => each.startsWith(`${found}/`)))
      continue;
    const kept = join(dir, String(hidden.length));
    await rename(join(workspace, found), kept);
    hidden.push({ path: found, kept });
  }
  return async () => {
    const lost: string[] = [];
    for (const { path, kept } of hidden) {
      const target = join(workspace, path);
      if (await isThere(target)) continue;
      const parent = dirname(path);
      if (parent !== '.' && !(await isThere(dirname(target)))) {
        await mkdir(dirname(target), { mode: 0o755 });
        await own(dirname(target), user);
      }
      const place = await lstat(dirname(target));
      if (place.isDirectory()) await rename(kept, target);
      else lost.push(path);
    }
    return lost;
  };
}

/** The path itself when it is there; a link on the way to it; else undefined. */
async function outermost(workspace: string, path: string): Promise<string | undefined> {
  const parent = dirname(path);
  if (parent !== '.') {
    const stats = await lstat(join(workspace, parent)).catch(() => undefined);
    if (stats?.isSymbolicLink()) return parent;
    if (!stats?.isDirectory()) return undefined;
  }
  return (await isThere(join(workspace, path))) ? path : undefined;
}

const isThere = async (path: string): Promise<boolean> => (await lstat(path).catch(() => undefined)) !== undefined;
