#!/usr/bin/env bash
# The Claude Code CLI from its npm package, unpacked into the CI cache and not installed. Prints the program's path.
#
#   scripts/claude-code.sh [amd64|arm64]    $PANGOLIN_CI_CACHE (default ~/.cache/pangolin-ci) keeps it; npm checks what it fetches
set -euo pipefail

version=2.1.332
case ${1:-$(uname -m)} in
  x86_64 | amd64) platform=linux-x64 ;;
  aarch64 | arm64) platform=linux-arm64 ;;
  *) echo "claude-code: there is no package for ${1:-$(uname -m)}" >&2; exit 6 ;;
esac
cache=${PANGOLIN_CI_CACHE:-${HOME:?}/.cache/pangolin-ci}/claude-code
mkdir -p "$cache"
exec 9>"$cache.lock"
flock 9
if [ "$(cat "$cache/complete" 2>/dev/null)" != "$version $platform" ]; then
  rm -rf "$cache/package" "$cache"/*.tgz
  (cd "$cache" && npm pack --silent "@anthropic-ai/claude-code-$platform@$version" >&2)
  tar xzf "$cache"/*.tgz -C "$cache"
  rm -f "$cache"/*.tgz
  echo "$version $platform" >"$cache/complete"
fi
echo "$cache/package/claude"
