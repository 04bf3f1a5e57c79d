/** How the kinds of things are called in help, tables and JSON. */
import type { ThingKind } from '@pangolin/contracts/things';

interface Words {
  readonly one: string;
  readonly many: string;
  /** `kind` of its file. */
  readonly file: string;
  /** Key of a list in JSON. */
  readonly key: string;
}

const words: Readonly<Record<ThingKind, Words>> = {
  pipeline: { one: 'pipeline', many: 'pipelines', file: 'Pipeline', key: 'pipelines' },
  subagent: { one: 'subagent', many: 'subagents', file: 'Subagent', key: 'subagents' },
  capability: { one: 'capability', many: 'capabilities', file: 'Capability', key: 'capabilities' },
  env: { one: 'env bundle', many: 'env bundles', file: 'EnvBundle', key: 'envBundles' },
  shape: { one: 'shape', many: 'shapes', file: 'Shape', key: 'shapes' },
};

export const wordsOf = (kind: ThingKind): Words => words[kind];
