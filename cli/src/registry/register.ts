import type { CommandDef } from 'citty';
import { formatDigest } from '@pangolin/contracts/digest';
import type { ThingKind } from '@pangolin/contracts/things';
import { command } from '../command.ts';
import { defaultActor } from '../context.ts';
import { reportProblems } from '../spec-file.ts';
import { readThingFile, thingFileArgs } from './thing-file.ts';
import { wordsOf } from './words.ts';

export function register(kind: ThingKind): CommandDef {
  return command({
    description: `Make a ${wordsOf(kind).file} file the current version of its name; runs that are admitted keep theirs`,
    args: {
      ...thingFileArgs(kind),
      actor: {
        type: 'string',
        description: 'Who registers: human:NAME, agent:NAME or service:NAME. Else human:<you>.',
      },
    },
    async run({ actor, ...args }, context) {
      const { file, result } = await readThingFile(kind, args);
      if (!result.ok) return await reportProblems(context, file, result.problems);
      const { registerThing } = await import('@pangolin/storage/registry');
      const store = await context.openOrCreate();
      const { name, bytes } = result;
      const { version, changed } = await registerThing(store, kind, name, bytes, actor ?? defaultActor(), Date.now());
      const digest = formatDigest(version.sha256);
      if (context.json) await context.printJson({ ok: true, name, digest, changed });
      else await context.print(`${changed ? 'registered' : 'unchanged'} ${name}@${digest}`);
      return 0;
    },
  });
}
