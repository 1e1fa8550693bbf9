#!/usr/bin/env bash
# A run that is killed by SIGKILL again and again, at random instants and in the midst of writing, and is started again each time on another
# number of ranks, ends in the undisturbed run's adapter, bit for bit.
#   kills.sh [N] [SEED]     N kills, default 12; the seed of what is chosen, default by the clock
. "$(dirname "$0")/lib.sh"
n_kills=${1:-12}
seed=${2:-$((EPOCHSECONDS % 32768))}
RANDOM=$seed
echo "$n_kills kills, seed $seed"
m=$models/gpt2
steps=$((n_kills * 8)) # more than are done between two kills
training=(train --model "$m" --data "$m/train.jsonl" --batch-size 16 --target all-linear --dropout 0.1 --lr 1e-2 --steps "$steps")
n_ends=$((n_kills / 6)) # those that aim at the files of the end
n_cut=0 n_locked=0 longest=0
declare -A victims aims

ranks 1 "${training[@]}" --out whole
expect_status 0 "undisturbed run"

alive() {
  kill -0 "$@" 2>/dev/null
}

# Until all ranks have been started.
await_ranks() {
  local n=$1
  all=$job
  [ "$n" = 1 ] && return
  while alive "$job"; do
    all=$(ranks_of_job)
    [ "$(wc -w <<<"$all")" -lt "$n" ] || return 0
  done
}

nap() { # at most MILLISECONDS
  sleep "$(printf '0.%03d' $((RANDOM % $1)))"
}

# Spins until one of the names matches a file: a write takes some milliseconds.
spot() {
  until compgen -G "$1" >/dev/null || { [ $# -gt 1 ] && compgen -G "$2" >/dev/null; }; do alive "$job" || return; done
}

# await_aim AIM RANKS: waits for the instant; leaves the ranks in $all.
await_aim() {
  case $1 in
    anywhen) await_time $((RANDOM % 900)) ;;
    step) await_ranks "$2"; await_new_steps; nap 30 ;;
    write) await_ranks "$2"; await_new_steps; spot 'killed/checkpoints/*.tmp.*' ;;
    end) await_ranks "$2"; spot 'killed/adapter.h5.tmp.*' 'killed/peft.tmp.*' ;;
  esac
}

steps_done() {
  local n
  n=$(n_steps killed)
  echo "${n:-0}"
}

# Unfinished files that kills left.
leftovers() {
  find killed -name '*.tmp.*' 2>/dev/null | sort
}

# MILLISECONDS, but at most some steps.
await_time() {
  local until
  until=$(($(milliseconds) + $1))
  while [ "$(milliseconds)" -lt "$until" ] && [ "$(steps_done)" -lt $((before + 6)) ]; do sleep 0.002; done
}

# Some steps beyond those that the run had when it was started.
await_new_steps() {
  local upto=$((before + 1 + RANDOM % 4))
  while alive "$job" && [ "$(steps_done)" -lt $upto ]; do sleep 0.002; done
}

# choose AIM: sets `victim` and `who`. The writer, rank 0, has the same chance as all else together when a write is meant.
choose() {
  local list
  read -ra list <<<"$(tr '\n' ' ' <<<"$all")"
  victim=$job who=mpirun
  if [ "${#list[@]}" -lt 2 ]; then
    [ "$all" != "$job" ] || who='the only rank'
  elif [[ $1 =~ write|end ]] && [ $((RANDOM % 2)) = 0 ]; then
    victim=${list[0]} who='a rank'
  elif [ $((RANDOM % 4)) != 0 ]; then
    victim=${list[RANDOM % ${#list[@]}]} who='a rank'
  fi
}

# The ranks that still run: one that is dead and waits for mpirun to see it does not.
running() {
  local pid state
  for pid in $all; do
    [ "$pid" != "$job" ] || continue
    state=$(sed -n 's/.*) \(.\).*/\1/p' "/proc/$pid/stat" 2>/dev/null)
    [[ $state = '' || $state = Z ]] || return 0
  done
  return 1
}

# Every rank must end by itself when its job has lost a process. So should mpirun; but 4.1 locks itself up when a rank dies in the instant in
# which it is started: that is counted, and mpirun ended.
await_silence() {
  local began took=0
  began=$(milliseconds)
  while running && [ $took -lt 60000 ]; do
    sleep 0.01
    took=$(($(milliseconds) - began))
  done
  [ $took -le $longest ] || longest=$took
  if running; then
    fail "ranks go on for 60 s after $who of $n was killed"
    # shellcheck disable=SC2086
    kill -9 $all
  fi
  while alive "$job" && [ $took -lt 20000 ]; do
    sleep 0.01
    took=$(($(milliseconds) - began))
  done
  alive "$job" || return
  n_locked=$((n_locked + 1))
  kill -9 "$job"
}

# strike AIM: one start and one kill; fails when the job was over first.
strike() {
  local aim=$1 n=$((1 + RANDOM % 4)) all='' before parts
  before=$(steps_done)
  parts=$(leftovers)
  start "$n" "${training[@]}" --out killed --save-every 1
  await_aim "$aim" "$n"
  if [ "$n" = 1 ]; then all=$job; else all=${all:-$(ranks_of_job)}; fi
  choose "$aim"
  kill -9 "$victim" 2>/dev/null
  await_silence 2>/dev/null # where bash reports that a job was killed
  wait "$job" 2>/dev/null
  status=$?
  [ "$status" != 0 ] || return 1
  victims[$who]=$((${victims[$who]:-0} + 1))
  aims[$aim]=$((${aims[$aim]:-0} + 1))
  [ "$(comm -13 <(echo "$parts") <(leftovers))" = '' ] || n_cut=$((n_cut + 1))
}

pick() {
  local each=(anywhen step write write)
  echo "${each[RANDOM % 4]}"
}

n=0
misses=0
while [ $n -lt "$n_kills" ] && [ $misses -lt "$n_kills" ]; do
  aim=$(pick)
  [ $n -lt $((n_kills - n_ends)) ] || aim=end
  if strike "$aim"; then
    n=$((n + 1))
    [ $((n % 25)) != 0 ] || echo "$n kills, step $(steps_done) of $steps"
  else
    misses=$((misses + 1))
    tail -n 1 err
  fi
  [ "$aim" = end ] || [ "$(steps_done)" != "$steps" ] || fail "the run was over after $n kills"
done
[ $n = "$n_kills" ] || fail "only $n kills hit"

ranks $((1 + RANDOM % 4)) "${training[@]}" --out killed --save-every 1
expect_status 0 "the last start"
for name in adapter.h5 peft/adapter_model.safetensors peft/adapter_config.json; do same_bits "whole/$name" "killed/$name"; done
losses whole >losses.1
losses killed >losses.2
cmp -s losses.1 losses.2 || fail "the losses differ"
[ "$(wc -l <losses.1)" = "$steps" ] || fail "not every step is recorded once"
[ -z "$(leftovers)" ] || fail "leftovers stay: $(leftovers)"
for what in "${!victims[@]}"; do echo "killed $what: ${victims[$what]}"; done
for what in "${!aims[@]}"; do echo "aimed at $what: ${aims[$what]}"; done
echo "$n kills, $misses missed; $n_cut cut a write off and left a part of a file; a job's last rank ended $longest ms after the kill at most"
[ $n_locked = 0 ] || echo "mpirun locked itself up $n_locked times"
sha256sum whole/peft/adapter_model.safetensors killed/peft/adapter_model.safetensors
