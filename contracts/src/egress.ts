/** What a task with `network: {allow: […]}` may reach, and the log of what it tried. Observed by the controller's side. */

/** Environment of the egress proxy: an EgressPolicy as JSON, and the socket that it listens on. */
export const EGRESS_POLICY_VARIABLE = 'PANGOLIN_EGRESS_POLICY';
export const EGRESS_SOCKET_VARIABLE = 'PANGOLIN_EGRESS_SOCKET';
/** The socket under a task's input directory. */
export const EGRESS_SOCKET = 'egress/proxy.sock';

export interface EgressPolicy {
  /** Of the item: `host`, `*.host` or either with `:port`. Without a port, 80 and 443. */
  readonly allow: readonly string[];
  /** Of the operator: `host:port` that may be at an internal address, when the item allows it as well. */
  readonly internal: readonly string[];
  /** Addresses of the host itself: refused like every internal one. */
  readonly host: readonly string[];
}

export interface Destination {
  /** Lower case, without brackets or a final dot. */
  readonly host: string;
  readonly port: number;
}

const WEB_PORTS = [80, 443];
const ADDRESS = /^[\d.]+$|:/;

/** Which destinations an item allows: by name, before anything is resolved. */
export function isAllowed({ host, port }: Destination, { allow }: Pick<EgressPolicy, 'allow'>): boolean {
  return allow.some((entry) => {
    const { name, port: only } = allowEntry(entry);
    if (only === undefined ? !WEB_PORTS.includes(port) : only !== port) return false;
    // A wildcard stands for names: no address is a subdomain of anything.
    return name.startsWith('*.') ? !ADDRESS.test(host) && host.endsWith(name.slice(1)) : host === name;
  });
}

/** `host`, `*.host`, `host:port`. */
export function allowEntry(entry: string): { readonly name: string; readonly port: number | undefined } {
  const match = /^(.*?)(?::(\d{1,5}))?$/.exec(entry);
  const name = (match?.[1] ?? '').toLowerCase().replace(/\.$/, '');
  return { name, port: match?.[2] === undefined ? undefined : Number(match[2]) };
}

/** Why a destination was refused, or a connection cut. */
export type EgressRefusal =
  | 'NotAllowed'
  | 'InternalAddress'
  | 'Unresolvable'
  | 'Unreachable'
  | 'NameMismatch'
  | 'NotTls'
  | 'Malformed'
  | 'TooMany';

/**
 * A line of the egress log (JSON, one a line). `connection` counts from 1; an allowed one has a second line when it
 * is closed. The last line is `end`; without it the proxy was killed.
 */
export type EgressLine =
  | {
      readonly t: string;
      readonly event: 'allowed';
      readonly connection: number;
      readonly method: string;
      readonly host: string;
      readonly port: number;
      /** The one that the name stood for when it was first asked, and stands for as long as the task lives. */
      readonly address: string;
    }
  | {
      readonly t: string;
      readonly event: 'refused';
      readonly connection: number;
      readonly method: string;
      readonly host: string;
      readonly port: number;
      readonly reason: EgressRefusal;
    }
  | {
      readonly t: string;
      readonly event: 'closed';
      readonly connection: number;
      /** Bytes from the task, and to it. */
      readonly sent: number;
      readonly received: number;
      readonly reason?: EgressRefusal;
    }
  | { readonly t: string; readonly event: 'end'; readonly connections: number };
