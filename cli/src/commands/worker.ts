import { group } from '../command.ts';

export const worker = group('Run the worker by itself', {
  run: async () => (await import('./worker/run.ts')).run,
});
