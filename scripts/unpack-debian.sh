# Sourced: unpacks Debian packages into a folder of the CI cache, without installing anything on the host.
#
#   unpack_debian SUITE NAME PACKAGE...    prints the folder, $PANGOLIN_CI_CACHE/NAME/root (default ~/.cache/pangolin-ci)
#
# Needs apt-get and Debian's package mirrors; what is there is not fetched again.

# The mirror that this machine's own apt uses.
debian_mirror() {
  { cat /etc/apt/sources.list.d/*.sources 2>/dev/null | sed -n 's/^URIs: *//p'
    cat /etc/apt/sources.list /etc/apt/sources.list.d/*.list 2>/dev/null | grep -oE '^deb .*' | grep -oE 'https?://[^ ]+'
  } | grep -E '/debian/?$' | head -n 1
}

unpack_debian() (
  suite=$1 caches=${PANGOLIN_CI_CACHE:-${HOME:?}/.cache/pangolin-ci} name=$2
  shift 2
  cache=$caches/$name apt=$caches/apt-$suite
  mkdir -p "$cache" "$apt/lists/partial" "$apt/archives/partial"
  exec 9>"$cache.lock"
  flock 9
  if [ "$(cat "$cache/complete" 2>/dev/null)" != "$*" ]; then
    echo "deb [signed-by=/usr/share/keyrings/debian-archive-keyring.gpg] $(debian_mirror) $suite main" >"$apt/source.list"
    # Unstable's Release file may be past its Valid-Until on a mirror that is a snapshot.
    options=(-o "Dir::State::Lists=$apt/lists" -o "Dir::Cache=$apt" -o "Dir::Etc::sourcelist=$apt/source.list"
      -o Dir::Etc::sourceparts=/nonexistent -o Acquire::Check-Valid-Until=false -o APT::Sandbox::User=root)
    (flock 8; apt-get "${options[@]}" update -qq >&2) 8>"$apt/lock"
    rm -rf "$cache/root" "$cache/debs"
    mkdir "$cache/debs"
    (cd "$cache/debs" && apt-get "${options[@]}" download -qq "$@" >&2)
    for package in "$cache"/debs/*.deb; do dpkg -x "$package" "$cache/root"; done
    rm -rf "$cache/debs"
    echo "$*" >"$cache/complete"
  fi
  echo "$cache/root"
)
