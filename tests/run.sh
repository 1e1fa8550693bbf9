#!/usr/bin/env bash
# Installs what is missing, builds, and runs tests.
#   tests/run.sh              all of them, as CI does; takes half an hour on 2 cores
#   tests/run.sh -R unit      those whose names match: the arguments go to ctest. The tools of check/ and fuzz/ are not installed then
set -euo pipefail
cd "$(dirname "$0")/.."

packages=(libcriterion-dev valgrind zstd file) # cpack uses `file` to find programs
[ "$(id -u)" != 0 ] || packages+=(iproute2 openssh-server) # tests/cluster makes hosts, which needs root
[ $# != 0 ] || packages+=(clang libclang-rt-14-dev clang-tidy-14 clang-format-14 shellcheck libmpich-dev mpich man-db
  gcc-aarch64-linux-gnu qemu-user)
jobs/setup.sh "${packages[@]}"
cmake --preset developer >/dev/null
cmake --build --preset developer
. jobs/mpi.sh
ctest --test-dir build-developer --output-on-failure --no-tests=error "$@" |
  awk -v log_file=build-developer/Testing/Temporary/LastTest.log -f tests/skipped.awk
