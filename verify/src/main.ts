#!/usr/bin/env node
/** The standalone verifier: `node verify/src/main.ts BUNDLE --trust trust.json`. It needs Node and nothing else. */
import { runVerify } from './run-verify.ts';

process.exitCode = await runVerify(process.argv.slice(2));
