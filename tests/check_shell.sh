#!/usr/bin/env bash
# Every shell script passes shellcheck; .shellcheckrc has its settings.
set -euo pipefail
cd "$(dirname "$0")/.."
. tests/check_lib.sh

command -v shellcheck >/dev/null || skip "no shellcheck"
git_files '*.sh' '*.sbatch' .ci/run | xargs -P "$(nproc)" -n 8 shellcheck
