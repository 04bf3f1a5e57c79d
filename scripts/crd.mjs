// A JSON Schema of ours as the structural schema of a Kubernetes CRD (apiextensions.k8s.io/v1). Kubernetes knows no
// const, patternProperties, additionalProperties: false or unions of types, and its patterns are RE2. What it cannot
// say stays open here and is checked at admission, which sees every Run whatever its way in. Unknown fields are kept for
// that reason: the API server would otherwise drop a misspelt one without a word.

/** @typedef {Record<string, any>} Schema */

const open = { 'x-kubernetes-preserve-unknown-fields': true };

/** @param {Schema} run the schema of the whole envelope */
export function runCrd(run) {
  return {
    apiVersion: 'apiextensions.k8s.io/v1',
    kind: 'CustomResourceDefinition',
    metadata: { name: 'runs.pangolin.dev' },
    spec: {
      group: 'pangolin.dev',
      scope: 'Namespaced',
      names: { kind: 'Run', listKind: 'RunList', plural: 'runs', singular: 'run' },
      versions: [
        {
          name: 'v1',
          served: true,
          storage: true,
          subresources: { status: {} },
          additionalPrinterColumns: [
            { name: 'Phase', type: 'string', jsonPath: '.status.phase' },
            { name: 'Items', type: 'integer', jsonPath: '.status.counts.total' },
            { name: 'Age', type: 'date', jsonPath: '.metadata.creationTimestamp' },
          ],
          schema: {
            openAPIV3Schema: {
              type: 'object',
              required: ['spec'],
              properties: {
                apiVersion: { type: 'string' },
                kind: { type: 'string' },
                metadata: { type: 'object' },
                spec: structural(run.properties.spec),
                status: { type: 'object', ...open },
              },
            },
          },
        },
      ],
    },
  };
}

/** @param {Schema} schema @returns {Schema} */
export function structural(schema) {
  const about = schema.description === undefined ? {} : { description: schema.description };
  if (schema.anyOf) return { ...about, ...union(schema.anyOf) };
  if (schema.const !== undefined) return { ...about, type: typeof schema.const, enum: [schema.const] };
  if (schema.type === 'object') return { ...about, ...object(schema) };
  if (schema.type === 'array') {
    return { ...about, type: 'array', items: structural(schema.items), ...pick(schema, ['minItems', 'maxItems']) };
  }
  if (schema.type === undefined) return { ...about, ...open };
  const pattern = schema.pattern === undefined ? {} : { pattern: re2(schema.pattern) };
  const limits = pick(schema, ['enum', 'minLength', 'maxLength', 'minimum', 'maximum']);
  return { ...about, type: schema.type, ...pattern, ...limits };
}

/** @param {Schema} schema */
function object(schema) {
  const values = Object.values(schema.patternProperties ?? {});
  if (values.length > 0) {
    // A map of anything needs no schema of its values.
    return Object.keys(values[0]).length === 0
      ? { type: 'object', ...open }
      : { type: 'object', additionalProperties: structural(values[0]) };
  }
  const properties = Object.fromEntries(
    Object.entries(schema.properties ?? {}).map(([key, value]) => [key, structural(value)]),
  );
  return { type: 'object', ...pick(schema, ['required']), properties, ...open };
}

/** @param {Schema[]} arms */
function union(arms) {
  if (arms.every((arm) => typeof arm.const === 'string')) return { type: 'string', enum: arms.map((arm) => arm.const) };
  if (arms.every((arm) => arm.type === 'object' && arm.properties)) return merged(arms);
  return open;
}

/** The fields of every arm; required are those that all of them require. @param {Schema[]} arms */
function merged(arms) {
  /** @type {Schema} */
  const properties = {};
  for (const arm of arms) {
    for (const [key, value] of Object.entries(arm.properties)) {
      const next = structural(value);
      const before = properties[key];
      if (before === undefined) properties[key] = next;
      else if (before.enum && next.enum)
        properties[key] = { ...before, enum: [...new Set([...before.enum, ...next.enum])] };
      else if (JSON.stringify({ ...before, description: 0 }) !== JSON.stringify({ ...next, description: 0 })) {
        properties[key] = open;
      }
    }
  }
  const required = arms[0].required?.filter((key) => arms.every((arm) => arm.required?.includes(key))) ?? [];
  return { type: 'object', ...(required.length > 0 && { required }), properties, ...open };
}

/** RE2 has no look-ahead; ours only narrow what the rest of the pattern says. @param {string} pattern */
function re2(pattern) {
  return pattern.replaceAll(/\(\?[!=][^()]*\)/g, '');
}

/** @param {Schema} schema @param {string[]} keys */
function pick(schema, keys) {
  return Object.fromEntries(keys.filter((key) => schema[key] !== undefined).map((key) => [key, schema[key]]));
}
