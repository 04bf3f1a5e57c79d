import { BUNDLE_NAME, bundleFile } from '@pangolin/contracts/bundle';
import { EVENTS_BYTES_MAX } from '@pangolin/contracts/layout';
import { quote, refuse } from '../refusal.ts';
import { readSigstoreFile, SIGSTORE_BYTES_MAX } from '../sigstore-file.ts';
import { LogLines } from '../log-lines.ts';
import { passed, plural, type Check } from './check.ts';

export const structure: Check = {
  id: 'structure',
  title: 'The bundle is a closed set of well-formed files',
  failure: 'structure',
  async run(context) {
    const files = await context.reader.list();
    const sizes = new Map(files.map(({ name, size }) => [name, size]));
    context.files = sizes;
    if ((sizes.get(bundleFile.events) ?? 0) > EVENTS_BYTES_MAX) refuse('events.jsonl is too large');
    if ((sizes.get(bundleFile.seal) ?? 0) > SIGSTORE_BYTES_MAX) refuse('seal.sigstore.json is too large');
    if (sizes.has(bundleFile.events)) context.lines = new LogLines(await context.reader.read(bundleFile.events));
    if (sizes.has(bundleFile.seal)) {
      const bytes = await context.reader.read(bundleFile.seal);
      context.sealFile = readSigstoreFile('seal.sigstore.json', bytes, 'logged');
    }
    if (!context.lines) refuse('events.jsonl is missing');
    if (sizes.size !== files.length) refuse('a file is there twice');
    const unknown = files.find(({ name }) => !BUNDLE_NAME.test(name));
    if (unknown) refuse(`${quote(unknown.name)} does not belong in a bundle`);
    return passed(`${plural(files.length, 'file')}, none unknown.`);
  },
};
