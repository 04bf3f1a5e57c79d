/** The server name in a TLS ClientHello (RFC 8446 §4.1.2, RFC 6066 §3). */

/** `more`: what came so far may still become one. */
export type Hello =
  | { readonly state: 'more' }
  | { readonly state: 'invalid' }
  | { readonly state: 'hello'; readonly name: string | undefined };

const HANDSHAKE = 22;
const CLIENT_HELLO = 1;
const SERVER_NAME = 0;
const HOST_NAME = 0;
/** Of all records of the hello together: real ones stay below 3 KiB. */
export const HELLO_BYTES_MAX = 16 * 2 ** 10;
const RECORD_BYTES_MAX = 2 ** 14;

const INVALID: Hello = { state: 'invalid' };
const MORE: Hello = { state: 'more' };

/** Takes what the client has sent so far, from its first byte. */
export function readClientHello(bytes: Buffer): Hello {
  const message = handshakeOf(bytes);
  if (!Buffer.isBuffer(message)) return message;
  if (message.length >= 1 && message[0] !== CLIENT_HELLO) return INVALID;
  const tooLong = bytes.length > HELLO_BYTES_MAX;
  if (message.length < 4) return tooLong ? INVALID : MORE;
  const length = message.readUIntBE(1, 3);
  if (length > HELLO_BYTES_MAX) return INVALID;
  if (message.length < 4 + length) return tooLong ? INVALID : MORE;
  try {
    return { state: 'hello', name: serverName(new Reader(message.subarray(4, 4 + length))) };
  } catch {
    return INVALID;
  }
}

/** Joins the fragments of whole and unfinished records: type(1) version(2) length(2) fragment. */
function handshakeOf(bytes: Buffer): Buffer | Hello {
  const fragments: Buffer[] = [];
  for (let at = 0; at < bytes.length;) {
    if (bytes[at] !== HANDSHAKE || (bytes.length > at + 1 && bytes[at + 1] !== 3)) return INVALID;
    if (bytes.length < at + 5) break;
    const length = bytes.readUInt16BE(at + 3);
    if (length === 0 || length > RECORD_BYTES_MAX) return INVALID;
    fragments.push(bytes.subarray(at + 5, at + 5 + length));
    at += 5 + length;
  }
  return Buffer.concat(fragments);
}

function serverName(hello: Reader): string | undefined {
  hello.skip(2 + 32);
  hello.vector(1);
  hello.vector(2);
  hello.vector(1);
  if (hello.done) return undefined;
  const extensions = new Reader(hello.vector(2));
  let name: string | undefined;
  while (!extensions.done) {
    const type = extensions.number(2);
    const body = new Reader(extensions.vector(2));
    if (type !== SERVER_NAME) continue;
    // Two of them, or two names in one: a server might read the other.
    if (name !== undefined) throw new RangeError('two server names');
    const list = new Reader(body.vector(2));
    if (list.number(1) !== HOST_NAME) throw new RangeError('no host name');
    name = list.vector(2).toString('latin1');
    if (!list.done || !body.done) throw new RangeError('two server names');
  }
  return name;
}

class Reader {
  readonly #bytes: Buffer;
  #at = 0;

  constructor(bytes: Buffer) {
    this.#bytes = bytes;
  }

  get done(): boolean {
    return this.#at >= this.#bytes.length;
  }

  number(size: number): number {
    const value = this.#bytes.readUIntBE(this.#at, size);
    this.#at += size;
    return value;
  }

  skip(size: number): void {
    this.#at += size;
    if (this.#at > this.#bytes.length) throw new RangeError('too short');
  }

  /** Length in `size` bytes, then that many. */
  vector(size: number): Buffer {
    const length = this.number(size);
    const start = this.#at;
    this.skip(length);
    return this.#bytes.subarray(start, start + length);
  }
}
