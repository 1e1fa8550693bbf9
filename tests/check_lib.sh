# shellcheck shell=bash
# Sourced by tests/check_*.sh, in the project's folder. Their builds are kept in CHECK_BUILD and reused.
: "${CHECK_BUILD:=build-check}"

# skip WHY: marks the test as skipped.
skip() {
  echo "skipped: $1"
  exit 77
}

# git_files PATTERN ...: the project's files, by git's patterns, with new ones that nobody has added yet; also works on
# files unpacked without git.
git_files() {
  local pattern
  git ls-files --cached --others --exclude-standard -- "$@" 2>/dev/null && return
  for pattern in "$@"; do find . -path './build*' -prune -o -path "./$pattern" -type f -print; done | sed 's|^\./||' | sort -u
}

# configure NAME OPTION ...: sets `build` to a folder for this check, with warnings as errors and tests.
configure() {
  build=$CHECK_BUILD/$1
  shift
  quietly cmake --preset developer -B "$build" "$@"
}

# quietly COMMAND ...: shows its output only if it fails.
quietly() {
  local output
  output=$("$@" 2>&1) || { echo "$output" | tail -n 100; return 1; }
}
