import { basename, resolve } from 'node:path';
import { PangolinError } from '@pangolin/contracts/errors';
import { command } from '../command.ts';

export const importProject = command({
  description: 'Register what a repository has for Claude Code: CLAUDE.md, skills, settings and subagents',
  args: {
    dir: { type: 'positional', description: 'The repository’s folder.' },
    name: { type: 'string', description: 'What the names of the things start with. Else the folder’s own name.' },
    'dry-run': { type: 'boolean', description: 'Print what would change, and change nothing.' },
    actor: { type: 'string', description: 'Who registers: human:NAME, agent:NAME or service:NAME. Else human:<you>.' },
  },
  async run({ dir, name, 'dry-run': dryRun, actor }, context) {
    const { claudeProject } = await import('../registry/claude-project.ts');
    const { applyThings, printChanges } = await import('../registry/apply-things.ts');
    const things = await claudeProject(dir, name ?? basename(resolve(dir)));
    if (things.length === 0) {
      throw new PangolinError('NOT_FOUND', `${dir} has nothing for Claude Code`, {
        hint: 'It looks for CLAUDE.md, .claude/ and .mcp.json.',
      });
    }
    const store = dryRun ? await context.open().catch(() => undefined) : await context.openOrCreate();
    await printChanges(context, await applyThings(store, things, { dryRun, actor }), dryRun);
  },
});
