/**
 * The Claude Code CLI in print mode. It reads no settings, hooks, MCP servers or instructions of the workspace unless the
 * subagent grants it: those of capabilities are laid into its own home, where they count as the user's.
 */
import { join } from 'node:path';
import type { Subagent } from '@pangolin/contracts/subagent';
import type { AgentJob, Runtime } from './runtime.ts';
import { ClaudeStream } from './claude-stream.ts';

const LEVELS = { fast: 'haiku', standard: 'sonnet', max: 'opus' } as const;

/** Nothing but the requests of the model itself leaves the task; the sandbox is ours, not the CLI's. */
const ENVIRONMENT = {
  CLAUDE_CODE_DISABLE_NONESSENTIAL_TRAFFIC: '1',
  DISABLE_AUTOUPDATER: '1',
  IS_SANDBOX: '1',
} as const;

export const claudeCode: Runtime = async (job) => {
  const stream = new ClaudeStream();
  const mcp = await layOutConfig(job);
  return {
    argv: ['claude', ...argumentsOf(job.subagent, mcp)],
    env: { ...ENVIRONMENT },
    input: job.prompt,
    lines: (line) => stream.line(line),
    end: () => stream.end(),
  };
};

function argumentsOf(subagent: Subagent, mcp: string | undefined): string[] {
  const { model, level, system, turns, tools, repositoryConfig } = subagent;
  const chosen = model ?? (level === undefined ? undefined : LEVELS[level]);
  return [
    '--print',
    '--output-format=stream-json',
    '--verbose',
    '--dangerously-skip-permissions',
    '--no-session-persistence',
    ...(repositoryConfig === true ? [] : ['--setting-sources=user', '--strict-mcp-config']),
    ...(mcp === undefined ? [] : [`--mcp-config=${mcp}`]),
    ...(chosen === undefined ? [] : [`--model=${chosen}`]),
    ...(turns === undefined ? [] : [`--max-turns=${turns}`]),
    ...(tools === undefined ? [] : [`--tools=${tools.join(',')}`]),
    ...(system === undefined ? [] : [`--append-system-prompt=${system}`]),
  ];
}

/** @returns the file with the MCP servers of the capabilities, if there is one. */
async function layOutConfig({ capabilities, write }: AgentJob): Promise<string | undefined> {
  for (const [path, file] of capabilities) {
    if (path === 'CLAUDE.md') await write(join('.claude', 'CLAUDE.md'), file);
    else if (path.startsWith('.claude/')) await write(path, file);
  }
  const servers = capabilities.get('.mcp.json');
  return servers && (await write('mcp.json', servers));
}
