/** Entry of `pangolin`: checks the runtime, turns on the compile cache, then loads the program. */
import module from 'node:module';

const [major = 0, minor = 0] = process.versions.node.split('.').map(Number);
if (major < 22 || (major === 22 && minor < 18)) {
  process.stderr.write(
    `error: Node ${process.versions.node} is too old for pangolin [UNSUPPORTED]\n` +
      'hint: Node 22.18 or newer is needed; `bin/pangolin` uses the one that `npm ci` installs.\n',
  );
  process.exit(5);
}
module.enableCompileCache();
// For this process only: workers and the blocks they run are not to write into our cache.
delete process.env.NODE_COMPILE_CACHE;
const { main } = await import('./program.ts');
process.exitCode = await main(process.argv.slice(2));
