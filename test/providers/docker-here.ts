/** Whether tests that need a Docker engine and the worker image can run here. */
import { PangolinError } from '@pangolin/contracts/errors';
import { createDockerProvider, dockerAnswers } from '@pangolin/controller/providers/docker';
import { WORKER_IMAGE } from '@pangolin/controller/providers/open';

/**
 * False when they can, else why not: the value of a test's `skip`. They run when PANGOLIN_TEST_DOCKER is set.
 * @throws Error in CI, where nothing may be skipped.
 */
export async function dockerSkip(): Promise<false | string> {
  const reason = await missing();
  if (reason !== undefined && process.env['CI']) throw new Error(`in CI Docker tests must run: ${reason}`);
  return reason ?? false;
}

async function missing(): Promise<string | undefined> {
  if (!process.env['PANGOLIN_TEST_DOCKER']) return 'PANGOLIN_TEST_DOCKER is not set';
  if (!(await dockerAnswers())) return 'no Docker engine answers; run scripts/docker-engine.sh up';
  try {
    await createDockerProvider({ deployment: 'probe', image: WORKER_IMAGE }).resolveImage(undefined);
    return undefined;
  } catch (error) {
    if (error instanceof PangolinError) return `${error.message}; run scripts/images.sh worker`;
    throw error;
  }
}
