#!/usr/bin/env bash
# The program built for 64-bit ARM: without a warning, and in qemu it computes the bits that are recorded of x86, in tests of its parts and in
# whole trainings.
#   tests/check_arm.sh                      checks
#   tests/check_arm.sh CTEST ARGUMENT ...   builds all unit tests too, and runs those in qemu: -R '^unit/' takes a quarter of an hour
set -euo pipefail
cd "$(dirname "$0")/.."
. tests/check_lib.sh

[ "$(uname -m)" != aarch64 ] || skip "this processor is an ARM: the other tests say all"
command -v aarch64-linux-gnu-gcc >/dev/null || skip "no compiler for ARM (gcc-aarch64-linux-gnu)"
qemu=$(command -v qemu-aarch64) || skip "no qemu (qemu-user)"
sysroot=$CHECK_BUILD/arm-sysroot
mkdir -p "$CHECK_BUILD"
if [ ! -d "$sysroot" ]; then
  why=$(tests/cross/sysroot.sh "$sysroot" 2>&1) || skip "Debian's arm64 packages are not to be had: ${why%%$'\n'*}"
fi
sysroot=$(realpath "$sysroot")

configure arm --toolchain tests/cross/aarch64.cmake -D LD_SYSROOT="$sysroot"
build=$(realpath "$build")
aarch64-linux-gnu-gcc --sysroot="$sysroot" -shared -fPIC -O2 -Wall -Wextra -Werror -o "$build/start_in_qemu.so" tests/cross/start_in_qemu.c
export QEMU=$qemu OPENBLAS_NUM_THREADS=1

# unit TARGETS ARGUMENT ...: builds, and runs unit tests.
unit() {
  quietly cmake --build "$build" --target "$1"
  shift
  QEMU_LD_PREFIX=$sysroot QEMU_SET_ENV=LD_PRELOAD=$build/start_in_qemu.so quietly ctest --test-dir "$build" --output-on-failure --no-tests=error "$@"
}
if [ $# != 0 ]; then
  unit all "$@"
  exit
fi
unit "$(printf 'tests/test_%s;' dtype exact fingerprint gemm rng rows vmath)" -j2 -R '^unit/test_(dtype|exact|fingerprint|gemm|rng|rows|vmath)$'

quietly cmake --build "$build" --target lora_dist
arm=$build/lora_dist_in_qemu
printf '#!/bin/sh\nexec %s -L %s %s "$@"\n' "$qemu" "$sysroot" "$build/lora_dist" >"$arm"
chmod +x "$arm"
export OMPI_MCA_btl_vader_single_copy_mechanism=none # in qemu, no process may read another's memory
LORA_DIST=$arm tests/runs/recorded_bits.sh --one-rank

# A rank of each processor: they agree on their kernels, and train what one processor trains.
own=$(realpath "${LORA_DIST:-build-developer/lora_dist}")
[[ $("$own" --version) == *$'\n'kernels*avx* ]] || exit 0
scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT
. jobs/mpi.sh
model=tests/golden/models/bert
train=(train --model "$model" --data "$model/train.jsonl" --steps 4 --batch-size 6 --micro-batch 2 --out)
quietly timeout 300 mpirun --oversubscribe --bind-to none -np 1 "$own" "${train[@]}" "$scratch/both" : -np 1 "$arm" "${train[@]}" "$scratch/both"
quietly timeout 300 "$own" "${train[@]}" "$scratch/own"
cmp "$scratch/both/adapter.h5" "$scratch/own/adapter.h5"
