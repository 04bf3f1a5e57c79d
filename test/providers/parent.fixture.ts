/** A controller-like process: starts the tasks it is given, says so, and lives until it is killed. */
import type { TaskStart } from '@pangolin/controller/providers/provider';
import { openScripted, type Kind } from './scripted.ts';

const { kind, stateDir, deployment, tasks } = JSON.parse(process.argv[2] ?? '') as {
  kind: Kind;
  stateDir: string;
  deployment: string;
  tasks: TaskStart[];
};
const provider = await openScripted(kind, stateDir, deployment);
process.stdout.write('ready\n');
await new Promise((resolve) => process.stdin.once('data', resolve));
await Promise.all(tasks.map((task) => provider.start(task)));
process.stdout.write('started\n');
setInterval(() => undefined, 60_000);
