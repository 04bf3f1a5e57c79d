import { group } from '../command.ts';

export const orch = group('Serve, submit and follow runs', {
  serve: async () => (await import('./orch/serve.ts')).serve,
  submit: async () => (await import('./orch/submit.ts')).submit,
  validate: async () => (await import('./orch/validate.ts')).validate,
  render: async () => (await import('./orch/render.ts')).render,
  status: async () => (await import('./orch/status.ts')).status,
  watch: async () => (await import('./orch/watch.ts')).watch,
  logs: async () => (await import('./orch/logs.ts')).logs,
  patch: async () => (await import('./orch/patch.ts')).patch,
  outputs: async () => (await import('./orch/outputs.ts')).outputs,
  cancel: async () => (await import('./orch/cancel.ts')).cancel,
  retry: async () => (await import('./orch/retry.ts')).retry,
  pause: async () => (await import('./orch/pause.ts')).pause,
  resume: async () => (await import('./orch/resume.ts')).resume,
  approve: async () => (await import('./orch/approve.ts')).approve,
  reject: async () => (await import('./orch/reject.ts')).reject,
  extend: async () => (await import('./orch/extend.ts')).extend,
  answer: async () => (await import('./orch/answer.ts')).answer,
  close: async () => (await import('./orch/close.ts')).close,
  schedule: async () => (await import('./orch/schedule.ts')).schedule,
  audit: async () => (await import('./orch/audit.ts')).audit,
});
