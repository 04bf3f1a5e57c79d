/** The seam to agents: how one is started, what its output shows of its work, and what its end means. */
import type { Readable, Writable } from 'node:stream';
import type { Usage } from '@pangolin/contracts/output';
import type { Subagent } from '@pangolin/contracts/subagent';
import type { AttemptFailure } from '../failure.ts';
import type { OverlayFile } from '../stage/things.ts';

export interface AgentJob {
  readonly subagent: Subagent;
  readonly prompt: string;
  /** HOME of the agent: made for this block, so nothing that ran before has touched it. */
  readonly home: string;
  readonly workspace: string;
  /** Files of its capabilities, by their path in the workspace. */
  readonly capabilities: ReadonlyMap<string, OverlayFile>;
  /** A line for the log of the block. */
  readonly log: (line: string) => void;
  /** Lays a file into `home`, owned by the block user. @returns its path. */
  readonly write: (path: string, content: string | OverlayFile) => Promise<string>;
}

export interface AgentEnd {
  readonly usage: Usage;
  /** What the agent said went wrong; it counts before the exit code. */
  readonly failure?: AttemptFailure;
  /** It did its work; how its process ended after that does not matter. */
  readonly done?: true;
}

export interface AgentRun {
  readonly argv: readonly [string, ...string[]];
  readonly env: Readonly<Record<string, string>>;
  /** Standard input: the prompt, or somebody who talks with the agent until `finish` is called. */
  readonly input: string | ((stdin: Writable, stdout: Readable, finish: () => void) => void);
  /** What the log shows of a line of standard output. */
  readonly lines?: (line: string) => readonly string[];
  /** Once the process has ended. */
  readonly end: () => AgentEnd;
}

export type Runtime = (job: AgentJob) => Promise<AgentRun>;
