#!/usr/bin/env bash
# A rank that no longer answers ends the job with an error that names the step, its host and its rank; slow
# steps do not. The run resumes to the bits of the undisturbed one.
. "$(dirname "$0")/lib.sh"

m=$models/llama3
job_is=(train --model "$m" --data "$m/train.jsonl" --steps 60 --batch-size 20 --dropout 0.1 --lr 1e-2 --save-every 7 --patience 1)

ranks 1 "${job_is[@]}" --out whole
expect_status 0 "undisturbed run"

# freeze RANK: one of three. Rank 0 gives the others up; when rank 0 is frozen, the others report it.
freeze() {
  local pid name=frozen-$1
  start 3 "${job_is[@]}" --steps 100000 --out "$name"
  await_step "$name" 20
  pid=$(ranks_of_job | sed -n "$(($1 + 1))p")
  kill -STOP "$pid"
  SECONDS=0
  wait "$job"
  status=$?
  kill -CONT "$pid" 2>/dev/null
  [ "$SECONDS" -lt 20 ] || fail "$name: took $SECONDS s to end"
  expect_error 1 "step [0-9]+: no answer for [0-9]+ s from $(hostname) \(rank $1\)" "$name"
}
freeze 2
freeze 0

# A stop that is shorter than the patience is not a failure.
start 3 "${job_is[@]}" --patience 30 --out slow
await_step slow 20
pid=$(ranks_of_job | sed -n 2p)
kill -STOP "$pid"
sleep 6.5
kill -CONT "$pid"
wait "$job"
status=$?
expect_status 0 "a rank that slept"
same_run whole slow

cp -r frozen-2 again
rm again/run.yaml
ranks 2 "${job_is[@]}" --steps 100000 --time-limit 0.001 --out again
expect_status 75 "goes on"
expect_text "resuming from" err "goes on"

# A model that is truncated while all ranks use it: one of them reports it, however often; or all see it
# before the next checkpoint.
for n in 2 3 4; do
  cp -r "$m" cut
  start $n "${job_is[@]}" --model cut --steps 100000 --out cut-$n
  await_step cut-$n 5
  truncate -s 0 cut/model.safetensors
  wait "$job"
  status=$?
  expect_error 1 'cut short' "a model cut short under $n ranks"
  rm -r cut
done
