#!/usr/bin/env bash
# Installs what is missing, builds, and runs every test.
#   tests/run.sh            the tests, as CI runs them
#   tests/run.sh -R NAME    only those whose name matches (arguments go to ctest)
set -euo pipefail
cd "$(dirname "$0")/.."

jobs/setup.sh valgrind
cmake --preset developer >/dev/null
cmake --build --preset developer
. jobs/mpi.sh
exec ctest --test-dir build-developer --output-on-failure --no-tests=error "$@"
