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
