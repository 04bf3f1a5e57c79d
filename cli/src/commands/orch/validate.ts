import { command } from '../../command.ts';
import { readSpecFile, reportProblems } from '../../spec-file.ts';
import { nameOf } from '../../drop.ts';

export const validate = command({
  description: 'Check a Run, Queue or Schedule file without submitting it; no storage is needed',
  args: { file: { type: 'positional', description: 'YAML or JSON, `-` for standard input.' } },
  async run({ file }, context) {
    const { readDocument } = await import('../../document.ts');
    const spec = await readSpecFile(file);
    const result = readDocument(spec);
    if (!result.ok) return await reportProblems(context, spec, result.problems);
    if (result.kind !== 'Run') {
      if (context.json) await context.printJson({ ok: true, [result.kind.toLowerCase()]: result.id });
      else await context.print(`${spec.name} is valid: ${nameOf(result)}`);
      return 0;
    }
    const { id, items, digest } = result;
    if (context.json) await context.printJson({ ok: true, run: id, items, digest: `sha256:${digest}` });
    else await context.print(`${spec.name} is valid: run ${id}, ${items} item${items === 1 ? '' : 's'}`);
    return 0;
  },
});
