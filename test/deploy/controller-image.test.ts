/** The controller as an image: a run survives its SIGTERM and its restart, on a folder and on Ceph RGW. */
import assert from 'node:assert/strict';
import { randomUUID } from 'node:crypto';
import { join } from 'node:path';
import { test } from 'node:test';
import { freshPlace, rgw } from '../storage/s3-servers.ts';
import { blocks, docker, dockerSkip, ends, outputs, s3Keys, script, type Status } from '../spine/harness.ts';
import { poll } from '../poll.ts';
import { ControllerContainer, CONTROLLER_IMAGE, imageSkip } from './controller-image.ts';

const skip = (await dockerSkip()) || imageSkip();

async function survives(controller: ControllerContainer): Promise<void> {
  const runs = 'label=dev.pangolin.run=r';
  const tasks = (): string[] =>
    docker('ps', '-q', '--filter', runs, '--filter', 'label=dev.pangolin.task')
      .split('\n')
      .filter((id) => id !== '' && docker('inspect', '-f', '{{json .HostConfig.Mounts}}', id).includes(controller.dir));
  try {
    controller.start();
    await controller.live();
    assert.equal(docker('exec', controller.name, 'id', '-u'), '4711');
    const held = script('until [ -e /tmp/go ]; do sleep 0.2; done; echo held > outputs/held.txt');
    await controller.submit({
      id: 'r',
      items: [
        { id: 'hold', timeout: '10m', ...blocks(held, outputs) },
        { id: 'after', depends_on: ['hold'], ...blocks(script('true')) },
      ],
    });
    const status = async (): Promise<Status> => await controller.json<Status>('orch', 'status', 'r');
    const task = await poll('the task runs', () => tasks()[0]);
    assert.equal(controller.stop(), 0, controller.log());
    assert.deepEqual(tasks(), [task], 'the task goes on without the controller');
    controller.remove();
    controller.start();
    await controller.live();
    docker('exec', task, 'touch', '/tmp/go');
    const watched = await controller.cli('orch', 'watch', 'r');
    assert.equal(watched.code, 0, watched.stdout + watched.stderr);
    assert.deepEqual(ends(await status()), { hold: 'done Succeeded 1', after: 'done Succeeded 1' });
    const bundle = join(controller.dir, 'r.bundle.json');
    for (const line of [['orch', 'audit', 'r', '--out', bundle], ['verify', bundle, '--run', 'r']]) {
      const { code, stdout, stderr } = await controller.cli(...line);
      assert.equal(code, 0, stdout + stderr);
    } // prettier-ignore
    assert.equal(controller.stop(), 0, controller.log());
  } finally {
    controller.dispose();
  }
}

test('a run survives a restart of the container, on Ceph RGW', { skip: skip || (rgw.skip ?? false) }, async () => {
  const { bucket, prefix } = await freshPlace(rgw, { bucket: 'pangolin-image', prefix: randomUUID() });
  const storage = `s3://${bucket}/${prefix}?endpoint=${rgw.endpoint}`;
  await survives(new ControllerContainer({ storage, env: s3Keys, flags: ['--network', 'host'] }));
});

test('what the image says of itself', { skip }, () => {
  const config = JSON.parse(docker('image', 'inspect', '-f', '{{json .Config}}', CONTROLLER_IMAGE)) as {
    readonly User: string;
    readonly Healthcheck: { readonly Test: readonly string[] };
    readonly Volumes: object;
    readonly ExposedPorts?: object;
  };
  assert.deepEqual(
    [config.User, config.Healthcheck.Test, Object.keys(config.Volumes), config.ExposedPorts],
    ['1000:1000', ['CMD', 'pangolin', 'doctor', '--live'], ['/data'], undefined],
  );
  // As it is, with nothing but the root made read-only and a place for temporary files.
  const run = ['run', '--rm', '--read-only', '--tmpfs', '/tmp', CONTROLLER_IMAGE];
  docker(...run, 'orch', 'serve', '--compute', 'process', '--until-idle');
  assert.throws(() => docker(...run, 'doctor', '--live'), /no controller runs with the state directory \/data/);
});
