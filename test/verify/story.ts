/** The story that the forge tells: two attempts, a hand-off, a product given at submission, a failure and what it skips. */
import {
  sha,
  jcs,
  attestation,
  logOf,
  ORIGIN,
  renumber,
  sealOf,
  type Files,
  type ForgeKeys,
  type Json,
} from './forge.ts';

const set = (digest: string) => ({ sha256: digest });

/** What the item asks that does. */
const QUESTION = { question: 'Which?', options: ['red', 'blue'], context: { seen: 2 }, partial_state: [1] };

export interface Story {
  readonly files: Files;
  readonly plan: Json;
}

/**
 * A full bundle. @param runId also makes its contents differ from those of other runs.
 * @param more further products of the last item.
 * @param answer there is another item, which asks: what is answered, instead of what a person would.
 */
export function tell(
  keys: ForgeKeys,
  runId = 'run-1',
  more: Readonly<Record<string, string>> = {},
  answer?: (honest: Json) => Json,
): Story {
  const pipeline = {
    blocks: [
      { command: 'make', kind: 'script' },
      { kind: 'capture', what: 'patch' },
    ],
  };
  const pipelineDigest = sha(jcs(pipeline));
  const given = Buffer.from(`given to ${runId}\n`);
  const workspace = { kind: 'git', commit: 'a'.repeat(40), sha256: sha(`pack of ${runId}`), size: 10, url: './repo' };
  const files: Files = new Map();
  const blob = (bytes: Buffer | string): string => {
    const content = Buffer.from(bytes as string);
    files.set(`blobs/${sha(content)}`, content);
    return sha(content);
  };
  const thing = (ref: string, spec: Json) => ({ ref, sha256: blob(jcs(spec)) });
  const registered = {
    shape: thing('dev.note', { effects: 'pure', output: { type: 'object', required: ['n'] } }),
    subagent: thing('developer', { runtime: { kind: 'claude-code' }, system: `Be brief in ${runId}.` }),
    capabilities: [
      thing('rules', { files: { 'CLAUDE.md': { text: 'Keep it small.' } } }),
      thing('tests', { files: { 'TESTS.md': { text: 'Test it.' } } }),
    ],
    env: [thing('model', { secrets: { KEY: { ref: 'model-key' } } })],
  };
  const item = (id: string, depends: string[], more: Json = {}) => ({
    id,
    executor: 'dispatch',
    pipeline: { ref: 'dev.make', sha256: pipelineDigest },
    depends_on: depends,
    resourceLocks: [],
    timeoutMs: 60_000,
    retry: { maxAttempts: 2, initialMs: 10, factor: 2, maxMs: 100, jitter: true },
    priority: 0,
    ...more,
  });
  const plan = {
    schema: 'admitted-run/1',
    id: runId,
    queue: 'default',
    labels: {},
    spec: sha('spec'),
    pipelines: { [pipelineDigest]: pipeline },
    items: [
      item('edit', [], {
        workspace,
        network: 'none',
        params: { depth: 2 },
        needs: { seed: { submission: { sha256: sha(given), size: given.length } } },
      }),
      item('lint', [], { cpuMillis: 500 }),
      item('apply', ['edit'], {
        ...registered,
        network: { allow: ['registry.example'] },
        needs: {
          patch: { from: 'edit', select: { kind: 'patch' } },
          notes: { from: 'edit', select: { kind: 'output', path: 'notes/a.txt' } },
        },
      }),
      item('publish', ['apply', 'lint']),
      ...(answer ? [item('ask', [])] : []),
    ],
  };
  const statement = (folder: 'dispatch' | 'provenance', value: Json): string => {
    const payload = jcs(value);
    const digest = sha(payload);
    files.set(`${folder}/${digest}.json`, payload);
    files.set(`attestations/${digest}.sigstore.json`, jcs(attestation(keys.attest, payload)));
    return digest;
  };

  const events: Json[] = [];
  const emit = (body: Json, actor = 'service:controller'): void => {
    events.push({ runId, actor, ...body });
  };
  const manifests = new Map<string, Json>();
  const fire = (itemId: string, attempt: number, inputs: Json = {}, given?: string): void => {
    const planned: Json = plan.items.find(({ id }) => id === itemId)!;
    const { network, cpuMillis, params, shape, subagent, capabilities, env } = planned;
    const manifest = {
      schema: 'dispatch/1',
      runId,
      itemId,
      attempt,
      engine: { name: 'pangolin', version: '0.1.0' },
      provider: 'process',
      task: `pangolin-${itemId}-${attempt}`,
      pipeline: { ...planned.pipeline, spec: pipeline },
      ...(planned.workspace && { workspace: planned.workspace }),
      ...(subagent && { shape, subagent, capabilities, env }),
      inputs,
      ...(params && { params: set(sha(jcs(params))) }),
      ...(given && { answer: set(given) }),
      limits: { timeoutMs: 60_000, graceMs: 1000 },
      sandbox: {
        asked: { ...(network && { network }), ...(cpuMillis && { cpuMillis }) },
        enforced: {
          network: network ?? 'none',
          rootfs: 'host',
          user: 'same',
          noNewPrivileges: true,
          runtime: 'process',
        },
      },
    };
    const dispatch = statement('dispatch', {
      _type: 'https://in-toto.io/Statement/v1',
      predicateType: 'https://pangolin.dev/attestation/dispatch/v1',
      subject: materials(manifest),
      predicate: manifest,
    });
    manifests.set(itemId, { manifest, dispatch, params });
    emit({
      kind: 'item.fired',
      itemId,
      attempt,
      dispatch: set(dispatch),
      ...(given && { answer: set(given) }),
      inputs,
    });
  };
  const reconcile = (
    itemId: string,
    status: string,
    reason: string,
    products: Record<string, string>,
    egress?: string,
  ): void => {
    const { manifest, dispatch, params } = manifests.get(itemId)!;
    const { attempt } = manifest;
    const outputs = Object.fromEntries(Object.entries(products).map(([name, content]) => [name, set(blob(content))]));
    const of = (name: string, content: string): Json => ({
      sha256: sha(content),
      size: content.length,
      ...(name === 'patch' && { files: 1, baseTree: 'b'.repeat(40) }),
    });
    const result = blob(
      JSON.stringify(
        {
          schema: 'output/1',
          runId,
          itemId,
          attempt,
          manifest: dispatch,
          status: { done: 'succeeded', waiting: 'needs_input' }[status] ?? 'failed',
          ...(status === 'waiting' ? { needsInput: QUESTION } : status !== 'done' && { reason }),
          partial: status !== 'done',
          startedAt: '2026-03-01T10:00:00.000Z',
          finishedAt: '2026-03-01T10:00:00.500Z',
          sandbox: { user: 'separate' },
          blocks: [
            {
              index: 0,
              kind: 'agent',
              status: 'succeeded',
              usage: { runtime: 'claude-code', turns: 2, inputTokens: 30, costUsd: '0.0105' },
            },
          ],
          products: {
            ...(products.patch !== undefined && { patch: of('patch', products.patch) }),
            outputs: Object.fromEntries(
              Object.entries(products)
                .filter(([name]) => name !== 'patch')
                .map(([name, content]) => [name.slice(8), of(name, content)]),
            ),
          },
          logs: [],
          asserted: {
            summary: `did ${itemId}`,
            output: { n: 1.5 },
            intents: [{ kind: 'dev.open-pr', params: { base: 'main' } }],
            signals: [{ name: 'coverage', value: 0.9 }],
          },
        },
        null,
        1,
      ),
    );
    const names = Object.keys(outputs).sort();
    const provenance =
      names.length === 0
        ? undefined
        : statement('provenance', {
            _type: 'https://in-toto.io/Statement/v1',
            predicateType: 'https://slsa.dev/provenance/v1',
            subject: names.map((name) => ({ name, digest: outputs[name] })),
            predicate: {
              buildDefinition: {
                buildType: 'https://pangolin.dev/attestation/offload-item/v1',
                externalParameters: { runId, itemId, attempt, ...(params && { params }) },
                internalParameters: { provider: manifest.provider, limits: manifest.limits, sandbox: manifest.sandbox },
                resolvedDependencies: [
                  { name: 'dispatch', digest: set(dispatch) },
                  ...materials(manifest).filter(({ name }) => name !== 'params'),
                ],
              },
              runDetails: {
                builder: { id: 'https://pangolin.dev/attestation/serve@v1', version: { pangolin: '0.1.0' } },
                metadata: {
                  invocationId: `${ORIGIN}/${runId}/${itemId}/${attempt}`,
                  startedOn: '2026-03-01T10:00:00.000Z',
                  finishedOn: '2026-03-01T10:00:00.500Z',
                },
                byproducts: [{ name: 'output.json', digest: set(result) }],
              },
            },
          });
    emit({
      kind: 'item.reconciled',
      itemId,
      attempt,
      status,
      reason,
      result: set(result),
      outputs,
      ...(status !== 'done' && { partial: true }),
      ...(provenance && { provenance: set(provenance) }),
      ...(egress !== undefined && { egress: set(blob(egress)) }),
    });
  };

  const patch = `diff of ${runId}\n`;
  const notes = `notes of ${runId}\n`;
  emit(
    {
      kind: 'run.submitted',
      schema: 'run-log/1',
      logOrigin: ORIGIN,
      plan: set(blob(jcs(plan))),
      submission: set(blob(`submission of ${runId}`)),
      nonce: sha(`nonce ${runId}`).slice(0, 32),
      after: { size: 3, root: sha('root') },
      engine: { name: 'pangolin', version: '0.1.0' },
    },
    'human:alice',
  );
  const seed = { seed: { sha256: blob(given), from: 'submission' } };
  fire('edit', 1, seed);
  reconcile('edit', 'failed', 'ExitNonZero', { patch: `half a diff of ${runId}\n` });
  emit({ kind: 'item.retried', itemId: 'edit', attempt: 1, reason: 'ExitNonZero' });
  fire('edit', 2, seed);
  fire('lint', 1);
  reconcile('edit', 'done', 'Succeeded', { patch, 'outputs/notes/a.txt': notes });
  reconcile('lint', 'failed', 'TimedOut', {});
  emit({ kind: 'item.skipped', itemId: 'publish', attempt: 0, reason: 'DependencyFailed' });
  fire('apply', 1, {
    notes: { sha256: sha(notes), from: { itemId: 'edit', output: 'outputs/notes/a.txt' } },
    patch: { sha256: sha(patch), from: { itemId: 'edit', output: 'patch' } },
  });
  const result = { 'outputs/result.bin': `\u0000binary of ${runId}`, ...more };
  reconcile('apply', 'done', 'Succeeded', result, egressLog(runId));
  if (answer) {
    fire('ask', 1);
    reconcile('ask', 'waiting', 'WaitingForInput', {});
    const { context: _context, ...question } = QUESTION;
    const told = blob(jcs(answer({ schema: 'answer/1', attempt: 1, ...question, answer: 'blue' })));
    emit({ kind: 'item.answered', itemId: 'ask', attempt: 1, answer: set(told), reason: 'Answered' }, 'human:alice');
    fire('ask', 2, {}, told);
    reconcile('ask', 'done', 'Succeeded', {});
  }
  emit({
    kind: 'run.completed',
    status: 'failed',
    counts: { done: answer ? 3 : 2, failed: 1, skipped: 1, cancelled: 0, denied: 0 },
  });
  const log = logOf(renumber(events));
  files.set('events.jsonl', log).set('seal.sigstore.json', sealOf(keys, log));
  return { files, plan };
}

/** What the list of hosts of `apply` lets through and what not, in a record of this run alone. */
export function egressLog(runId: string): string {
  const to = (event: string, connection: number, host: string, port: number, more: Json): Json => ({
    t: '2026-03-01T10:00:00.100Z',
    ...{ event, connection, method: 'CONNECT', host, port },
    ...more,
  });
  const closed = (connection: number, sent: number, received: number): Json => ({
    t: '2026-03-01T10:00:00.200Z',
    ...{ event: 'closed', connection, sent, received },
  });
  const lines = [
    to('allowed', 1, 'registry.example', 443, { address: '93.184.216.34' }),
    to('refused', 2, `${runId}.evil.example`, 443, { reason: 'NotAllowed' }),
    closed(1, 517, 4096),
    to('allowed', 3, 'registry.example', 80, { address: '93.184.216.34' }),
    closed(3, 100, 0),
    { t: '2026-03-01T10:00:00.300Z', event: 'end', connections: 3 },
  ];
  return lines.map((line) => `${JSON.stringify(line)}\n`).join('');
}

function materials({
  pipeline,
  shape,
  subagent,
  capabilities = [],
  env = [],
  workspace,
  params,
  answer,
  inputs,
}: Json): { name: string; digest: { sha256: string } }[] {
  return [
    { name: 'pipeline', digest: set(pipeline.sha256) },
    ...(shape ? [{ name: 'shape', digest: set(shape.sha256) }] : []),
    ...(subagent ? [{ name: 'subagent', digest: set(subagent.sha256) }] : []),
    ...capabilities.map((each: Json) => ({ name: `capability:${each.ref}`, digest: set(each.sha256) })),
    ...env.map((each: Json) => ({ name: `env:${each.ref}`, digest: set(each.sha256) })),
    ...(workspace ? [{ name: 'workspace', digest: set(workspace.sha256) }] : []),
    ...(params ? [{ name: 'params', digest: params }] : []),
    ...(answer ? [{ name: 'answer', digest: answer }] : []),
    ...Object.keys(inputs)
      .sort()
      .map((key) => ({ name: `input:${key}`, digest: set(inputs[key].sha256) })),
  ];
}
