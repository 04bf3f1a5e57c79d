#!/usr/bin/env bash
# The dependencies of deploy/cdk, in the CI cache and linked from there: they are no dependencies of anything else.
#
#   scripts/cdk.sh        $PANGOLIN_CI_CACHE (default ~/.cache/pangolin-ci) keeps them; npm checks what it fetches
set -euo pipefail

app=$(cd -- "$(dirname -- "$0")/../deploy/cdk" && pwd)
cache=${PANGOLIN_CI_CACHE:-${HOME:?}/.cache/pangolin-ci}/cdk
mkdir -p "$cache"
exec 9>"$cache.lock"
flock 9
wanted=$(sha256sum <"$app/package-lock.json")
if [ "$(cat "$cache/complete" 2>/dev/null)" != "$wanted" ]; then
  rm -f "$cache/complete"
  cp "$app/package.json" "$app/package-lock.json" "$cache/"
  (cd "$cache" && npm ci --silent --ignore-scripts --no-audit --no-fund >&2)
  echo "$wanted" >"$cache/complete"
fi
ln -sfn "$cache/node_modules" "$app/node_modules"
