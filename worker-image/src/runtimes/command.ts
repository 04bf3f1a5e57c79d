/**
 * Any program. The prompt is its standard input; PANGOLIN_PROMPT and PANGOLIN_SYSTEM name files that hold the prompt and
 * the system prompt, PANGOLIN_MODEL and PANGOLIN_LEVEL what the subagent asks for. Exit code 0 is success.
 */
import type { Runtime } from './runtime.ts';

export const command: Runtime = async ({ subagent, prompt, write }) => {
  const { runtime, model, level, system, turns } = subagent;
  if (runtime.kind !== 'command') throw new TypeError('the runtime is no command');
  const [file = '', ...args] = runtime.command;
  return {
    argv: [file, ...args],
    env: {
      PANGOLIN_PROMPT: await write('prompt.txt', prompt),
      ...(system !== undefined && { PANGOLIN_SYSTEM: await write('system.txt', system) }),
      ...(model !== undefined && { PANGOLIN_MODEL: model }),
      ...(level !== undefined && { PANGOLIN_LEVEL: level }),
      ...(turns !== undefined && { PANGOLIN_TURNS: String(turns) }),
    },
    input: prompt,
    end: () => ({ usage: { runtime: 'command', ...(model !== undefined && { model }) } }),
  };
};
