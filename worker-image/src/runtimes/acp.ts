/**
 * Any agent that speaks the Agent Client Protocol (version 1) on its standard streams. We are its client: one session in
 * the workspace, one prompt, every permission granted (the sandbox is the boundary), no file system or terminal of ours.
 */
import { Readable, Writable } from 'node:stream';
import { client, methods, ndJsonStream, PROTOCOL_VERSION } from '@agentclientprotocol/sdk';
import type { ActiveSessionMessage, ClientContext, RequestPermissionRequest } from '@agentclientprotocol/sdk';
import { messageOf } from '@pangolin/contracts/errors';
import type { Usage } from '@pangolin/contracts/output';
import { isObject } from '../check-pipeline.ts';
import { AttemptFailure } from '../failure.ts';
import { decimal } from './claude-stream.ts';
import type { AgentEnd, AgentJob, Runtime } from './runtime.ts';

export const acp: Runtime = async (job) => {
  const { runtime } = job.subagent;
  if (runtime.kind !== 'acp') throw new TypeError('the runtime does not speak the Agent Client Protocol');
  const [file = '', ...args] = runtime.command;
  const talk = new Conversation(job);
  return {
    argv: [file, ...args],
    env: {},
    input(stdin, stdout, finish) {
      void talk.hold(stdin, stdout).finally(finish);
    },
    end: () => talk.end(),
  };
};

class Conversation {
  readonly #job: AgentJob;
  #stopReason: string | undefined;
  #failure: string | undefined;
  #turns = 0;
  #cost: string | undefined;
  #tokens: unknown;

  constructor(job: AgentJob) {
    this.#job = job;
  }

  /** Never rejects: what goes wrong is what the agent is judged by. */
  async hold(stdin: Writable, stdout: Readable): Promise<void> {
    try {
      const stream = ndJsonStream(Writable.toWeb(stdin), Readable.toWeb(stdout) as ReadableStream<Uint8Array>);
      const app = client({ name: 'pangolin' }).onRequest(methods.client.session.requestPermission, ({ params }) =>
        allow(params),
      );
      await app.connectWith(stream, (agent) => this.#prompt(agent));
    } catch (error) {
      this.#failure ??= messageOf(error);
    }
  }

  async #prompt(agent: ClientContext): Promise<void> {
    const { subagent, prompt, workspace, log } = this.#job;
    await agent.request(methods.agent.initialize, {
      protocolVersion: PROTOCOL_VERSION,
      clientInfo: { name: 'pangolin', version: '1' },
      clientCapabilities: { fs: { readTextFile: false, writeTextFile: false }, terminal: false },
    });
    await agent.buildSession(workspace).withSession(async (session) => {
      const text = subagent.system === undefined ? prompt : `${subagent.system}\n\n${prompt}`;
      // The answer comes as the last update as well; awaited here is only that there will be none.
      const broken = session.prompt(text).then(() => new Promise<never>(() => undefined));
      for (;;) {
        const message = await Promise.race([session.nextUpdate(), broken]);
        if (message.kind === 'stop') {
          this.#stopReason = message.stopReason;
          // Not in version 1 of the protocol; agents give it all the same.
          this.#tokens = (message.response as { usage?: unknown }).usage;
          return;
        }
        this.#see(message, log);
      }
    });
  }

  #see({ update }: Extract<ActiveSessionMessage, { kind: 'session_update' }>, log: (line: string) => void): void {
    if (update.sessionUpdate === 'agent_message_chunk' && update.content.type === 'text') log(update.content.text);
    else if (update.sessionUpdate === 'tool_call') {
      this.#turns += 1;
      log(`[${update.kind ?? 'tool'}] ${update.title}`);
    } else if (update.sessionUpdate === 'usage_update' && update.cost?.currency === 'USD') {
      const { amount } = update.cost;
      if (amount >= 0 && amount < 1e9) this.#cost = decimal(amount);
    }
  }

  end(): AgentEnd {
    const { model } = this.#job.subagent;
    const usage: Usage = {
      runtime: 'acp',
      ...(model !== undefined && { model }),
      ...(this.#stopReason !== undefined && { turns: this.#turns + 1 }),
      ...tokensOf(this.#tokens),
      ...(this.#cost !== undefined && { costUsd: this.#cost }),
    };
    if (this.#stopReason === 'end_turn') return { usage, done: true };
    const words =
      this.#stopReason === undefined
        ? `the conversation broke off: ${this.#failure ?? 'the agent ended'}`
        : `the agent stopped: ${this.#stopReason}`;
    return { usage, failure: new AttemptFailure('AgentFailed', words.slice(0, 1000)) };
  }
}

/** What it says of tokens, as far as it is numbers. */
function tokensOf(usage: unknown): Partial<Usage> {
  if (!isObject(usage)) return {};
  const said = {
    inputTokens: usage['inputTokens'],
    outputTokens: usage['outputTokens'],
    cacheReadTokens: usage['cachedReadTokens'],
    cacheWriteTokens: usage['cachedWriteTokens'],
  };
  return Object.fromEntries(
    Object.entries(said).filter(([, count]) => Number.isSafeInteger(count) && (count as number) >= 0),
  );
}

/** The widest permission on offer. */
function allow({ options }: RequestPermissionRequest) {
  const option =
    options.find(({ kind }) => kind === 'allow_always') ??
    options.find(({ kind }) => kind === 'allow_once') ??
    undefined;
  return option === undefined
    ? { outcome: { outcome: 'cancelled' as const } }
    : { outcome: { outcome: 'selected' as const, optionId: option.optionId } };
}
