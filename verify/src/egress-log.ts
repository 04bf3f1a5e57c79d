/** The egress log of one attempt (contracts/egress), which the side of the controller wrote, and not the task. */
import { isUtf8 } from 'node:buffer';
import { isAllowed, type EgressLine, type EgressPolicy } from '@pangolin/contracts/egress';
import { messageOf } from '@pangolin/contracts/errors';
import { quote, refuse } from './refusal.ts';
import { anything, count, is, literal, object, text, type Check } from './shape.ts';

/** Lines of one log: three for each connection that a proxy lets through, and the last. */
const LINES_MAX = 200_000;

const port = is('a port', (value) => Number.isInteger(value) && (value as number) >= 0 && (value as number) <= 65_535);
const attempted = { t: anything, connection: count, method: text(20), host: text(253), port };
const shapes: Readonly<Record<EgressLine['event'], Check>> = {
  allowed: object({ event: literal('allowed'), ...attempted, address: text(100) }),
  refused: object({ event: literal('refused'), ...attempted, reason: text(100) }),
  closed: object({
    event: literal('closed'),
    t: anything,
    connection: count,
    sent: count,
    received: count,
    'reason?': text(100),
  }),
  end: object({ event: literal('end'), t: anything, connections: count }),
};

export interface EgressCounts {
  readonly allowed: number;
  readonly refused: number;
}

/**
 * That nothing was let through but what the list of hosts grants. What was tried and refused is no fault of anybody's.
 * @throws Refusal for a destination that is not granted, for bytes of a connection that nothing says where it went,
 * and for what is no egress log.
 */
export function checkEgressLog(bytes: Buffer, policy: Pick<EgressPolicy, 'allow'>): EgressCounts {
  if (!isUtf8(bytes)) refuse('is not UTF-8');
  const lines = bytes.toString('utf8').split('\n');
  // A proxy that was killed may leave half a line, which tells nothing.
  lines.pop();
  if (lines.length > LINES_MAX) refuse(`has more than ${LINES_MAX} lines`);
  const open = new Set<number>();
  const counts = { allowed: 0, refused: 0 };
  for (const [at, line] of lines.entries()) {
    const entry = readLine(at + 1, line);
    if (entry.event === 'refused') counts.refused++;
    else if (entry.event === 'allowed') {
      if (!isAllowed(entry, policy))
        refuse(`let through ${quote(`${entry.host}:${entry.port}`)}, which is not granted`);
      open.add(entry.connection);
      counts.allowed++;
    } else if (entry.event === 'closed' && !open.has(entry.connection)) {
      refuse(`has bytes of connection ${entry.connection} and not where it went`);
    }
  }
  return counts;
}

function readLine(number: number, line: string): EgressLine {
  let value: unknown;
  try {
    value = JSON.parse(line);
  } catch (error) {
    return refuse(`has a line ${number} that is no JSON: ${messageOf(error)}`);
  }
  const event = (value as { event?: unknown } | null)?.event;
  const shape = typeof event === 'string' && Object.hasOwn(shapes, event) ? shapes[event as EgressLine['event']] : undefined; // prettier-ignore
  if (!shape) return refuse(`has a line ${number} of no known kind`);
  const problem = shape(value);
  return problem === undefined ? (value as EgressLine) : refuse(`has a line ${number} whose value${problem}`);
}
