/** Which destinations an item allows: by name, before anything is resolved. */
import { isIP } from 'node:net';
import type { EgressPolicy } from '@pangolin/contracts/egress';

export interface Destination {
  /** Lower case, without brackets or a final dot. */
  readonly host: string;
  readonly port: number;
}

const WEB_PORTS = [80, 443];
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

export function isAllowed({ host, port }: Destination, { allow }: Pick<EgressPolicy, 'allow'>): boolean {
  return allow.some((entry) => {
    const { name, port: only } = entryOf(entry);
    if (only === undefined ? !WEB_PORTS.includes(port) : only !== port) return false;
    // A wildcard stands for names: no address is a subdomain of anything.
    return name.startsWith('*.') ? isIP(host) === 0 && host.endsWith(name.slice(1)) : host === name;
  });
}

/** Whether the operator lets this very destination be at an internal address. */
export function mayBeInternal({ host, port }: Destination, { internal }: Pick<EgressPolicy, 'internal'>): boolean {
  return internal.some((entry) => {
    const { name, port: only } = entryOf(entry);
    return name === host && only === port;
  });
}

/** `host`, `*.host`, `host:port`. */
function entryOf(entry: string): { readonly name: string; readonly port: number | undefined } {
  const match = /^(.*?)(?::(\d{1,5}))?$/.exec(entry);
  const name = (match?.[1] ?? '').toLowerCase().replace(/\.$/, '');
  return { name, port: match?.[2] === undefined ? undefined : Number(match[2]) };
}
