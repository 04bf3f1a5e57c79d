#!/usr/bin/env bash
# What a test of deploy/compose.yaml needs and a machine may lack. Prints the lines to evaluate:
#
#   eval "$(scripts/compose.sh)"
#
#   PANGOLIN_TEST_COMPOSE     the compose program; Debian's, unpacked into the CI cache, where the machine has none
#   PANGOLIN_TEST_RGW_IMAGE   an image of the root file system in which scripts/s3-servers.sh runs Ceph
set -euo pipefail
here=$(cd -- "$(dirname -- "$0")" && pwd)
# shellcheck source=scripts/unpack-debian.sh
. "$here/unpack-debian.sh"

cache=${PANGOLIN_CI_CACHE:-${HOME:?}/.cache/pangolin-ci}
image=pangolin-rgw:dev label=dev.pangolin.inputs

if docker compose version >/dev/null 2>&1; then
  compose='docker compose'
else
  compose=$(unpack_debian trixie compose docker-compose)/usr/libexec/docker/cli-plugins/docker-compose
  "$compose" version >&2
fi

[ -e "$cache/s3-rootfs/.complete" ] || { echo 'compose: run scripts/s3-servers.sh up first' >&2; exit 6; }
inputs=$({ cat "$0"; stat -c '%Y %i' "$cache/s3-rootfs/.complete"; } | sha256sum | cut -c1-64)
if [ "$(docker image inspect -f "{{index .Config.Labels \"$label\"}}" "$image" 2>/dev/null)" != "$inputs" ]; then
  tar -C "$cache/s3-rootfs" --numeric-owner --one-file-system --exclude=./proc --exclude=./sys --exclude=./dev --exclude=./data \
    --exclude=./usr/lib/python3/dist-packages/moto --exclude=./usr/lib/python3/dist-packages/botocore -c . | docker import -c "LABEL $label=$inputs" - "$image" >&2
fi
echo "export PANGOLIN_TEST_COMPOSE='$compose'"
echo "export PANGOLIN_TEST_RGW_IMAGE=$image"
