#!/usr/bin/env bash
# clang-tidy 14 has no complaints about the program's files, or about the given ones; .clang-tidy lists the
# checks.
#   tests/check_tidy.sh [FILE.c ...]
set -euo pipefail
cd "$(dirname "$0")/.."
. tests/check_lib.sh

clang_tidy=$(command -v clang-tidy-14) || skip "no clang-tidy 14"
command -v clang >/dev/null || skip "no clang"
mapfile -t files < <(git_files 'src/*.c' 'io/*.c' 'mpi/*.c')
[ $# = 0 ] || files=("$@")
configure tidy -DCMAKE_C_COMPILER=clang -DCMAKE_EXPORT_COMPILE_COMMANDS=ON
quietly cmake --build "$build" --target commit # this makes a header
printf '%s\n' "${files[@]}" | xargs -P "$(nproc)" -n 1 "$clang_tidy" -p "$build" --quiet 2>"$build/tidy.log" ||
  { grep -v 'warnings generated' "$build/tidy.log"; exit 1; }
