# shellcheck shell=bash
# Sourced by tests/check_*.sh, in the project's folder. Their builds lie in CHECK_BUILD and are used again.
: "${CHECK_BUILD:=build-check}"

# skip WHY: the test counts as skipped.
skip() {
  echo "skipped: $1"
  exit 77
}

# git_files PATTERN ...: the project's files, by git's patterns; also where they were unpacked without git.
git_files() {
  local pattern
  git ls-files -- "$@" 2>/dev/null && return
  for pattern in "$@"; do find . -path './build*' -prune -o -path "./$pattern" -type f -print; done | sed 's|^\./||' | sort -u
}

# configure NAME OPTION ...: sets `build` to a folder for this check, with warnings as errors and tests.
configure() {
  build=$CHECK_BUILD/$1
  shift
  quietly cmake --preset developer -B "$build" "$@"
}

# quietly COMMAND ...: its output only if it fails.
quietly() {
  local output
  output=$("$@" 2>&1) || { echo "$output" | tail -n 100; return 1; }
}
