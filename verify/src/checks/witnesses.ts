import { NO_TRUST, notApplicable, UNSEALED, type Check } from './check.ts';

export const witnesses: Check = {
  id: 'witnesses',
  title: 'Independent witnesses saw the same log',
  failure: 'witness',
  run({ sealFile, trust }) {
    if (!sealFile) return UNSEALED;
    if (!trust) return NO_TRUST;
    return notApplicable('The trust file names no witness, so none was looked for.');
  },
};
