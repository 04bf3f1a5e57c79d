import type { CommandDef } from 'citty';
import { formatDigest } from '@pangolin/contracts/digest';
import type { ThingKind } from '@pangolin/contracts/things';
import { command } from '../command.ts';
import { reportProblems } from '../spec-file.ts';
import { readThingFile, thingFileArgs } from './thing-file.ts';
import { wordsOf } from './words.ts';

export function validate(kind: ThingKind): CommandDef {
  return command({
    description: `Check a ${wordsOf(kind).file} file; no storage is needed`,
    args: thingFileArgs(kind),
    async run(args, context) {
      const { file, result } = await readThingFile(kind, args);
      if (!result.ok) return await reportProblems(context, file, result.problems);
      const digest = formatDigest(result.sha256);
      if (context.json) await context.printJson({ ok: true, name: result.name, digest });
      else await context.print(`${file.name} is valid: ${wordsOf(kind).one} ${result.name}, ${digest}`);
      return 0;
    },
  });
}
