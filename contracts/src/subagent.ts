/** A subagent: which agent runs, with which words, model, files and checks. */
import Type, { type Static } from 'typebox';
import { closed } from './fragments.ts';
import { ID_PATTERN } from './ids.ts';
import { COMMAND_BYTES_MAX, PROMPT_CHARS_MAX } from './limits.ts';
import { Command, Duration } from './pipeline.ts';

const Argv = Type.Array(Type.String({ maxLength: COMMAND_BYTES_MAX }), { minItems: 1, maxItems: 1000 });

const Runtime = Type.Union(
  [
    Type.Object({ kind: Type.Literal('claude-code') }, closed),
    Type.Object({ kind: Type.Literal('acp'), command: Argv }, closed),
    Type.Object({ kind: Type.Literal('command'), command: Argv }, closed),
  ],
  {
    description:
      'claude-code: the Claude Code CLI of the image. acp: a program that speaks the Agent Client Protocol on its standard streams. command: any program; it reads the prompt on its standard input.',
  },
);

/** A registered thing by name, or one version of it: `name@sha256:…`. */
const Ref = Type.String({ pattern: ID_PATTERN });
const Refs = Type.Array(Ref, { maxItems: 100 });

export const Subagent = Type.Object(
  {
    description: Type.Optional(Type.String({ maxLength: 4096 })),
    runtime: Runtime,
    model: Type.Optional(
      Type.String({
        minLength: 1,
        maxLength: 200,
        pattern: '^[^\\u0000-\\u001f]+$',
        description: 'As the agent names it.',
      }),
    ),
    level: Type.Optional(
      Type.Union([Type.Literal('fast'), Type.Literal('standard'), Type.Literal('max')], {
        description: 'Instead of a model: the runtime chooses.',
      }),
    ),
    system: Type.Optional(Type.String({ maxLength: PROMPT_CHARS_MAX, description: 'Appended to the system prompt.' })),
    prompt: Type.Optional(
      Type.String({
        minLength: 1,
        maxLength: PROMPT_CHARS_MAX,
        description: 'Template over the item’s `inputs`: `{{name}}` or `{{a.b}}`. Default `{{prompt}}`.',
      }),
    ),
    turns: Type.Optional(Type.Integer({ minimum: 1, maximum: 10_000, description: 'The most that it may take.' })),
    tools: Type.Optional(
      Type.Array(Type.String({ pattern: '^[A-Za-z][A-Za-z0-9_.*()/ :-]{0,199}$' }), {
        minItems: 1,
        maxItems: 100,
        description: 'claude-code: the built-in tools that it has. Default: all of them.',
      }),
    ),
    shape: Type.Optional(
      Type.String({ pattern: ID_PATTERN, description: 'The registered shape of the items that name this subagent.' }),
    ),
    capabilities: Type.Optional(Refs),
    env: Type.Optional(Refs),
    verify: Type.Optional(Command),
    contextRequires: Type.Optional(
      Type.Object(
        {
          paths: Type.Optional(Type.Array(Type.String({ minLength: 1, maxLength: 1024 }), { maxItems: 100 })),
          executables: Type.Optional(
            Type.Array(Type.String({ pattern: '^[A-Za-z0-9_][A-Za-z0-9._+-]{0,99}$' }), { maxItems: 100 }),
          ),
          gitHistory: Type.Optional(
            Type.Boolean({
              description:
                'More than the one commit that a workspace comes with; a block before the agent fetches or makes it.',
            }),
          ),
        },
        {
          ...closed,
          description: 'Checked before the agent runs; what is missing fails the item with ContextMissing.',
        },
      ),
    ),
    repositoryConfig: Type.Optional(
      Type.Boolean({
        description:
          'true: hooks, settings and MCP servers that the workspace brings along run. Default false: only those of capabilities.',
      }),
    ),
    timeout: Type.Optional(Duration),
  },
  { ...closed, description: 'An agent that items may name.' },
);
export type Subagent = Static<typeof Subagent>;

/** A registered subagent as a file: `pangolin subagent register FILE`. */
export const SubagentFile = Type.Object(
  {
    apiVersion: Type.Literal('pangolin.dev/v1'),
    kind: Type.Literal('Subagent'),
    metadata: Type.Object({ name: Type.String({ pattern: ID_PATTERN }) }, closed),
    spec: Subagent,
  },
  closed,
);
