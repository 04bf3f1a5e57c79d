/** What wakes somebody up, on one topic: no controller, a controller that fails, evidence that is behind. */
import {
  Duration,
  Stack,
  aws_cloudwatch as cloudwatch,
  aws_cloudwatch_actions as actions,
  aws_logs as logs,
  aws_sns as sns,
  type aws_ecs as ecs,
} from 'aws-cdk-lib';

interface Watched {
  readonly service: ecs.FargateService;
  readonly cluster: ecs.Cluster;
  readonly logGroup: logs.LogGroup;
}

export function alarmsOf(stack: Stack, { service, cluster, logGroup }: Watched): void {
  const topic = new sns.Topic(stack, 'Alarms');
  const alarm = (name: string, metric: cloudwatch.IMetric, rest: Omit<cloudwatch.AlarmProps, 'metric'>): void => {
    new cloudwatch.Alarm(stack, name, { metric, ...rest }).addAlarmAction(new actions.SnsAction(topic));
  };
  alarm(
    'NoController',
    new cloudwatch.Metric({
      namespace: 'AWS/ECS',
      metricName: 'CPUUtilization',
      dimensionsMap: { ClusterName: cluster.clusterName, ServiceName: service.serviceName },
      statistic: 'SampleCount',
      period: Duration.minutes(5),
    }),
    {
      alarmDescription: 'No controller runs: submissions wait, running tasks go on.',
      threshold: 1,
      comparisonOperator: cloudwatch.ComparisonOperator.LESS_THAN_THRESHOLD,
      evaluationPeriods: 2,
      treatMissingData: cloudwatch.TreatMissingData.BREACHING,
    },
  );
  // pino's levels: 40 warns, 50 is an error.
  const logged = (name: string, filterPattern: logs.IFilterPattern): cloudwatch.Metric =>
    new logs.MetricFilter(stack, `${name}Filter`, {
      logGroup,
      filterPattern,
      metricNamespace: 'Pangolin',
      metricName: name,
    }).metric({ statistic: 'Sum', period: Duration.minutes(5) });
  const counts = { threshold: 1, evaluationPeriods: 1, treatMissingData: cloudwatch.TreatMissingData.NOT_BREACHING };
  alarm('PassFails', logged('Errors', logs.FilterPattern.numberValue('$.level', '>=', 50)), {
    ...counts,
    alarmDescription: 'A pass of the controller fails; its log says why.',
  });
  alarm('EvidenceBehind', logged('SealsBehind', logs.FilterPattern.stringValue('$.msg', '=', 'sealing is behind*')), {
    ...counts,
    alarmDescription: 'Seals wait for a key, an anchor or the storage: pangolin orch status says for whom.',
  });
}
