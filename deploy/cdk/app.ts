/**
 * The CDK app: `cdk deploy -c workerImage=REPOSITORY@sha256:… -c controllerImage=…` in this directory, or `node app.ts` to synthesise
 * into cdk.out. docs/deploy.md is the runbook.
 */
import { App } from 'aws-cdk-lib';
import { PangolinStack } from './stack.ts';

const app = new App();
const given = (name: string): string | undefined => app.node.tryGetContext(name) as string | undefined;
new PangolinStack(app, given('stack') ?? 'pangolin', {
  workerImage: given('workerImage'),
  controllerImage: given('controllerImage'),
  retentionDays: Number(given('retentionDays') ?? 3650),
});
app.synth();
