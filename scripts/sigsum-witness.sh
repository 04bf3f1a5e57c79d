#!/bin/bash
# A witness that we did not write, for the tests: sigsum-witness from Debian unstable, unpacked and not installed.
#
#   eval "$(scripts/sigsum-witness.sh)"     prints PANGOLIN_TEST_SIGSUM=<folder with sigsum-witness and sigsum-key>
#
# Needs apt-get and Debian's package mirrors; the package stays under PANGOLIN_CI_CACHE (default ~/.cache/pangolin-ci).
set -euo pipefail
cache=${PANGOLIN_CI_CACHE:-${HOME:?}/.cache/pangolin-ci}/sigsum
bin=$cache/root/usr/bin

# The mirror that this machine's own apt uses.
mirror() {
  { cat /etc/apt/sources.list.d/*.sources 2>/dev/null | sed -n 's/^URIs: *//p'
    cat /etc/apt/sources.list /etc/apt/sources.list.d/*.list 2>/dev/null | grep -oE '^deb .*' | grep -oE 'https?://[^ ]+'
  } | grep -E '/debian/?$' | head -n 1
}

if [ ! -x "$bin/sigsum-witness" ]; then
  mkdir -p "$cache/lists/partial" "$cache/archives/partial"
  echo "deb [signed-by=/usr/share/keyrings/debian-archive-keyring.gpg] $(mirror) sid main" >"$cache/sid.list"
  # Unstable's Release file may be past its Valid-Until on a mirror that is a snapshot.
  options=(-o "Dir::State::Lists=$cache/lists" -o "Dir::Cache=$cache" -o "Dir::Etc::sourcelist=$cache/sid.list"
    -o Dir::Etc::sourceparts=/nonexistent -o Acquire::Check-Valid-Until=false -o APT::Sandbox::User=root)
  apt-get "${options[@]}" update -qq >&2
  cd "$cache"
  apt-get "${options[@]}" download -qq sigsum-go >&2
  dpkg -x sigsum-go_*.deb root
fi
echo "export PANGOLIN_TEST_SIGSUM=$bin"
