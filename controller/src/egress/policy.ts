/** The destination that a request names, and what the operator lets be at an internal address. */
import { isIP } from 'node:net';
import { allowEntry, type Destination, type EgressPolicy } from '@pangolin/contracts/egress';

const NAME = /^(?!-)[a-z0-9_-]{1,63}(?:\.[a-z0-9_-]{1,63})*$/;

/** `host:port`, as CONNECT names it; undefined when it is not exactly that. */
export function parseDestination(text: string): Destination | undefined {
  const match = /^(?:\[([0-9A-Fa-f:.]{2,45})\]|([^:/?#@[\]\s]{1,253})):(\d{1,5})$/.exec(text);
  if (match === null) return undefined;
  const host = (match[1] ?? match[2] ?? '').toLowerCase().replace(/\.$/, '');
  const port = Number(match[3]);
  if (port < 1 || port > 65_535) return undefined;
  if (match[1] !== undefined ? isIP(host) !== 6 : !NAME.test(host)) return undefined;
  return { host, port };
}

/** Whether the operator lets this very destination be at an internal address. */
export function mayBeInternal({ host, port }: Destination, { internal }: Pick<EgressPolicy, 'internal'>): boolean {
  return internal.some((entry) => {
    const { name, port: only } = allowEntry(entry);
    return name === host && only === port;
  });
}
