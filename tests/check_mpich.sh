#!/usr/bin/env bash
# MPICH instead of Open MPI: the program builds without a warning, its collectives work, and two ranks train
# the same adapter as one rank of the build with Open MPI.
set -euo pipefail
cd "$(dirname "$0")/.."
. tests/check_lib.sh

command -v mpicc.mpich >/dev/null || skip "no MPICH (libmpich-dev, mpich)"
configure mpich -DMPI_C_COMPILER=mpicc.mpich
quietly cmake --build "$build"
export OPENBLAS_NUM_THREADS=1
for program in "$build"/tests/ranks_test_*; do
  for n in 2 3; do quietly timeout 300 mpirun.mpich -np "$n" "$program"; done
done

scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT
model=tests/golden/models/gpt2
train=(train --model "$model" --data "$model/train.jsonl" --steps 4 --batch-size 4)
quietly timeout 300 mpirun.mpich -np 2 "$build/lora_dist" "${train[@]}" --out "$scratch/mpich"
quietly timeout 300 "${LORA_DIST:-build-developer/lora_dist}" "${train[@]}" --out "$scratch/open"
cmp "$scratch/mpich/adapter.h5" "$scratch/open/adapter.h5"
