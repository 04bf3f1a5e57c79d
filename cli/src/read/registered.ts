/** What a Run names of the registry, checked as the controller will when it is submitted: names, shapes and edge types. */
import { PROBLEMS_MAX, type Finding } from '@pangolin/contracts/explain';
import { located } from '@pangolin/contracts/located';
import { readRun, type ReadRun } from '@pangolin/contracts/read-run';
import { readSchedule, scheduledRun } from '@pangolin/contracts/read-schedule';
import type { AdmittedItem } from '@pangolin/contracts/admitted-run';
import type { Problem } from '@pangolin/contracts/status';
import type { ObjectStore } from '@pangolin/storage/object-store';
import { pinRegistered, tellInto } from '@pangolin/storage/pins/registered';
import { checkEdges } from '@pangolin/storage/pins/shape';
import { ThingPins } from '@pangolin/storage/pins/things';
import type { SpecFile } from '../spec-file.ts';

/** Of a Run, or of the runs of a Schedule, that is right in itself. @throws PangolinError UNAVAILABLE when the store does not answer. */
export async function registeredProblems({ bytes, name }: SpecFile, store: ObjectStore): Promise<readonly Problem[]> {
  const schedule = readSchedule(bytes, name);
  if (!schedule?.ok) return await problemsOf(readRun(bytes, name), name, store);
  const run = readRun(scheduledRun(schedule.name, schedule.schedule, 0), name);
  return schedule.relocate(await problemsOf(run, name, store));
}

async function problemsOf(read: ReadRun, file: string, store: ObjectStore): Promise<readonly Problem[]> {
  if (!read.ok) return read.problems;
  const { run, at, locate } = read;
  const findings: Finding[] = [];
  const pins = new ThingPins(store);
  const tell = tellInto(findings);
  const typed: Pick<AdmittedItem, 'id' | 'needs' | 'shape'>[] = [];
  for (const [index, item] of run.items.entries()) {
    if (findings.length >= PROBLEMS_MAX) break;
    const pinned = await pinRegistered(item, index, at, pins, tell);
    const { id, needs } = item;
    if (pinned) typed.push({ id, ...(needs && { needs }), ...(pinned.shape && { shape: pinned.shape }) });
  }
  if (findings.length === 0) findings.push(...checkEdges(typed, at, pins));
  return located(findings, file, locate);
}
