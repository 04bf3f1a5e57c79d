/** Class H of evidence.md §8 for one token: what its authority could have made otherwise, and why it is refused. */
import { oid } from '@pangolin/contracts/der';
import { TST_INFO, type HashName } from '@pangolin/contracts/time-stamp';
import { attribute, essOf, type Bend } from './forge-token.ts';

export const bends: Readonly<Record<string, readonly [Bend, RegExp]>> = {
  'the imprint of something else': [{ imprintOf: Buffer.from('another') }, /not of the signature/],
  'a SHA-1 imprint': [{ imprintHash: 'sha1' }, /hash other than/],
  'no content type': [{ contentType: null }, /does not sign its content type/],
  'another content type': [{ contentType: oid('1.2.840.113549.1.7.1') }, /content of another type/],
  'no message digest': [{ messageDigest: null }, /does not sign its message digest/],
  'another message digest': [{ messageDigest: Buffer.alloc(32) }, /not what its authority signed/],
  'no ESSCertID': [{ ess: () => undefined }, /does not sign its certificate/],
  'the ESSCertID of another certificate': [{ ess: () => essOf(Buffer.from('x')) }, /another certificate/],
  'an ESSCertID v1 of another certificate': [
    { more: [attribute('1.2.840.113549.1.9.16.2.12', essOf(Buffer.from('x'), 'sha1'))] },
    /another certificate/,
  ],
  'a signed attribute twice': [{ more: [attribute('1.2.840.113549.1.9.3', TST_INFO)] }, /attribute twice/],
  'before the certificates': [{ genTime: '20200101000000Z' }, /not valid at/],
  'after the signer, before the root ends': [{ genTime: '20350601000000Z' }, /not valid at/],
  'after the root': [{ genTime: '20500101000000Z' }, /not valid at/],
  'a time with an offset': [{ genTime: '20270601100000+0100' }, /time of a wrong form/],
  'a time with a trailing zero': [{ genTime: '20270601100000.10Z' }, /time of a wrong form/],
  'an impossible time': [{ genTime: '20270230100000Z' }, /time of a wrong form/],
  'the other of two signatures': [{ high: true }, /not in the form/],
  'no certificate': [{ certificates: () => [] }, /no certificates|tag/],
  'a certificate twice': [{ certificates: (each) => [each, each] }, /more certificates/],
  'another serial number': [{ stamp: (each) => ({ ...each, serial: Buffer.of(8) }) }, /another signer/],
  'another hash': [{ stamp: (each) => ({ ...each, hash: 'sha512' as HashName }) }, /not what its authority signed/],
  'another kind of signature': [{ stamp: (each) => ({ ...each, algorithm: 'rsa' }) }, /another kind/],
};
