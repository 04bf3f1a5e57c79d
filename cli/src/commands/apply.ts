import { command } from '../command.ts';
import { renderProblems } from '../render/problems.ts';

export const apply = command({
  description: 'Register everything that a folder declares; what is registered already is left alone',
  args: {
    file: {
      type: 'string',
      alias: 'f',
      required: true,
      description:
        'Folder with Pipeline, Subagent, Shape, Capability and EnvBundle files; each folder in `capabilities/` is one.',
    },
    'dry-run': { type: 'boolean', description: 'Print what would change, and change nothing.' },
    actor: { type: 'string', description: 'Who registers: human:NAME, agent:NAME or service:NAME. Else human:<you>.' },
  },
  async run({ file, 'dry-run': dryRun, actor }, context) {
    const { declaredIn } = await import('../registry/declared.ts');
    const { applyThings, printChanges } = await import('../registry/apply-things.ts');
    const { things, problems } = await declaredIn(file);
    if (problems.length > 0) {
      if (context.json) await context.printJson({ ok: false, problems });
      else process.stderr.write(`${renderProblems(problems, context.paintError)}\n`);
      return 2;
    }
    const store = dryRun ? await context.open().catch(() => undefined) : await context.openOrCreate();
    await printChanges(context, await applyThings(store, things, { dryRun, actor }), dryRun);
    return 0;
  },
});
