#!/usr/bin/env bash
# SIGTERM, SIGHUP or SIGUSR1 to any rank, or Ctrl-C at a terminal: all ranks finish the current step and save
# it, the status is 75, and the run resumes from there to the bits of the undisturbed one. A launcher's second
# signal does not cut that short.
. "$(dirname "$0")/lib.sh"

m=$models/llama3
job_is=(train --model "$m" --data "$m/train.jsonl" --steps 150 --batch-size 20 --dropout 0.1 --lr 1e-2)

ranks 1 "${job_is[@]}" --out whole
expect_status 0 "undisturbed run"

# stop NAME RANKS SIGNAL TARGET [STATUS]: TARGET is the rank to signal, or mpirun.
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
  expect_status "${5:-75}" "$name"
  step=$(n_steps "$name")
  [ "$step" -lt 150 ] || fail "$name: went on to the end"
  [ -f "$name/checkpoints/step-$(printf %08d "$step").h5" ] || fail "$name: no checkpoint of its last step $step"
  [ ! -e "$name/adapter.h5" ] || fail "$name: says that it is finished"
  expect_text "Not finished: $step of 150 steps" "$name/report.html" "$name: the report at a stop"
  ranks 2 "${job_is[@]}" --out "$name"
  expect_status 0 "$name goes on"
  expect_text "resuming from .*, step $step\$" err "$name goes on"
  same_run whole "$name"
}

stop alone 1 TERM 0
stop alone-usr1 1 USR1 0
stop alone-hup 1 HUP 0
stop last-rank 3 TERM 2
stop first-rank 2 USR1 0
stop mpirun 2 USR1 mpirun # which passes it on to all ranks

# mpirun itself ends with 1 after a SIGTERM, whatever its ranks did.
OMPI_MCA_odls_base_sigkill_timeout=2 stop mpirun-term 2 TERM mpirun 1

# at_terminal NAME: a run without mpirun; what is written to descriptor 9 is typed there. What a shell starts
# in the background ignores SIGINT by default.
at_terminal() {
  rm -f keys
  mkfifo keys
  env --default-signal=INT SHELL=/bin/bash script -qefc "$(printf '%q ' "$LORA_DIST" "${job_is[@]}" --out "$1")" /dev/null <keys >out 2>err &
  job=$!
  exec 9>keys
}

at_terminal ctrl-c
await_step ctrl-c 5
printf '\003' >&9
wait "$job"
status=$?
expect_status 75 "Ctrl-C"
expect_text 'Ctrl-C again ends at once' out "Ctrl-C"
step=$(n_steps ctrl-c)
[ -f "ctrl-c/checkpoints/step-$(printf %08d "$step").h5" ] || fail "Ctrl-C: no checkpoint of the last step $step"

# A second Ctrl-C ends a long wait at once: here for the lock of another run.
(flock 8 && exec sleep 15) 8>>ctrl-c/lock &
holder=$!
at_terminal ctrl-c
sleep 1
printf '\003' >&9
sleep 0.3
printf '\003' >&9
wait "$job"
status=$?
expect_status 130 "Ctrl-C twice"
kill -0 $holder || fail "Ctrl-C twice: did not end at once"
kill $holder
exec 9>&-
sleep 0.1

ranks 2 "${job_is[@]}" --out ctrl-c
expect_text "resuming from .*, step $step\$" err "Ctrl-C goes on"
same_run whole ctrl-c

# A second signal, later than a launcher would send one, ends at once; what was saved before stays.
job_is+=(--save-every 5)
start 2 "${job_is[@]}" --out twice
await_step twice 12
mapfile -t pids < <(ranks_of_job)
kill -STOP "${pids[1]}" # so that the step does not end
kill -USR1 "${pids[0]}"
sleep 3.2
kill -USR1 "${pids[0]}"
for _ in $(seq 50); do kill -0 "${pids[0]}" 2>/dev/null || break; sleep 0.1; done
! kill -0 "${pids[0]}" 2>/dev/null || fail "twice: the second signal did not end it"
kill -CONT "${pids[1]}" 2>/dev/null
wait "$job"
status=$?
expect_status 138 "twice"
ranks 2 "${job_is[@]}" --out twice
expect_text 'resuming from .*step-000000[0-9][05]\.h5' err "twice goes on"
same_run whole twice

# By the clock, as often as it takes: after one step at first, then after more and more time.
for ((i = 0; i < 40; i++)); do
  ranks 2 "${job_is[@]}" --out limited --time-limit "$((i / 5)).$((i % 5 * 2))01"
  [ "$status" = 75 ] || break
  expect_text '^stopped after step [0-9]*: time limit of [0-9.]* s reached' err "limited"
done
expect_status 0 "limited"
[ "$i" -gt 0 ] || fail "limited: never stopped"
same_run whole limited
bad 2 'time-limit' "no duration" "${job_is[@]}" --out none --time-limit 1:2
