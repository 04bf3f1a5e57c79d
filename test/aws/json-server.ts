/** An AWS service that speaks JSON over HTTP (AWS JSON 1.1): every request and answer is held to AWS's own model. */
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import type { ServiceModel } from './service-model.ts';

/** An error that the service answers with. */
export class AwsError extends Error {
  readonly status: number;
  readonly more: object;
  constructor(
    name: string,
    message: string,
    { status = 400, ...more }: { status?: number } & Record<string, unknown> = {},
  ) {
    super(message);
    this.name = name;
    this.status = status;
    this.more = more;
  }
}

export type Actions = Readonly<Record<string, (input: never) => object | Promise<object>>>;

/**
 * What goes wrong with a call: an error instead of it, `lost` (it does not arrive), or `unanswered` (it is done, and the
 * answer does not arrive).
 */
type Fault = AwsError | 'lost' | 'unanswered';

export interface JsonServer {
  readonly endpoint: string;
  /** Every call that arrived, in order. */
  readonly calls: { readonly action: string; readonly input: Record<string, unknown> }[];
  /** Decides about each call before it is done. */
  fault: ((action: string, input: Record<string, unknown>) => Fault | undefined) | undefined;
  close(): Promise<void>;
}

const BODY_MAX = 2 * 2 ** 20;
/** Errors that any service may answer and that no operation declares. */
const COMMON =
  /^(ThrottlingException|UnknownOperationException|MissingAuthenticationTokenException|IncompleteSignature|SerializationException|ValidationException|InternalFailure)$/;

export async function serveJson(model: ServiceModel, actions: Actions, host = '127.0.0.1'): Promise<JsonServer> {
  const calls: JsonServer['calls'] = [];
  const server = createServer((request, response) => {
    answer(request, response).catch((error: unknown) => {
      console.error('the test server itself failed:', error);
      response.destroy();
    });
  });

  async function answer(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const text = await bodyOf(request);
    let action = '';
    try {
      const call = open(request, text);
      action = call.action;
      calls.push(call);
      const fault = self.fault?.(action, call.input);
      if (fault instanceof AwsError) throw fault;
      if (fault === 'lost') return void request.socket.destroy();
      const output = await actions[action]!(call.input as never);
      const problem = model.problem(action, 'output', output);
      if (problem !== undefined) throw new Error(`the answer to ${action} is not what AWS would answer: ${problem}`);
      if (fault === 'unanswered') return void request.socket.destroy();
      send(response, 200, output);
    } catch (error) {
      if (!(error instanceof AwsError)) throw error;
      if (!COMMON.test(error.name) && !model.declares(action, error.name))
        throw new Error(`${action} does not declare ${error.name}`, { cause: error });
      send(response, error.status, { __type: error.name, message: error.message, ...error.more });
    }
  }

  function open(request: IncomingMessage, text: string): { action: string; input: Record<string, unknown> } {
    const [target, action = ''] = String(request.headers['x-amz-target']).split('.');
    if (request.method !== 'POST' || target !== model.target || !model.has(action))
      throw new AwsError('UnknownOperationException', `${request.method} ${String(request.headers['x-amz-target'])}`);
    if (actions[action] === undefined) throw new AwsError('UnknownOperationException', `this server has no ${action}`);
    if (request.headers['content-type'] !== model.contentType)
      throw new AwsError('SerializationException', `the content type is not ${model.contentType}`);
    const scope = new RegExp(
      `^AWS4-HMAC-SHA256 Credential=[^/]+/\\d{8}/[a-z0-9-]+/${model.signingName}/aws4_request, SignedHeaders=[^,]*host[^,]*, Signature=[0-9a-f]{64}$`,
    );
    if (!scope.test(request.headers.authorization ?? ''))
      throw new AwsError('IncompleteSignature', 'the request is not signed for this service');
    let input: unknown;
    try {
      input = JSON.parse(text);
    } catch {
      throw new AwsError('SerializationException', 'the body is not JSON');
    }
    const problem = model.problem(action, 'input', input);
    if (problem !== undefined)
      throw new AwsError(
        model.declares(action, 'InvalidParameterException') ? 'InvalidParameterException' : 'ValidationException',
        problem,
      );
    return { action, input: input as Record<string, unknown> };
  }

  function send(response: ServerResponse, status: number, body: object): void {
    response.writeHead(status, { 'content-type': model.contentType });
    response.end(JSON.stringify(body));
  }

  await new Promise<void>((resolve) => server.listen(0, host, resolve));
  const self: JsonServer = {
    endpoint: `http://${host}:${(server.address() as AddressInfo).port}`,
    calls,
    fault: undefined,
    close: async () => {
      server.closeAllConnections();
      await new Promise((resolve) => server.close(resolve));
    },
  };
  return self;
}

async function bodyOf(request: IncomingMessage): Promise<string> {
  const chunks: Buffer[] = [];
  let size = 0;
  for await (const chunk of request as AsyncIterable<Buffer>) {
    size += chunk.length;
    if (size > BODY_MAX) throw new Error('the body is too large');
    chunks.push(chunk);
  }
  return Buffer.concat(chunks).toString('utf8');
}
