# shellcheck shell=bash
# Helpers for tests on hosts of this machine; source it first. It sources tests/runs/lib.sh.
. "$(dirname "${BASH_SOURCE[0]}")/../runs/lib.sh"
cluster=$root/tests/cluster

# hosts SET ARGUMENT ...: hosts.sh on a set of hosts of this test.
hosts() {
  HOSTS=$scratch/hosts.$1 "$cluster/hosts.sh" "${@:2}"
}

# make_hosts SET N ...: ends the test as skipped if hosts cannot be made.
make_hosts() {
  local code=0
  hosts "$1" up "${@:2}" --while $$ || code=$?
  [ $code = 0 ] || exit $code
}

end_hosts() {
  local code=$? dir
  for dir in "$scratch"/hosts.*; do
    [ ! -d "$dir" ] || hosts "${dir##*/hosts.}" down
  done
  (exit $code)
  end
}
trap end_hosts EXIT

# ranks_on SET HOST: the ranks that run there.
ranks_on() {
  local pid
  for pid in $(hosts "$1" pids "$2"); do
    [ "$(readlink "/proc/$pid/exe")" != "$LORA_DIST" ] || echo "$pid"
  done
}

milliseconds() {
  echo $((${EPOCHREALTIME/./} / 1000))
}
