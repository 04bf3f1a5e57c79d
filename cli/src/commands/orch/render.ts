import { command } from '../../command.ts';
import { readSpecFile, reportProblems } from '../../spec-file.ts';

export const render = command({
  description: 'Print a Run file in its normal form: defaults merged, units resolved, dependencies unioned',
  args: { file: { type: 'positional', description: 'YAML or JSON, `-` for standard input.' } },
  async run({ file }, context) {
    const { readRun } = await import('@pangolin/contracts/read-run');
    const spec = await readSpecFile(file);
    const result = readRun(spec.bytes, spec.name);
    if (!result.ok) return await reportProblems(context, spec, result.problems);
    await context.printJson(result.run);
    return 0;
  },
});
