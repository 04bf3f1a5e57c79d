/** The version of this package; recorded in boot.json. */
export const WORKER_VERSION = '0.1.0';
