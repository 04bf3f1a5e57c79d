import assert from 'node:assert/strict';
import { createPublicKey, verify } from 'node:crypto';
import { test } from 'node:test';
import { pae } from '@pangolin/contracts/dsse';
import {
  formatCheckpoint,
  formatNote,
  formatVkey,
  noteKeyId,
  parseCheckpoint,
  parseNote,
  parseVkey,
  verifyNote,
} from '@pangolin/contracts/note';

/** The example of C2SP signed-note, and the one in the documentation of Go's note package. */
const published = [
  {
    vkey: 'example.com/foo+530d903a+AekyeRrm56hApGFkyQR4ZCbV54Id2LKaANYcrnKv3U2k',
    note: 'This is an example message.\n\n\u2014 example.com/foo Uw2QOkn8srV1yJGh2VYRlL1Tnagv1YEq6TfXppzi2ONncAlTgK7Ztg1ERYNZXsYjOBH3mFXmRKuwHjG1Yu72IneyaQM=\n',
  },
  {
    vkey: 'PeterNeumann+c74f20a3+ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW',
    note: "If you think cryptography is the answer to your problem,\nthen you don't know what your problem is.\n\n\u2014 PeterNeumann x08go/ZJkuBS9UG/SffcvIAQxVBtiFupLLr8pAcElZInNIuGUgYN1FFYC2pZSNXgKvqfqdngotpRZb6KE6RyyBwJnAM=\n",
  },
];

for (const { vkey, note } of published) {
  test(`the published note under ${vkey.split('+')[0]} is read, verified and written again byte for byte`, () => {
    const key = parseVkey(vkey);
    assert.equal(formatVkey(key), vkey);
    assert.equal(noteKeyId(key).toString('hex'), vkey.split('+')[1]);
    const parsed = parseNote(note);
    assert.equal(formatNote(parsed), note);
    assert.equal(verifyNote(parsed.text, parsed.signatures[0]!, key), true);
    assert.equal(verifyNote(parsed.text.replace('a', 'b'), parsed.signatures[0]!, key), false);
  });
}

test('every altered character of a published note is refused or does not verify', () => {
  const { vkey, note } = published[0]!;
  const key = parseVkey(vkey);
  for (let at = 0; at < note.length; at++) {
    const altered = note.slice(0, at) + String.fromCharCode(note.charCodeAt(at) ^ 1) + note.slice(at + 1);
    let verified = false;
    try {
      const { text, signatures } = parseNote(altered);
      verified = signatures.some((signature) => verifyNote(text, signature, key));
    } catch {
      continue;
    }
    assert.equal(verified, false, `character ${at}`);
  }
});

const [text = '', line = ''] = published[0]!.note.split('\n\n');
const malformed: readonly (readonly [string, string])[] = [
  ['no signature', `${text}\n\n`],
  ['no blank line', `${text}\n${line}`],
  ['no line feed at the end', published[0]!.note.slice(0, -1)],
  ['a hyphen for the dash', published[0]!.note.replace('\u2014', '-')],
  ['CRLF', published[0]!.note.replaceAll('\n', '\r\n')],
  ['a tab in the text', published[0]!.note.replace('is an', 'is\tan')],
  ['a plus in the name', published[0]!.note.replace('example.com/foo U', 'example.com+foo U')],
  ['unpadded base64', published[0]!.note.replace('aQM=', 'aQM')],
  ['base64 with spare bits', published[0]!.note.replace('aQM=', 'aQN=')],
  ['seventeen signatures', `${text}\n\n${line.repeat(17)}`],
  ['more than 64 KiB', `${'x'.repeat(65_536)}\n\n${line}`],
];
for (const [what, altered] of malformed) {
  test(`a note with ${what} is refused`, () => {
    assert.throws(() => parseNote(altered), { code: 'INVALID' });
  });
}

test('a verifier key with the key id of another key is refused', () => {
  assert.throws(() => parseVkey(published[0]!.vkey.replace('530d903a', '530d903b')), { code: 'INVALID' });
  assert.throws(() => parseVkey(published[0]!.vkey.replace('example', 'exbmple')), { code: 'INVALID' });
});

test('a checkpoint is three canonical lines', () => {
  const root = Buffer.alloc(32, 7);
  const checkpoint = formatCheckpoint({ origin: 'log.example', size: 8, root });
  assert.equal(checkpoint, 'log.example\n8\nBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwc=\n');
  assert.deepEqual(parseCheckpoint(checkpoint), { origin: 'log.example', size: 8, root });
  for (const size of ['08', '+8', '8e0', '-8', '', '\uff18', '9007199254740993']) {
    assert.throws(() => parseCheckpoint(checkpoint.replace('\n8\n', `\n${size}\n`)), { code: 'INVALID' }, size);
  }
  for (const altered of [`${checkpoint}more\n`, checkpoint.slice(0, -1), `\n${checkpoint}`]) {
    assert.throws(() => parseCheckpoint(altered), { code: 'INVALID' }, JSON.stringify(altered));
  }
});

/** The test vector of the DSSE protocol: P-256 with SHA-256, the signature as r and s. */
test('the pre-authentication encoding is the one of the DSSE protocol', () => {
  const bytes = pae(Buffer.from('hello world'), 'http://example.com/HelloWorld');
  assert.equal(bytes.toString(), 'DSSEv1 29 http://example.com/HelloWorld 11 hello world');
  const coordinate = (decimal: bigint): string =>
    Buffer.from(decimal.toString(16).padStart(64, '0'), 'hex').toString('base64url');
  const key = createPublicKey({
    format: 'jwk',
    key: {
      kty: 'EC',
      crv: 'P-256',
      x: coordinate(46950820868899156662930047687818585632848591499744589407958293238635476079160n),
      y: coordinate(5640078356564379163099075877009565129882514886557779369047442380624545832820n),
    },
  });
  const signature = Buffer.from(
    'A3JqsQGtVsJ2O2xqrI5IcnXip5GToJ3F+FnZ+O88SjtR6rDAajabZKciJTfUiHqJPcIAriEGAHTVeCUjW2JIZA==',
    'base64',
  );
  assert.equal(verify('sha256', bytes, { key, dsaEncoding: 'ieee-p1363' }, signature), true);
});

test('lengths in the pre-authentication encoding count bytes', () => {
  assert.equal(pae(Buffer.from('\u00e9'), 't\u00e9').toString(), 'DSSEv1 3 t\u00e9 2 \u00e9');
});
