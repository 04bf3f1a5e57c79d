import { refuse } from '../refusal.ts';
import { notApplicable, passed, plural, UNREACHED, type Check } from './check.ts';

export const closure: Check = {
  id: 'closure',
  title: 'Whatever an item consumed, an earlier item of this run had produced',
  failure: 'closure',
  run(context) {
    const { replay } = context;
    if (!replay) return UNREACHED;
    const { edges, unconfirmedEdges, closureProblem } = replay;
    if (closureProblem !== undefined) refuse(closureProblem);
    if (unconfirmedEdges > 0) {
      context.find(
        'edges-unconfirmed',
        `${plural(unconfirmedEdges, 'input')} came from the submission, which only the withheld plan could confirm.`,
      );
    }
    if (edges === 0) return notApplicable('No item consumed a product of another one.');
    return passed(`${plural(edges, 'edge')}${context.plan ? ', as the plan says' : ''}.`);
  },
};
