#!/bin/bash
# Verifiers that we did not write, for the tests: cosign, sigstore-go, Go with its note and tlog packages, and
# python3-securesystemslib, from Debian unstable, unpacked and not installed.
#
#   eval "$(scripts/evidence-tools.sh)"     prints PANGOLIN_TEST_EVIDENCE_TOOLS=<folder with cosign, sigstore-go-verification, go, tlogcheck, python3>
#
# Needs apt-get, Debian's package mirrors and /usr/bin/python3 of Debian 12. Kept under PANGOLIN_CI_CACHE.
set -euo pipefail
here=$(cd "$(dirname "$0")/.." && pwd)
. "$here/scripts/unpack-debian.sh"
home=${PANGOLIN_CI_CACHE:-${HOME:?}/.cache/pangolin-ci}/evidence-tools
bin=$home/bin

tools=$(unpack_debian sid evidence-tools \
  cosign sigstore-go golang-1.26-go golang-1.26-src golang-golang-x-mod-dev python3-securesystemslib)
# Compiled parts have to fit the Python that runs them.
python=$(unpack_debian bookworm evidence-python python3-cryptography python3-cffi-backend)

mkdir -p "$bin"
ln -sf "$tools/usr/bin/cosign" "$tools/usr/bin/sigstore-go-verification" "$bin/"

# A program NAME that runs what is on standard input.
program() {
  cat >"$bin/$1.$$"
  chmod +x "$bin/$1.$$"
  mv "$bin/$1.$$" "$bin/$1"
}
program go <<SCRIPT
#!/bin/sh
export GOROOT=$tools/usr/lib/go-1.26 GOPATH=$tools/usr/share/gocode GOCACHE=$home/gocache
export GO111MODULE=off CGO_ENABLED=0 GOTOOLCHAIN=local GOFLAGS=
exec $tools/usr/lib/go-1.26/bin/go "\$@"
SCRIPT
program python3 <<SCRIPT
#!/bin/sh
export PYTHONPATH=$tools/usr/lib/python3/dist-packages:$python/usr/lib/python3/dist-packages
exec /usr/bin/python3 "\$@"
SCRIPT

source=$here/test/foreign/tlogcheck.go
if ! cmp -s "$source" "$bin/tlogcheck.go"; then
  "$bin/go" build -o "$bin/tlogcheck.$$" "$source" >&2
  mv "$bin/tlogcheck.$$" "$bin/tlogcheck"
  cp "$source" "$bin/tlogcheck.go"
fi
echo "export PANGOLIN_TEST_EVIDENCE_TOOLS=$bin"
