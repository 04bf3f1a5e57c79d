import { NO_TRUST, notApplicable, passed, plural, UNSEALED, type Check } from './check.ts';

export const witnesses: Check = {
  id: 'witnesses',
  title: 'Independent witnesses saw the same log',
  failure: 'witness',
  run(context) {
    const { sealFile, trust, cosignatures } = context;
    if (!sealFile) return UNSEALED;
    if (!trust) return NO_TRUST;
    const policy = trust.witnesses;
    if (!policy) return notApplicable('The trust file names no witness, so none was looked for.');
    const names = [...cosignatures.keys()];
    const seen = names.length === 0 ? 'no witness' : names.join(', ');
    context.witnessed = policy.isMet(new Set(names));
    if (context.witnessed) return passed(`${plural(names.length, 'cosignature')}: ${seen}.`);
    if (policy.quorum !== 'none') {
      context.find(
        'quorum-not-met',
        `The trust file asks for the witnesses ${policy.quorum}; ${seen} cosigned the log.`,
      );
    }
    return notApplicable(`Seen by ${seen}, which is not enough to rely on.`);
  },
};
