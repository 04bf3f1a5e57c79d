import { command } from '../../command.ts';
import { readSpecFile, reportProblems } from '../../spec-file.ts';

export const validate = command({
  description: 'Check a Run file without submitting it; no storage is needed',
  args: { file: { type: 'positional', description: 'YAML or JSON, `-` for standard input.' } },
  async run({ file }, context) {
    const { readRun } = await import('@pangolin/contracts/read-run');
    const spec = await readSpecFile(file);
    const result = readRun(spec.bytes, spec.name);
    if (!result.ok) return await reportProblems(context, spec, result.problems);
    const { run, digest } = result;
    if (context.json)
      await context.printJson({ ok: true, run: run.id, items: run.items.length, digest: `sha256:${digest}` });
    else
      await context.print(
        `${spec.name} is valid: run ${run.id}, ${run.items.length} item${run.items.length === 1 ? '' : 's'}`,
      );
    return 0;
  },
});
