// An agent on the agent side of the Agent Client Protocol's own SDK: asks for permission, edits a file, says what it did.
// node acp-agent.mjs [refuse | crash | linger]
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { Readable, Writable } from 'node:stream';
import { agent, methods, ndJsonStream, PROTOCOL_VERSION } from '@agentclientprotocol/sdk';

const [mode] = process.argv.slice(2);
const directories = new Map();
const update = (client, sessionId, of) => client.notify(methods.client.session.update, { sessionId, update: of });

agent({ name: 'scripted' })
  .onRequest(methods.agent.initialize, () => ({ protocolVersion: PROTOCOL_VERSION, agentCapabilities: {} }))
  .onRequest(methods.agent.session.new, ({ params }) => {
    directories.set('s1', params.cwd);
    return { sessionId: 's1' };
  })
  .onRequest(methods.agent.session.prompt, async ({ params, client }) => {
    const { sessionId } = params;
    if (mode === 'crash') process.exit(9);
    if (mode === 'refuse') return { stopReason: 'refusal' };
    const toolCall = { toolCallId: 't1', title: 'write notes.txt', kind: 'edit', status: 'pending' };
    await update(client, sessionId, { sessionUpdate: 'tool_call', ...toolCall });
    const { outcome } = await client.request(methods.client.session.requestPermission, {
      sessionId,
      toolCall,
      options: [
        { optionId: 'no', name: 'No', kind: 'reject_once' },
        { optionId: 'yes', name: 'Yes', kind: 'allow_once' },
      ],
    });
    if (outcome.optionId === 'yes') writeFileSync(join(directories.get(sessionId), 'notes.txt'), params.prompt[0].text);
    const text = `permission: ${outcome.optionId}`;
    await update(client, sessionId, { sessionUpdate: 'agent_message_chunk', content: { type: 'text', text } });
    return { stopReason: 'end_turn' };
  })
  .connect(ndJsonStream(Writable.toWeb(process.stdout), Readable.toWeb(process.stdin)));
// Some agents outlive their conversation.
if (mode === 'linger') setInterval(() => undefined, 1000);
