import { PangolinError } from '@pangolin/contracts/errors';
import { command } from '../../command.ts';
import { openLogSources } from '../../read/log-sources.ts';
import { readTrust, trustFlags } from '../../trust.ts';

export const check = command({
  description: 'Check the log of a deployment as a whole: that it never forked and that no run was deleted',
  args: trustFlags,
  async run({ trust: file, anchor }, context) {
    const [{ checkLog }, { logExitCode, renderLogReport }, { loadTrust, parseTrustFile }] = await Promise.all([
      import('@pangolin/verify/log/check-log'),
      import('@pangolin/verify/log/render'),
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
    else await context.write(Buffer.from(renderLogReport(report)));
    if (anchor === 'off' && trust.anchors.length > 0) context.note('The anchors were not looked at; --anchor live names deleted runs.'); // prettier-ignore
    return logExitCode(report);
  },
});
