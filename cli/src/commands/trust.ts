import { group } from '../command.ts';

export const trust = group('Say whose signatures count', {
  export: async () => (await import('./trust/export.ts')).exportTrust,
});
