/** The checks of one item's evidence: those of a bundle, but for the ones that read the log and the statements. */
import { sha256 } from '@pangolin/contracts/digest';
import { leafHash, verifyInclusion } from '@pangolin/contracts/merkle';
import { anchor } from '../checks/anchor.ts';
import { checkSigned } from '../checks/attestations.ts';
import { NO_TRUST, notApplicable, passed, plural, UNREACHED, type Check } from '../checks/check.ts';
import { checkpoint } from '../checks/checkpoint.ts';
import { inclusion } from '../checks/inclusion.ts';
import { rebuild } from '../checks/rebuild.ts';
import { seal } from '../checks/seal.ts';
import { signature } from '../checks/signature.ts';
import { time } from '../checks/time.ts';
import { witnesses } from '../checks/witnesses.ts';
import type { Context } from '../context.ts';
import { readEvent } from '../event-shapes.ts';
import { lack, quote, refuse } from '../refusal.ts';
import { dispatchProblem, provenanceProblem, readDispatch, readProvenance } from '../statements.ts';
import { parseStrict } from '../strict-json.ts';
import { readProof } from './document.ts';
import { itemStory } from './item-story.ts';

/** The name of the document for a reader. */
export const PROOF = 'proof.json';

const structure: Check = {
  id: 'structure',
  title: 'The proof is well-formed and holds nothing else',
  failure: 'structure',
  async run(context) {
    context.proof = readProof(await context.reader.read(PROOF));
    context.sealFile = context.proof.seal;
    return passed(`${plural(context.proof.events.length, 'event')} of ${quote(context.proof.itemId)}.`);
  },
};

const events: Check = {
  id: 'events',
  title: 'The events of the item are in the log that was sealed, and tell a possible story',
  failure: 'events',
  run(context) {
    const { proof, seal } = context;
    if (!proof || !seal) return UNREACHED;
    if (proof.runId !== seal.runId) refuse(`the proof is of the run ${quote(proof.runId)}, its seal of another`);
    let previous = -1;
    const read = proof.events.map(({ index, line, path }) => {
      const where = `event ${index}`;
      if (index <= previous) refuse(`${where} is not in the order of the log`);
      previous = index;
      const { size, root } = seal.tree;
      if (!verifyInclusion(index, size, leafHash(Buffer.from(line, 'utf8')), path, Buffer.from(root, 'hex'))) {
        refuse(`${where} is not in the log that was sealed`);
      }
      const event = readEvent(where, parseStrict(where, line));
      if (event.seq !== index || event.runId !== seal.runId) refuse(`${where} says that it is another one`);
      if (event.at < seal.submittedAt || event.at > seal.completedAt) refuse(`${where} is at no time of its run`);
      return event;
    });
    context.item = itemStory(proof.itemId, read);
    context.find(
      'later-events-unknown',
      'This is the evidence of one item: that the log has no later event of it, only the bundle of the run can show.',
    );
    const { outcome, attempts } = context.item;
    describe(context);
    return passed(`${plural(read.length, 'event')}, ${plural(attempts.length, 'attempt')}, ${outcome} in the end.`);
  },
};

function describe({ item, facts }: Context): void {
  for (const { fired, reconciled } of item!.attempts) {
    const products = Object.entries(reconciled.outputs).map(([name, { sha256 }]) => `${name} sha256:${sha256}`);
    facts.push({
      observer: 'controller',
      statement: `Attempt ${fired.attempt} was dispatched at ${fired.at} and ended at ${reconciled.at}: ${reconciled.reason}.`,
    });
    for (const product of products) facts.push({ observer: 'controller', statement: `It yielded ${product}.` });
  }
}

const closure: Check = {
  id: 'closure',
  title: 'Whatever the item consumed, an earlier item of this run had produced',
  failure: 'closure',
  run({ item }) {
    const edges = item?.attempts.reduce((sum, { fired }) => sum + Object.keys(fired.inputs).length, 0) ?? 0;
    return notApplicable(
      edges === 0
        ? 'The item consumed nothing.'
        : `It cannot be checked because the producers of ${plural(edges, 'input')} are not in the proof of one item.`,
    );
  },
};

const blobs: Check = {
  id: 'blobs',
  title: 'Every statement is the one that the log names, and says what the log says',
  failure: 'blob',
  run(context) {
    const { proof, item, seal } = context;
    if (!proof || !item || !seal) return UNREACHED;
    const digests = proof.statements.map(({ payload }) => sha256(payload));
    if (digests.join() !== item.statements.join()) refuse('the statements are not those that the events name');
    const payloads = proof.statements.map(({ payload }) => payload.toString('utf8')).values();
    const next = (): string => payloads.next().value!;
    for (const view of item.attempts) {
      const { fired, reconciled } = view;
      const name = `attempt ${fired.attempt}`;
      const dispatch = readDispatch(`the dispatch statement of ${name}`, next());
      const problem = dispatchProblem(dispatch, view);
      if (problem !== undefined) refuse(`${name}: the dispatch statement ${problem}`);
      if (!reconciled.provenance) continue;
      const provenance = readProvenance(`the provenance statement of ${name}`, next());
      const lie = provenanceProblem(provenance, view, seal.logOrigin, dispatch);
      if (lie !== undefined) refuse(`${name}: the provenance statement ${lie}`);
    }
    context.statements = { present: digests.length, withheld: 0, signed: 0 };
    if (digests.length === 0) return notApplicable('The item was never dispatched.');
    return passed(`${plural(digests.length, 'statement')} of ${plural(item.attempts.length, 'attempt')}.`);
  },
};

const egress: Check = {
  id: 'egress',
  title: 'Nothing was let through to the network but what the manifests grant',
  failure: 'egress',
  run({ item }) {
    const logs = item?.attempts.filter(({ reconciled }) => reconciled.egress).length ?? 0;
    return notApplicable(
      logs === 0
        ? 'No task left an egress log.'
        : `It cannot be checked because ${plural(logs, 'egress log')}, which a bundle has, is not in the proof of one item.`,
    );
  },
};

const history: Check = {
  id: 'history',
  title: 'The run was opened after witnesses had seen the log',
  failure: 'history',
  run: () => notApplicable('It cannot be checked because the opening of the run is not in the proof of one item.'),
};

const attestations: Check = {
  id: 'attestations',
  title: 'The statements are signed by a key that you trust to attest',
  failure: 'attestation',
  run(context) {
    const { proof, item, trust } = context;
    if (!proof || !item) return UNREACHED;
    const times = item.attempts.flatMap(({ fired, reconciled }) => [
      fired.at,
      ...(reconciled.provenance ? [reconciled.at] : []),
    ]);
    const lacking = new Set<string>();
    for (const [at, file] of proof.statements.entries()) {
      const unknown = checkSigned(context, `statement ${at}`, file, Date.parse(times[at]!));
      if (unknown === undefined) context.statements.signed++;
      else lacking.add(unknown);
    }
    if (proof.statements.length === 0) return notApplicable('The item was never dispatched.');
    if (!trust) return NO_TRUST;
    if (lacking.size > 0) lack(`the trust file has no key ${[...lacking].map(quote).join(', ')}`);
    return passed(`${plural(proof.statements.length, 'signature')}.`);
  },
};

export const proofChecks: readonly Check[] = [
  structure,
  signature,
  seal,
  checkpoint,
  inclusion,
  rebuild,
  time,
  events,
  closure,
  blobs,
  egress,
  attestations,
  history,
  witnesses,
  anchor,
];
