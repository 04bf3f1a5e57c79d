#!/bin/bash
# The S3 servers of the storage tests, on loopback: Ceph RGW, Ceph RGW on dbstore (which lies), and moto.
#
#   scripts/s3-servers.sh up      installs and starts what is missing, then prints the PANGOLIN_TEST_* lines
#   scripts/s3-servers.sh provision    installs what is missing and starts nothing
#   scripts/s3-servers.sh down    stops them
#   scripts/s3-servers.sh rgw-admin …    radosgw-admin of the running Ceph RGW; users of tests are made with it
#   scripts/s3-servers.sh python …       python3 of the root file system, where moto is
#
#   eval "$(scripts/s3-servers.sh up)" && npm test -- storage
#
# Needs root and Debian's package mirrors; about three minutes the first time and three seconds after that. The
# servers live in a root file system of their own under PANGOLIN_CI_CACHE (default ~/.cache/pangolin-ci), made
# from Debian unstable: only there is an RGW whose conditional writes hold. Nothing is installed on the host
# but mmdebstrap.
set -euo pipefail
here=$(cd -- "$(dirname -- "$0")" && pwd)
cache=${PANGOLIN_CI_CACHE:-${HOME:?}/.cache/pangolin-ci}
rootfs=$cache/s3-rootfs
state=$cache/s3-run
rgw_port=${PANGOLIN_S3_RGW_PORT:-18002}
dbstore_port=${PANGOLIN_S3_DBSTORE_PORT:-18012}
moto_port=${PANGOLIN_S3_MOTO_PORT:-18501}

say() { echo "s3-servers: $*" >&2; }

# The mirror that this machine's own apt uses.
mirror() {
  { cat /etc/apt/sources.list.d/*.sources 2>/dev/null | sed -n 's/^URIs: *//p'
    cat /etc/apt/sources.list /etc/apt/sources.list.d/*.list 2>/dev/null | grep -oE '^deb .*' | grep -oE 'https?://[^ ]+'
  } | grep -E '/debian/?$' | head -n 1
}

provision() {
  mkdir -p "$cache"
  # One at a time. The servers must not inherit the lock: see start.
  exec 9>"$cache/s3-servers.lock"
  flock 9
  if [ -e "$rootfs/.complete" ]; then return; fi
  if [ "$(id -u)" != 0 ]; then
    say 'making the root file system needs root'
    exit 6
  fi
  if ! command -v mmdebstrap >/dev/null; then
    apt-get update -qq >&2
    DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends mmdebstrap >&2
  fi
  rm -rf "$rootfs"
  say 'making the root file system of the servers (minutes, once)'
  # Unstable's Release file may be past its Valid-Until on a mirror that is a snapshot.
  mmdebstrap --quiet --variant=essential \
    --include=radosgw,ceph-mon,ceph-osd,ceph-common,python3-moto,python3-flask,python3-flask-cors,ca-certificates,curl \
    --aptopt='Acquire::Check-Valid-Until "false"' --aptopt='APT::Install-Recommends "false"' \
    --dpkgopt='path-exclude=/usr/share/man/*' --dpkgopt='path-exclude=/usr/share/doc/*' \
    sid "$rootfs" "$(mirror)" >&2
  touch "$rootfs/.complete"
}

# shellcheck disable=SC2188
answers() { (: <>"/dev/tcp/127.0.0.1/$1") 2>/dev/null; }

# start NAME COMMAND...: runs the command in the root file system, in mount and process namespaces of its own, so
# that the whole server ends with its first process. Its /data is memory.
start() {
  local name=$1
  shift
  mkdir -p "$state" "$rootfs/data"
  cp "$here/rgw-up.sh" "$rootfs/rgw-up.sh"
  # shellcheck disable=SC2016
  setsid unshare --mount --pid --fork --kill-child sh -c '
    set -e
    root=$1; shift
    mount --make-rprivate /
    mount -t proc proc "$root/proc"
    mount --rbind /dev "$root/dev"
    mount -t tmpfs -o size=4g tmpfs "$root/data"
    exec chroot "$root" "$@"' sh "$rootfs" "$@" >"$state/$name.log" 2>&1 </dev/null 9>&- &
  echo $! >"$state/$name.pid"
}

# ensure NAME PORT READY COMMAND...: starts the server unless its port answers, and waits for the line READY.
ensure() {
  local name=$1 port=$2 ready=$3
  shift 3
  if answers "$port"; then return; fi
  say "starting $name"
  start "$name" "$@"
  for _ in $(seq 900); do
    if answers "$port" && grep -q "$ready" "$state/$name.log"; then return; fi
    if ! kill -0 "$(cat "$state/$name.pid")" 2>/dev/null; then break; fi
    sleep 0.1
  done
  say "$name did not start:"
  tail -n 30 "$state/$name.log" >&2
  exit 6
}

up() {
  provision
  local rgw='bash /rgw-up.sh "$@" && echo ready && exec sleep infinity'
  ensure rgw "$rgw_port" '^ready$' bash -c "$rgw" bash rados /data "$rgw_port" "$((rgw_port + 2))"
  ensure dbstore "$dbstore_port" '^ready$' bash -c "$rgw" bash dbstore /data "$dbstore_port" "$((dbstore_port + 2))"
  ensure moto "$moto_port" Running python3 -m moto.server -H 127.0.0.1 -p "$moto_port"
  echo "export PANGOLIN_TEST_S3_RGW=http://127.0.0.1:$rgw_port"
  echo "export PANGOLIN_TEST_S3_DBSTORE=http://127.0.0.1:$dbstore_port"
  echo "export PANGOLIN_TEST_S3_MOTO=http://127.0.0.1:$moto_port"
  # What moto is made of describes the services of AWS: names, types, lengths, patterns.
  echo "export PANGOLIN_TEST_AWS_MODELS=$rootfs/usr/lib/python3/dist-packages/botocore/data"
}

down() {
  local file
  for file in "$state"/*.pid; do
    if [ -e "$file" ]; then
      # unshare passes its end on to everything inside.
      kill -9 "$(cat "$file")" 2>/dev/null || true
      rm -f "$file"
    fi
  done
}

# In the mount namespace of the running server, where its configuration is.
rgw_admin() {
  nsenter --mount="/proc/$(cat "$state/rgw.pid")/ns/mnt" chroot "$rootfs" env CEPH_CONF=/data/ceph.conf radosgw-admin "$@"
}

case "${1:-}" in
  up) up ;;
  provision) provision ;;
  rgw-admin) shift; rgw_admin "$@" ;;
  python) shift; chroot "$rootfs" python3 "$@" ;;
  down) down ;;
  *)
    echo 'usage: s3-servers.sh up|provision|down|rgw-admin …|python …' >&2
    exit 2
    ;;
esac
