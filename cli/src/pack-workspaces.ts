/**
 * Workspaces of this machine, for a storage whose controller does not see it: packed here into cas/, and named by digest
 * in what is submitted. What is packed is what a controller on a local folder would take.
 */
import { homedir } from 'node:os';
import { join } from 'node:path';
import { formatDigest } from '@pangolin/contracts/digest';
import { PangolinError } from '@pangolin/contracts/errors';
import type { Workspace } from '@pangolin/contracts/workspace';
import type { ObjectStore } from '@pangolin/storage/object-store';

type Fields = Readonly<Record<string, unknown>>;

/** @param document a checked run with absolute paths. The very same value when nothing of it is local. */
export async function packWorkspaces(document: unknown, store: ObjectStore): Promise<unknown> {
  if (!isFields(document)) return document;
  const packed = new Map<string, Promise<unknown>>();
  const inHolder = async (holder: unknown): Promise<unknown> => {
    if (!isFields(holder) || !isLocal(holder['workspace'])) return holder;
    const text = JSON.stringify(holder['workspace']);
    const once = packed.get(text) ?? pack(holder['workspace'], store);
    packed.set(text, once);
    return { ...holder, workspace: await once };
  };
  const inSpec = async (spec: unknown): Promise<unknown> => {
    const own = await inHolder(spec);
    if (!isFields(own)) return own;
    const { defaults, items } = own;
    return {
      ...own,
      ...(defaults === undefined ? {} : { defaults: await inHolder(defaults) }),
      ...(Array.isArray(items) ? { items: await Promise.all(items.map(inHolder)) } : {}),
    };
  };
  const after = isFields(document['spec'])
    ? { ...document, spec: await inSpec(document['spec']) }
    : await inSpec(document);
  return packed.size === 0 ? document : after;
}

async function pack(workspace: Workspace, store: ObjectStore): Promise<unknown> {
  const { packWorkspace } = await import('@pangolin/controller/admission/workspace');
  const cache = process.env['XDG_CACHE_HOME'] || join(homedir(), '.cache');
  const result = await packWorkspace(workspace, {
    store,
    localBase: process.cwd(),
    allowLocalPaths: true,
    allowHosts: [],
    gitCacheDir: join(cache, 'pangolin', 'git'),
  });
  if (result.ok) return { ref: formatDigest(result.workspace.sha256) };
  const { message, hint } = result.refusal;
  throw new PangolinError('INVALID', message, hint === undefined ? {} : { hint });
}

/** A folder, or a repository by its path: what has a host is fetched by the controller. */
function isLocal(workspace: unknown): workspace is Workspace {
  if (!isFields(workspace)) return false;
  if (typeof workspace['path'] === 'string') return true;
  const { git } = workspace;
  return isFields(git) && typeof git['url'] === 'string' && /^(\/|file:\/\/\/)/i.test(git['url']);
}

const isFields = (value: unknown): value is Fields =>
  typeof value === 'object' && value !== null && !Array.isArray(value);
