import { fileURLToPath } from 'node:url';

/** A file or folder of this package, e.g. `packs`: the sources and the bundle in `dist` lie equally deep in it. */
export const packageFile = (name: string): string => fileURLToPath(new URL(`../${name}`, import.meta.url));
