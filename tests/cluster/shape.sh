# shellcheck shell=bash
# Sourced by what measures: make_shape FOLDER makes a model of GPT-2's true shape with random weights (124 M parameters) and texts that fill
# 512 tokens, once, and sets `shape` to the arguments that name them. Needs python3 with numpy.
make_shape() {
  local model data
  { read -r model && read -r data; } < <("${PYTHON:-python3}" - "${root:?}/tests/bench" "$1" <<'END'
import sys
sys.dont_write_bytecode = True
sys.path.insert(0, sys.argv[1])
import shapes
print(shapes.model_folder(sys.argv[2], "gpt2", None))
print(shapes.data_file(sys.argv[2], "text512", None))
END
  ) || { echo "no model: is numpy there for ${PYTHON:-python3}?"; exit 1; }
  # shellcheck disable=SC2034 # it is the caller's
  shape=(train --model "$model" --data "$data" --seq-len 512 --no-pack --no-shuffle --batch-size 8 --rank 8 --target all-linear)
}
