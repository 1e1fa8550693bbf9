#!/usr/bin/env bash
# After the first step a step allocates nothing: 0 bytes from the heap and the system, except for what the
# BLAS takes for itself, and for decoding the samples (JSON, tokens, images), each of which may take only so
# many calls. ALLOCATIONS names the program that counts.
. "$(dirname "$0")/../runs/lib.sh"
: "${ALLOCATIONS:=$root/build/tests/allocations}"
steps=12
batch=4

# check NAME CALLS ARGUMENT ...: at most CALLS per decoded sample.
check() {
  local name=$1 calls=$2 most
  shift 2
  "$ALLOCATIONS" --out none --steps $steps --batch-size $batch "$@" >out 2>err || { fail "$name: does not run"; return; }
  sed "s/^/$name: /" out
  grep -qx 'rest: 0 calls, 0 bytes' out || fail "$name: a step allocates (LD_GUARD_TRACE=rest shows where)"
  most=$((calls * batch * (steps - 1)))
  [ "$(sed -n 's/^data: \([0-9]*\) calls.*/\1/p' out)" -le $most ] || fail "$name: samples take over $calls calls each (LD_GUARD_TRACE=data)"
}

m=$models
check gpt2 45 --model "$m/gpt2" --data "$m/gpt2/train.jsonl"
check gpt2-recompute 45 --model "$m/gpt2" --data "$m/gpt2/train.jsonl" --recompute --micro-batch 3
check gpt2-profile 45 --model "$m/gpt2" --data "$m/gpt2/train.jsonl" --profile
check gpt2-packed 150 --model "$m/gpt2" --data "$m/gpt2/train.jsonl" --pack --seq-len 48
check llama3 45 --model "$m/llama3" --data "$m/llama3/train.jsonl" --micro-batch 2 --target all-linear --dropout 0.1
check bert 60 --model "$m/bert" --data "$m/bert/train.jsonl" --micro-batch 4
check resnet_cifar 18 --model "$m/resnet_cifar" --data "$m/resnet_cifar/train.h5" --micro-batch 2 --flip --crop 2
