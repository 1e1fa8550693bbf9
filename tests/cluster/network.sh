#!/usr/bin/env bash
# How long two hosts, one rank and one core each, wait for the cable between them, with a model of GPT-2's shape (124 M), rank 8 on all linear
# modules, 8 sequences of 512 a step. By hand, on a machine that does nothing else: it takes some minutes.
#   network.sh [FOLDER] [MBIT ...]     FOLDER keeps the model, default in the temporary folder; cables, default 1000 100
. "$(dirname "$0")/lib.sh"
. "$cluster/shape.sh"
make_shape "${1:-${XDG_CACHE_HOME:-$HOME/.cache}/lora_dist-shapes}"
shift
[ $# -gt 0 ] || set -- 1000 100
: "${STEPS:=9}" # the first is not counted

# Runs a rank on a core of its own.
cat >pinned <<'EOF2'
#!/bin/sh
exec taskset -c $((OMPI_COMM_WORLD_RANK % $(nproc))) "$@"
EOF2
chmod +x pinned

# waits FILE MBIT: means over the steps.
waits() {
  grep '"event": "step"' "$1" | tail -n +2 | sed -n 's/.*"seconds": \([^,]*\), "wait_network": \([^,]*\), "wait_ranks": \([^,]*\),.*/\1 \2 \3/p' |
    awk -v mbit="$2" '{ s += $1; n += $2; r += $3; if ($2 > most) most = $2 }
      END {
        if (!NR) exit 1
        printf "%s Mbit/s: %d steps of %.2f s; waiting for the network %.4f s (%.2f%% of the step, at most %.4f s), for other ranks %.4f s (%.2f%%)\n",
          mbit, NR, s / NR, n / NR, 100 * n / s, most, r / NR, 100 * r / s
        exit n / s < 0.03 ? 0 : 2
      }'
}

for mbit; do
  make_hosts "net$mbit" 2 "$mbit"
  hosts "net$mbit" run h1:1,h2:1 "$scratch/pinned" "$LORA_DIST" "${shape[@]}" --steps "$STEPS" --out "run$mbit" >out 2>err
  status=$?
  expect_status 0 "$mbit Mbit/s"
  hosts "net$mbit" down
  code=0
  waits "run$mbit/metrics.jsonl" "$mbit" || code=$?
  [ $code != 1 ] || fail "$mbit Mbit/s: no steps in metrics.jsonl"
  [ $code != 2 ] || [ "$mbit" -lt 1000 ] || fail "$mbit Mbit/s: 3% or more of a step is waiting for the network"
done
