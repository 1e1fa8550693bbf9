#!/usr/bin/env bash
# The kernels for AVX2 and for AVX-512 (or NEON), and any number of threads, give the same bits; bfloat16 gives the same
# bits on all ranks, and a loss within 1% of float32's.
. "$(dirname "$0")/lib.sh"
m=$models/llama3
flags=$(grep -m1 ^flags /proc/cpuinfo) # of x86; ARM has none

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
[[ ! $(own_kernel) =~ ^(avx512|avx2|neon)$ ]] || same_adapter plain threads
if [[ $flags == *avx2* ]]; then
  LORA_DIST_KERNEL=avx2 run avx2 1 --steps 10
  same_adapter plain avx2
  expect_text '\(avx2\)' err "the kernel's name"
fi
LORA_DIST_KERNEL=openblas run openblas 2 --steps 10
LORA_DIST_KERNEL=sse bad 2 'LORA_DIST_KERNEL=sse: there is no such kernel: use (avx512, avx2, |neon, )?plain, or openblas' "a kernel that does not exist" \
  train --model "$m" --data "$m/train.jsonl" --out none

# mixed NAME KERNEL CORE KERNEL CORE ARGUMENT ...: two ranks, each with its own kernels: those of OpenBLAS's
# core type, or (-) the program's own.
mixed() {
  local name=$1 first="LORA_DIST_KERNEL=$2 OPENBLAS_CORETYPE=$3" second="LORA_DIST_KERNEL=$4 OPENBLAS_CORETYPE=$5"
  shift 5
  local all=(train --model "$m" --data "$m/train.jsonl" --batch-size 6 --micro-batch 2 --target all-linear --lr 2e-3 --steps 10 --out "$name" "$@")
  # shellcheck disable=SC2086
  timeout "$limit" mpirun --oversubscribe --bind-to none -np 1 env $first "$LORA_DIST" "${all[@]}" : -np 1 env $second "$LORA_DIST" "${all[@]}" >out 2>err
  status=$?
  expect_status 0 "$name"
}
if [[ $flags == *avx2* ]]; then
  LORA_DIST_KERNEL=openblas OPENBLAS_CORETYPE=Haswell run haswell 1 --steps 10
  LORA_DIST_KERNEL=openblas OPENBLAS_CORETYPE=Nehalem run nehalem 1 --steps 10
  ! cmp -s haswell/adapter.h5 nehalem/adapter.h5 || fail "Haswell's kernels give Nehalem's bits: are they used?"
  mixed pinned openblas Haswell openblas Nehalem
  expect_text 'warning: .*Haswell on rank 0 of [^;]*; Nehalem on rank 1 of .*: all use OpenBLAS.s Nehalem' err "pinned"
  expect_text '\(Nehalem\)' err "the pinned kernels' name"
  mixed pinned-too openblas Nehalem openblas Haswell
  same_adapter pinned pinned-too
  mixed own-pinned "" "" openblas Nehalem
  same_adapter pinned own-pinned
  mixed own-kept "" "" openblas Nehalem --mixed-cpus
  expect_text 'warning: --mixed-cpus: .*other bits' err "mixed"
  # A run resumes with the kernels that it had.
  LORA_DIST_KERNEL=openblas OPENBLAS_CORETYPE=Haswell run again 1 --steps 10 --save-every 5
  rm -r again/checkpoints/step-00000010.h5 again/adapter.h5 again/peft
  run again 2 --steps 10 --save-every 5
  expect_text 'kernels stay OpenBLAS.s Haswell' err "going on with other kernels"
  same_adapter haswell again
  rm again/checkpoints/step-00000010.h5
  run again 1 --steps 10 --save-every 5 --resume-override kernels
  expect_text 'warning: .*kernels fused .was: Haswell' err "--resume-override kernels"

  mixed alike openblas Haswell openblas Haswell
  ! grep -q 'round differently' err || fail "kernels of one kind are called different"
  same_adapter haswell alike
fi

# The last of three ranks has another libm.
other_libm() {
  local all=(train --model "$m" --data "$m/train.jsonl" --steps 2 --out libm "$@")
  timeout "$limit" mpirun --oversubscribe --bind-to none -np 2 "$LORA_DIST" "${all[@]}" : -np 1 env LD_PRELOAD="$OTHER_LIBM" "$LORA_DIST" "${all[@]}" >out 2>err
  status=$?
}
if [[ $flags == *avx2* ]]; then
  other_libm
  expect_error 1 'the ranks compute different bits in .*functions of libm.* on ranks 0-1 of .*; .* on rank 2 of .*--mixed-cpus' "a rank with another libm"
  other_libm --mixed-cpus
  expect_status 0 "a rank with another libm, --mixed-cpus"
  expect_text 'warning: --mixed-cpus: the ranks compute different bits \(.*functions of libm' err "a rank with another libm, --mixed-cpus"
fi

# The choice is made once, for the run.
run auto 2 --steps 4 --save-every 2 --precision auto
expect_text 'precision (f32|bf16): ' err "what --precision auto takes"
chosen=$(sed -n 's/^precision: "\(.*\)"$/\1/p' auto/run.yaml)
[[ $chosen == f32 || $chosen == bf16 ]] || fail "run.yaml has the precision '$chosen'"
rm auto/checkpoints/step-00000004.h5
run auto 1 --steps 4 --save-every 2 --precision auto
expect_text "precision $chosen, as the run in auto" err "--precision auto of a run that has begun"
run chosen 1 --steps 4 --save-every 2 --precision "$chosen"
same_adapter auto chosen

# With AVX2 factors are rounded, and multiplied as floats; the instruction for bfloat16 gives the same bits.
if [[ $flags != *avx2* ]]; then
  ranks 1 train --model "$m" --data "$m/train.jsonl" --out none --precision bf16
  expect_error 2 'precision bf16: this processor has no fused multiply-adds' "bf16 without the instructions"
else
  LORA_DIST_KERNEL=openblas bad 2 'bf16: has no kernel openblas' "bf16 with another kernel" \
    train --model "$m" --data "$m/train.jsonl" --out none --precision bf16
  run f32 2 --steps 100
  run bf16 1 --steps 100 --precision bf16
  run bf16-3 3 --steps 100 --precision bf16
  same_run bf16 bf16-3
  LORA_DIST_KERNEL=avx2 run bf16-avx2 1 --steps 100 --precision bf16
  same_run bf16 bf16-avx2
  ! cmp -s bf16/adapter.h5 f32/adapter.h5 || fail "bf16 gives float32's bits: is it used at all?"
  losses f32 >f32.losses
  losses bf16 >bf16.losses
  paste -d' ' f32.losses bf16.losses |
    awk '{ off = $6 / $3 - 1; off = off < 0 ? -off : off; worst = off > worst ? off : worst; n++; first = n == 1 ? $3 : first; last = $3 }
         END { if (n != 100 || !(worst < 0.01) || !(last < first)) { print "FAIL: over " n " steps the losses are off by " worst; exit 1 } }' ||
    failures=$((failures + 1))
fi
