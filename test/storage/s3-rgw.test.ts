import { conformance } from './conformance.ts';
import { rgw, spaceOn } from './s3-servers.ts';

conformance('S3 on Ceph RGW', { open: () => spaceOn(rgw), skip: rgw.skip, many: 1_200 });
