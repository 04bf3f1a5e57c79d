/** Another process on a folder store: `count ROOT TIMES`, `replace ROOT`, `slow ROOT`. */
import { Readable } from 'node:stream';
import { openFolderStore } from '@pangolin/storage/folder-store';
import { increment } from './tools.ts';

const [, , what, root = '', times] = process.argv;
const store = await openFolderStore(root);

if (what === 'count') await increment(store, 'counter', Number(times));

if (what === 'replace') {
  process.stdout.write('ready\n');
  for (let i = 0; ; i++) await store.put('k', String.fromCharCode(97 + (i % 26)).repeat(400_000));
}

if (what === 'slow') {
  // Keeps the process alive until the signal, which is when the second half comes.
  const alive = setInterval(() => undefined, 1000);
  const body = Readable.from(
    (async function* () {
      yield 'begun';
      const signalled = new Promise((resolve) => process.once('SIGTERM', resolve));
      process.stdout.write('begun\n');
      await signalled;
      yield ' and finished';
    })(),
  );
  await store.put('slow', body);
  clearInterval(alive);
}
