#!/usr/bin/env bash
# A table of the runs in a folder, best first: by validation loss if there is one, else by training loss.
#   jobs/sweep_table.sh FOLDER            prints it
#   jobs/sweep_table.sh FOLDER --write    also writes FOLDER/table.txt
set -euo pipefail
folder=${1:?sweep_table: which folder?}

# row FILE: the results in a run's metrics.jsonl, with the numbers to sort by first. A single step's loss
# depends on its batch, so the last ten are averaged.
row() {
  awk -v run="$(basename "$(dirname "$1")")" '
    function value(key, text) {
      if (!match($0, "\"" key "\": [-+0-9.eE]+")) return ""
      text = substr($0, RSTART, RLENGTH)
      return substr(text, length(key) + 5)
    }
    /"event": "step"/ { step = value("step"); loss[++n] = value("loss") }
    /"event": "eval"/ { v = value("loss"); if (v != "" && (best == "" || v + 0 < best + 0)) { best = v; at = value("step") } }
    /"event": "end"/ { ended = 1 }
    END {
      for (i = n; i > 0 && i > n - 10; i--) { sum += loss[i]; k++ }
      training = k ? sprintf("%.6f", sum / k) : "-"
      validation = best == "" ? "-" : sprintf("%.6f", best)
      none = 1e300
      printf "%.17g\t%.17g\t%-24s %8s %14s %16s %8s  %s\n", best == "" ? none : best, k ? sum / k : none,
             run, step == "" ? 0 : step, training, validation, at == "" ? "-" : at,
             ended ? "done" : "not finished"
    }' "$1"
}

table() {
  local file
  printf '%-24s %8s %14s %16s %8s  %s\n' run steps "training loss" "best validation" "at step" state
  for file in "$folder"/*/metrics.jsonl; do
    [ ! -e "$file" ] || row "$file"
  done | sort -k 1,1g -k 2,2g | cut -f 3-
}

if [ "${2:-}" = --write ]; then
  # One at a time: of runs that end together, the last one to write sees that all have ended.
  exec 9>"$folder/table.lock"
  flock 9 || echo "sweep_table: $folder: no locks there; print the table again when all runs are done" >&2
  table >"$folder/table.tmp"
  mv "$folder/table.tmp" "$folder/table.txt"
  cat "$folder/table.txt"
else
  table
fi
