/** Repositories over https on the loopback interface: node's server in front of git's own CGI program. */
import { execFileSync, spawn } from 'node:child_process';
import { existsSync, readFileSync } from 'node:fs';
import { createServer, type Server } from 'node:https';
import type { IncomingMessage, ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { join } from 'node:path';

/** Why such a server cannot run here, or undefined. */
export function whyNoServer(): string | undefined {
  const path = execFileSync('git', ['--exec-path'], { encoding: 'utf8' }).trim();
  if (!existsSync(join(path, 'git-http-backend'))) return 'git has no http-backend here';
  if (!existsSync(join(path, 'git-remote-https'))) return 'git speaks no https here';
  try {
    execFileSync('openssl', ['version'], { stdio: 'ignore' });
    return undefined;
  } catch {
    return 'openssl is not installed';
  }
}

export interface GitServer {
  /** `127.0.0.1:port`. */
  readonly host: string;
  /** The certificate that clients must trust. */
  readonly certificate: string;
  /** Method and path of every request. */
  readonly requests: string[];
  /** Answers before git does when it returns true. */
  intercept: (request: IncomingMessage, response: ServerResponse) => boolean;
  close(): Promise<void>;
}

/** Serves the repositories under `root` for reading. `scratch` gets the key and the certificate. */
export async function startGitServer(root: string, scratch: string): Promise<GitServer> {
  const [key, certificate] = [join(scratch, 'key.pem'), join(scratch, 'certificate.pem')];
  const subject = ['-subj', '/CN=127.0.0.1', '-addext', 'subjectAltName=IP:127.0.0.1'];
  const curve = ['-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:prime256v1', '-nodes'];
  execFileSync('openssl', ['req', '-x509', ...curve, '-days', '2', '-keyout', key, '-out', certificate, ...subject], {
    stdio: 'ignore',
  });
  const server: Server = createServer({ key: readFileSync(key), cert: readFileSync(certificate) });
  const git: GitServer = {
    host: '',
    certificate,
    requests: [],
    intercept: () => false,
    close: () =>
      new Promise((resolve) => {
        server.close(() => resolve());
        server.closeAllConnections();
      }),
  };
  server.on('request', (request, response) => {
    git.requests.push(`${request.method} ${request.url}`);
    if (!git.intercept(request, response)) backend(root, request, response);
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  return Object.assign(git, { host: `127.0.0.1:${(server.address() as AddressInfo).port}` });
}

function backend(root: string, request: IncomingMessage, response: ServerResponse): void {
  const url = new URL(request.url!, 'https://localhost');
  const child = spawn('git', ['-c', 'safe.directory=*', 'http-backend'], {
    env: {
      PATH: process.env['PATH'],
      GIT_PROJECT_ROOT: root,
      GIT_HTTP_EXPORT_ALL: '1',
      GIT_PROTOCOL: String(request.headers['git-protocol'] ?? ''),
      REQUEST_METHOD: request.method,
      PATH_INFO: decodeURIComponent(url.pathname),
      QUERY_STRING: url.search.slice(1),
      CONTENT_TYPE: request.headers['content-type'] ?? '',
      HTTP_CONTENT_ENCODING: request.headers['content-encoding'] ?? '',
    },
    stdio: ['pipe', 'pipe', 'ignore'],
  });
  request.pipe(child.stdin);
  child.stdin.on('error', () => undefined);
  const chunks: Buffer[] = [];
  child.stdout.on('data', (chunk: Buffer) => chunks.push(chunk));
  child.on('close', () => {
    const output = Buffer.concat(chunks);
    const end = output.indexOf('\r\n\r\n');
    const headers = output
      .subarray(0, end)
      .toString()
      .split('\r\n')
      .map((line) => line.split(': ') as [string, string]);
    const status = headers.find(([name]) => name === 'Status')?.[1];
    response.writeHead(
      status === undefined ? 200 : Number.parseInt(status, 10),
      Object.fromEntries(headers.filter(([name]) => name !== 'Status')),
    );
    response.end(output.subarray(end + 4));
  });
}
