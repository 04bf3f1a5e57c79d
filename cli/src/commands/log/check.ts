import { PangolinError } from '@pangolin/contracts/errors';
import { plural } from '@pangolin/verify/checks/check';
import { command } from '../../command.ts';
import { openLogSources } from '../../read/log-sources.ts';
import { printable } from '../../terminal.ts';
import { readTrust, trustFlags } from '../../trust.ts';

const verdicts = {
  consistent: 'CONSISTENT. The log never forked, and each of its entries belongs to a run that is there.',
  failed: 'FAILED. Somebody changed the log, or took away what it holds.',
  incomplete: 'INCOMPLETE. Nothing wrong was found, but not everything could be checked.',
} as const;
/** As those of `verify`. */
const exitCodes = { consistent: 0, failed: 1, incomplete: 4 } as const;

export const check = command({
  description: 'Check the log of a deployment as a whole: that it never forked and that no run was deleted',
  args: trustFlags,
  async run({ trust: file, anchor }, context) {
    const [{ checkLog }, { loadTrust, parseTrustFile }] = await Promise.all([
      import('@pangolin/verify/log/check-log'),
      import('@pangolin/verify/trust-file'),
    ]);
    const bytes = await readTrust(context, file);
    if (!bytes) {
      throw new PangolinError('USAGE', 'no trust file: nothing says whose log this is', {
        hint: 'Name it with --trust; the operator makes it with `pangolin trust export`.',
      });
    }
    const trust = loadTrust(parseTrustFile(bytes));
    const sources = await openLogSources(await context.open(), trust.origin, anchor === 'live' ? trust.anchors : []);
    const report = await checkLog(sources, trust);
    if (context.json) await context.printJson(report);
    else {
      const { origin, size, seals, heads, anchored, foreign, checkpoints, unsealed, unchecked, problems } = report;
      await context.print(verdicts[report.verdict]);
      await context.print(`log ${origin}: ${plural(size, 'entry', 'entries')}, ${plural(seals, 'seal')} and ${plural(heads, 'head')} in the storage, ${plural(anchored, 'seal')} in anchors, ${plural(checkpoints, 'earlier checkpoint')} continued`); // prettier-ignore
      for (const { code, message } of problems) await context.print(`  ${code.padEnd(15)} ${printable(message)}`);
      for (const each of unchecked) await context.print(`  ${'unchecked'.padEnd(15)} ${printable(each)}`);
      if (foreign > 0) context.note(`${foreign} seals in this storage are of other logs.`);
      if (unsealed.length > 0) context.note(`Not sealed, so not in the log: ${printable(unsealed.join(', '))}`);
      if (anchor === 'off' && trust.anchors.length > 0) context.note('The anchors were not looked at; --anchor live names deleted runs.'); // prettier-ignore
    }
    return exitCodes[report.verdict];
  },
});
