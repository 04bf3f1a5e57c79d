#!/usr/bin/env bash
# Builds pangolin-worker:dev, pangolin-agent:dev (the worker with the Claude Code CLI) and pangolin-controller:dev:
# scripts/images.sh [worker] [agent] [controller]; without a name all but the agent's.
#
# PANGOLIN_IMAGE_TAG is another tag than dev, for checkouts that share one engine.
# BASE is the image to build on; without it a base is made of this machine's own files (scripts/base-image.sh).
# An image whose inputs have not changed is left alone: their digest is its label dev.pangolin.inputs.
set -euo pipefail

cd "$(dirname "$0")/.."
# The classic builder is in every engine; BuildKit needs a client plugin that Debian's engine comes without.
export DOCKER_BUILDKIT=0
label=dev.pangolin.inputs
tag=${PANGOLIN_IMAGE_TAG:-dev}
node=node_modules/.bin/node

say() { printf 'images: %s\n' "$*" >&2; }

# $1: image, $2: Dockerfile, the rest: files and directories that go into it.
build() {
  local image=$1 dockerfile=$2 inputs log
  shift 2
  inputs=$({
    docker image inspect -f '{{.Id}}' "$base" 2>/dev/null || echo "$base"
    echo "${target:-}"
    find "$dockerfile" .dockerignore "$@" -name node_modules -prune -o -type f -print0 | sort -z | xargs -0 sha256sum
  } | sha256sum | cut -c1-64)
  if [ "$(docker image inspect -f "{{index .Config.Labels \"$label\"}}" "$image" 2>/dev/null)" = "$inputs" ]; then
    say "$image is up to date"
    return 0
  fi
  log=$(mktemp)
  if ! docker build -f "$dockerfile" ${target:+--target "$target"} -t "$image" --build-arg BASE="$base" --label "$label=$inputs" --force-rm . >"$log" 2>&1; then
    cat "$log" >&2
    rm -f "$log"
    say "$image was not built"
    return 1
  fi
  rm -f "$log"
  say "$image made: $(docker image inspect -f '{{.Size}}' "$image" | numfmt --to=iec)"
}

wanted=${*:-worker controller}
base=${BASE:-$(scripts/base-image.sh)}
for image in $wanted; do
  case $image in
    worker)
      "$node" scripts/build.mjs >&2
      target=worker build "pangolin-worker:$tag" Dockerfile.worker worker-image/dist
      ;;
    agent)
      cli=$(scripts/claude-code.sh)
      "$node" scripts/build.mjs worker >&2
      mkdir -p .build/agent
      ln -f "$cli" .build/agent/claude 2>/dev/null || cp "$cli" .build/agent/claude
      # Of no use to the other images, whose builds would send it to the engine.
      trap 'rm -rf .build/agent' EXIT
      target=agent build "pangolin-agent:$tag" Dockerfile.worker worker-image/dist .build/agent
      rm -rf .build/agent
      ;;
    controller)
      "$node" scripts/images-modules.mjs
      build "pangolin-controller:$tag" Dockerfile.controller .build/controller-modules.tar package.json package-lock.json LICENSE \
        contracts storage verify worker-image controller cli
      ;;
    *)
      say "unknown image: $image (worker, agent, controller)"
      exit 2
      ;;
  esac
done
