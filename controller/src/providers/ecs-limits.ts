/**
 * The documented limits of the ECS API and of Fargate, per account and region, and the calls that draw on each
 * (ECS API request throttling; Fargate throttling quotas).
 */
export const ecsLimits = {
  /** RunTask and StopTask together. */
  clusterResourceModify: { burst: 100, perSecond: 40 },
  /** DescribeTasks and ListTasks together. */
  clusterResourceRead: { burst: 100, perSecond: 20 },
  runTaskOnFargate: { burst: 20, perSecond: 20 },
  /** Tasks, not calls; the two kinds of capacity have a bucket each. */
  launchesOnDemand: { burst: 100, perSecond: 20 },
  launchesSpot: { burst: 100, perSecond: 20 },
  taskDefinitionModify: { burst: 20, perSecond: 1 },
  taskDefinitionRead: { burst: 50, perSecond: 20 },
} as const;
export type EcsLimit = keyof typeof ecsLimits;

export type EcsAction =
  'RunTask' | 'StopTask' | 'DescribeTasks' | 'ListTasks' | 'RegisterTaskDefinition' | 'DescribeTaskDefinition';

export const limitsOfAction: Readonly<Record<EcsAction, readonly EcsLimit[]>> = {
  RunTask: ['clusterResourceModify', 'runTaskOnFargate'],
  StopTask: ['clusterResourceModify'],
  DescribeTasks: ['clusterResourceRead'],
  ListTasks: ['clusterResourceRead'],
  RegisterTaskDefinition: ['taskDefinitionModify'],
  DescribeTaskDefinition: ['taskDefinitionRead'],
};

export type Capacity = 'spot' | 'on-demand';
export const launchLimitOf = (capacity: Capacity): EcsLimit =>
  capacity === 'spot' ? 'launchesSpot' : 'launchesOnDemand';

/** Tasks of one DescribeTasks. */
export const DESCRIBE_TASKS_MAX = 100;
/** Of all overrides of one RunTask, as JSON. */
export const OVERRIDE_CHARACTERS_MAX = 8192;
/** Fargate kills a task this long after its SIGTERM at the latest. */
export const STOP_TIMEOUT_MAX_S = 120;
