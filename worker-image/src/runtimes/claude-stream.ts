/**
 * What Claude Code prints with `--output-format stream-json`: one JSON object a line, the last of them its result.
 *
 *     {"type":"assistant","message":{"model":"…","content":[{"type":"text","text":"…"},{"type":"tool_use","name":"Edit","input":{…}}]}}
 *     {"type":"rate_limit_event","rate_limit_info":{"status":"rejected","resetsAt":1764003600}}
 *     {"type":"result","is_error":false,"num_turns":2,"total_cost_usd":0.0013,"result":"…","usage":{…},"modelUsage":{…}}
 */
import type { Usage } from '@pangolin/contracts/output';
import { isObject } from '../check-pipeline.ts';
import { AttemptFailure } from '../failure.ts';
import type { AgentEnd } from './runtime.ts';

/** Too many requests, and the model's own overload. */
const LIMITED: readonly unknown[] = [429, 529];
const INPUT_CHARS_MAX = 500;
const SECONDS_MAX = 253_402_300_799;

type Fields = Record<string, unknown>;

export class ClaudeStream {
  #result: Fields | undefined;
  #resetAt: string | undefined;

  /** @returns what people want to see of it. */
  line(text: string): string[] {
    let event: unknown;
    try {
      event = JSON.parse(text);
    } catch {
      return [text];
    }
    if (!isObject(event)) return [text];
    if (event['type'] === 'result') this.#result = event;
    if (event['type'] === 'rate_limit_event') this.#limit(event['rate_limit_info']);
    if (event['type'] !== 'assistant' && event['type'] !== 'user') return [];
    const message = isObject(event['message']) ? event['message'] : {};
    const content = Array.isArray(message['content']) ? (message['content'] as unknown[]) : [];
    return content.flatMap((part) => (isObject(part) ? shown(part) : []));
  }

  end(): AgentEnd {
    const result = this.#result;
    if (result === undefined) {
      return {
        usage: { runtime: 'claude-code' },
        failure: new AttemptFailure('AgentFailed', 'Claude Code ended without a result'),
      };
    }
    const usage = usageOf(result);
    if (result['is_error'] !== true && result['subtype'] === 'success') return { usage };
    const words =
      typeof result['result'] === 'string' ? result['result'] : String(result['subtype'] ?? 'unknown error');
    const limited = LIMITED.includes(result['api_error_status']);
    const failure = limited
      ? new AttemptFailure('ModelRateLimited', words.slice(0, 1000), {
          ...(this.#resetAt !== undefined && { resetAt: this.#resetAt }),
        })
      : new AttemptFailure('AgentFailed', words.slice(0, 1000));
    return { usage, failure };
  }

  #limit(info: unknown): void {
    const seconds = isObject(info) ? info['resetsAt'] : undefined;
    if (typeof seconds !== 'number' || !(seconds > 0 && seconds <= SECONDS_MAX)) return;
    this.#resetAt = new Date(Math.ceil(seconds) * 1000).toISOString();
  }
}

function shown(part: Fields): string[] {
  if (part['type'] === 'text' && typeof part['text'] === 'string') return part['text'].split('\n');
  if (part['type'] === 'tool_use') {
    return [`[${String(part['name'])}] ${(JSON.stringify(part['input']) ?? '').slice(0, INPUT_CHARS_MAX)}`];
  }
  if (part['type'] === 'tool_result' && part['is_error'] === true) {
    return [`[error] ${(JSON.stringify(part['content']) ?? '').slice(0, INPUT_CHARS_MAX)}`];
  }
  return [];
}

function usageOf(result: Fields): Usage {
  const usage = isObject(result['usage']) ? result['usage'] : {};
  const model = mainModel(result['modelUsage']);
  const turns = count(result['num_turns']);
  const cost = result['total_cost_usd'];
  const tokens = {
    inputTokens: count(usage['input_tokens']),
    outputTokens: count(usage['output_tokens']),
    cacheReadTokens: count(usage['cache_read_input_tokens']),
    cacheWriteTokens: count(usage['cache_creation_input_tokens']),
  };
  return {
    runtime: 'claude-code',
    ...(model !== undefined && { model }),
    ...(turns !== undefined && { turns }),
    ...Object.fromEntries(Object.entries(tokens).filter(([, value]) => value !== undefined)),
    ...(typeof cost === 'number' && cost >= 0 && cost < 1e9 && { costUsd: decimal(cost) }),
  };
}

/** The one with the most output. */
function mainModel(models: unknown): string | undefined {
  if (!isObject(models)) return undefined;
  const output = (entry: unknown): number => (isObject(entry) ? (count(entry['outputTokens']) ?? 0) : 0);
  const [first] = Object.entries(models).sort(([, a], [, b]) => output(b) - output(a));
  return first?.[0].slice(0, 200);
}

const count = (value: unknown): number | undefined =>
  Number.isSafeInteger(value) && (value as number) >= 0 ? (value as number) : undefined;

/** Sealed documents hold no fractions, so money is text. */
export function decimal(value: number): string {
  return value.toFixed(9).replace(/\.?0+$/, '');
}
