/** Dependency evidence: sealed by digest, told as the word of the block that wrote it. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { memoryReader } from '@pangolin/verify/readers/memory';
import { renderReport } from '@pangolin/verify/render';
import { verifyBundle } from '@pangolin/verify/verify';
import { forgeKeys, sha, trustOf, type Files } from './forge.ts';
import { tell } from './story.ts';

const keys = forgeKeys();
const trust = trustOf(keys);
const check = (files: Files) => verifyBundle(memoryReader(files), trust);

const readable: readonly [string, string, object, string, number][] = [
  ['app.cdx.json', 'CycloneDX', { bomFormat: 'CycloneDX', specVersion: '1.6', components: [{}, {}] }, '1.6', 2],
  ['deep/empty.cdx.json', 'CycloneDX', { bomFormat: 'CycloneDX', specVersion: '1.5' }, '1.5', 0],
  ['app.spdx.json', 'SPDX', { spdxVersion: 'SPDX-2.3', packages: [{ name: 'left-pad' }] }, '2.3', 1],
  [
    'three.spdx.json',
    'SPDX',
    {
      '@context': 'https://spdx.org/rdf/3.0.1/spdx-context.jsonld',
      '@graph': [{ type: 'CreationInfo', specVersion: '3.0.1' }, { type: 'software_Package' }, 7],
    },
    '3.0.1',
    1,
  ],
];
for (const [path, format, document, version, components] of readable) {
  test(`outputs/${path} is told as ${format} ${version}, by the agent, of the tier recorded`, async () => {
    const content = JSON.stringify(document);
    const { files } = tell(keys, 'run-1', { [`outputs/${path}`]: content });
    const report = await check(files);
    assert.equal(report.verdict, 'verified', JSON.stringify(report.checks));
    const evidence = { itemId: 'apply', attempt: 1, name: `outputs/${path}`, sha256: sha(content), format, tier: 'recorded' }; // prettier-ignore
    assert.deepEqual(report.dependencies, [{ ...evidence, version, components }]);
    assert.ok(report.facts.some(({ observer, statement }) => observer === 'agent' && statement.includes('recorded')));
    assert.match(renderReport(report), new RegExp(`agent +"outputs/${path}" of attempt 1 of "apply" lists.*${format}`));
    // Withheld, it is still named; changed, it is noticed.
    const without = new Map(files);
    without.delete(`blobs/${sha(content)}`);
    assert.deepEqual((await check(without)).dependencies, [evidence]);
    const changed = new Map(files).set(`blobs/${sha(content)}`, Buffer.from(`${content} `));
    assert.equal((await check(changed)).failure, 'blob');
  });
}

for (const content of ['not JSON', '[]', '{"bomFormat":"other","specVersion":"1.6"}', '{"bomFormat":"CycloneDX"}', '{"bomFormat":"CycloneDX","specVersion":"1.6","components":{}}', '\ufeff{}']) {
  test(`a document that is none is a finding, not a failure: ${content}`, async () => {
    const report = await check(tell(keys, 'run-1', { 'outputs/app.cdx.json': content }).files);
    assert.equal(report.verdict, 'verified');
    assert.deepEqual(report.findings.filter(({ code }) => code === 'dependencies-unreadable').length, 1);
    assert.equal(report.dependencies[0]!.components, undefined);
  });
} // prettier-ignore
