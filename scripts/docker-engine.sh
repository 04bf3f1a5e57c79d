#!/usr/bin/env bash
# Makes a Docker engine answer on this machine: up | down | status.
#
# up      uses the engine that answers; otherwise installs Debian's (as root) and starts one with a data root of its own.
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

# $1: storage driver, empty for the engine's own choice. Every descriptor is closed to us, so that the caller's pipes end.
launch() {
  local driver=()
  [ -z "$1" ] || driver=(--storage-driver "$1")
  rm -f "$dir/pid"
  setsid dockerd --data-root "$dir/data${1:+-$1}" --exec-root "$dir/exec" --pidfile "$dir/pid" "${driver[@]}" \
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
  up) up ;;
  down) down ;;
  status) answers ;;
  *) say 'usage: scripts/docker-engine.sh up|down|status'; exit 2 ;;
esac
