/**
 * Hands the secrets of a task over: on a socket in its input directory, which only the worker can reach, to the first that
 * asks. Nothing is written down, so a controller that is restarted offers them again to a task that has not booted yet.
 */
import { chmodSync } from 'node:fs';
import { open, rm, type FileHandle } from 'node:fs/promises';
import { createServer, type Server } from 'node:net';
import { join } from 'node:path';
import { SECRETS_SOCKET } from '@pangolin/contracts/secrets';
import type { SecretStore } from './secret-store.ts';

export interface Handover {
  /** The store that the values come from. */
  readonly store: SecretStore;
  /** Listens for the worker of `task`, unless that is so already. @throws PangolinError as SecretStore.get */
  offer(task: string, inDir: string, refs: readonly string[]): Promise<void>;
  /** The task has booted, or ended: nobody is given anything any more. */
  withdraw(task: string): void;
}

export function createHandover(store: SecretStore): Handover {
  const offers = new Map<string, Promise<() => void>>();
  return {
    store,
    async offer(task, inDir, refs) {
      if (refs.length === 0) return;
      const offered = offers.get(task) ?? listen(store, inDir, refs);
      offers.set(task, offered);
      offered.catch(() => offers.delete(task));
      await offered;
    },
    withdraw(task) {
      void offers.get(task)?.then(
        (close) => close(),
        () => undefined,
      );
      offers.delete(task);
    },
  };
}

async function listen(store: SecretStore, inDir: string, refs: readonly string[]): Promise<() => void> {
  const values = JSON.stringify(
    Object.fromEntries(await Promise.all(refs.map(async (ref) => [ref, await store.get(ref)]))),
  );
  // Of a controller that was killed.
  await rm(join(inDir, SECRETS_SOCKET), { force: true });
  const dir = await open(inDir);
  let given = false;
  const server = createServer((socket) => {
    socket.on('error', () => socket.destroy());
    if (given) return void socket.destroy();
    given = true;
    socket.end(values);
    server.close();
  });
  const close = closing(server, dir);
  server.once('close', close);
  try {
    await bind(server, dir);
  } catch (error) {
    close();
    throw error;
  }
  return () => server.close();
}

/** Through an open directory: the whole path may be longer than the name of a socket can be. */
async function bind(server: Server, dir: FileHandle): Promise<void> {
  const path = `/proc/self/fd/${dir.fd}/${SECRETS_SOCKET}`;
  await new Promise<void>((done, fail) => server.once('error', fail).listen(path, done));
  chmodSync(path, 0o600);
  server.unref();
}

function closing(server: Server, dir: FileHandle): () => void {
  return () => {
    server.removeAllListeners('error');
    server.on('error', () => undefined);
    void dir.close().catch(() => undefined);
  };
}
