/** The egress proxy as a program: one for each task that has an allow-list, beside its container and not inside of it. */
import { chmodSync, rmSync } from 'node:fs';
import { EGRESS_POLICY_VARIABLE, EGRESS_SOCKET_VARIABLE, type EgressPolicy } from '@pangolin/contracts/egress';
import { EgressLog } from './egress-log.ts';
import { createProxy } from './proxy.ts';
import { Resolver } from './resolver.ts';

const policy = JSON.parse(process.env[EGRESS_POLICY_VARIABLE] ?? '') as EgressPolicy;
const socket = process.env[EGRESS_SOCKET_VARIABLE] ?? '';
const log = new EgressLog();
const server = createProxy({ policy, resolver: new Resolver(policy), log });

// Of an earlier start of this container.
rmSync(socket, { force: true });
server.listen(socket, () => chmodSync(socket, 0o600));
process.once('SIGTERM', () => {
  log.end();
  process.exit(0);
});
