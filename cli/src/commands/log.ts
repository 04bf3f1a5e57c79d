import { group } from '../command.ts';

export const log = group('Look at the log that all seals of a deployment are in', {
  check: async () => (await import('./log/check.ts')).check,
});
