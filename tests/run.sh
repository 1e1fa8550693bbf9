#!/usr/bin/env bash
# Installs what is missing, builds, and runs every test.
#   tests/run.sh            the tests, as CI runs them
#   tests/run.sh -R NAME    only those whose name matches (arguments go to ctest)
set -euo pipefail
cd "$(dirname "$0")/.."

packages=(libcriterion-dev valgrind)
[ "$(id -u)" != 0 ] || packages+=(iproute2 openssh-server) # tests/cluster makes hosts, which only root can
jobs/setup.sh "${packages[@]}"
# For the fuzz targets, 45 MB; without it their seeds are replayed by gcc.
jobs/setup.sh clang libclang-rt-14-dev || echo "no clang: the parsers are not fuzzed"
cmake --preset developer >/dev/null
cmake --build --preset developer
. jobs/mpi.sh
ctest --test-dir build-developer --output-on-failure --no-tests=error "$@" |
  awk -v log_file=build-developer/Testing/Temporary/LastTest.log -f tests/skipped.awk
