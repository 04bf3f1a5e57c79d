/** `pangolin.yaml` from bytes to a checked configuration. */
import type { Config } from './config.ts';
import type { Finding } from './explain.ts';
import { located } from './located.ts';
import { messageOf } from './errors.ts';
import { NOTE_COSIGNATURE, parseVkey } from './note.ts';
import { parseDocument } from './parse.ts';
import { conforms, findingsOf } from './schema.ts';
import type { Problem } from './status.ts';

export type ReadConfig =
  { readonly ok: true; readonly config: Config } | { readonly ok: false; readonly problems: readonly Problem[] };

/** Never throws. `file` is only named in the problems. */
export function readConfig(bytes: Uint8Array, file: string): ReadConfig {
  const parsed = parseDocument(bytes, file);
  // A file of comments only configures nothing.
  if (!parsed.ok) return parsed.problems[0]?.code === 'Empty' ? { ok: true, config: {} } : parsed;
  const { value, locate } = parsed;
  if (!conforms('config', value)) return { ok: false, problems: located(findingsOf('config', value), file, locate) };
  const findings = checkConfig(value);
  return findings.length > 0 ? { ok: false, problems: located(findings, file, locate) } : { ok: true, config: value };
}

function checkConfig({ evidence = {}, compute = {} }: Config): Finding[] {
  const { timestamp = [], witnesses = [], anchors = [] } = evidence;
  const findings: Finding[] = [];
  const unique = (path: string, names: readonly string[]): void => {
    for (const [at, name] of names.entries()) {
      if (names.indexOf(name) < at) {
        findings.push({ path: `/evidence/${path}/${at}`, code: 'InvalidValue', message: `${name} is there twice` });
      }
    }
  };
  unique('timestamp', timestamp.map(({ id }) => id)); // prettier-ignore
  unique('anchors', anchors.map(({ id }) => id)); // prettier-ignore
  unique('witnesses', witnesses.map(({ name }) => name)); // prettier-ignore
  const endpoint = compute.fargate?.endpoint;
  const urls = [
    ...timestamp.map(({ url }, at) => [`evidence/timestamp/${at}/url`, url] as const),
    ...witnesses.map(({ url }, at) => [`evidence/witnesses/${at}/url`, url] as const),
    ...anchors.flatMap(({ endpoint }, at) =>
      endpoint === undefined ? [] : [[`evidence/anchors/${at}/endpoint`, endpoint] as const],
    ),
    ...(endpoint === undefined ? [] : [['compute/fargate/endpoint', endpoint] as const]),
  ];
  for (const [path, text] of urls) {
    const url = URL.parse(text);
    // Not repeated: what makes it unusable may be a password in it.
    if (url && url.username === '' && url.password === '' && url.hash === '') continue;
    const message = 'it is not a URL without user name, password and fragment';
    findings.push({ path: `/${path}`, code: 'InvalidValue', message });
  }
  const keyNames: string[] = [];
  for (const [at, { vkey }] of witnesses.entries()) {
    const path = `/evidence/witnesses/${at}/vkey`;
    try {
      const { name, type, publicKey } = parseVkey(vkey);
      keyNames.push(name);
      if (type === NOTE_COSIGNATURE && publicKey.length === 32) continue;
      findings.push({ path, code: 'InvalidValue', message: 'it is not a key of a witness (type 4, Ed25519)' });
    } catch (error) {
      findings.push({ path, code: 'InvalidValue', message: messageOf(error) });
    }
  }
  unique('witnesses', keyNames);
  return findings;
}
