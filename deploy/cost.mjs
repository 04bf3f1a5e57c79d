// What 1,000 items cost on AWS: node deploy/cost.mjs [--seconds 120] [--cpu 1] [--memory 2] [--bytes 1000000] [--spot] [--prices FILE]
//
//   tasks    = items × seconds × (vCPU × price of a vCPU-second + GiB × price of a GiB-second)
//   requests = items × (puts × price of a PUT + gets × price of a GET) + hours × lists × price of a LIST
//   storage  = items × bytes × price of a GiB-month
//   standing = hours × (controller + interface endpoints × zones), whatever the number of items
//
// Prices in US dollars; those below are the list prices of us-east-1 as they were known when this was written. Bring your own:
// they change, and no network is asked here.
import { readFileSync } from 'node:fs';
import { parseArgs } from 'node:util';

/** Per item. Objects are what design and tests bound (6 an item and 20 a run, products aside); a task reads its inputs and looks for grants. */
export const counts = { items: 1000, runs: 1, putsPerItem: 6, putsPerRun: 20, getsPerItem: 10, listsPerHour: 6 * 60 };

export const prices = {
  vcpuSecond: 0.04048 / 3600,
  gibSecond: 0.004445 / 3600,
  spotFactor: 0.3,
  put: 0.005 / 1000,
  get: 0.0004 / 1000,
  gibMonth: 0.023,
  endpointHour: 0.01,
};

/** @returns dollars, by what they are for */
export function cost({ seconds, cpu, memory, bytes, spot, hours }, price = prices, count = counts) {
  const vcpu = (n) => n * price.vcpuSecond;
  const gib = (n) => n * price.gibSecond;
  const puts = count.items * count.putsPerItem + count.runs * count.putsPerRun + hours * count.listsPerHour;
  return {
    tasks: count.items * seconds * (vcpu(cpu) + gib(memory)) * (spot ? price.spotFactor : 1),
    requests: puts * price.put + count.items * count.getsPerItem * price.get,
    storagePerMonth: ((count.items * bytes) / 2 ** 30) * price.gibMonth,
    standing: hours * (3600 * (vcpu(0.5) + gib(1)) + 7 * 2 * price.endpointHour),
  };
}

if (process.argv[1]?.endsWith('cost.mjs')) {
  const number = (name, value) => {
    const parsed = Number(value);
    if (!Number.isFinite(parsed) || parsed < 0) throw new Error(`--${name}: ${value} is not a number`);
    return parsed;
  };
  const { values } = parseArgs({
    options: {
      seconds: { type: 'string', default: '120' },
      cpu: { type: 'string', default: '1' },
      memory: { type: 'string', default: '2' },
      bytes: { type: 'string', default: '1000000' },
      hours: { type: 'string', default: '1' },
      spot: { type: 'boolean', default: false },
      prices: { type: 'string' },
    },
  });
  const { spot, prices: file, ...numbers } = values;
  const usage = Object.fromEntries(Object.entries(numbers).map(([name, value]) => [name, number(name, value)]));
  const price = file === undefined ? prices : { ...prices, ...JSON.parse(readFileSync(file, 'utf8')) };
  for (const [what, dollars] of Object.entries(cost({ ...usage, spot }, price))) {
    console.log(`${what.padEnd(16)} $${dollars.toFixed(4)}`);
  }
}
