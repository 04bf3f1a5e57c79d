import { group } from '../../command.ts';

export const schedule = group('Submit a run at every time that a cron expression names', {
  add: async () => (await import('./schedule/add.ts')).add,
  list: async () => (await import('./schedule/list.ts')).list,
  rm: async () => (await import('./schedule/rm.ts')).rm,
  pause: async () => (await import('./schedule/pause.ts')).pause,
  resume: async () => (await import('./schedule/resume.ts')).resume,
  trigger: async () => (await import('./schedule/trigger.ts')).trigger,
});
