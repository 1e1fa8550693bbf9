#!/usr/bin/env bash
# A host loses its network in mid-run. Every rank of the job must end within a minute: by Open MPI's keepalive, as jobs/mpi.sh sets it, and
# without that by the program's own watch. With the cable back in, the run goes on and ends in the undisturbed one's bits.
. "$(dirname "$0")/lib.sh"
m=$models/gpt2
training=(train --model "$m" --data "$m/train.jsonl" --steps 150 --batch-size 16 --dropout 0.1 --lr 1e-2 --save-every 10)

# await_end SET: until no rank is left on any host.
await_end() {
  local began now=0 rest='' cut=''
  began=$(milliseconds)
  while { [ -z "$rest" ] || [ -z "$cut" ]; } && [ $now -lt 60000 ]; do
    now=$(($(milliseconds) - began))
    [ -n "$rest" ] || [ -n "$(ranks_on "$1" h1; ranks_on "$1" h3)" ] || rest=$now
    [ -n "$cut" ] || [ -n "$(ranks_on "$1" h2)" ] || cut=$now
    sleep 0.1
  done
  echo "$1: milliseconds until the ranks of the other hosts had ended: ${rest:-never}; those of the host cut off: ${cut:-never}"
  if [ -z "$rest" ] || [ -z "$cut" ]; then fail "$1: ranks hang"; fi
}

# cut_host SET ARGUMENT ...: pulls the cable of h2 in mid-run. Leaves err, and $status: mpirun's, or `hangs`.
cut_host() {
  local set=$1 i
  shift
  hosts "$set" run h1:1,h2:2,h3:1 "$LORA_DIST" "${training[@]}" --out run "$@" >out 2>err &
  job=$!
  await_step run 25
  hosts "$set" cut h2
  await_end "$set"
  [ "$(n_steps run)" -lt 150 ] || fail "$set: the run was over before its host was cut off"
  for ((i = 0; i < 30; i++)); do
    kill -0 $job 2>/dev/null || break
    sleep 0.1
  done
  status=hangs
  kill -0 $job 2>/dev/null || { wait $job; status=$?; }
  echo "$set: mpirun's status: $status"
}

# go_on SET: an mpirun that hangs is ended as its user would end it.
go_on() {
  local host
  for host in h1 h2 h3; do hosts "$1" kill "$host"; done
  hosts "$1" heal h2
  hosts "$1" run h1:1,h2:2,h3:1 "$LORA_DIST" "${training[@]}" --out run >out 2>err
  status=$?
  expect_status 0 "$1, resumed"
  expect_text 'resuming from ' err "$1, resumed"
  same_run "$scratch/whole" run
}

# Of mpirun and its daemons.
keepalive() {
  cut_host keepalive
  [[ $status != 0 && $status != hangs ]] || fail "keepalive: mpirun's status: $status"
  expect_text 'lost communication with|no longer reachable|communication .*failed' err keepalive
  go_on keepalive
}

# Of the program alone: mpirun may hang, as Open MPI does by itself, but no rank may.
watch() {
  export OMPI_MCA_oob_tcp_keepalive_time=0
  cut_host watch --patience 5
  [ "$(grep -c 'lora_dist.*: error: ' err)" = 1 ] || fail "watch: not one error line"
  expect_text 'error: .*step [0-9]+.*no answer .* from h2 \(ranks 1, 2\)' err watch
  go_on watch
}

# form NAME: in a folder and on hosts of its own; both wait most of the time, so they run at once.
form() {
  mkdir "$scratch/$1" && cd "$scratch/$1" || exit 1
  failures=0
  "$1"
  exit "$failures"
}

make_hosts keepalive 3
make_hosts watch 3
ranks 1 "${training[@]}" --out whole
expect_status 0 "undisturbed run"
(form keepalive) &
first=$!
(form watch) &
wait $! || failures=$((failures + $?))
wait $first || failures=$((failures + $?))
