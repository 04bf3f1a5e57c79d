/** What a file under inbox/ can be, told apart and admitted: a Queue, a Schedule, an Extension, or else a Run. */
import { readQueue } from '@pangolin/contracts/read-queue';
import { readSchedule, scheduledRun } from '@pangolin/contracts/read-schedule';
import type { Admit, AdmitResult } from '../engine/admission.ts';
import type { ComputeProvider } from '../providers/provider.ts';
import { admit, admitExtension, type AdmitContext } from './admit.ts';
import { packWorkspace, type WorkspaceContext } from './workspace.ts';

type Here = Omit<AdmitContext, 'resolveImage' | 'packWorkspace'> & WorkspaceContext;

/** As the controller of this machine admits. */
export function admitDocuments(provider: ComputeProvider, here: Here): Admit {
  const context: AdmitContext = {
    ...here,
    packWorkspace: (workspace) => packWorkspace(workspace, here),
    resolveImage: (image) => provider.resolveImage(image).catch(() => undefined),
  };
  return (bytes, file) => admitDocument(bytes, file, context);
}

/** Repeatable. @throws PangolinError UNAVAILABLE when the store does not answer. */
export async function admitDocument(bytes: Uint8Array, file: string, context: AdmitContext): Promise<AdmitResult> {
  const queue = readQueue(bytes, file);
  if (queue) return queue.ok ? { ok: true, document: { kind: 'Queue', ...queue } } : { ...queue, of: 'Queue' };
  const schedule = await admitSchedule(bytes, file, context);
  if (schedule) return schedule;
  const added = await admitExtension(bytes, file, context);
  if (added?.ok === false) return { ...added, of: 'Extension' };
  if (added) return { ok: true, document: { kind: 'Extension', run: added.run, extension: added.extension } };
  const admitted = await admit(bytes, file, context);
  return admitted.ok ? { ok: true, document: { kind: 'Run', run: admitted.run } } : { ...admitted, of: 'Run' };
}

/** What its runs name has to be there now, and is pinned for each of them when it is due. Undefined when it is no Schedule. */
async function admitSchedule(bytes: Uint8Array, file: string, context: AdmitContext): Promise<AdmitResult | undefined> {
  const read = readSchedule(bytes, file);
  if (read?.ok !== true) return read && { ok: false, of: 'Schedule', problems: read.problems };
  const { ok: _ok, relocate, ...declaration } = read;
  const run = await admit(scheduledRun(read.name, read.schedule, 0), file, context);
  if (!run.ok) return { ok: false, of: 'Schedule', problems: relocate(run.problems) };
  return { ok: true, document: { kind: 'Schedule', ...declaration } };
}
