#!/usr/bin/env bash
# The kernels for AVX2 and for AVX-512 (or NEON), and any number of threads, give the same bits; bfloat16, by itself and as
# AMX sums it, gives the same bits on all ranks, and a loss within 1% of float32's.
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
LORA_DIST_KERNEL=sse bad 2 'LORA_DIST_KERNEL=sse: there is no such kernel: use (avx512, avx2, |neon, )?plain, openblas, or unset it' "a kernel that does not exist" \
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
expect_text 'precision (f32|bf16|bf16-amx): ' err "what --precision auto takes"
chosen=$(sed -n 's/^precision: "\(.*\)"$/\1/p' auto/run.yaml)
[[ $chosen =~ ^(f32|bf16|bf16-amx)$ ]] || fail "run.yaml has the precision '$chosen'"
rm auto/checkpoints/step-00000004.h5
run auto 1 --steps 4 --save-every 2 --precision auto
expect_text "precision $chosen, as the run in auto" err "--precision auto of a run that has begun"
run chosen 1 --steps 4 --save-every 2 --precision "$chosen"
same_adapter auto chosen

LORA_DIST_KERNEL=avx2 bad 2 'precision auto: LORA_DIST_KERNEL=avx2 leaves nothing to choose' "auto with a named kernel" \
  train --model "$m" --data "$m/train.jsonl" --out none --precision auto

# Factors are rounded, and multiplied as floats where the processor has only AVX2; its instructions for bfloat16, if it has
# any, give the same bits.
bf16() {
  local p=$1
  LORA_DIST_KERNEL=openblas bad 2 "$p: LORA_DIST_KERNEL=openblas: there is no such kernel: use .*avx2, or unset it" "$p with another kernel" \
    train --model "$m" --data "$m/train.jsonl" --out none --precision "$p"
  run "$p" 1 --steps 100 --precision "$p"
  run "$p-3" 3 --steps 100 --precision "$p"
  same_run "$p" "$p-3"
  LORA_DIST_KERNEL=avx2 run "$p-avx2" 1 --steps 100 --precision "$p"
  same_run "$p" "$p-avx2"
  expect_text '\(avx2\)' err "the name of $p's kernels"
  LORA_DIST_KERNEL=plain bad 2 "$p: LORA_DIST_KERNEL=plain: there is no such kernel" "$p with kernels that it lacks" \
    train --model "$m" --data "$m/train.jsonl" --out none --precision "$p"
  losses "$p" >"$p.losses"
  paste -d' ' f32.losses "$p.losses" |
    awk '{ off = $6 / $3 - 1; off = off < 0 ? -off : off; worst = off > worst ? off : worst; n++; first = n == 1 ? $3 : first; last = $3 }
         END { if (n != 100 || !(worst < 0.01) || !(last < first)) { print "FAIL: over " n " steps the losses are off by " worst; exit 1 } }' ||
    fail "the losses of $p"
  other_commands "$p"
}

# Without training: rounded too, and with the same bits by every kernel.
other_commands() {
  local p=$1
  rounded ranks 2 eval --model "$m" --data "$m/train.jsonl"
  rounded ranks 1 predict --model "$m" --data "$m/train.jsonl" --max-tokens 4
  rounded ranks 1 generate --model "$m" --prompt 'one two three four five six seven eight nine ten' --max-tokens 12
}

# rounded ranks N COMMAND ...: what it prints with --precision f32, $p, and $p by other kernels.
rounded() {
  "$@" --precision f32
  expect_status 0 "$3 in float32"
  mv out f32.out
  "$@" --precision "$p"
  expect_status 0 "$3 with $p"
  mv out "$p.out"
  LORA_DIST_KERNEL=avx2 "$@" --precision "$p"
  expect_status 0 "$3 with $p by AVX2"
  same_bits "$p.out" out
  [ "$3" != eval ] || ! cmp -s "$p.out" f32.out || fail "$3: $p has the digits of float32"
}
ranks 2 eval --model "$m" --data "$m/train.jsonl" --precision auto
expect_status 0 "eval --precision auto"
expect_text 'precision (f32|bf16|bf16-amx): ' err "what eval takes for auto"
ranks 1 train --model "$m" --data "$m/train.jsonl" --dry-run --precision auto
expect_status 0 "--precision auto without a run"
bad 2 "precision: 'auto' is not one of f32.bf16.bf16-amx" "auto where nothing is measured" generate --model "$m" --prompt one --precision auto
if [[ $flags != *avx2* ]]; then
  ranks 1 train --model "$m" --data "$m/train.jsonl" --out none --precision bf16
  expect_error 2 'precision bf16: this processor has no fused multiply-adds' "bf16 without the instructions"
  ranks 1 train --model "$m" --data "$m/train.jsonl" --out none --precision bf16-amx
  expect_error 2 'precision bf16-amx: this processor has no fused multiply-adds' "bf16-amx without the instructions"
else
  run f32 2 --steps 100
  losses f32 >f32.losses
  bf16 bf16
  bf16 bf16-amx
  ! cmp -s bf16/adapter.h5 f32/adapter.h5 || fail "bf16 gives float32's bits: is it used at all?"
  ! cmp -s bf16-amx/adapter.h5 bf16/adapter.h5 || fail "bf16-amx gives bf16's bits: is it used at all?"
fi
