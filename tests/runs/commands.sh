#!/usr/bin/env bash
# Each command does what the README says: what was learnt is generated and ends, export and import preserve
# every bit, a merged model has the loss of base and adapter, evaluation is the same on any number of ranks,
# --dry-run leaves nothing, help lists every option.
. "$(dirname "$0")/lib.sh"

# ok WHAT N ARGUMENT ...
ok() {
  local what=$1
  shift
  ranks "$@"
  expect_status 0 "$what"
}

loss() { sed -n 's/^loss \([0-9.]*\) .*/\1/p' out; }
expect_close() { # A B TOLERANCE WHAT
  awk -v a="$1" -v b="$2" -v t="$3" 'BEGIN { exit !(a > 0 && b > 0 && a - b <= t && b - a <= t) }' || fail "$4: loss $2, expected $1"
}

for family in gpt2 llama3; do
  m=$models/$family
  head -n 5 "$m/train.jsonl" >$family.jsonl
  run=$family-run
  ok "$family: train" 2 train --model "$m" --data $family.jsonl --out $run --steps 200 --batch-size 5 --target all-linear --lr 1e-2 \
    --schedule constant --save-every 1000

  # What was learnt comes back, and stops.
  prompt=$(sed -n '3s/.*"prompt": "\([^"]*\)".*/\1/p' $family.jsonl)
  completion=$(sed -n '3s/.*"completion": "\([^"]*\)".*/\1/p' $family.jsonl)
  for adapter in $run $run/adapter.h5 $run/peft $run/checkpoints/step-00000200.h5; do
    ok "$family: generate" 1 generate --model "$m" --adapter "$adapter" --prompt "$prompt" --max-tokens 30
    [ "$(cat out)" = "$prompt$completion" ] || fail "$family: generates '$(cat out)', learnt '$prompt$completion'"
  done
  draw=(1 generate --model "$m" --prompt "$prompt" --max-tokens 25 --temperature 1)
  ok "$family: sampling" "${draw[@]}" --seed 3 --top-k 50 --top-p 0.95
  mv out drawn
  ok "$family: sampling" "${draw[@]}" --seed 3 --top-k 50 --top-p 0.95
  same_bits drawn out
  ok "$family: sampling" "${draw[@]}" --seed 4 --top-k 50 --top-p 0.95
  ! cmp -s drawn out || fail "$family: --seed changes nothing"
  ok "$family: the likeliest token" "${draw[@]}" --temperature 0
  mv out drawn
  ok "$family: top-k 1" "${draw[@]}" --top-k 1 --seed 9
  same_bits drawn out

  # Round trips.
  ok "$family: export" 1 export --adapter $run/adapter.h5 --out $family-peft
  for file in adapter_model.safetensors adapter_config.json; do same_bits $family-peft/$file $run/peft/$file; done
  ok "$family: import" 1 import --adapter $family-peft --out $family.h5
  ok "$family: export again" 1 export --adapter $family.h5 --model "$m" --out $family-again
  same_bits $family-peft/adapter_model.safetensors $family-again/adapter_model.safetensors
  for folder in $family-peft $family-again; do tr -d , <"$folder/adapter_config.json" | sort >"$folder.sorted"; done
  same_bits $family-peft.sorted $family-again.sorted # target_modules is a set
  bad 1 'bert' "$family: export for another base" export --adapter $family.h5 --model "$models/bert" --out never

  # Evaluation.
  test=(eval --model "$m" --data "$m/train.jsonl" --micro-batch 3)
  ok "$family: eval" 1 "${test[@]}" --adapter $run
  mv out text
  expected=$(sed -n 's/^loss \([0-9.]*\) .*/\1/p' text)
  for n in 2 3; do
    ok "$family: eval on $n ranks" $n "${test[@]}" --adapter $run
    same_bits text out
  done
  ok "$family: eval of the import" 1 "${test[@]}" --adapter $family.h5
  same_bits text out
  ok "$family: eval of the base" 1 "${test[@]}"
  [ "$(loss)" != "$expected" ] || fail "$family: the adapter changes no loss"

  # Merging; a bf16 weight has 8 bits, so its loss is near and not equal.
  ok "$family: merge" 1 merge --model "$m" --adapter $run --out $family-merged
  ok "$family: eval of the merged model" 2 "${test[@]}" --model $family-merged
  expect_close "$expected" "$(loss)" 1e-5 "$family merged"
  ok "$family: generate, merged" 1 generate --model $family-merged --prompt "$prompt" --max-tokens 30
  [ "$(cat out)" = "$prompt$completion" ] || fail "$family: merged, generates '$(cat out)'"
  ok "$family: merge to bf16" 1 merge --model "$m" --adapter $run/peft --out $family-bf16 --dtype bf16
  ok "$family: eval of the bf16 model" 1 "${test[@]}" --model $family-bf16
  expect_close "$expected" "$(loss)" 0.1 "$family merged to bf16"
  ok "$family: inspect" 1 inspect $family-bf16
  expect_text ' BF16 ' out "$family: inspect, merged to bf16"
  ! grep -q ' F32 ' out || fail "$family: f32 is left in a model merged to bf16"
  [ "$(stat -c %s $family-bf16/model.safetensors)" -lt $(($(stat -c %s $family-merged/model.safetensors) * 6 / 10)) ] ||
    fail "$family: bf16 is not smaller"

  # Inspecting.
  ok "$family: inspect" 1 inspect "$m"
  expect_text 'vocabulary +320' out "$family: inspect model"
  ok "$family: inspect" 1 inspect $run/checkpoints/step-00000200.h5
  expect_text 'step 200' out "$family: inspect checkpoint"
  expect_text 'rank 8, alpha 16' out "$family: inspect checkpoint"
  ok "$family: inspect" 1 inspect $run/peft
  expect_text 'rank 8, alpha 16' out "$family: inspect PEFT"
done

# Starting from an adapter; --config, which the command line overrides.
m=$models/gpt2
printf 'model: %s\ndata: gpt2.jsonl\nsteps: 4\nlr: 0.5\nbatch_size: 4\nvalid: null\nmask-prompt: true\n' "$m" >run.yaml
ok "--init-adapter and --config" 2 train --config run.yaml --out next --init-adapter gpt2-run --lr 1e-3
expect_text '^steps: 4$' next/run.yaml "--config"
expect_text '^lr: 0.001$' next/run.yaml "the command line wins"
expect_text '"step": 1, .*"loss": 0\.' next/metrics.jsonl "--init-adapter begins where the other ended"

ok "an option given twice" 1 train --config run.yaml --out twice --steps 2 --steps 1
expect_text "warning: --steps is given more than once: '1' counts, not '2'" err "an option given twice"
expect_text '^steps: 1$' twice/run.yaml "an option given twice"

# An initial adapter decides rank and scaling, which the run records; the same command resumes from its
# checkpoint.
ok "--rslora" 1 train --config run.yaml --out stable --rslora --rank 5 --alpha 7 --steps 2
from_stable=(train --config run.yaml --out grown --init-adapter stable)
ok "--init-adapter of a rank-stabilised one" 1 "${from_stable[@]}"
expect_text '^rank: 5$' grown/run.yaml "the rank is the initial adapter's"
expect_text '^rslora: true$' grown/run.yaml "so is the scaling"
expect_text '"use_rslora": true' grown/peft/adapter_config.json "in the PEFT folder too"
ok "the same again" 2 "${from_stable[@]}"

# DoRA, through every form of an adapter.
dora=(train --config run.yaml --method dora --target "c_attn,c_fc" --rank 4)
ok "--method dora" 1 "${dora[@]}" --out dora1
ok "--method dora on 2 ranks" 2 "${dora[@]}" --out dora2
same_run dora1 dora2
expect_text '"use_dora": true' dora1/peft/adapter_config.json "PEFT's flag"
expect_text '^method: "?dora' dora1/run.yaml "--method in run.yaml"
ok "inspect DoRA" 1 inspect dora1
expect_text 'c_attn +dora r 4 .*lora_magnitude_vector \(144\)' out "inspect DoRA"
for adapter in dora1 dora1/adapter.h5 dora1/peft; do
  ok "eval of $adapter" 1 eval --model "$m" --data gpt2.jsonl --adapter "$adapter"
  cp out "eval-$(basename "$adapter")"
done
if ! cmp -s eval-dora1 eval-adapter.h5 || ! cmp -s eval-dora1 eval-peft; then fail "DoRA differs between its forms"; fi
ok "merge of DoRA" 1 merge --model "$m" --adapter dora1 --out dora-merged
ok "eval of the merged" 1 eval --model dora-merged --data gpt2.jsonl
loss() { grep -oE 'loss +[0-9.]+' "$1" | grep -oE '[0-9]\.[0-9]{1,3}'; }
if [ -z "$(loss out)" ] || [ "$(loss out)" != "$(loss eval-dora1)" ]; then fail "merged DoRA: $(cat out), not $(cat eval-dora1)"; fi
ok "--init-adapter with DoRA" 1 train --config run.yaml --out dora3 --init-adapter dora1/peft
expect_text '^method: "?dora' dora3/run.yaml "the initial adapter's method"
ranks 1 train --config run.yaml --out never --use-dora
expect_text "here it is called '--method'" err "--use-dora"

# Lists in YAML mean the same as on the command line.
printf 'target: [c_attn, c_fc]\n' >lists.yaml
expect_text '^trained: "2 modules: c_attn"$' stable/run.yaml "what is trained by default"
expect_text '<dt>trained</dt><dd>2 modules: c_attn</dd>' stable/report.html "what is trained by default"
ok "a list in YAML" 1 train --config run.yaml --config lists.yaml --out listed --steps 1
expect_text '^target: "c_attn,c_fc"$' listed/run.yaml "a list in YAML"
ok "the same as text" 1 train --config run.yaml --target c_attn,c_fc --out named --steps 1
same_run listed named

# A dry run prints what the run would take, and needs no --out.
ok "--dry-run" 2 train --config run.yaml --dry-run
for word in parameters steps memory work traffic; do expect_text "^$word" out "--dry-run"; done
ok "--dry-run with --out" 1 train --config run.yaml --out nothing --dry-run
[ ! -e nothing ] || fail "--dry-run made the run's folder"

expect_text '^out +nothing: a checkpoint takes about [0-9.]+ MiB, [0-9]+ MiB are free$' err "--dry-run with --out"

# With an existing run it prints what the start would print, and changes nothing.
find next -type f -exec sha256sum {} + >before
ok "--dry-run on a used --out" 2 train --config next/run.yaml --out next --dry-run
expect_text '^resuming from next/checkpoints/step-00000004.h5, step 4$' err "--dry-run on a used --out"
bad 1 'settings differ from the checkpoint.*--lr 3 ' "--dry-run on a used --out" train --config next/run.yaml --out next --dry-run --lr 3
bad 2 'next already holds checkpoints' "--dry-run on a used --out" train --config next/run.yaml --out next --dry-run --resume never
find next -type f -exec sha256sum {} + | cmp -s before - || fail "--dry-run changes a run's folder"

# A run's record starts a run with the same settings, although it holds more than options; other commands use
# those of its settings that are theirs.
for record in next grown; do
  ok "$record/run.yaml as --config" 2 train --config $record/run.yaml --out $record-again
  same_run $record $record-again
done

# Options for a single start are not taken from a run's record, nor from the record of an older version.
ok "--time-limit" 1 train --config run.yaml --out timed --time-limit 1h --patience 40 --threads 2 --steps 2
! grep -qE '^(time-limit|patience|threads|resume|profile|dry-run):' timed/run.yaml || fail "run.yaml holds what belongs to one start"
printf 'time-limit: 0.001\nthreads: 2\ndry-run: true\n' | cat timed/run.yaml - >older.yaml
ok "an older record" 1 train --config older.yaml --out timed-again
same_run timed timed-again

# The size of a checkpoint is predicted within a tenth.
for shape in "--rank 1" "--rank 32 --target all-linear"; do
  # shellcheck disable=SC2086
  ok "size of a checkpoint" 1 train --config run.yaml --out sized --steps 3 $shape
  told=$(sed -n 's/^out .* takes about \([0-9.]*\) MiB.*/\1/p' err) is=$(stat -c %s sized/checkpoints/step-00000003.h5)
  awk "BEGIN { exit !($told * 1048576 / $is > 0.9 && $told * 1048576 / $is < 1.1) }" || fail "$shape: a checkpoint of $is bytes is predicted as $told MiB"
  rm -r sized
done
ok "eval by a run's record" 1 eval --config next/run.yaml --adapter next
expect_text '^loss ' out "eval by a run's record"
mv out by-record
sed 's/^precision: .*/precision: "bf16"/' next/run.yaml >rounded.yaml
grep -q '"bf16"' rounded.yaml || fail "a run's record has no precision"
ok "eval by the record of a run in bfloat16" 1 eval --config rounded.yaml --adapter next
same_bits out by-record
ok "a finished run" 1 train --config next/run.yaml --out next
expect_text 'nothing to do: all 4 steps are complete.*--init-adapter next' err "a finished run"

# The report of a run is made again, also from what a killed run leaves.
cp next/report.html report.before
rm next/report.html
ok "report" 2 report next
same_bits next/report.html report.before
mkdir killed
sed -n '1,3p' next/metrics.jsonl >killed/metrics.jsonl
printf '{"event": "step", "st' >>killed/metrics.jsonl
ok "report of a killed run" 1 report killed/
expect_text 'Not finished: 2 of 4 steps' killed/report.html "report of a killed run"

ok "inspect a run" 1 inspect next
for text in 'model +.*gpt2' 'settings +rank 8, .*lr 0.001' 'started +20[0-9-]+ [0-9:]+ UTC, last record 20' 'progress +step 4 of 4, ' \
  'training loss +[0-9.]+ at step 1, [0-9.]+ at step 4' 'checkpoints +step-00000004.h5' 'rank 8, alpha 16'; do
  expect_text "^$text" out "inspect a run"
done
cp next/run.yaml killed
ok "inspect a killed run" 1 inspect killed
expect_text '^progress +step 2 of 4, .*not finished' out "inspect a killed run"
expect_text '^checkpoints +none' out "inspect a killed run"

# It exists from the first evaluation on.
start 1 train --config run.yaml --valid gpt2.jsonl --eval-every 1 --steps 100000 --batch-size 1 --out running
await_step running 3
[ -s running/report.html ] || fail "no report.html while a run goes on"
kill_job
ok "report of what was killed" 1 report running
expect_text 'Not finished: [0-9]+ of 100000 steps' running/report.html "report of what was killed"

# A language model ignores labels, and says so.
printf 'text\tlabel\nthe window paints\tx\nthe market counts\ty\n' >labelled.tsv
echo '{"text": "the window paints the market", "label": "x"}' >labelled.jsonl
for file in labelled.tsv labelled.jsonl; do
  ok "$file for a language model" 2 train --model "$m" --data $file --out unused-labels --dry-run --batch-size 1
  [ "$(grep -c "warning: $file: not used: .* \"label\".*a language model learns only the texts" err)" = 1 ] ||
    fail "$file: no warning of unused labels"
done

# Help.
ranks 1
expect_status 2 "no command"
expect_text '^Usage: lora_dist COMMAND' err "no command"
ok "--help" 1 --help
cp out help
for command in train eval predict generate merge export import convert inspect report; do
  expect_text "^  $command " help "--help"
  ok "$command --help" 2 $command --help
  [ "$(grep -c '^Usage:' out)" = 1 ] || fail "$command --help: printed other than once on 2 ranks"
  cp out $command.help
  for way in "$command -h" "help $command" "--help $command" "$command --rnak 3 --help"; do
    # shellcheck disable=SC2086
    ok "$way" 1 $way
    same_bits out $command.help
  done
done
for way in help -h; do
  ok "$way" 1 $way
  same_bits out help
done
! grep -qE 'convert|import|CIFAR' train.help || fail "train --help: explains other commands"
ranks 1 generate --help
! grep -q preprocessor_config out || fail "generate --help: mentions images"
ok "inspect of a run" 1 inspect next
expect_text "^base +$m \(" out "inspect of a run"
bad 2 'next/metrics.jsonl: is the record of a run' "inspect of metrics.jsonl" inspect next/metrics.jsonl
expect_text '^  --no-shuffle +do not shuffle' train.help "train --help"
[ "$(wc -L <train.help)" -le 80 ] || fail "train --help: a line is wider than a terminal"
ok "--version" 2 --version
[ "$(grep -c '^lora_dist [0-9.]* (commit [0-9a-z-]*)$' out)" = 1 ] || fail "--version: printed other than once on 2 ranks"
for word in compiler kernels MPI; do expect_text "^$word +[A-Za-z0-9]" out "--version"; done
sed -n '/^version:/,$d; s/:.*//p' next/run.yaml | while read -r key; do
  grep -q -- "--${key}[= ]" train.help || echo "--$key"
done >missing
[ ! -s missing ] || fail "train --help does not list $(tr '\n' ' ' <missing)"
for key in adapter config data micro-batch seq-len pack no-pack; do expect_text "--${key}[= ]" eval.help "eval --help"; done
for key in adapter chat max-tokens prompt seed temperature top-k top-p; do expect_text "--${key}[= ]" generate.help "generate --help"; done
for key in adapter dtype model out; do expect_text "--${key}[= ]" merge.help "merge --help"; done
