#!/bin/bash
# A witness that we did not write, for the tests: sigsum-witness from Debian unstable, unpacked and not installed.
#
#   eval "$(scripts/sigsum-witness.sh)"     prints PANGOLIN_TEST_SIGSUM=<folder with sigsum-witness and sigsum-key>
set -euo pipefail
. "$(dirname "$0")/unpack-debian.sh"
root=$(unpack_debian sid sigsum sigsum-go)
echo "export PANGOLIN_TEST_SIGSUM=$root/usr/bin"
