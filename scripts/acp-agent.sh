#!/usr/bin/env bash
# An agent of the Agent Client Protocol from its npm package (it drives the Claude Code CLI), as one file that needs Node
# alone. Prints its path.
#
#   scripts/acp-agent.sh        $PANGOLIN_CI_CACHE (default ~/.cache/pangolin-ci) keeps it; npm checks what it fetches
set -euo pipefail

version=0.101.0
root=$(cd "$(dirname "$0")/.." && pwd)
cache=${PANGOLIN_CI_CACHE:-${HOME:?}/.cache/pangolin-ci}/acp-agent
mkdir -p "$cache"
exec 9>"$cache.lock"
flock 9
if [ "$(cat "$cache/complete" 2>/dev/null)" != "$version" ]; then
  rm -rf "$cache/modules"
  mkdir "$cache/modules"
  echo '{ "private": true }' >"$cache/modules/package.json"
  # Its optional packages are further copies of the CLI, which the image has.
  (cd "$cache/modules" && npm install --silent --omit=optional --ignore-scripts --no-audit --no-fund --no-package-lock \
    "@agentclientprotocol/claude-agent-acp@$version" >&2)
  banner="import { createRequire as requireFrom } from 'node:module'; const require = requireFrom(import.meta.url);
process.env.CLAUDE_CODE_EXECUTABLE ??= '/usr/local/bin/claude';"
  "$root/node_modules/.bin/esbuild" "$cache/modules/node_modules/@agentclientprotocol/claude-agent-acp/dist/index.js" \
    --bundle --platform=node --format=esm --target=node22.18 --log-level=error --banner:js="$banner" \
    --outfile="$cache/claude-agent-acp.mjs" >&2
  chmod 755 "$cache/claude-agent-acp.mjs"
  rm -rf "$cache/modules"
  echo "$version" >"$cache/complete"
fi
echo "$cache/claude-agent-acp.mjs"
