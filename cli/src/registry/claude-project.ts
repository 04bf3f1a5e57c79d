/**
 * What a repository has for Claude Code, as things to register under a name:
 *
 *     CLAUDE.md                                  capability NAME.instructions
 *     .claude/skills/ and .claude/commands/      capability NAME.skills
 *     .claude/settings.json and .mcp.json        capability NAME.settings: hooks and servers run where an item adds it
 *     .claude/agents/*.md                        a subagent NAME.<agent> each, with instructions and skills
 *
 * `settings.local.json` is somebody's own and stays out.
 */
import { canonicalBytes } from '@pangolin/contracts/canonical';
import { credentialPattern } from '@pangolin/contracts/credentials';
import { sha256 } from '@pangolin/contracts/digest';
import { PangolinError } from '@pangolin/contracts/errors';
import { filesUnder, type Content } from './capability-folder.ts';
import type { Declared } from './declared.ts';

const LEVELS: Readonly<Record<string, 'fast' | 'standard' | 'max'>> = {
  haiku: 'fast',
  sonnet: 'standard',
  opus: 'max',
};
const parts: readonly (readonly [part: string, what: string, of: (path: string) => boolean])[] = [
  ['instructions', 'CLAUDE.md', (path) => path === 'CLAUDE.md'],
  ['skills', 'skills and commands', (path) => /^\.claude\/(skills|commands)\//.test(path)],
  ['settings', 'settings, hooks and MCP servers', (path) => path === '.claude/settings.json' || path === '.mcp.json'],
];

/** @throws PangolinError INVALID for what cannot be taken over; TOO_LARGE. */
export async function claudeProject(dir: string, name: string): Promise<Declared[]> {
  const files = await filesUnder(dir, isOurs);
  const things: Declared[] = [];
  for (const [part, what, of] of parts) {
    const own = Object.fromEntries(Object.entries(files).filter(([path]) => of(path)));
    if (part === 'settings') for (const [path, file] of Object.entries(own)) refuseCredentials(path, file);
    if (Object.keys(own).length === 0) continue;
    things.push(declare('capability', `${name}.${part}`, { description: `${what} of ${name}`, files: own }, dir));
  }
  const capabilities = things.map((thing) => thing.name).filter((each) => !each.endsWith('.settings'));
  for (const [path, file] of Object.entries(files)) {
    const [, agent] = /^\.claude\/agents\/([^/]+)\.md$/.exec(path) ?? [];
    if (agent !== undefined) things.push(await subagentOf(path, file, name, agent, capabilities));
  }
  return await valid(things);
}

function isOurs(path: string): boolean {
  if (path.endsWith('/')) return path === '.claude/' || /^\.claude\/(skills|commands|agents)\//.test(path);
  return (
    path === 'CLAUDE.md' ||
    path === '.mcp.json' ||
    path === '.claude/settings.json' ||
    /^\.claude\/(skills|commands|agents)\//.test(path)
  );
}

function declare(kind: Declared['kind'], name: string, spec: object, from: string): Declared {
  const bytes = canonicalBytes(spec);
  return { kind, name, spec, bytes, sha256: sha256(bytes), from };
}

/** The file of an agent: `---`, YAML, `---`, and the words of its system prompt. */
async function subagentOf(
  path: string,
  file: Content,
  name: string,
  agent: string,
  capabilities: readonly string[],
): Promise<Declared> {
  const text = 'text' in file ? file.text : '';
  const [, head = '', body = text] = /^---\r?\n([\s\S]*?)\r?\n---\r?\n([\s\S]*)$/.exec(text) ?? [];
  const { parseDocument } = await import('@pangolin/contracts/parse');
  const parsed = head === '' ? undefined : parseDocument(Buffer.from(head), path);
  if (parsed?.ok === false) {
    throw new PangolinError('INVALID', `the head of ${path} cannot be read: ${parsed.problems[0]?.message}`);
  }
  const fields = (parsed?.value ?? {}) as Readonly<Record<string, unknown>>;
  const { description, model, tools } = fields;
  const level = typeof model === 'string' ? LEVELS[model] : undefined;
  const list = Array.isArray(tools) ? tools.map(String) : typeof tools === 'string' ? tools.split(',') : [];
  const named = list.map((tool) => tool.trim()).filter((tool) => tool !== '');
  const spec = {
    ...(typeof description === 'string' && { description: description.slice(0, 4096) }),
    runtime: { kind: 'claude-code' },
    ...(level !== undefined && { level }),
    ...(level === undefined && typeof model === 'string' && model !== 'inherit' && { model }),
    ...(body.trim() !== '' && { system: body.trim() }),
    ...(named.length > 0 && { tools: named }),
    ...(capabilities.length > 0 && { capabilities }),
  };
  return declare('subagent', `${name}.${agent}`, spec, path);
}

/** Settings may set variables: a secret among them would be copied into the store. */
function refuseCredentials(path: string, file: Content): void {
  const visit = (value: unknown, key: string): void => {
    if (typeof value === 'string') {
      const pattern = credentialPattern(key, value);
      if (pattern === undefined) return;
      throw new PangolinError('INVALID', `${path} holds a value that looks like a credential (${pattern})`, {
        hint: 'Take it out there; give it to the agent by an env bundle.',
      });
    }
    if (typeof value === 'object' && value !== null)
      for (const [name, child] of Object.entries(value)) visit(child, name);
  };
  try {
    visit(JSON.parse('text' in file ? file.text : ''), '');
  } catch (cause) {
    if (cause instanceof PangolinError) throw cause;
    throw new PangolinError('INVALID', `${path} is not JSON`, { cause });
  }
}

async function valid(things: readonly Declared[]): Promise<Declared[]> {
  const { isSpec } = await import('@pangolin/contracts/things');
  for (const { kind, name, spec, from } of things) {
    if (!isSpec(kind, spec)) throw new PangolinError('INVALID', `${from} does not make a valid ${kind} ${name}`);
  }
  return [...things];
}
