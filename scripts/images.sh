#!/usr/bin/env bash
# Builds pangolin-worker:dev, pangolin-agent:dev (the worker with the Claude Code CLI and an ACP agent) and pangolin-controller:dev:
# scripts/images.sh [worker] [agent] [controller]; without a name all but the agent's.
#
# PANGOLIN_IMAGE_TAG is another tag than dev, for checkouts that share one engine.
# BASE is the image to build on; without it a base is made of this machine's own files (scripts/base-image.sh).
# PLATFORM is another one than this machine's: PLATFORM=linux/arm64 needs an engine that can build for it, and a BASE that
# has it. SOURCE_DATE_EPOCH (seconds) is how old the files are.
# An image whose inputs have not changed is left alone: their digest is its label dev.pangolin.inputs. Its bill of materials is
# /usr/share/pangolin/<image>.cdx.json in it and in .build/; the document's digest is the label dev.pangolin.sbom.
set -euo pipefail

cd "$(dirname "$0")/.."
# The classic builder is in every engine; BuildKit needs a client plugin that Debian's engine comes without.
export DOCKER_BUILDKIT=0
label=dev.pangolin.inputs
tag=${PANGOLIN_IMAGE_TAG:-dev}
node=node_modules/.bin/node

say() { printf 'images: %s\n' "$*" >&2; }

# The architecture as images name it.
case ${PLATFORM:-linux/$(uname -m)} in
  linux/x86_64 | linux/amd64) arch=amd64 ;;
  linux/aarch64 | linux/arm64) arch=arm64 ;;
  *) say "no image for ${PLATFORM:-$(uname -m)}"; exit 6 ;;
esac

# $1: image, $2: Dockerfile, $3: bill of materials, the rest: files that go into it.
build() {
  local image=$1 dockerfile=$2 sbom=$3 inputs log
  shift 3
  inputs=$({
    docker image inspect -f '{{.Id}}' "$base" 2>/dev/null || echo "$base"
    echo "${target:-}" "$arch"
    sha256sum "$dockerfile" .dockerignore "$@"
  } | sha256sum | cut -c1-64)
  if [ "$(docker image inspect -f "{{index .Config.Labels \"$label\"}}" "$image" 2>/dev/null)" = "$inputs" ]; then
    say "$image is up to date"
    return 0
  fi
  log=$(mktemp)
  if ! docker build -f "$dockerfile" ${target:+--target "$target"} -t "$image" \
    ${PLATFORM:+--platform "$PLATFORM"} --build-arg TARGETARCH="$arch" --build-arg BASE="$base" --label "$label=$inputs" \
    --label "dev.pangolin.sbom=sha256:$(sha256sum <"$sbom" | cut -c1-64)" --force-rm . >"$log" 2>&1; then
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
      "$node" scripts/build.mjs worker >&2
      "$node" scripts/image-files.mjs worker
      target=worker build "pangolin-worker:$tag" Dockerfile.worker .build/worker.cdx.json .build/worker.tar
      ;;
    agent)
      cli=$(scripts/claude-code.sh "$arch")
      acp=$(scripts/acp-agent.sh)
      "$node" scripts/build.mjs worker >&2
      "$node" scripts/image-files.mjs worker
      mkdir -p ".build/agent/$arch"
      for file in "$cli" "$acp"; do ln -f "$file" ".build/agent/$arch/" 2>/dev/null || cp "$file" ".build/agent/$arch/"; done
      # Of no use to the other images, whose builds would send it to the engine.
      trap 'rm -rf .build/agent' EXIT
      target=agent build "pangolin-agent:$tag" Dockerfile.worker .build/worker.cdx.json .build/worker.tar ".build/agent/$arch"/*
      rm -rf .build/agent
      ;;
    controller)
      "$node" scripts/build.mjs worker >&2
      "$node" scripts/build.mjs cli >&2
      "$node" scripts/image-files.mjs controller
      build "pangolin-controller:$tag" Dockerfile.controller .build/controller.cdx.json .build/controller.tar
      ;;
    *)
      say "unknown image: $image (worker, agent, controller)"
      exit 2
      ;;
  esac
done
