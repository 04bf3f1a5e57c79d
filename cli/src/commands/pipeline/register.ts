import { formatDigest } from '@pangolin/contracts/digest';
import { command } from '../../command.ts';
import { defaultActor } from '../../context.ts';
import { readSpecFile, reportProblems } from '../../spec-file.ts';

export const register = command({
  description: 'Make a Pipeline file the current version of its name; runs that are admitted keep theirs',
  args: {
    file: { type: 'positional', description: 'YAML or JSON, `-` for standard input.' },
    actor: { type: 'string', description: 'Who registers: human:NAME, agent:NAME or service:NAME. Else human:<you>.' },
  },
  async run({ file, actor }, context) {
    const { readPipeline } = await import('@pangolin/contracts/read-pipeline');
    const spec = await readSpecFile(file);
    const result = readPipeline(spec.bytes, spec.name);
    if (!result.ok) return await reportProblems(context, spec, result.problems);
    const { registerThing } = await import('@pangolin/storage/registry');
    const store = await context.openOrCreate();
    const { name, bytes } = result;
    const { version, changed } = await registerThing(
      store,
      'pipeline',
      name,
      bytes,
      actor ?? defaultActor(),
      Date.now(),
    );
    const digest = formatDigest(version.sha256);
    if (context.json) await context.printJson({ ok: true, name, digest, changed });
    else await context.print(`${changed ? 'registered' : 'unchanged'} ${name}@${digest}`);
    return 0;
  },
});
