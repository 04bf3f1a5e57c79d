/** Time-stamping authorities made with openssl, and one that answers over HTTP with `openssl ts`. */
import { execFileSync, execFile } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';

export type KeyKind = 'P-256' | 'P-384' | 'P-521' | 'rsa:2048';

export interface Authority {
  readonly dir: string;
  readonly rootPem: string;
  readonly intermediatePem: string | undefined;
  readonly signerPem: string;
  readonly signerKeyPem: string;
  [Symbol.dispose](): void;
}

export interface AuthorityOptions {
  readonly kind?: KeyKind;
  readonly intermediate?: boolean;
  /** Extensions of the signer's certificate; the right ones without. */
  readonly extensions?: string;
  readonly serial?: number;
}

const openssl = (dir: string, ...args: readonly string[]): void => {
  execFileSync('openssl', args, { cwd: dir, stdio: ['ignore', 'ignore', 'pipe'] });
};

export function makeAuthority({
  kind = 'P-256',
  intermediate = false,
  extensions = 'extendedKeyUsage=critical,timeStamping\nkeyUsage=critical,digitalSignature\nbasicConstraints=CA:FALSE',
  serial = 7,
}: AuthorityOptions = {}): Authority {
  const dir = mkdtempSync(join(tmpdir(), 'pangolin-tsa-'));
  const [algorithm, bits] = kind.split(':');
  const newKey =
    algorithm === 'rsa' ? ['-newkey', `rsa:${bits}`] : ['-newkey', 'ec', '-pkeyopt', `ec_paramgen_curve:${kind}`];
  const ca = 'basicConstraints=critical,CA:TRUE\nkeyUsage=critical,keyCertSign,cRLSign\n';
  writeFileSync(join(dir, 'ca.ext'), ca);
  writeFileSync(join(dir, 'signer.ext'), extensions);
  openssl(dir, 'req', '-x509', ...newKey, '-nodes', '-keyout', 'root.key', '-out', 'root.pem', '-days', '3650',
    '-subj', '/O=Test/CN=Test TSA root', '-addext', 'keyUsage=critical,keyCertSign,cRLSign'); // prettier-ignore
  const issue = (name: string, subject: string, issuer: string, ext: string): void => {
    openssl(dir, 'req', ...newKey, '-nodes', '-keyout', `${name}.key`, '-out', `${name}.csr`, '-subj', subject);
    openssl(dir, 'x509', '-req', '-in', `${name}.csr`, '-CA', `${issuer}.pem`, '-CAkey', `${issuer}.key`,
      '-set_serial', String(serial), '-days', '3000', '-extfile', ext, '-out', `${name}.pem`); // prettier-ignore
  };
  if (intermediate) issue('middle', '/O=Test/CN=Test TSA issuer', 'root', 'ca.ext');
  issue('signer', '/O=Test/CN=Test TSA', intermediate ? 'middle' : 'root', 'signer.ext');
  const read = (name: string): string => readFileSync(join(dir, name), 'utf8');
  writeFileSync(join(dir, 'chain.pem'), (intermediate ? read('middle.pem') : '') + read('root.pem'));
  writeFileSync(join(dir, 'serial'), '01\n');
  writeFileSync(
    join(dir, 'tsa.cnf'),
    `[tsa]
default_tsa=t
[t]
serial=./serial
crypto_device=builtin
signer_cert=./signer.pem
certs=./chain.pem
signer_key=./signer.key
signer_digest=${kind === 'P-384' ? 'sha384' : kind === 'P-521' ? 'sha512' : 'sha256'}
default_policy=1.2.3.4.1
digests=sha256,sha384,sha512
accuracy=secs:1
ordering=yes
tsa_name=yes
ess_cert_id_chain=no
ess_cert_id_alg=sha256
`,
  );
  return {
    dir,
    rootPem: read('root.pem'),
    intermediatePem: intermediate ? read('middle.pem') : undefined,
    signerPem: read('signer.pem'),
    signerKeyPem: read('signer.key'),
    [Symbol.dispose]: () => rmSync(dir, { recursive: true, force: true }),
  };
}

/** The TimeStampResp of `openssl ts` to a TimeStampReq. */
export async function reply({ dir }: Authority, query: Buffer): Promise<Buffer> {
  const name = `q${Math.random()}`;
  writeFileSync(join(dir, name), query);
  await promisify(execFile)(
    'openssl',
    ['ts', '-reply', '-config', 'tsa.cnf', '-queryfile', name, '-out', `${name}.r`],
    {
      cwd: dir,
    },
  );
  return readFileSync(join(dir, `${name}.r`));
}

export interface Served {
  readonly url: string;
  readonly requests: () => number;
  [Symbol.asyncDispose](): Promise<void>;
}

type Answer = (query: Buffer, response: ServerResponse) => Promise<void> | void;

/** An HTTP server on loopback that answers every POST in this way. */
export async function serveHttp(answer: Answer): Promise<Served> {
  let requests = 0;
  const server: Server = createServer((request: IncomingMessage, response) => {
    const chunks: Buffer[] = [];
    request.on('data', (chunk: Buffer) => chunks.push(chunk));
    request.on('end', () => {
      requests++;
      Promise.resolve(answer(Buffer.concat(chunks), response)).catch(() => response.destroy());
    });
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  return {
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}/`,
    requests: () => requests,
    [Symbol.asyncDispose]: () =>
      new Promise<void>((resolve) => {
        server.closeAllConnections();
        server.close(() => resolve());
      }),
  };
}

/** Serialises: the file with the serial number is not locked by openssl. */
export function serveAuthority(authority: Authority): Promise<Served> {
  let last: Promise<unknown> = Promise.resolve();
  return serveHttp(async (query, response) => {
    const mine = last.then(() => reply(authority, query));
    last = mine.catch(() => undefined);
    const bytes = await mine;
    response.writeHead(200, { 'content-type': 'application/timestamp-reply' }).end(bytes);
  });
}
