import type { Problem } from '@pangolin/contracts/status';
import { command } from '../../command.ts';
import { controlFlags } from '../../control.ts';
import { drop, queued, readyToDrop, rejected, type Ready } from '../../drop.ts';
import { parseRunTarget } from '../../read/target.ts';
import { readSpecFile, reportProblems, type SpecFile } from '../../spec-file.ts';

export const extend = command({
  description: 'Add items to an open-ended run',
  args: {
    run: { type: 'positional', description: 'A run that was submitted with `openEnded: true`.' },
    file: {
      type: 'positional',
      description: 'An Extension, or just `items` (and `workspace`, `defaults`) as in a Run; `-` for standard input.',
    },
    ...controlFlags,
  },
  async run({ run, file: path, actor, 'receipt-timeout': timeoutMs }, context) {
    const target = parseRunTarget(run);
    const file = await readSpecFile(path);
    const ready = await prepare(target, file);
    if (!ready.ok) return await reportProblems(context, file, ready.problems);
    const store = await context.open();
    const answer = await drop(store, file, ready, { actor, timeoutMs });
    if ('queued' in answer) return await queued(context, answer.queued, ready.about, false);
    const { receipt } = answer;
    if (receipt.verdict === 'rejected') return await rejected(context, receipt, file);
    if (context.json) await context.printJson(receipt);
    else await context.print(`extended ${target}`);
    if (receipt.duplicate === true) context.note('The same items were added before; nothing changed.');
    return 0;
  },
});

type Fields = Readonly<Record<string, unknown>>;
const isFields = (value: unknown): value is Fields =>
  typeof value === 'object' && value !== null && !Array.isArray(value);

async function prepare(run: string, file: SpecFile): Promise<Ready> {
  const [{ parseDocument }, { readExtension }] = await Promise.all([
    import('@pangolin/contracts/parse'),
    import('@pangolin/contracts/read-extension'),
  ]);
  const parsed = parseDocument(file.bytes, file.name);
  if (!parsed.ok) return parsed;
  const { value, locate } = parsed;
  const whole = isFields(value) && ['apiVersion', 'kind', 'metadata', 'spec'].some((key) => Object.hasOwn(value, key));
  // Without its envelope the file is the spec, and its places are those of the spec.
  const inFile = (pointer: string): string => (whole ? pointer : pointer.replace(/^\/spec/, ''));
  const place = (pointer: string): ReturnType<typeof locate> => {
    for (let at = inFile(pointer); ; at = at.slice(0, at.lastIndexOf('/'))) {
      const found = locate(at);
      if (found !== undefined || at === '') return found;
    }
  };
  const document = whole ? value : { apiVersion: 'pangolin.dev/v1', kind: 'Extension', spec: withRun(value, run) };
  const refuse = (problems: readonly Problem[]): Ready => ({
    ok: false,
    problems: problems.map(({ line: _line, column: _column, ...problem }) => {
      return { ...problem, path: inFile(problem.path), ...place(problem.path) };
    }),
  });
  const read = readExtension(Buffer.from(JSON.stringify(document)), file.name, () => 'unknown');
  if (!read) {
    const hint = 'Write `kind: Extension`, or just the items.';
    return refuse([{ file: file.name, path: '/kind', code: 'NotAnExtension', message: 'this is no extension', hint }]);
  }
  if (!read.ok) return refuse(read.problems);
  if (read.run === run) return readyToDrop(file, { kind: 'Run', id: run }, place, { value: document, changed: true });
  const message = `the extension is for the run ${read.run}, not for ${run}`;
  return refuse([
    { file: file.name, path: '/spec/run', code: 'OtherRun', message, hint: 'Name that run, or change the file.' },
  ]);
}

const withRun = (spec: unknown, run: string): unknown => (isFields(spec) ? { run, ...spec } : spec);
