#!/usr/bin/env bash
# A slow disk is not mistaken for a dead rank, from the first file of a run to the last. A rank that stops
# while MPI starts or ends, when the watch cannot ask it, ends the job with one error after a limit. A job
# that is stopped as a whole and continued loses nothing by it.
. "$(dirname "$0")/lib.sh"
: "${FAIL_CALL_LIBRARY:=$root/build/tests/libfail_call.so}"
[ -f "$FAIL_CALL_LIBRARY" ] || { echo "FAIL_CALL_LIBRARY=$FAIL_CALL_LIBRARY: no such library"; exit 1; }
export ASAN_OPTIONS=verify_asan_link_order=0

m=$models/gpt2
job_is=(train --model "$m" --data "$m/train.jsonl" --valid "$m/train.jsonl" --steps 2 --batch-size 30 --lr 1e-2 --eval-every 1 --save-every 1
  --patience 1)
ranks 1 "${job_is[@]}" --out whole
expect_status 0 "undisturbed run"

# Opening a run syncs six times, so it takes longer than a rank may be silent (5 s, and the patience).
slow_disk() {
  FAIL_UNDER=$PWD/slow SLOW_FSYNC=${SLOW_FSYNC:-1.3} LD_PRELOAD=$FAIL_CALL_LIBRARY ranks 2 "${job_is[@]}" --out "$PWD/slow"
  expect_status 0 "a slow disk"
  same_run ../whole slow
}

# stopped CALL RANK REGEX
stopped() {
  SECONDS=0
  STOP_IN=$1 STOP_RANK=$2 LD_PRELOAD=$FAIL_CALL_LIBRARY ranks 2 "${job_is[@]}" --out run
  expect_error 1 "${1#after }: a rank is missing for [0-9]+ s: .*$3" "rank $2 stopped in $1"
  [ "$SECONDS" -lt 60 ] || fail "rank $2 stopped in $1: took $SECONDS s to end"
  [ "$1" != MPI_Finalize ] || same_run ../whole run
}

# Most of their time is waiting: run at the same time, each in its own folder.
# shellcheck disable=SC2030,SC2031 # each counts its own failures
beside() {
  (
    trap - EXIT
    failures=0 # of this part
    mkdir "beside-$n_beside" && cd "beside-$n_beside" && "$@"
    [ "$failures" = 0 ]
  ) &
  parts[n_beside]=$!
  n_beside=$((n_beside + 1))
}
n_beside=0
parts=()
beside slow_disk
beside stopped MPI_Init 1 'longer --patience'
beside stopped 'after MPI_Init' 0 'longer --patience'
beside stopped MPI_Finalize 1 'work was already complete'
beside stopped MPI_Finalize 0 'work was already complete' # another rank reports it
# shellcheck disable=SC2031
for part in "${parts[@]}"; do wait "$part" || failures=$((failures + 1)); done

# A whole job that is stopped for longer than the patience and the time of silence.
start 2 "${job_is[@]}" --steps 60 --out paused
await_step paused 2
all="$job $(ranks_of_job)"
# shellcheck disable=SC2086
kill -STOP $all
sleep 9
# shellcheck disable=SC2086
kill -CONT $all
wait "$job"
status=$?
[ "$status" = 75 ] || expect_status 0 "a job that was stopped as a whole" # mpirun wakes its ranks by SIGCONT to end them
! grep -q 'no answer' err || fail "a job that was stopped as a whole was given up"
