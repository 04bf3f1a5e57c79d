import { group } from '../command.ts';

export const key = group('Make, show, replace and revoke the keys of a deployment', {
  init: async () => (await import('./key/init.ts')).init,
  show: async () => (await import('./key/show.ts')).show,
  rotate: async () => (await import('./key/rotate.ts')).rotate,
  'new-origin': async () => (await import('./key/new-origin.ts')).newOrigin,
  revoke: async () => (await import('./key/revoke.ts')).revoke,
});
