/** Classes A, B and L over the files of a bundle, without any key. */
import type { Failure } from '@pangolin/verify/report';
import { jcs, splitLines, joinLines, type Files, type Json } from './forge.ts';
import type { Mutant } from './harness.ts';
import { base64Mutants, byteMutants, jsonMutants } from './json-mutants.ts';

/** What may notice a change of a file first. */
export function classesOf(name: string): readonly Failure[] {
  if (name === 'events.jsonl') return ['structure', 'events'];
  if (name === 'seal.sigstore.json') return ['structure', 'signature', 'seal', 'checkpoint', 'inclusion', 'time'];
  return name.startsWith('attestations/') ? ['attestation'] : ['blob'];
}

/** Every `stride`th of them: enough where all are noticed by one digest. */
function* everyOf<T>(stride: number, all: Iterable<T>): Generator<T> {
  let at = 0;
  for (const each of all) if (at++ % stride === 0) yield each;
}

/** One file of every folder: the others have the same form. */
export function sample(files: Files): string[] {
  const folders = new Map<string, string>();
  for (const name of files.keys()) folders.set(name.includes('/') ? name.slice(0, name.indexOf('/')) : name, name);
  return [...folders.values()];
}

const replaced = (files: Files, name: string, bytes: Buffer): Files => new Map(files).set(name, bytes);

export function* fileMutants(files: Files): Generator<Mutant> {
  for (const name of sample(files)) {
    const original = files.get(name)!;
    const stride = name === 'events.jsonl' ? 7 : name === 'seal.sigstore.json' ? 3 : 41;
    for (const { name: what, bytes } of byteMutants(original, stride)) {
      yield { name: `${name}: ${what}`, files: replaced(files, name, bytes), failure: classesOf(name) };
    }
    if (!name.endsWith('.json')) continue;
    for (const { name: what, text } of everyOf(
      name === 'seal.sigstore.json' ? 1 : 7,
      jsonMutants(original.toString()),
    )) {
      yield { name: `${name}: ${what}`, files: replaced(files, name, Buffer.from(text)), failure: classesOf(name) };
    }
  }
}

export function* eventMutants(files: Files): Generator<Mutant> {
  const lines = splitLines(files.get('events.jsonl')!);
  for (const [at, line] of lines.entries()) {
    for (const { name, text } of everyOf(3, jsonMutants(line.toString()))) {
      const log = joinLines(lines.with(at, Buffer.from(text)));
      yield {
        name: `event ${at}: ${name}`,
        files: replaced(files, 'events.jsonl', log),
        failure: classesOf('events.jsonl'),
      };
    }
  }
}

/** The signed payload changed under an unchanged signature. */
export function* payloadMutants(files: Files): Generator<Mutant> {
  const name = 'seal.sigstore.json';
  const seal = JSON.parse(files.get(name)!.toString()) as Json;
  const payload = Buffer.from(seal.dsseEnvelope.payload as string, 'base64').toString();
  for (const mutant of jsonMutants(payload)) {
    const copy = structuredClone(seal);
    copy.dsseEnvelope.payload = Buffer.from(mutant.text).toString('base64');
    yield {
      name: `payload of the seal: ${mutant.name}`,
      files: replaced(files, name, jcs(copy)),
      failure: ['signature'],
    };
  }
}

/** Every base64 field of the seal and of one attestation. */
export function* base64FieldMutants(files: Files): Generator<Mutant> {
  for (const name of sample(files).filter((each) => each.endsWith('.sigstore.json'))) {
    const text = files.get(name)!.toString();
    for (const [field] of text.matchAll(/"[A-Za-z0-9+/]{16,}={0,2}"/g)) {
      for (const mutant of base64Mutants(field.slice(1, -1))) {
        const bytes = Buffer.from(text.replace(field, JSON.stringify(mutant.text)));
        yield {
          name: `${name}: ${field.slice(0, 20)} ${mutant.name}`,
          files: replaced(files, name, bytes),
          failure: classesOf(name),
        };
      }
    }
  }
}

/** Class L, as far as it concerns names. */
export function* nameMutants(files: Files): Generator<Mutant> {
  for (const [name, bytes] of files) {
    const without = new Map(files);
    without.delete(name);
    yield { name: `${name} removed`, files: without, mayLower: name !== 'events.jsonl' };
    const digest = /[0-9a-f]{64}/.exec(name)?.[0];
    const others = [
      name.toUpperCase(),
      `${name}~`,
      `./${name}`,
      `../${name}`,
      `x/${name}`,
      `/${name}`,
      name.replace('/', '\\'),
      `${name}\n`,
      ...(digest === undefined
        ? []
        : ['blobs/', 'dispatch/', 'provenance/'].map(
            (folder) => `${folder}${digest}${folder === 'blobs/' ? '' : '.json'}`,
          )),
    ];
    for (const other of others.filter((each) => !files.has(each))) {
      yield {
        name: `${name} renamed to ${other}`,
        files: new Map(without).set(other, bytes),
        failure: ['structure', 'blob', 'attestation'],
      };
      yield {
        name: `${name} also as ${other}`,
        files: new Map(files).set(other, bytes),
        failure: ['structure', 'blob', 'attestation'],
      };
    }
  }
  for (const name of [
    'notes.txt',
    'index.json',
    'blobs/x',
    'history/1',
    `blobs/${'0'.repeat(64)}`,
    `dispatch/${'0'.repeat(64)}.json`,
  ]) {
    yield { name: `${name} added`, files: new Map(files).set(name, Buffer.from('x')), failure: ['structure', 'blob'] };
  }
}
