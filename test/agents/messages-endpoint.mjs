// The Messages API of a model that follows a script: POST /v1/messages, answered as a stream of server-sent events.
//
//   SCRIPT='{"Fix the sum": [{"tool": "Read", "input": {…}}, {"text": "Done."}]}' node messages-endpoint.mjs
//
// The script is chosen by the words of the first message, the step by the number of tool results so far. A step
// {"status": 429} refuses the request; with "seconds" it refuses for that long, as a subscription does that is used up,
// and then answers what follows in "then". One line a request goes to stdout: what it carried, never the key itself.
import { createServer } from 'node:http';

const scripts = JSON.parse(process.env.SCRIPT);
const KEY = process.env.KEY;
/** Words → when the model takes requests again, in seconds since 1970. */
const until = new Map();

const textOf = (content) => (typeof content === 'string' ? content : JSON.stringify(content));

createServer(async (request, response) => {
  const chunks = [];
  for await (const chunk of request) chunks.push(chunk);
  const { pathname } = new URL(request.url, 'http://model.test');
  if (request.method !== 'POST' || pathname !== '/v1/messages') return response.writeHead(404).end('{}');
  const body = JSON.parse(Buffer.concat(chunks));
  const user = body.messages.filter(({ role }) => role === 'user').map(({ content }) => textOf(content));
  const words = Object.keys(scripts).find((each) => user.some((text) => text.includes(each)));
  const results = body.messages
    .flatMap(({ content }) => (Array.isArray(content) ? content : []))
    .filter(({ type }) => type === 'tool_result');
  const written = scripts[words]?.[results.length] ?? { text: 'I have no further step.' };
  const step = written.seconds === undefined || isLimited(words, written.seconds) ? written : written.then;
  const everything = textOf(body.system) + user.join('\n');
  const says = ['REPOSITORY-INSTRUCTIONS', 'CAPABILITY-INSTRUCTIONS', 'SYSTEM-WORDS'].filter((each) =>
    everything.includes(each),
  );
  const errors = results.filter(({ is_error }) => is_error).map(({ content }) => textOf(content).slice(0, 300));
  console.log(
    JSON.stringify({
      words,
      step: results.length,
      key: request.headers['x-api-key'] === KEY || request.headers.authorization === `Bearer ${KEY}`,
      says,
      errors,
      model: body.model,
    }),
  );
  if (step.status !== undefined) {
    const limits = step.seconds === undefined ? {} : limitHeaders(words);
    response.writeHead(step.status, { 'content-type': 'application/json', 'x-should-retry': 'false', ...limits });
    return response.end(
      JSON.stringify({ type: 'error', error: { type: 'rate_limit_error', message: 'the model is busy' } }),
    );
  }
  stream(response, body.model, step, results.length);
}).listen(Number(process.env.PORT ?? 8080));

function isLimited(words, seconds) {
  if (!until.has(words)) until.set(words, Math.ceil(Date.now() / 1000) + seconds);
  return Date.now() < until.get(words) * 1000;
}

/** Of the window that is used up, as the API names it; the time is in seconds since 1970. */
function limitHeaders(words) {
  const window = { status: 'rejected', reset: String(until.get(words)) };
  return Object.fromEntries(
    ['', '5h-'].flatMap((name) =>
      Object.entries(window).map(([key, value]) => [`anthropic-ratelimit-unified-${name}${key}`, value]),
    ),
  );
}

function stream(response, model, step, turn) {
  response.writeHead(200, { 'content-type': 'text/event-stream' });
  const send = (type, data) => response.write(`event: ${type}\ndata: ${JSON.stringify({ type, ...data })}\n\n`);
  const usage = { input_tokens: 100, output_tokens: 1 };
  const message = { id: `msg_${turn}`, type: 'message', role: 'assistant', model, content: [], usage };
  send('message_start', { message: { ...message, stop_reason: null, stop_sequence: null } });
  const tool = step.tool !== undefined;
  send('content_block_start', {
    index: 0,
    content_block: tool
      ? { type: 'tool_use', id: `toolu_${turn}`, name: step.tool, input: {} }
      : { type: 'text', text: '' },
  });
  send('content_block_delta', {
    index: 0,
    delta: tool
      ? { type: 'input_json_delta', partial_json: JSON.stringify(step.input) }
      : { type: 'text_delta', text: step.text },
  });
  send('content_block_stop', { index: 0 });
  send('message_delta', {
    delta: { stop_reason: tool ? 'tool_use' : 'end_turn', stop_sequence: null },
    usage: { output_tokens: 20 },
  });
  send('message_stop', {});
  response.end();
}
