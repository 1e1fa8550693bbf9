# shellcheck shell=bash
# Helpers for tests of whole runs. Source this first; LORA_DIST names the program. A script continues after a
# failed check, so that one run shows all failures, and ends with status 1 if there was any.
set -u
root=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)
. "$root/jobs/mpi.sh"
: "${LORA_DIST:=$root/build/lora_dist}"
[ -x "$LORA_DIST" ] || { echo "LORA_DIST=$LORA_DIST: no such program"; exit 1; }

# When a rank has failed, mpirun waits this long (a second by default) for the others.
export OMPI_MCA_odls_base_sigkill_timeout=0

# shellcheck disable=SC2034 # it is for the scripts that source this
models=$root/tests/golden/models
scratch=$(mktemp -d)
failures=0
status=0
limit=100 # seconds that a run may take

end() {
  local code=$?
  cd /
  rm -rf "$scratch"
  [ "$failures" -eq 0 ] || { echo "$failures checks failed"; exit 1; }
  exit "$code"
}
trap end EXIT
trap 'exit 1' INT TERM
cd "$scratch" || exit 1

fail() {
  echo "FAIL: $*"
  failures=$((failures + 1))
  [ ! -s err ] || sed 's/^/      | /' err | tail -n 15
}

# The kernels that the program uses on this processor: avx512, avx2, neon, or OpenBLAS's name of others.
own_kernel() {
  "$LORA_DIST" --version | sed -n 's/^kernels *\([^ ]*\).*/\1/p'
}

# ranks N ARGUMENT ...: the program on N ranks; on one without mpirun. Leaves out, err and $status.
ranks() {
  local n=$1
  shift
  if [ "$n" = 1 ]; then
    timeout "$limit" "$LORA_DIST" "$@" >out 2>err
  else
    export -f on_ranks
    timeout "$limit" bash -c 'on_ranks "$@"' - "$n" "$LORA_DIST" "$@" >out 2>err
  fi
  status=$?
}

# start N ARGUMENT ...: the same in the background; $job is the program, or mpirun.
start() {
  local n=$1
  shift
  if [ "$n" = 1 ]; then
    "$LORA_DIST" "$@" >out 2>err &
  else
    mpirun --oversubscribe --bind-to none -np "$n" "$LORA_DIST" "$@" >out 2>err &
  fi
  job=$!
}

# The ranks of $job, lowest pid first: what mpirun started itself.
ranks_of_job() {
  cat /proc/[0-9]*/stat 2>/dev/null | sed -n "s/^\([0-9]*\) (.*) . $job .*/\1/p" | sort -n
}

# SIGKILL for mpirun and every rank, as when a node dies.
kill_job() {
  local all
  all=$(ranks_of_job)
  # shellcheck disable=SC2086
  kill -9 "$job" $all 2>/dev/null
  wait "$job" 2>/dev/null
  status=$?
}

n_steps() {
  [ ! -f "$1/metrics.jsonl" ] || grep -c '"event": "step"' "$1/metrics.jsonl" || true
}

# await_step RUN N: waits until the run has done N steps.
await_step() {
  local i n
  for ((i = 0; i < 3000; i++)); do
    n=$(n_steps "$1")
    [ "${n:-0}" -lt "$2" ] || return 0
    kill -0 "$job" 2>/dev/null || break
    sleep 0.01
  done
  fail "$1: step $2 never came"
  return 1
}

expect_status() {
  [ "$status" = "$1" ] || fail "$2: status $status, expected $1"
}

# expect_error STATUS REGEX WHAT: the status, and exactly one error line over all ranks, which matches.
expect_error() {
  local lines
  expect_status "$1" "$3"
  lines=$(grep -c 'lora_dist.*: error: ' err)
  [ "$lines" = 1 ] || fail "$3: $lines error lines, expected 1"
  grep 'lora_dist.*: error: ' err | grep -qE -- "$2" || fail "$3: the error does not say '$2'"
  ! grep -qE 'Sanitizer|runtime error|Segmentation|signal [0-9]+ ' err || fail "$3: crashed"
}

expect_text() {
  grep -qE -- "$1" "$2" || fail "$3: no '$1' in $2"
}

# expect_classes NAMES FILE: the rows of the confusion matrix that eval printed.
expect_classes() {
  local names
  names=$(sed -n '/^truth/,$s/^ *[0-9]\{1,\}  *\([^ ]*\) .*/\1/p' "$2" | tr '\n' ' ')
  [ "$names" = "$1 " ] || fail "the confusion matrix is of '$names', expected '$1'"
}

# put_bytes FILE OFFSET BYTES: overwrites existing bytes.
put_bytes() {
  printf %b "$3" | dd of="$1" bs=1 seek="$2" conv=notrunc status=none
}

# bad STATUS REGEX WHAT ARGUMENT ...: on two ranks too, if the command uses several.
bad() {
  local expected=$1 regex=$2 what=$3 n numbers=1
  shift 3
  [[ $1 != train && $1 != eval && $1 != predict && $1 != generate && $1 != trian ]] || numbers="1 2"
  for n in $numbers; do
    ranks "$n" "$@"
    expect_error "$expected" "$regex" "$what, $n ranks"
  done
}

same_bits() {
  cmp -s "$1" "$2" || fail "$1 and $2 differ"
}

# Compares what depends only on base, data, options and seed, of two finished runs.
same_run() {
  local name
  same_bits "$1/adapter.h5" "$2/adapter.h5"
  for name in peft/adapter_model.safetensors peft/adapter_config.json diffusers/pytorch_lora_weights.safetensors; do
    [ ! -e "$1/$name" ] || same_bits "$1/$name" "$2/$name"
  done
  [ ! -f "$1/best.h5" ] || same_bits "$1/best.h5" "$2/best.h5"
  losses "$1" >losses.1
  losses "$2" >losses.2
  [ -s losses.1 ] || fail "$1: metrics.jsonl holds no loss"
  cmp -s losses.1 losses.2 || fail "$1 and $2: losses in metrics.jsonl differ"
}

# "event step loss" of each step and evaluation.
losses() {
  sed -n 's/^{"event": "\(step\|eval\)", "step": \([0-9]*\),.*"loss": \([^,]*\),.*/\1 \2 \3/p' "$1/metrics.jsonl"
}

# make_chat_model FOLDER: a vocabulary of single characters with the tokens of two chat layouts, on the
# weights of a model with another end of text.
make_chat_model() {
  local letters vocabulary token i letter added=
  mkdir "$1"
  cp "$models/llama3"/{config.json,generation_config.json,model.safetensors} "$1"
  letters='a b c d e f g h i j k l m n o p q r s t u v w x y z A B C D E . ? ! Ġ Ċ < > / [ ] S I N T Y'
  vocabulary=$(i=2; for letter in unk $letters; do printf '"%s": %d, ' "$letter" $((i++)); done)
  for token in '<s>:0' '</s>:1' '<|im_start|>:300' '<|im_end|>:301' '<|endoftext|>:319'; do
    added+="${added:+, }{\"id\": ${token##*:}, \"content\": \"${token%:*}\", \"single_word\": false, \"lstrip\": false, \"rstrip\": false,"
    added+=' "normalized": false, "special": true}'
  done
  cat >"$1"/tokenizer.json <<END
{"version": "1.0", "truncation": null, "padding": null, "normalizer": null,
 "added_tokens": [$added],
 "pre_tokenizer": {"type": "ByteLevel", "add_prefix_space": false, "trim_offsets": false, "use_regex": false},
 "post_processor": null, "decoder": {"type": "ByteLevel", "add_prefix_space": false, "trim_offsets": false, "use_regex": false},
 "model": {"type": "BPE", "vocab": {$vocabulary "<s>": 0, "</s>": 1}, "merges": [], "unk_token": null}}
END
  echo '{"eos_token": "<|endoftext|>", "tokenizer_class": "PreTrainedTokenizerFast"}' >"$1"/tokenizer_config.json
}
