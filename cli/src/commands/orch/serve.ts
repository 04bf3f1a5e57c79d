import { command } from '../../command.ts';
import { stateFlag, stateGiven } from '../../deployment-keys.ts';

export const serve = command({
  description: 'Run the controller on this storage until it is stopped',
  args: {
    compute: {
      type: 'enum',
      options: ['process', 'docker', 'fargate'],
      description: 'Where tasks run. Else docker when an engine answers, else process.',
    },
    unsandboxed: {
      type: 'boolean',
      description: 'Let agent blocks run on the process backend, which isolates little.',
    },
    'until-idle': {
      type: 'boolean',
      description: 'Return 0 once everything admitted is terminal and sealed, whatever the outcome of the runs.',
    },
    concurrency: {
      type: 'string',
      number: { min: 1, max: 10_000 },
      description: 'Tasks at a time in the default queue.',
    },
    'max-tasks': {
      type: 'string',
      number: { min: 1, max: 1_000_000 },
      description: 'Tasks at a time in all queues together.',
    },
    grace: {
      type: 'string',
      duration: true,
      description:
        'From SIGTERM to SIGKILL of a task that is stopped; its partial work is captured and sent meanwhile. 10s.',
    },
    image: { type: 'string', valueHint: 'REF', description: 'Worker image of items that name none.' },
    config: {
      type: 'string',
      valueHint: 'FILE',
      description: 'Else pangolin.yaml in the state directory, else in the storage folder.',
    },
    state: stateFlag,
  },
  async run(args, context) {
    const { serve: start } = await import('@pangolin/controller/serve');
    const state = stateGiven(args.state);
    const stop = new AbortController();
    const onSignal = (): void => {
      // A second signal ends the process at once; the next controller picks up from the run-state.
      process.off('SIGINT', onSignal).off('SIGTERM', onSignal);
      stop.abort();
    };
    process.on('SIGINT', onSignal).on('SIGTERM', onSignal);
    try {
      await start({
        storage: context.location,
        unsandboxed: args.unsandboxed,
        untilIdle: args['until-idle'],
        signal: stop.signal,
        ...(args.compute !== undefined && { compute: args.compute }),
        ...(args.concurrency !== undefined && { concurrency: args.concurrency }),
        ...(args['max-tasks'] !== undefined && { tasksMax: args['max-tasks'] }),
        ...(args.grace !== undefined && { graceMs: args.grace }),
        ...(args.image !== undefined && { image: args.image }),
        ...(args.config !== undefined && { config: args.config }),
        ...(state !== undefined && { state }),
      });
      // Not to wait for answers that a storage still owes.
      if (stop.signal.aborted) process.exit(0);
    } finally {
      process.off('SIGINT', onSignal).off('SIGTERM', onSignal);
    }
  },
});
