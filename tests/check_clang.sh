#!/usr/bin/env bash
# clang builds everything, including the tests, without a warning, and computes the same bits.
set -euo pipefail
cd "$(dirname "$0")/.."
. tests/check_lib.sh

command -v clang >/dev/null || skip "no clang"
configure clang -DCMAKE_C_COMPILER=clang
quietly cmake --build "$build"
quietly ctest --test-dir "$build" --output-on-failure --no-tests=error -R 'unit/test_fingerprint'
