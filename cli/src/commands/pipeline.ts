import { group } from '../command.ts';

export const pipeline = group('Check and register pipelines that items may name', {
  validate: async () => (await import('./pipeline/validate.ts')).validate,
  register: async () => (await import('./pipeline/register.ts')).register,
  list: async () => (await import('./pipeline/list.ts')).list,
  show: async () => (await import('./pipeline/show.ts')).show,
});
