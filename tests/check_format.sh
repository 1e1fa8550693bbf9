#!/usr/bin/env bash
# Every C file must be formatted as by clang-format 14.
#   tests/check_format.sh            lists files that are not
#   tests/check_format.sh --fix      rewrites them
set -euo pipefail
cd "$(dirname "$0")/.."
. tests/check_lib.sh

clang_format=$(command -v clang-format-14) || skip "no clang-format 14, and others format differently"
mapfile -t files < <(git_files '*.c' '*.h')
if [ "${1:-}" = --fix ]; then
  "$clang_format" -i "${files[@]}"
else
  "$clang_format" --dry-run --Werror "${files[@]}" 2>&1 | sed -n 's/:[0-9]*:[0-9]*: error: .*/ /p' | uniq -c | awk '
    { print $2 ": " $1 " places"; n++ }
    END { if (n) { print n " files are not formatted: tests/check_format.sh --fix"; exit 1 } }'
fi
