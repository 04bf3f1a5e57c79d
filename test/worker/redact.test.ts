/** Secrets in what blocks print: every form of every value, however the bytes arrive, and nothing else. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { needlesOf, redact, Redactor, Scanner } from '@pangolin/worker-image/redact';

const VALUES: Readonly<Record<string, string>> = {
  plain: 'hunter2-hunter2',
  odd: 'pa ss/wörd+"quoted"\\back&<tag>',
  pem: `-----BEGIN KEY-----\n${'QUJD'.repeat(16)}\n${'MTIz'.repeat(16)}\n-----END KEY-----\n`,
  long: 'x7'.repeat(90),
};
const needles = needlesOf(new Map(Object.entries(VALUES)));
const wrap = (text: string, width: number): string => (text.match(new RegExp(`.{1,${width}}`, 'g')) ?? []).join('\n');
const base64 = (text: string): string => Buffer.from(text).toString('base64');

/** Every other hexadecimal letter of an escape, or of everything, in upper case. */
const mixed = (text: string): string => {
  let upper = false;
  const flip = (letters: string): string =>
    letters.replace(/[a-f]/gi, (letter) => {
      upper = !upper;
      return upper ? letter.toUpperCase() : letter.toLowerCase();
    });
  if (/^[0-9a-f]*$/i.test(text)) return flip(text);
  return text.replace(/%(..)|\\u(....)/g, (code, byte?: string, unit?: string) =>
    byte === undefined ? `\\u${flip(unit ?? code)}` : `%${flip(byte)}`,
  );
};

/** How tools print a value by themselves. */
const forms: Readonly<Record<string, (value: string) => string>> = {
  raw: (value) => value,
  'base64, first of three places': base64,
  'base64, second of three places': (value) => base64(`u${value}`),
  'base64, third of three places': (value) => base64(`us${value}`),
  'base64 with something behind': (value) => base64(`${value}:tail`),
  'base64 for URLs': (value) => Buffer.from(`a:${value}`).toString('base64url'),
  'base64 in lines': (value) => wrap(base64(value), 76),
  'URL component': encodeURIComponent,
  'URL form': (value) => new URLSearchParams({ value }).toString().slice(6),
  'URL in lower case': (value) => encodeURIComponent(value).replace(/%../g, (code) => code.toLowerCase()),
  JSON: (value) => JSON.stringify({ value }),
  'JSON in JSON': (value) => JSON.stringify(JSON.stringify({ value })),
  'JSON with escaped slashes': (value) => JSON.stringify(value).replaceAll('/', '\\/'),
  'URL in mixed case': (value) => mixed(encodeURIComponent(value)),
  'URL with every byte encoded': (value) => mixed(Buffer.from(value).toString('hex').replace(/../g, '%$&')),
  'JSON with every character escaped': (value) =>
    mixed(value.replace(/[^]/g, (unit) => `\\u${unit.charCodeAt(0).toString(16).padStart(4, '0')}`)),
  'hexadecimal in mixed case': (value) => mixed(Buffer.from(value).toString('hex')),
  hexadecimal: (value) => Buffer.from(value).toString('hex'),
};

for (const [form, print] of Object.entries(forms)) {
  for (const [ref, value] of Object.entries(VALUES)) {
    test(`${form} of the ${ref} value`, () => {
      const printed = print(value);
      // The same with another value in it: what both have is no secret.
      const other = print(value.replace(/[a-z0-9]/g, 'q'));
      const clean = redact(`before ${printed} after`, needles);
      assert.ok(clean.startsWith('before ') && clean.endsWith(' after'), clean);
      assert.match(clean, new RegExp(`\\[secret ${ref}\\]`));
      // Of the value, no eight characters in a row are left.
      for (let at = 0; at + 8 <= printed.length; at++) {
        const part = printed.slice(at, at + 8);
        if (other.includes(part)) continue;
        assert.ok(!clean.includes(part), `${JSON.stringify(part)} is left in ${clean}`);
      }
    });
  }
}

test('what has no secret in it does not change', () => {
  for (const text of ['hunter2', 'hunter2-hunter', 'x7x7', base64('hunter2-hunte'), '', 'ÄÖÜ\0']) {
    assert.equal(redact(text, needles), text);
  }
});

test('a stream gives the same however its bytes are cut, and holds back only what could be a secret', () => {
  const piece = fc.oneof(
    fc.constantFrom(...Object.values(VALUES), 'hunter2-', 'hunter2-hunter', 'x7x7x7', '\n', 'é'),
    fc.constantFrom(...Object.values(VALUES).map(base64)),
    fc.string({ maxLength: 6 }),
  );
  const text = fc.array(piece, { maxLength: 12 }).map((pieces) => pieces.join(''));
  fc.assert(
    fc.property(text, fc.array(fc.integer({ min: 1, max: 40 }), { maxLength: 40 }), (whole, cuts) => {
      const bytes = Buffer.from(whole);
      const redactor = new Redactor(needles);
      const out: Buffer[] = [];
      let at = 0;
      for (const cut of cuts) {
        out.push(redactor.push(bytes.subarray(at, at + cut)));
        at += cut;
      }
      out.push(redactor.push(bytes.subarray(at)), redactor.end());
      assert.equal(Buffer.concat(out).toString(), redact(whole, needles));
    }),
    { numRuns: 500 },
  );
  const redactor = new Redactor(needles);
  assert.equal(redactor.push(Buffer.from('progress 50%\nhunter2')).toString(), 'progress 50%\n');
  assert.equal(redactor.push(Buffer.from(' is gone\n')).toString(), 'hunter2 is gone\n');
});

test('a scanner finds a value across every cut, and names it', () => {
  const bytes = Buffer.from(`some text ${VALUES['plain']} more`);
  for (let cut = 0; cut <= bytes.length; cut++) {
    const scanner = new Scanner(needles);
    const found = [bytes.subarray(0, cut), bytes.subarray(cut)].map((chunk) => scanner.push(chunk));
    assert.ok(found.includes('plain'), `cut at ${cut}`);
  }
  assert.equal(new Scanner(needles).push(Buffer.from('nothing here')), undefined);
});
