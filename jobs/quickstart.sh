#!/usr/bin/env bash
# From a bare Debian 12 to a fine-tuned model: installs the packages, builds, trains an adapter on 2 ranks, and
# prints text from before and after. In an installed copy it builds nothing.
#   jobs/quickstart.sh [OUT]             a small language model learns to tell its tales in a pirate's voice
#   jobs/quickstart.sh summarise [OUT]   a small encoder-decoder that writes headlines learns to write summaries
# OUT: run folder, default runs/quickstart or runs/summarise; run again to resume or to see the texts again
set -euo pipefail
jobs=$(cd "$(dirname "$0")" && pwd)

if [ "${1:-}" = summarise ]; then
  task=summarise data=$jobs/quickstart/summarise out=${2:-runs/summarise}
else
  task=tell data=$jobs/quickstart out=${1:-runs/quickstart}
fi
model=$data/base

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

echo
echo "== training: 2 ranks, LoRA rank 8 on all linear layers"
on_ranks 2 "$lora_dist" train --config "$data/train.yaml" --model "$model" \
  --data "$data/train.jsonl" --valid "$data/valid.jsonl" --out "$out"

generate() { "$lora_dist" generate --model "$model" "$@" </dev/null | fold -s -w 100; }

tell() {
  local prompts=("Once upon a time" "One day, a boy named Tom") prompt
  printf '\n== before\n'
  for prompt in "${prompts[@]}"; do
    echo
    generate --max-tokens 250 --prompt "$prompt"
  done
  printf '\n== after\n'
  for prompt in "${prompts[@]}"; do
    echo
    generate --max-tokens 250 --prompt "$prompt" --adapter "$out"
  done
}

summarise() {
  sed 's/^{"document": "\(.*\)", "summary": .*/\1/; s/\\"/"/g; 3q' "$data/valid.jsonl" |
    while IFS= read -r document; do
      printf '\n== document\n'
      fold -s -w 100 <<<"$document"
      echo "== before"
      generate --source-prefix "headline: " --prompt "$document"
      echo "== after"
      generate --source-prefix "headline: " --prompt "$document" --adapter "$out"
    done
}

"$task"
echo
echo "The adapter: $out/adapter.h5, and for PEFT $out/peft. How training went: $out/report.html"
