import { ANSWER_CHARS_MAX } from '@pangolin/contracts/limits';
import { PangolinError } from '@pangolin/contracts/errors';
import { command } from '../../command.ts';
import { ask, controlFlags } from '../../control.ts';
import { parseItemTarget } from '../../read/target.ts';
import { readSpecFile } from '../../spec-file.ts';
import { usage } from '../../strict.ts';

export const answer = command({
  description: 'Answer the question of an item, which goes on as a new attempt',
  args: {
    target: { type: 'positional', description: 'RUN/ITEM; `pangolin orch status RUN/ITEM` shows what it asks.' },
    text: { type: 'positional', required: false, description: 'The answer; one of the options, where it gives some.' },
    file: {
      type: 'string',
      valueHint: 'FILE',
      description: 'Answer with the text of this file, `-` for standard input.',
    },
    ...controlFlags,
  },
  async run({ target, text, file, actor, 'receipt-timeout': timeoutMs }, context) {
    parseItemTarget(target);
    if ((text === undefined) === (file === undefined)) throw usage('give one answer', 'Write TEXT or --file FILE.');
    const reply = text ?? (await textOf(file!));
    if (reply.length > ANSWER_CHARS_MAX)
      throw new PangolinError('TOO_LARGE', `an answer has at most ${ANSWER_CHARS_MAX} characters`);
    return await ask(context, { verb: 'answer', target, actor, timeoutMs, answer: reply }, () => `answered ${target}`);
  },
});

async function textOf(path: string): Promise<string> {
  const { bytes, name } = await readSpecFile(path);
  try {
    return new TextDecoder('utf-8', { fatal: true }).decode(bytes);
  } catch (cause) {
    throw new PangolinError('INVALID', `${name} is not UTF-8 text`, { cause });
  }
}
