#!/usr/bin/env bash
# SIGTERM or SIGUSR1 to any rank: the step under way is finished by all and saved, the status is 75, and the run goes on from there to
# the bits of the undisturbed one. A launcher's second signal does not cut that short.
. "$(dirname "$0")/lib.sh"

m=$models/llama3
job_is=(train --model "$m" --data "$m/train.jsonl" --steps 150 --batch-size 20 --dropout 0.1 --lr 1e-2)

ranks 1 "${job_is[@]}" --out whole
expect_status 0 "undisturbed run"

# stop NAME RANKS SIGNAL TARGET: TARGET is the rank to tell, or mpirun.
stop() {
  local name=$1 pid step
  start "$2" "${job_is[@]}" --out "$name"
  await_step "$name" 5
  pid=$job
  [ "$4" = mpirun ] || [ "$2" = 1 ] || pid=$(ranks_of_job | sed -n "$(($4 + 1))p")
  kill "-$3" "$pid"
  [ "$4" = mpirun ] || { sleep 0.01 && kill "-$3" "$pid" 2>/dev/null; }
  wait "$job"
  status=$?
  expect_status 75 "$name"
  step=$(n_steps "$name")
  [ "$step" -lt 150 ] || fail "$name: went on to the end"
  [ -f "$name/checkpoints/step-$(printf %08d "$step").h5" ] || fail "$name: no checkpoint of its last step $step"
  [ ! -e "$name/adapter.h5" ] || fail "$name: says that it is finished"
  ranks 2 "${job_is[@]}" --out "$name"
  expect_status 0 "$name goes on"
  expect_text "resuming from .*, step $step\$" err "$name goes on"
  same_run whole "$name"
}

stop alone 1 TERM 0
stop alone-usr1 1 USR1 0
stop last-rank 3 TERM 2
stop first-rank 2 USR1 0
stop mpirun 2 USR1 mpirun # which tells all ranks
