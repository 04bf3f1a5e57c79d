import { conformance } from './conformance.ts';
import { moto, spaceOn } from './s3-servers.ts';

conformance('S3 on moto', {
  open: () => spaceOn(moto),
  skip: moto.skip,
  many: 60,
  // moto answers 404 to an encoded line feed.
  unsupportedKeys: ['tab\tand\nline'],
});
