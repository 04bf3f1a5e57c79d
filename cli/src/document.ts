/** A file that is to be submitted: a Run, a Queue or a Schedule, checked as the controller will. */
import { parseDocument } from '@pangolin/contracts/parse';
import { readQueue } from '@pangolin/contracts/read-queue';
import { readRun } from '@pangolin/contracts/read-run';
import { readSchedule } from '@pangolin/contracts/read-schedule';
import type { Problem } from '@pangolin/contracts/status';
import { readyToDrop, type Ready } from './drop.ts';
import type { SpecFile } from './spec-file.ts';

export type ReadDocument =
  | { readonly ok: true; readonly kind: 'Run'; readonly id: string; readonly items: number; readonly digest: string }
  | { readonly ok: true; readonly kind: 'Queue' | 'Schedule'; readonly id: string }
  | { readonly ok: false; readonly problems: readonly Problem[] };

export function readDocument({ bytes, name }: SpecFile): ReadDocument {
  const queue = readQueue(bytes, name);
  if (queue) return queue.ok ? { ok: true, kind: 'Queue', id: queue.name } : queue;
  const schedule = readSchedule(bytes, name);
  if (schedule) return schedule.ok ? { ok: true, kind: 'Schedule', id: schedule.name } : schedule;
  const run = readRun(bytes, name);
  if (!run.ok) return run;
  return { ok: true, kind: 'Run', id: run.run.id, items: run.run.items.length, digest: run.digest };
}

export function prepareDocument(file: SpecFile): Ready {
  const read = readDocument(file);
  if (!read.ok) return read;
  const parsed = parseDocument(file.bytes, file.name);
  return parsed.ok ? readyToDrop(file, read, parsed.locate, parsed) : parsed;
}
