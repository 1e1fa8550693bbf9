#!/usr/bin/env bash
# Faults in the model, data, options, adapter, checkpoint or disk: each gives one error line that names it,
# with status 1 (2 for bad usage), on one rank and on two, soon, and loses no existing file.
. "$(dirname "$0")/lib.sh"
limit=20

m=$models/gpt2
small=(--batch-size 6 --steps 4 --save-every 2)
ranks 1 train --model "$m" --data "$m/train.jsonl" --out kept "${small[@]}"
expect_status 0 "good run"
cp -r kept kept.before

# base NAME [MODEL]: a copy of the model folder, to be damaged.
base() {
  mkdir "$1"
  cp "${2:-$m}"/{config,generation_config,tokenizer,tokenizer_config}.json "${2:-$m}/model.safetensors" "$1"
}
bad_base() { # NAME REGEX
  bad 1 "$2" "$1" train --model "$1" --data "$m/train.jsonl" --out kept "${small[@]}"
}

# The model's weights.
bad_base no-model 'no-model.*(No such|no such)'
base cut && truncate -s -1000 cut/model.safetensors
bad_base cut 'cut/model\.safetensors'
base stub && truncate -s 5 stub/model.safetensors
bad_base stub 'stub/model\.safetensors'
base long-header && put_bytes long-header/model.safetensors 0 '\xff\xff\xff\xff\xff\xff\xff\x7f'
bad_base long-header 'long-header/model\.safetensors'
base flipped && put_bytes flipped/model.safetensors 40 '\x00'
bad_base flipped 'flipped/model\.safetensors'
base renamed && LC_ALL=C sed -i 's/h\.1\.mlp\.c_fc\.weight/h.1.mlp.c_fx.weight/' renamed/model.safetensors
bad_base renamed 'renamed.*h\.1\.mlp\.c_fc\.weight'
base misshapen && LC_ALL=C sed -i 's/\[48,144\]/[144,48]/' misshapen/model.safetensors
bad_base misshapen 'misshapen.*h\.0\.attn\.c_attn\.weight'
base weightless && rm weightless/model.safetensors
bad_base weightless 'weightless.*safetensors'

# Its config and its tokenizer.
base cut-config && truncate -s 200 cut-config/config.json
bad_base cut-config 'cut-config/config\.json.*line [0-9]+'
base no-config && rm no-config/config.json
bad_base no-config 'no-config/config\.json'
base bert && sed -i 's/"model_type": "gpt2"/"model_type": "bert"/' bert/config.json
bad_base bert "bert.*model_type.*'?bert"
base swish && sed -i 's/gelu_new/swish_two/' swish/config.json
bad_base swish 'swish.*swish_two'
base heads && sed -i 's/"n_head": 4/"n_head": 5/' heads/config.json
bad_base heads 'heads.*n_head'
base yarn "$models/llama3" && sed -i 's/"rope_type": "llama3"/"rope_type": "yarn"/' yarn/config.json
bad_base yarn 'yarn.*rope_(scaling|type).*yarn'
base relu "$models/llama3" && sed -i 's/"hidden_act": "silu"/"hidden_act": "relu_six"/' relu/config.json
bad_base relu 'relu.*hidden_act.*relu_six'
base cut-tokenizer && truncate -s 3000 cut-tokenizer/tokenizer.json
bad_base cut-tokenizer 'cut-tokenizer/tokenizer\.json.*line [0-9]+'
base no-tokenizer && rm no-tokenizer/tokenizer.json
bad_base no-tokenizer "no-tokenizer: has no tokenizer\.json, vocab\.txt"
base big-tokenizer && sed -i 's/"vocab_size": 320/"vocab_size": 300/' big-tokenizer/config.json
bad_base big-tokenizer 'big-tokenizer.*(vocab_size|wte)'

# Data.
bad_data() { # FILE REGEX ARGUMENT ...
  local file=$1 regex=$2
  shift 2
  bad 1 "$regex" "$file" train --model "$m" --data "$file" --out never "${small[@]}" "$@"
}
bad_data absent.jsonl 'absent\.jsonl.*No such file'
: >empty.jsonl
bad_data empty.jsonl 'empty\.jsonl.*no records'
: >empty.txt
bad_data empty.txt 'empty\.txt.*no records'
head -n 20 "$m/train.jsonl" | sed '3s/:/;/' >broken.jsonl
bad_data broken.jsonl 'broken\.jsonl.*line 3'
head -n 20 "$m/train.jsonl" | sed '17s/"completion"/"answer"/' >keys.jsonl
bad_data keys.jsonl 'keys\.jsonl.*line 17'
echo '{"question": "a", "answer": "b"}' >strange.jsonl
bad_data strange.jsonl 'strange\.jsonl.*line 1'
head -n 20 "$m/train.jsonl" | sed '5s/the/th\xff/' >latin.jsonl
bad_data latin.jsonl 'latin\.jsonl.*line 5.*UTF-8'
for i in {1..9}; do echo '{"prompt": "the window paints the market", "completion": "a"}'; done >idle.jsonl
bad_data idle.jsonl 'idle\.jsonl.*--seq-len' --seq-len 3
cp "$m/train.jsonl" data.parquet
bad_data data.parquet "data\.parquet.*\.jsonl"
bad 2 '--out never lies in --data \.' "--out in the data" train --model "$m" --data . --out never
mkdir empty
bad_data empty 'empty: .*'
bad 1 'broken\.jsonl.*line 3' "--valid" train --model "$m" --data "$m/train.jsonl" --valid broken.jsonl --out kept "${small[@]}"

# Options.
fresh=(train --model "$m" --data "$m/train.jsonl" --out never)
bad 2 "--lr: 'abc'" "--lr abc" "${fresh[@]}" --lr abc
bad 2 "--rank: '0'" "--rank 0" "${fresh[@]}" --rank 0
bad 2 "--batch-size: '1\.5'" "--batch-size 1.5" "${fresh[@]}" --batch-size 1.5
bad 2 "--schedule: 'square'.*cosine" "--schedule" "${fresh[@]}" --schedule square
bad 2 '--model DIR is missing' "no model" train --data "$m/train.jsonl" --out never
bad 2 '--prompt' "no prompt" generate --model "$m"
bad 2 "'trian'" "a command misspelt" trian
bad 2 "--target: no module of this gpt2 model matches 'c_atn' \(did you mean 'c_attn'\?\)" "--target" "${fresh[@]}" --target c_atn
bad 2 "--whole: no module of this gpt2 model matches 'wte_'; there are c_attn, " "--whole" "${fresh[@]}" --whole wte_
bad 2 "--rank.*--init-adapter" "--rank beside --init-adapter" "${fresh[@]}" --rank 8 --init-adapter "$m/adapter"
bad 2 "unknown option '--no-such-option'$" "unknown option" "${fresh[@]}" --no-such-option
bad 2 "unknown option '--bacth-size' \(did you mean '--batch-size'\?\)" "an option misspelt" "${fresh[@]}" --bacth-size 3
bad 2 "unknown option '-x'" "a short option" "${fresh[@]}" -x
bad 2 "does not take '--steps'" "an option of another command" eval --model "$m" --data "$m/train.jsonl" --steps 3
bad 2 "'--s' could be --sample-prompts or --seq-len" "a beginning of several options" "${fresh[@]}" --s 3
bad 2 "--lr needs a value: --lr X" "an option without its value" "${fresh[@]}" --lr
bad 2 "--out needs a value" "an option in place of a value" train --model "$m" --data "$m/train.jsonl" --out --steps 3
bad 2 "unexpected argument 'more'" "a bare argument" "${fresh[@]}" more
bad 2 "unexpected argument 'b'" "a second path" inspect a b
bad 2 "path is missing" "no path" inspect
bad 1 "gone: no such folder" "report of nothing" report gone
bad 1 "$m: holds no metrics.jsonl" "report of no run" report "$m"
bad 2 "'--model': expected a command" "no command" --model "$m"
bad 2 "unknown command 'trian'.*did you mean 'train'" "help of a command misspelt" help trian

# Options that would have no effect.
bad 2 "--eval-every has no effect without --valid" "--eval-every alone" "${fresh[@]}" --eval-every 5
bad 2 "--top-k has no effect without --temperature" "--top-k alone" generate --model "$m" --prompt x --top-k 5
bad 2 "--top-p has no effect without --temperature" "--top-p alone" generate --model "$m" --prompt x --top-p 0.5
bad 2 "--chat-template has no effect without --chat" "--chat-template alone" generate --model "$m" --prompt x --chat-template chatml
bad 2 "--other-base has no effect without --adapter" "--other-base alone" eval --model "$m" --data "$m/train.jsonl" --other-base
printf 'the window paints the market\n' >raw.txt
echo '{"text": "the window paints the market"}' >texts.jsonl
bad 2 "--chat-template does not apply to texts\.jsonl, which holds no messages" "--chat-template without messages" \
  train --model "$m" --data texts.jsonl --out never --chat-template chatml
bad 2 "--mask-prompt does not apply to texts\.jsonl, which holds no prompts" "--no-mask-prompt without prompts" \
  eval --model "$m" --data texts.jsonl --no-mask-prompt
bad 2 "--pack does not apply to raw\.txt, which is raw text" "--no-pack of raw text" train --model "$m" --data raw.txt --out never --no-pack
bad 2 "--alpha has no effect with --target none" "--alpha without matrices" "${fresh[@]}" --target none --whole lm_head --alpha 4
printf 'lr: 0.1\nranc: 4\n' >key.yaml
bad 2 "key\.yaml: line 2: unknown option 'ranc' \(did you mean 'rank'\?\)" "YAML with an unknown key" "${fresh[@]}" --config key.yaml
printf 'rank: 4\nlr: 0.1\nrank: 5\n' >twice.yaml
bad 1 "twice\.yaml: line 3: duplicate key: rank" "YAML with a key twice" "${fresh[@]}" --config twice.yaml
printf 'lr: 0.1\nconfig: other.yaml\n' >nested.yaml
bad 2 "nested\.yaml: line 2: 'config' names another file" "YAML that names another" "${fresh[@]}" --config nested.yaml
printf 'lr: [0.1, 0.2]\n' >list.yaml
bad 2 "list\.yaml: line 1: 'lr' must be a single value, not a list" "YAML with a list" "${fresh[@]}" --config list.yaml
printf 'target:\n  q: v\n' >map.yaml
bad 2 "map\.yaml: line 1: 'target' must be a single value" "YAML with a map" "${fresh[@]}" --config map.yaml
printf 'whole: []\n' >none.yaml
bad 2 "none\.yaml: line 1: 'whole' is an empty list" "YAML with an empty list" "${fresh[@]}" --config none.yaml
printf 'target: [c_attn, [c_fc]]\n' >deep.yaml
bad 2 "deep\.yaml: line 1: 'target' must be a list of names" "YAML with a list in a list" "${fresh[@]}" --config deep.yaml
printf 'lr: 0.1\nrank: [4\nalpha: 3\n' >syntax.yaml
bad 1 'syntax\.yaml.*line [0-9]' "YAML with a syntax error" "${fresh[@]}" --config syntax.yaml
printf 'lr: fast\n' >value.yaml
bad 2 "value\.yaml: line 1: --lr: 'fast'" "YAML with a bad value" "${fresh[@]}" --config value.yaml
[ ! -e never ] || fail "a refused run made its folder"

# Adapters and checkpoints.
good=kept/checkpoints/step-00000004.h5
head -c 9000 "$good" >torn.h5
bad 1 'torn\.h5.*damaged' "--resume PATH damaged" "${fresh[@]}" "${small[@]}" --resume torn.h5
bad 1 'gone\.h5.*No such file' "--resume PATH absent" "${fresh[@]}" "${small[@]}" --resume gone.h5
bad 1 'torn\.h5.*damaged' "inspect" inspect torn.h5
bad 1 'adapter\.h5.*--init-adapter' "--resume with a finished adapter" "${fresh[@]}" "${small[@]}" --resume kept/adapter.h5
bad 1 'kept/adapter\.h5.*another base' "eval of another base" \
  eval --model "$models/llama3" --data "$m/train.jsonl" --adapter kept/adapter.h5
bad 1 'kept.*another base' "generate of another base" \
  generate --model "$models/llama3" --adapter kept --prompt "the"
bad 1 'kept/adapter\.h5.*another base' "merge of another base" \
  merge --model "$models/llama3" --adapter kept/adapter.h5 --out never
cp -r kept/peft torn-peft && truncate -s -10 torn-peft/adapter_model.safetensors
bad 1 'torn-peft/adapter_model\.safetensors' "PEFT cut short" generate --model "$m" --adapter torn-peft --prompt "the"
cp -r kept/peft odd-peft && sed -i 's/"peft_type": *"LORA"/"peft_type": "IA3"/' odd-peft/adapter_config.json
bad 1 'odd-peft.*adapter_config\.json.*peft_type.*IA3' "PEFT of another kind" import --adapter odd-peft --out never.h5
bad 1 "empty-folder" "no adapter in a folder" export --adapter "$(mkdir -p empty-folder && echo empty-folder)" --out never
bad 2 'own folder' "merge onto the base" merge --model "$(base victim && echo victim)" --adapter kept/adapter.h5 --out victim
same_bits victim/model.safetensors "$m/model.safetensors"

# NaN and infinite values: in the base from the start, or met at the fourth step (the last position, which
# short samples never reach).
base nan && put_bytes nan/model.safetensors $(($(stat -c %s nan/model.safetensors) - 4)) '\x00\x00\xc0\x7f'
bad 1 'step 1: .*not finite' "NaN in the base" train --model nan --data "$m/train.jsonl" --out nan-run --batch-size 6
bad 1 'not finite' "NaN in the base, eval" eval --model nan --data "$m/train.jsonl"
bad 1 'nan: the logits .*not finite' "NaN in the base, generate" generate --model nan --prompt a
base late-nan && put_bytes late-nan/model.safetensors $(($(stat -c %s nan/model.safetensors) - 320 * 48 * 4 - 4)) '\x00\x00\xc0\x7f'
sed -n '1,18p' "$m/train.jsonl" >rare.jsonl
printf '{"prompt": "the", "completion": "%s"}\n' "$(printf '%0100d' 0)" >>rare.jsonl
sed -n '20,60p' "$m/train.jsonl" >>rare.jsonl
for n in 1 2; do
  ranks $n train --model late-nan --data rare.jsonl --no-shuffle --batch-size 6 --save-every 1 --out "late-$n"
  expect_error 1 'step 4: .*not finite' "NaN at step 4, $n ranks"
  [ "$(find "late-$n/checkpoints" | sort | tail -n 1)" = "late-$n/checkpoints/step-00000003.h5" ] || fail "a checkpoint of a bad step"
  [ "$(n_steps "late-$n")" = 3 ] || fail "metrics of a bad step"
  expect_text "Not finished: 3 of" "late-$n/report.html" "the report of a run that failed"
  ranks 1 inspect "late-$n/checkpoints/step-00000003.h5"
  expect_status 0 "the checkpoint before it"
done

# Places that cannot be written.
: >file
bad 1 'file' "--out is a file" "${fresh[@]}" --out file "${small[@]}"
bad 1 'file: cannot be a folder' "--out is looked at before all else" train --model "$m" --data broken.jsonl --out file
bad 1 'file.*folder' "--out below a file" "${fresh[@]}" --out file/below "${small[@]}"
bad 1 'file' "merge onto a file" merge --model "$m" --adapter kept --out file
bad 1 'empty-folder' "import onto a folder" import --adapter kept --out empty-folder
if [ "$(id -u)" != 0 ]; then
  mkdir sealed && chmod 555 sealed
  bad 1 'sealed' "--out is read-only" "${fresh[@]}" --out sealed/run "${small[@]}"
fi

# full WHAT: run 'disk/run' has filled the disk.
full() {
  expect_error 1 'disk/run/.*(No space|too large|not written|cannot write|allocated)' "$1"
  ranks 1 inspect disk/run
  expect_status 0 "$1: the checkpoint before it"
  expect_text 'adapter' out "$1: the checkpoint before it"
  [ -z "$(find disk/run -name '*.tmp.*')" ] || fail "$1: leftovers: $(find disk/run -name '*.tmp.*')"
}
endless=(train --model "$m" --data "$m/train.jsonl" --out disk/run --target all-linear --batch-size 6 --steps 50 --save-every 1 --keep 100)
mkdir disk
if mount -t tmpfs -o size=600k none disk 2>/dev/null; then
  trap 'umount disk; end' EXIT
  for n in 1 2; do
    ranks $n "${endless[@]}"
    full "disk full, $n ranks"
    rm -r disk/run
  done
else
  echo "no tmpfs can be mounted: a limit on file sizes stands for the full disk"
  ranks 1 "${endless[@]}" --steps 3
  (ulimit -f 8 && ranks 1 "${endless[@]}" --resume disk/run/checkpoints/step-00000002.h5 --steps 3; exit "$status")
  status=$?
  full "limit on file sizes"
fi

# Files of a model that are listed but cannot be read are not skipped: broken links (a hub's snapshot without
# its blobs), folders.
for name in tokenizer_config.json special_tokens_map.json added_tokens.json generation_config.json chat_template.jinja model.safetensors tokenizer.json; do
  cp -r "$m" "named-$name"
  rm -f "named-$name/$name"
  ln -s blobs/nothing "named-$name/$name"
  bad 1 "named-$name/$name: is a link to a file that does not exist" "$name, a link to nothing" \
    eval --model "named-$name" --data "$m/train.jsonl"
done
rm named-tokenizer_config.json/tokenizer_config.json
mkdir named-tokenizer_config.json/tokenizer_config.json
bad 1 'named-tokenizer_config.json/tokenizer_config.json: not a regular file' "a folder in a file's place" \
  eval --model named-tokenizer_config.json --data "$m/train.jsonl"

# A merged weight that its type cannot hold.
cp -r "$models/gpt2_f16/adapter" far
sed -i 's/"lora_alpha": 6/"lora_alpha": 60000000/' far/adapter_config.json
bad 1 'the merged value [-0-9.e+]* is too large for F16: give --dtype f32' "merged values beyond float16" \
  merge --model "$models/gpt2_f16" --adapter far --out far-merged
[ ! -e far-merged ] || fail "a refused merge left a folder"

# An adapter's file that lacks modules which its config selects: they stay as in the base. Without the base, a
# lost layer is detected.
cp -r kept/peft more-peft && sed -i 's/"c_attn"/"c_attn", "c_fc"/' more-peft/adapter_config.json
lacks="more-peft: adapter_model.safetensors lacks LoRA for 2 modules .*\(the first is 'transformer.h.0.mlp.c_fc'\)"
ranks 1 eval --model "$m" --data "$m/train.jsonl" --adapter kept/peft
expect_status 0 "a whole adapter" && grep -v 'PEFT folder' out >whole.out
! grep -q warning err || fail "a whole adapter: a warning"
for command in "eval --data $m/train.jsonl" "generate --prompt the" "merge --out more-merged"; do
  # shellcheck disable=SC2086
  ranks 1 $command --model "$m" --adapter more-peft
  expect_status 0 "modules missing: $command"
  expect_text "warning: $lacks" err "modules missing: $command"
  [ "${command%% *}" != eval ] || diff <(sed 's/more-peft/kept\/peft/' out) whole.out >/dev/null || fail "modules missing: other numbers"
done
ranks 2 train --model "$m" --data "$m/train.jsonl" --init-adapter more-peft --out more-run --steps 1
expect_status 0 "modules missing: train"
[ "$(grep -cE "$lacks" err)" = 1 ] || fail "modules missing: not said once"
sed -i 's/"init_lora_weights": [a-z]*/"init_lora_weights": false/' more-peft/adapter_config.json
bad 1 "more-peft: .*'transformer.h.0.mlp.c_fc'.*init_lora_weights is false" "modules missing that PEFT makes random" \
  eval --model "$m" --data "$m/train.jsonl" --adapter more-peft
cp -r kept/peft gap-peft && LC_ALL=C sed -i 's/\.h\.0\./.h.2./g' gap-peft/adapter_model.safetensors
ranks 1 import --adapter gap-peft --out gap.h5
expect_status 0 "a layer missing"
expect_text "gap-peft: .*has LoRA for 'transformer.h.1.attn.c_attn', but none for 'transformer.h.0.attn.c_attn'" err "a layer missing"
ranks 1 import --adapter kept/peft --out whole.h5
! grep -q warning err || fail "a whole adapter, import: a warning"

cp -r kept/peft headless && sed -i 's/"modules_to_save": null/"modules_to_save": ["lm_head"]/' headless/adapter_config.json
bad 1 "headless: .*modules_to_save names 'lm_head', but .* has no 'lm_head.weight'" "a tied head that was not saved" \
  eval --model "$m" --data "$m/train.jsonl" --adapter headless

# An adapter in the model's folder, which transformers loads along with the model.
base both && cp kept/peft/adapter_* both/
for command in "eval --data $m/train.jsonl" "generate --prompt the" "train --data $m/train.jsonl --out never"; do
  # shellcheck disable=SC2086
  bad 1 "both: holds an adapter too \(adapter_config.json\).*give the folder as the adapter as well" "two in a folder: $command" $command --model both
done
ranks 2 eval --model both --adapter both/. --data "$m/train.jsonl"
expect_status 0 "two in a folder, both meant"
ranks 1 eval --model "$m" --adapter kept/peft --data "$m/train.jsonl"
mv out apart.out
ranks 1 eval --model both --adapter both --data "$m/train.jsonl"
[ "$(grep -o 'loss.*' out)" = "$(grep -o 'loss.*' apart.out)" ] || fail "two in a folder: another loss"

# Settings of generation: those that are not supported are named, and a wrong value is refused.
base told && echo '{"eos_token_id": 319, "repetition_penalty": 1.2, "typical_p": 0.5, "stop_strings": ["a"], "num_beams": 1}' >told/generation_config.json
ranks 1 generate --model told --prompt the --max-tokens 2
expect_text 'told/generation_config.json: not supported and ignored, so that transformers may generate other texts: stop_strings' err "settings of generation"
ranks 1 generate --model told --prompt the --max-tokens 2 --temperature 1
expect_text 'other texts: stop_strings, typical_p' err "settings of generation, sampled"
echo '{"num_beams": 0}' >told/generation_config.json
bad 1 'told/generation_config.json: num_beams: must be from 1 to 1024, but is 0' "no beams" generate --model told --prompt the
echo '{"suppress_tokens": [1, 320]}' >told/generation_config.json
bad 1 'told/generation_config.json: suppress_tokens: expected ids of tokens below 320' "unknown token" generate --model told --prompt the
echo '{"early_stopping": "maybe"}' >told/generation_config.json
bad 1 'told/generation_config.json: early_stopping: expected' "early stopping" generate --model told --prompt the
echo '{"max_length": 2}' >told/generation_config.json
bad 1 "max_length, which counts them, is 2: give --max-tokens" "prompt fills max_length" generate --model told --prompt "the harbour of the the the"
bad 2 "--beams and --temperature do not go together" "beams and draws" generate --model "$m" --prompt x --beams 2 --temperature 1
bad 2 "--length-penalty has no effect without --beams" "length penalty alone" generate --model "$m" --prompt x --length-penalty 2
base elsewhere && sed -i '0,/{/s//{"transformers_weights": "other.safetensors",/' elsewhere/config.json
bad 1 'elsewhere/config.json: transformers_weights is not supported: rename that file' "weights of another name" eval --model elsewhere --data "$m/train.jsonl"

# An adapter with NaN values.
cp -r kept/peft nan-peft
put_bytes nan-peft/adapter_model.safetensors $(($(stat -c %s nan-peft/adapter_model.safetensors) - 4)) '\x00\x00\x80\x7f'
nan="nan-peft: the tensor 'transformer.h.1.attn.c_attn.lora_[AB]' holds NaN or infinite values"
for command in "import --out nan.h5" "export --out nan-out" "merge --model $m --out nan-out" "generate --model $m --prompt the"; do
  # shellcheck disable=SC2086
  bad 1 "$nan" "infinite values: $command" $command --adapter nan-peft
done
bad 1 "$nan" "infinite values: eval" eval --model "$m" --data "$m/train.jsonl" --adapter nan-peft
[[ ! -e nan.h5 && ! -e nan-out ]] || fail "infinite values were passed on"

# A path of thousands of characters does not hide the cause.
far=$(printf 'folder/%.0s' {1..700})
bad 1 'File name too long|no such folder' "a long path" eval --model "$m" --data "$far$far.jsonl"

# An end of text that is not a token.
base endless && sed -i 's/"eos_token_id": [0-9]*/"eos_token_id": 1000000000/' endless/{config,generation_config}.json
ranks 2 eval --model endless --data "$m/train.jsonl"
expect_status 0 "eos outside the vocabulary"
[ "$(grep -c 'endless/.*json: eos_token_id 1000000000 is not in the vocabulary, which has 320 tokens' err)" = 1 ] || fail "eos outside the vocabulary: not said once"

# Other programs' names, and numbers that different readers understand differently.
for pair in learning-rate:lr r:rank lora-rank:rank lora-alpha:alpha num-train-epochs:epochs max-seq-length:seq-len target-modules:target \
  per-device-train-batch-size:batch-size; do
  bad 2 "unknown option '--${pair%:*}': here it is called '--${pair#*:}'" "${pair%:*}" train --model "$m" --data "$m/train.jsonl" --out new "--${pair%:*}" 3
done
bad 2 "unknown option '--output_dir': here it is called '--out'" "output_dir" train --model "$m" --data "$m/train.jsonl" --output_dir new
echo 'learning_rate: 3' >names.yaml
bad 2 "names\.yaml: line 1: unknown option 'learning_rate': here it is called 'lr'" "learning_rate" train --config names.yaml
echo 'rank: 010' >octal.yaml
bad 1 'octal\.yaml.*leading zero.*010' "rank: 010" train --config octal.yaml
for text in 0x1p3 inf nan; do bad 2 "--lr: '$text' is not a number" "$text" train --model "$m" --data "$m/train.jsonl" --out new --lr $text; done
bad 2 '--seq-len 1000: .* has only [0-9]+ positions: give at most' "--seq-len beyond the positions" train --model "$m" --data "$m/train.jsonl" --out new --seq-len 1000

# Where a run cannot be is known before anything is read, and to a dry run too.
for dry in "" --dry-run; do
  # shellcheck disable=SC2086
  bad 2 "the base model's own folder" "--out in the model" train --model "$m" --data "$m/train.jsonl" --out "$m/../gpt2" $dry
  # shellcheck disable=SC2086
  bad 2 "lies in the base model's own folder" "--out below the model" train --model "$m" --data "$m/train.jsonl" --out "$m/new" $dry
  # shellcheck disable=SC2086
  bad 1 "/proc/new: cannot write into the folder '/proc'" "--out in /proc" train --model "$m" --data "$m/train.jsonl" --out /proc/new $dry
  ! grep -q '^model ' err || fail "--out in /proc: noticed late"
done
bad 1 'settings differ .*--lr 3 ' "a dry run with other settings" train --model "$m" --data "$m/train.jsonl" --out kept "${small[@]}" --lr 3 --dry-run

# Prompts whose texts are shown.
bad_prompts() { # FILE REGEX [STATUS]
  bad "${3:-1}" "$2" "--sample-prompts $1" train --model "$m" --data "$m/train.jsonl" --out kept "${small[@]}" --sample-prompts "$1"
}
bad_prompts no-prompts.txt 'no-prompts\.txt'
printf '\n \n' >blank-prompts.txt
bad_prompts blank-prompts.txt 'blank-prompts\.txt: has no prompts' 2
printf 'a\0b\n' >nul-prompts.txt
bad_prompts nul-prompts.txt 'nul-prompts\.txt: line 1: .*NUL'
seq 17 >many-prompts.txt
bad_prompts many-prompts.txt 'many-prompts\.txt: line 17: .*at most 16' 2
head -c 3000 /dev/zero | tr '\0' 'q' >long-prompt.txt
bad_prompts long-prompt.txt 'long-prompt\.txt: line 1: the prompt has [0-9]+ tokens, but the model takes'
printf '{"prompt": "a"}\n{"prompt": 5}\n' >number.jsonl
bad_prompts number.jsonl 'number\.jsonl: line 2: expected an object with "prompt"'
printf '{"messages": [{"role": "user"}]}\n' >turn.jsonl
bad_prompts turn.jsonl 'turn\.jsonl: line 1: messages\[0\]'
printf '{"prompt": \n' >half.jsonl
bad_prompts half.jsonl 'half\.jsonl: line 1'

diff -r kept kept.before >difference || fail "an earlier run was changed: $(head -n 3 difference)"
