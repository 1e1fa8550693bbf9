#!/usr/bin/env bash
# The unit tests pass under AddressSanitizer and UBSan.
set -euo pipefail
cd "$(dirname "$0")/.."
. tests/check_lib.sh

configure sanitize -DLD_SANITIZE=ON
quietly cmake --build "$build"
quietly ctest --test-dir "$build" --output-on-failure --no-tests=error -R '^unit/'
