#!/usr/bin/env bash
# The kernels of AVX2 and of AVX-512, and any number of threads, give the same bits; bfloat16 gives the same on all ranks, and a loss that stays
# within 1% of float32's.
. "$(dirname "$0")/lib.sh"
m=$models/llama3
flags=$(grep -m1 ^flags /proc/cpuinfo)

# run NAME RANKS ARGUMENT ...
run() {
  local name=$1 n=$2
  shift 2
  ranks "$n" train --model "$m" --data "$m/train.jsonl" --batch-size 6 --micro-batch 2 --target all-linear --lr 2e-3 --out "$name" "$@"
  expect_status 0 "$name"
}
same_adapter() {
  same_bits "$1/peft/adapter_model.safetensors" "$2/peft/adapter_model.safetensors"
}

run plain 1 --steps 10
run threads 2 --steps 10 --threads 3
if [[ $flags == *avx2* ]]; then
  same_adapter plain threads
  LORA_DIST_KERNEL=avx2 run avx2 1 --steps 10
  same_adapter plain avx2
  expect_text '\(avx2\)' err "the kernel's name"
fi
LORA_DIST_KERNEL=openblas run openblas 2 --steps 10

if [[ $flags != *avx512_bf16* ]]; then
  ranks 1 train --model "$m" --data "$m/train.jsonl" --out none --precision bf16
  expect_error 2 'AVX512-BF16' "bf16 without the instructions"
else
  run f32 2 --steps 100
  run bf16 1 --steps 100 --precision bf16
  run bf16-3 3 --steps 100 --precision bf16
  same_run bf16 bf16-3
  ! cmp -s bf16/adapter.h5 f32/adapter.h5 || fail "bf16 gives float32's bits: is it used at all?"
  losses f32 >f32.losses
  losses bf16 >bf16.losses
  paste -d' ' f32.losses bf16.losses |
    awk '{ off = $6 / $3 - 1; off = off < 0 ? -off : off; worst = off > worst ? off : worst; n++; first = n == 1 ? $3 : first; last = $3 }
         END { if (n != 100 || !(worst < 0.01) || !(last < first)) { print "FAIL: over " n " steps the losses are off by " worst; exit 1 } }' ||
    failures=$((failures + 1))
fi
