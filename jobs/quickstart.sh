#!/usr/bin/env bash
# From a bare Debian 12 to a fine-tuned model: installs the packages, builds, trains an adapter on 2 ranks so
# that the small base model tells its tales in a pirate's voice, and prints text from before and after. In an
# installed copy it builds nothing.
#   jobs/quickstart.sh [OUT]        OUT: run folder, default runs/quickstart; run again to resume or to see the texts again
set -euo pipefail
jobs=$(cd "$(dirname "$0")" && pwd)

if [ -e "$jobs/../CMakeLists.txt" ]; then
  cd "$jobs/.."
  jobs/setup.sh
  cmake --preset release >/dev/null
  cmake --build --preset release
  lora_dist=build/lora_dist
else
  lora_dist=$(realpath "$jobs/../../../bin/lora_dist")
fi
. "$jobs/mpi.sh"

out=${1:-runs/quickstart}
data=$jobs/quickstart
model=$data/base

tell() {
  for prompt in "Once upon a time" "One day, a boy named Tom"; do
    echo
    "$lora_dist" generate --model "$model" "$@" --prompt "$prompt" --max-tokens 250 | fold -s -w 100
  done
}

before=$(tell)

echo
echo "== training: 2 ranks, LoRA rank 8 on all linear layers"
on_ranks 2 "$lora_dist" train --config "$data/train.yaml" --model "$model" \
  --data "$data/train.jsonl" --valid "$data/valid.jsonl" --out "$out"

echo
echo "== before"
echo "$before"
echo
echo "== after"
tell --adapter "$out"
echo
echo "The adapter: $out/adapter.h5, and for PEFT $out/peft. How training went: $out/report.html"
