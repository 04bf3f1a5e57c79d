// The CycloneDX document of an image: the npm packages in it, by npm's own `npm sbom`. The base image's packages are not
// in it: they are what the base, named by digest in the Dockerfile, says of itself.
import { spawnSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { dirname, join, relative } from 'node:path';

/**
 * What npm says of the packages in `packed` (name@version), reproducibly. npm's own filters are not used: they leave out
 * what a workspace needs when the root has it for development too. @returns the document's text
 */
export function sbomOf(image, packed, { root, epoch }) {
  const { status, stdout, stderr } = spawnSync('npm', ['sbom', '--sbom-format=cyclonedx', '--package-lock-only'], {
    cwd: root,
    encoding: 'utf8',
    maxBuffer: 2 ** 28,
  });
  if (status !== 0) throw new Error(`npm sbom: ${stderr}`);
  const document = JSON.parse(stdout);
  const components = document.components
    .filter((component) => packed.has(component['bom-ref']))
    .sort((a, b) => (a['bom-ref'] < b['bom-ref'] ? -1 : 1));
  if (components.length < packed.size) {
    const named = new Set(components.map((component) => component['bom-ref']));
    throw new Error(`npm sbom knows nothing of ${[...packed].filter((each) => !named.has(each)).join(', ')}`);
  }
  const refs = new Set(components.map((component) => component['bom-ref']));
  const { component, tools: _made, ...metadata } = document.metadata;
  const whole = {
    ...document,
    metadata: {
      ...metadata,
      timestamp: new Date(epoch * 1000).toISOString(),
      component: { ...component, type: 'container', name: `pangolin-${image}` },
    },
    components,
    dependencies: document.dependencies
      .filter(({ ref }) => refs.has(ref))
      .map(({ ref, dependsOn = [] }) => ({ ref, dependsOn: dependsOn.filter((each) => refs.has(each)).sort() }))
      .sort((a, b) => (a.ref < b.ref ? -1 : 1)),
  };
  // Of the content, so that the same image has the same document.
  const hex = createHash('sha256')
    .update(JSON.stringify({ ...whole, serialNumber: '' }))
    .digest('hex');
  const uuid = `${hex.slice(0, 8)}-${hex.slice(8, 12)}-8${hex.slice(13, 16)}-a${hex.slice(17, 20)}-${hex.slice(20, 32)}`;
  return `${JSON.stringify({ ...whole, serialNumber: `urn:uuid:${uuid}` }, null, 2)}\n`;
}

/** name@version of whatever esbuild put into the worker's files; build.mjs leaves the list of inputs. */
export function bundledPackages(root) {
  const inputs = JSON.parse(readFileSync(join(root, '.build/worker-inputs.json'), 'utf8'));
  return new Set(
    inputs.flatMap((input) => {
      for (let dir = dirname(join(root, input)); relative(root, dir) !== ''; dir = dirname(dir)) {
        try {
          const { name, version } = JSON.parse(readFileSync(join(dir, 'package.json'), 'utf8'));
          if (name !== undefined && version !== undefined) return [`${name}@${version}`];
        } catch {
          // Of a directory that is no package.
        }
      }
      return [];
    }),
  );
}
