import { formatDigest } from '@pangolin/contracts/digest';
import { command } from '../../command.ts';
import { readSpecFile, reportProblems } from '../../spec-file.ts';

export const validate = command({
  description: 'Check a Pipeline file; no storage is needed',
  args: { file: { type: 'positional', description: 'YAML or JSON, `-` for standard input.' } },
  async run({ file }, context) {
    const { readPipeline } = await import('@pangolin/contracts/read-pipeline');
    const spec = await readSpecFile(file);
    const result = readPipeline(spec.bytes, spec.name);
    if (!result.ok) return await reportProblems(context, spec, result.problems);
    const digest = formatDigest(result.sha256);
    if (context.json) await context.printJson({ ok: true, name: result.name, digest });
    else await context.print(`${spec.name} is valid: pipeline ${result.name}, ${digest}`);
    return 0;
  },
});
