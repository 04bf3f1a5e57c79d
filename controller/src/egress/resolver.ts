/** Names → addresses, once: what a name stands for when it is first asked, it stands for until the proxy ends. */
import { lookup } from 'node:dns/promises';
import { isIP } from 'node:net';
import type { Destination, EgressPolicy } from '@pangolin/contracts/egress';
import { isInternal } from './addresses.ts';
import { mayBeInternal } from './policy.ts';

export type Resolution =
  { readonly addresses: readonly string[] } | { readonly refused: 'InternalAddress' | 'Unresolvable' };

export type Lookup = (host: string) => Promise<readonly string[]>;

/** Names that one task may ask for. */
const NAMES_MAX = 10_000;

export class Resolver {
  readonly #policy: EgressPolicy;
  readonly #lookup: Lookup;
  readonly #pinned = new Map<string, Promise<readonly string[]>>();

  constructor(policy: EgressPolicy, lookUp: Lookup = systemLookup) {
    this.#policy = policy;
    this.#lookup = lookUp;
  }

  /** One internal address among several refuses them all: a name that offers it means no good. */
  async resolve(destination: Destination): Promise<Resolution> {
    const { host } = destination;
    const addresses = isIP(host) === 0 ? await this.#addressesOf(host) : [host];
    if (addresses.length === 0) return { refused: 'Unresolvable' };
    const internal = addresses.some((address) => isInternal(address, this.#policy.host));
    if (internal && !mayBeInternal(destination, this.#policy)) return { refused: 'InternalAddress' };
    return { addresses };
  }

  /** A lookup that failed is no answer and is asked again. */
  async #addressesOf(host: string): Promise<readonly string[]> {
    const known = this.#pinned.get(host);
    if (known !== undefined) return known;
    if (this.#pinned.size >= NAMES_MAX) return [];
    const asked = this.#lookup(host).catch((): readonly string[] => []);
    this.#pinned.set(host, asked);
    const addresses = await asked;
    if (addresses.length === 0) this.#pinned.delete(host);
    return addresses;
  }
}

async function systemLookup(host: string): Promise<readonly string[]> {
  const found = await lookup(host, { all: true });
  return found.map(({ address }) => address);
}
