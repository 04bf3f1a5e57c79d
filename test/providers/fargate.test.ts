/** Tasks on Fargate, against an ECS server of our own whose tasks are containers: the conformance suite. */
import { after } from 'node:test';
import type { ComputeProvider } from '@pangolin/controller/providers/provider';
import { modelsSkip } from '../aws/service-model.ts';
import { credentials, openEcsPlace, type EcsPlace } from '../ecs/place.ts';
import { conformance } from './conformance.ts';
import { dockerSkip } from './docker-here.ts';
import { buildScriptedImage, directories, ECS_CONFIG, SCRIPTED_IMAGE, type Bench } from './scripted.ts';

let place: EcsPlace | undefined;
after(async () => await place?.close());

async function ready(): Promise<void> {
  await buildScriptedImage();
  place = await openEcsPlace({ image: SCRIPTED_IMAGE, binds });
  process.env[ECS_CONFIG] = JSON.stringify(place.config);
  Object.assign(process.env, credentials);
}

/** Stands for the storage, which the protocol of these scripts has none of. */
function binds(taskName: string | undefined): readonly string[] {
  const own = taskName === undefined ? undefined : directories.get(taskName);
  return own === undefined ? [] : [`${own.inDir}:/pangolin/in:ro`, `${own.outDir}:/pangolin/out`];
}

/** The container, and the record that ECS keeps, as long as it counts as a task. */
async function left(_bench: Bench, name: string, provider: ComputeProvider): Promise<string[]> {
  const containers = (await place!.containers(name)).map((id) => `process in container ${id}`);
  return [...containers, ...(await provider.list()).filter((each) => each === name)];
}

conformance('fargate', { skip: (await dockerSkip()) || modelsSkip(), ready, left, removesLater: true });
