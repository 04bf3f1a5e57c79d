import { isPangolinError } from '@pangolin/contracts/errors';
import type { Problem } from '@pangolin/contracts/status';
import { command } from '../../command.ts';
import type { Context } from '../../context.ts';
import { nameOf } from '../../drop.ts';
import { readSpecFile, reportProblems, type SpecFile } from '../../spec-file.ts';

export const validate = command({
  description:
    'Check a Run, Queue or Schedule file without submitting it; with a storage also what it names there, and its queue',
  args: { file: { type: 'positional', description: 'YAML or JSON, `-` for standard input.' } },
  async run({ file }, context) {
    const { readDocument } = await import('../../document.ts');
    const spec = await readSpecFile(file);
    const result = readDocument(spec);
    if (!result.ok) return await reportProblems(context, spec, result.problems);
    const problems = result.kind === 'Queue' ? [] : await inStorage(context, spec);
    if (problems.length > 0) return await reportProblems(context, spec, problems);
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

/** Nothing when there is no storage, or none that answers: the file may be checked where it is written. */
async function inStorage(context: Context, spec: SpecFile): Promise<readonly Problem[]> {
  const { admissionProblems } = await import('../../read/admission-problems.ts');
  try {
    const found = await admissionProblems(spec, await context.open());
    if (!found.knowsQueues) context.note('No controller has served this storage yet: its queues are not known.');
    return found.problems;
  } catch (error) {
    if (!isPangolinError(error) || !['NOT_FOUND', 'UNAVAILABLE', 'DENIED'].includes(error.code)) throw error;
    context.note(`What it names was not checked: ${error.message}.`);
    return [];
  }
}
