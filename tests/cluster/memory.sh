#!/usr/bin/env bash
# What each further rank on a host costs: the peak of the summed PSS of 1, 2 and 4 ranks, with a model of
# GPT-2's shape (124 M), rank 8 on all linear modules, 8 sequences of 512 per step; with a host that reads the
# model itself, and with one that receives it. Fails when ranks hold copies of the base. By hand: it takes
# some minutes.
#   memory.sh [FOLDER]     FOLDER keeps the model, default in the temporary folder
. "$(dirname "$0")/lib.sh"
. "$cluster/shape.sh"
folder=${1:-${XDG_CACHE_HOME:-$HOME/.cache}/lora_dist-shapes}
make_shape "$folder"
base_file=$(realpath "${shape[2]}/model.safetensors")
base=$(($(stat -c %s "$base_file") / 1024))

# PSS of processes in KiB: of all, and of the base, which is mapped from its file or from the memory file that was filled over MPI. A page that
# several map counts only in part for each, so the sum over the ranks counts it once.
pss() {
  cat "${@/%//smaps}" 2>/dev/null | awk -v base="$base_file" '
    /^[0-9a-f]+-[0-9a-f]+ / { path = ""; for (i = 6; i <= NF; i++) path = path (i > 6 ? " " : "") $i }
    /^Pss:/ { all += $2; if (path == base || path ~ "^/memfd:lora_dist file") of_base += $2 }
    END { printf "%d %d\n", all, of_base }'
}

# The host reads the model: ranks of this machine.
read_here() {
  start "$1" "${shape[@]}" --steps 2 --out "read$1"
}
read_here_ranks() {
  if [ "$1" = 1 ]; then echo "$job"; else ranks_of_job; fi
}

# h2, which cannot read it, receives it from a rank on h1.
sent() {
  hosts set run "h1:1,h2:$1" "$LORA_DIST" "${shape[@]}" --steps 2 --out "sent$1" >out 2>err &
  job=$!
}
sent_ranks() {
  ranks_on set h2
}

# measure FORM RANKS: sets peak[FORM RANKS], and of_base[FORM RANKS] as it was then.
declare -A peak of_base
measure() {
  local form=$1 n=$2 key="$1 $2" now now_base list
  peak[$key]=0
  "$form" "$n"
  while kill -0 "$job" 2>/dev/null; do
    sleep 0.2
    mapfile -t list < <("${form}_ranks" "$n")
    read -r now now_base < <(pss "${list[@]/#//proc/}")
    [ "$now" -le "${peak[$key]}" ] || { peak[$key]=$now of_base[$key]=$now_base; }
  done
  wait "$job"
  status=$?
  expect_status 0 "$key ranks"
  echo "  $n ranks: peak $((${peak[$key]} / 1024)) MiB, of it $((${of_base[$key]} / 1024)) MiB of the base"
}

# check FORM WHAT
check() {
  local form=$1 n slope slope_base
  echo "$2:"
  for n in 1 2 4; do measure "$form" $n; done
  slope=$(((${peak[$form 4]} - ${peak[$form 1]}) / 3))
  slope_base=$(((${of_base[$form 4]} - ${of_base[$form 1]}) / 3))
  echo "  a further rank: $((slope / 1024)) MiB, of it $((slope_base / 1024)) MiB of the base"
  [ $((${of_base[$form 1]} * 10)) -ge $((base * 5)) ] || fail "$form: the base is not mapped"
  [ $((${of_base[$form 4]} * 10)) -le $((base * 11)) ] || fail "$form: 4 ranks map more than one copy of the base"
  [ "$slope" -lt "$base" ] || fail "$form: a further rank costs as much as a copy of the base, or more"
}

echo "base: $((base / 1024)) MiB"
check read_here "the host reads the model"
make_hosts set 2 --hide "$folder"
check sent "the model is sent to the host"
