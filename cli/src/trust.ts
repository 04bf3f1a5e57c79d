/** Whose signatures count, and whether anchors are looked at: the flags of every command that checks evidence. */
import { readFile } from 'node:fs/promises';
import { isPangolinError, PangolinError } from '@pangolin/contracts/errors';
import { TRUST } from '@pangolin/contracts/layout';
import type { Context } from './context.ts';

export const trustFlags = {
  trust: {
    type: 'string' as const,
    valueHint: 'FILE',
    description: 'The keys you trust. Else PANGOLIN_TRUST, else what this storage says of itself.',
  },
  anchor: {
    type: 'enum' as const,
    options: ['live', 'off'] as ('live' | 'off')[],
    default: 'off' as const,
    description: 'live also looks into the anchors that the trust file names; off fetches nothing.',
  },
};

/**
 * The trust document's bytes. What the storage publishes is good for looking at one's own runs; that is said, because whoever
 * can change the evidence could change it too.
 * @param named the flag. @returns undefined when there is none anywhere. @throws PangolinError INVALID for a file that cannot be read.
 */
export async function readTrust(context: Context, named: string | undefined): Promise<Buffer | undefined> {
  const file = named ?? (process.env.PANGOLIN_TRUST || undefined);
  if (file !== undefined) {
    return await readFile(file).catch((cause: unknown) => {
      throw new PangolinError('INVALID', `the trust file ${file} cannot be read`, { cause });
    });
  }
  const store = await context.open();
  try {
    const bytes = await store.get(TRUST);
    context.note(
      `Trusting the keys that the storage itself publishes (${store.location}, ${TRUST}); an auditor brings a copy with --trust.`,
    );
    return bytes;
  } catch (error) {
    if (isPangolinError(error, 'NOT_FOUND')) return undefined;
    throw error;
  }
}
