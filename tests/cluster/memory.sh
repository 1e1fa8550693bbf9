#!/usr/bin/env bash
# What a rank costs beyond the first on its host: the peak of the summed PSS of 1, 2 and 4 ranks, with a model of GPT-2's shape (124 M), rank 8 on
# all linear modules, 8 sequences of 512 a step. Fails when ranks bring copies of the base. By hand: it takes some minutes.
#   memory.sh [FOLDER]     FOLDER keeps the model, default in the temporary folder
. "$(dirname "$0")/lib.sh"
. "$cluster/shape.sh"
make_shape "${1:-${TMPDIR:-/tmp}/lora_dist-shapes}"
base_file=$(realpath "${shape[2]}/model.safetensors")
base=$(($(stat -c %s "$base_file") / 1024))
limit=1800

# PSS in KiB: of all, of what is mapped from the base's file, and of what is mapped from shared memory. A page that two processes map counts
# half for each, so the sum over the ranks counts it once.
pss() {
  cat "${@/%//smaps}" 2>/dev/null | awk -v base="$base_file" '
    /^[0-9a-f]+-[0-9a-f]+ / { path = ""; for (i = 6; i <= NF; i++) path = path (i > 6 ? " " : "") $i }
    /^Pss:/ { all += $2; if (path == base) file += $2; else if (path ~ "^/dev/shm/|^/tmp/.*(shared|vader|window)") shm += $2 }
    END { printf "%d %d %d\n", all, file, shm }'
}

# measure RANKS: sets peak[RANKS], and file[RANKS] and shm[RANKS] as they were then.
declare -A peak file shm
measure() {
  local n=$1 now now_file now_shm list
  peak[$n]=0
  start "$n" "${shape[@]}" --steps 2 --out "run$n"
  while kill -0 "$job" 2>/dev/null; do
    sleep 0.2
    if [ "$n" = 1 ]; then list=$job; else list=$(ranks_of_job); fi
    mapfile -t list <<<"$list"
    read -r now now_file now_shm < <(pss "${list[@]/#//proc/}")
    [ "$now" -le "${peak[$n]}" ] || { peak[$n]=$now file[$n]=$now_file shm[$n]=$now_shm; }
  done
  wait "$job"
  status=$?
  expect_status 0 "$n ranks"
  printf '%s ranks: peak %d MiB; of it %d MiB mapped from the base file, %d MiB from shared memory\n' "$n" $((${peak[$n]} / 1024)) \
    $((${file[$n]} / 1024)) $((${shm[$n]} / 1024))
}

echo "base: $((base / 1024)) MiB"
for n in 1 2 4; do measure $n; done
slope=$(((peak[4] - peak[1]) / 3))
slope_file=$(((file[4] - file[1]) / 3))
echo "a further rank: $((slope / 1024)) MiB, of it $((slope_file / 1024)) MiB of the base file"
[ "$((file[1] * 10))" -ge "$((base * 5))" ] || fail "the base is not mapped: $((file[1] / 1024)) MiB of its $((base / 1024))"
[ "$((file[4] * 10))" -le "$((base * 11))" ] || fail "4 ranks map $((file[4] / 1024)) MiB of a base of $((base / 1024)) MiB"
[ "$slope" -lt "$base" ] || fail "a further rank costs $((slope / 1024)) MiB, a copy of the base or more"
