import { bundleFile } from '@pangolin/contracts/bundle';
import { checkEgressLog } from '../egress-log.ts';
import { quote, Refusal, refuse } from '../refusal.ts';
import { notApplicable, passed, plural, UNREACHED, type Check } from './check.ts';

export const egress: Check = {
  id: 'egress',
  title: 'Nothing was let through to the network but what the manifest of its task grants',
  failure: 'egress',
  async run(context) {
    const { replay, granted } = context;
    if (!replay) return UNREACHED;
    const unrecorded = [...granted.keys()].filter((each) => each.reconciledLine !== undefined && !each.egress).length;
    if (unrecorded > 0) {
      context.find(
        'egress-log-missing',
        `${plural(unrecorded, 'attempt')} had a list of hosts and left no record of what was let through.`,
      );
    }
    const logged = replay.attempts.filter(({ egress }) => egress !== undefined);
    let [withheld, allowed, refused] = [0, 0, 0];
    for (const attempt of logged) {
      const name = bundleFile.blob(attempt.egress!);
      const policy = granted.get(attempt);
      if (!context.files.has(name) || !policy) {
        withheld++;
        continue;
      }
      try {
        const counts = checkEgressLog(await context.reader.read(name), policy);
        allowed += counts.allowed;
        refused += counts.refused;
      } catch (error) {
        if (!(error instanceof Refusal)) throw error;
        refuse(`attempt ${attempt.attempt} of ${quote(attempt.itemId)}: its egress log ${error.message}`);
      }
    }
    if (logged.length === 0) return notApplicable('No task left an egress log.');
    if (withheld > 0) {
      return notApplicable(
        `It cannot be checked because ${plural(withheld, 'egress log')} of ${logged.length}, or the dispatch to it, is withheld.`,
      );
    }
    context.facts.push({
      observer: 'controller',
      statement: `The egress proxies let ${plural(allowed, 'connection')} through to hosts that were granted and refused ${refused}.`,
    });
    return passed(
      `${plural(allowed, 'connection')} in ${plural(logged.length, 'egress log')}, each granted; ${refused} refused.`,
    );
  },
};
