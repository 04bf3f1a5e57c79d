/** What the author of a run wrote as `git.url` and `git.ref`, read before any of it reaches a command line. Pure. */
import { isAbsolute, resolve } from 'node:path';
import { fileURLToPath } from 'node:url';
import { show } from '@pangolin/contracts/formats';
import { refuse } from './refusal.ts';

export type GitSource =
  | { readonly kind: 'local'; readonly path: string }
  | { readonly kind: 'remote'; readonly protocol: 'https' | 'ssh'; readonly url: string };

export interface SourceRules {
  /** Absolute folder that relative paths start from. */
  readonly localBase: string;
  readonly allowLocalPaths: boolean;
  /** Hosts that may be reached, `host` for the protocol's own port or `host:port`. */
  readonly allowHosts: readonly string[];
}

const SCP = /^(?:[A-Za-z0-9_][A-Za-z0-9_.-]*@)?([A-Za-z0-9][A-Za-z0-9.-]*):(?!-)[^\s]+$/;

/** @throws a refusal for everything that is not a plain local path or an allowed https or ssh address. */
export function readGitUrl(url: string, rules: SourceRules): GitSource {
  refuseOdd(url, 'The address of a repository is a path, https://… or ssh://….');
  if (/^[A-Za-z0-9+.-]*::/.test(url)) {
    refuse('UrlRefused', `${show(url)} names a remote helper, which could run anything`, 'Use https:// or ssh://.');
  }
  const scheme = /^([A-Za-z][A-Za-z0-9+.-]*):\/\//.exec(url)?.[1]?.toLowerCase();
  if (scheme === 'file') return localSource(filePath(url), rules);
  if (scheme === 'https' || scheme === 'ssh') return remoteSource(url, scheme, rules);
  if (scheme !== undefined) {
    refuse(
      'UrlRefused',
      `the scheme ${scheme}:// is not used: nothing protects what it brings`,
      'Use https:// or ssh://.',
    );
  }
  const colon = url.indexOf(':');
  if (colon === -1 || url.slice(0, colon).includes('/')) return localSource(url, rules);
  const host = SCP.exec(url)?.[1];
  if (host === undefined)
    refuse('UrlRefused', `${show(url)} is no address of a repository`, 'Write ssh://user@host/path.');
  allow(host, rules);
  return { kind: 'remote', protocol: 'ssh', url };
}

/** @throws a refusal unless local paths are allowed here. Absolute. */
export function readLocalPath(path: string, rules: SourceRules): string {
  refuseOdd(path, 'Write a path such as ./repo.');
  if (!rules.allowLocalPaths) {
    const hint = 'Push it to an allowed host, or pack it first and write { ref: sha256:… }.';
    refuse('LocalPathRefused', 'local paths are only read where the storage is a local folder', hint);
  }
  return isAbsolute(path) ? resolve(path) : resolve(rules.localBase, path);
}

function localSource(path: string, rules: SourceRules): GitSource {
  return { kind: 'local', path: readLocalPath(path, rules) };
}

function refuseOdd(text: string, hint: string): void {
  if (text.startsWith('-')) refuse('UrlRefused', `${show(text)} starts with a hyphen`, hint);
  if (/[\u0000-\u001f\u007f]/.test(text)) refuse('UrlRefused', `${show(text)} holds a control character`, hint);
}

function filePath(url: string): string {
  try {
    return fileURLToPath(url);
  } catch {
    return refuse(
      'UrlRefused',
      `${show(url)} is not a file of this machine`,
      'Write file:///absolute/path, or the path.',
    );
  }
}

function remoteSource(url: string, protocol: 'https' | 'ssh', rules: SourceRules): GitSource {
  const parsed = URL.canParse(url) ? new URL(url) : undefined;
  if (!parsed || !/^[A-Za-z0-9][A-Za-z0-9.-]*$/.test(parsed.hostname) || parsed.search || parsed.hash) {
    return refuse('UrlRefused', 'the address of the repository cannot be read', `Write ${protocol}://host/path.git.`);
  }
  if (parsed.password !== '' || (protocol === 'https' && parsed.username !== '')) {
    const hint = 'Remove it from the file and revoke it: the file has been stored.';
    return refuse('SecretInUrl', 'the address of the repository holds a credential', hint);
  }
  if (parsed.username.startsWith('-')) refuse('UrlRefused', 'the user name of the address starts with a hyphen');
  allow(parsed.port === '' ? parsed.hostname : `${parsed.hostname}:${parsed.port}`, rules);
  return { kind: 'remote', protocol, url };
}

function allow(host: string, rules: SourceRules): void {
  const wanted = host.toLowerCase();
  if (rules.allowHosts.some((each) => each.toLowerCase() === wanted)) return;
  refuse(
    'HostRefused',
    `repositories of ${wanted} are not allowed here`,
    'The operator keeps the list of allowed hosts.',
  );
}

/** A ref as a user may write it: `main`, `v1.2`, `refs/heads/main`. @throws a refusal for what git would not take as a name. */
export function readRefName(ref: string): string {
  const wrong =
    /[\u0000-\u0020\u007f~^:?*[\\]/.test(ref) ||
    /(^|\/)(\.|$)|^-|\.\.|@\{|\.lock(\/|$)|\.$|^@$|\/\//.test(ref) ||
    ref.startsWith('/');
  if (wrong) refuse('RefRefused', `${show(ref)} is no name of a branch or tag`, 'Write main, v1.2 or refs/heads/main.');
  return ref;
}

/** What a ref may stand for, best first within a group; two hits in one group are ambiguous. */
export function refCandidates(ref: string | undefined): readonly (readonly string[])[] {
  if (ref === undefined || ref === 'HEAD') return [['HEAD']];
  if (ref.startsWith('refs/')) return [[ref]];
  return [
    [`refs/heads/${ref}`, `refs/tags/${ref}`],
    [`refs/remotes/${ref}`, `refs/remotes/origin/${ref}`],
  ];
}
