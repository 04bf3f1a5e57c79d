#!/usr/bin/env bash
# Makes a Docker engine answer on this machine: up | down | status.
#
# up      uses the engine that answers; otherwise installs Debian's (as root) and starts one with a data root of its own. Either
#         way a local engine gets Debian's crun as a second OCI runtime, for items that ask for a runtime class.
# down    stops the engine that `up` started, and only that one.
# status  exit 0 when an engine answers.
#
# Environment: DOCKER_HOST as usual; PANGOLIN_ENGINE_DIR is where a started engine keeps everything.
set -euo pipefail

dir=${PANGOLIN_ENGINE_DIR:-/var/lib/pangolin-engine}
ready_seconds=60

say() { printf 'docker-engine: %s\n' "$*" >&2; }
answers() { timeout 10 docker version --format '{{.Server.Version}}' >/dev/null 2>&1; }

install_engine() {
  [ "$(id -u)" = 0 ] || { say 'no engine answers and only root can install one'; exit 6; }
  command -v apt-get >/dev/null || { say 'no engine answers and there is no apt-get to install one'; exit 6; }
  say 'installing docker.io'
  export DEBIAN_FRONTEND=noninteractive
  apt-get update -qq >&2
  apt-get install -y -qq --no-install-recommends docker.io iptables ca-certificates >&2
}

# Only for an engine of this machine, and root: its configuration is read at start and again on SIGHUP, which stops nothing.
offer_crun() {
  local config=$dir/daemon.json pid i
  docker info --format '{{json .Runtimes}}' | grep -q '"crun"' && return 0
  pid=$(cat "$dir/pid" 2>/dev/null || cat /var/run/docker.pid 2>/dev/null || true)
  [ "$(id -u)" = 0 ] && [ -n "$pid" ] && kill -0 "$pid" 2>/dev/null || { say 'cannot offer the runtime crun here'; return 0; }
  command -v crun >/dev/null || {
    say 'installing crun'
    apt-get update -qq >&2 && DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends crun >&2
  } || { say 'crun cannot be installed'; return 0; }
  # Without the option the engine reads the usual place; what somebody else wrote there is not ours to change.
  if ! tr '\0' ' ' <"/proc/$pid/cmdline" | grep -qF -- "--config-file $config"; then
    config=/etc/docker/daemon.json
    [ ! -s "$config" ] || { say "add the runtime crun to $config"; return 0; }
  fi
  mkdir -p "$dir" "$(dirname "$config")"
  cat >"$dir/crun" <<'END'
#!/bin/sh
# crun refuses a host that mounts cgroup v2 with controllers beside v1: that mount is taken out of what crun sees, and it alone.
grep -q ' /sys/fs/cgroup/unified cgroup2 ' /proc/mounts || exec crun "$@"
exec unshare --mount --propagation slave sh -c 'umount /sys/fs/cgroup/unified && exec crun "$@"' crun "$@"
END
  chmod 0755 "$dir/crun"
  printf '{"runtimes":{"crun":{"path":"%s"}}}\n' "$dir/crun" >"$config"
  kill -HUP "$pid"
  for ((i = 0; i < ready_seconds * 5; i++)); do
    docker info --format '{{json .Runtimes}}' | grep -q '"crun"' && return 0
    sleep 0.2
  done
  say 'the engine did not take the runtime crun'
}

# $1: storage driver, empty for the engine's own choice. Every descriptor is closed to us, so that the caller's pipes end.
launch() {
  local driver=()
  [ -z "$1" ] || driver=(--storage-driver "$1")
  rm -f "$dir/pid"
  [ -e "$dir/daemon.json" ] || echo '{}' >"$dir/daemon.json"
  setsid dockerd --config-file "$dir/daemon.json" --data-root "$dir/data${1:+-$1}" --exec-root "$dir/exec" --pidfile "$dir/pid" "${driver[@]}" \
    </dev/null >"$dir/log" 2>&1 9>&- &
  local child=$! i
  for ((i = 0; i < ready_seconds * 5; i++)); do
    answers && return 0
    kill -0 "$child" 2>/dev/null || return 1
    sleep 0.2
  done
  kill "$child" 2>/dev/null || true
  return 1
}

up() {
  command -v docker >/dev/null && answers && return 0
  if ! command -v dockerd >/dev/null || ! command -v docker >/dev/null; then install_engine; fi
  answers && return 0
  case ${DOCKER_HOST:-unix:///var/run/docker.sock} in
    unix:///var/run/docker.sock | unix:///run/docker.sock) ;;
    *) say "DOCKER_HOST names an engine that does not answer: $DOCKER_HOST"; exit 6 ;;
  esac
  [ "$(id -u)" = 0 ] || { say 'no engine answers and only root can start one'; exit 6; }
  mkdir -p "$dir"
  exec 9>"$dir/lock"
  flock 9
  answers && return 0
  # Not every file system can carry overlay2; vfs always works, slowly.
  launch '' || launch vfs || {
    say 'the engine did not start; the end of its log:'
    tail -n 20 "$dir/log" >&2
    exit 6
  }
  say "started, data in $dir; stop it with: scripts/docker-engine.sh down"
}

down() {
  [ -s "$dir/pid" ] || { say 'not started by this script'; return 0; }
  kill "$(cat "$dir/pid")" 2>/dev/null || true
}

case ${1:-} in
  up) up && offer_crun ;;
  down) down ;;
  status) answers ;;
  *) say 'usage: scripts/docker-engine.sh up|down|status'; exit 2 ;;
esac
