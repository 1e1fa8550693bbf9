#!/usr/bin/env bash
# Texts that a model writes for the records of a data set: a line for each in the data's order, the same on any
# number of ranks and any number at a time, and the same that generate writes.
. "$(dirname "$0")/lib.sh"
g=$models/gpt2

cat >prompts.jsonl <<'END'
{"prompt": "the harbour", "completion": " is big"}
{"prompt": "market"}

{"prompt": ""}
{"prompt": "the harbour of the", "completion": ""}
{"prompt": "é\n\"q\" the market and the harbour and the"}
{"prompt": "the window paints the"}
{"prompt": "river", "completion": "side"}
END

# predict NAME ARGUMENT ...: on 1 to 4 ranks, with several numbers of texts at a time.
predict() {
  local name=$1 n
  shift
  ranks 1 predict --model "$g" --data prompts.jsonl "$@"
  expect_status 0 "$name"
  mv out "$name.out"
  [ "$(wc -l <"$name.out")" = 7 ] || fail "$name: $(wc -l <"$name.out") lines"
  for n in 2 3 4; do
    ranks "$n" predict --model "$g" --data prompts.jsonl "$@"
    expect_status 0 "$name on $n ranks"
    cmp -s out "$name.out" || fail "$name: other lines on $n ranks"
  done
  for n in 1 2 5 64; do
    ranks 2 predict --model "$g" --data prompts.jsonl --micro-batch "$n" "$@"
    cmp -s out "$name.out" || fail "$name: other lines with $n at a time"
  done
}
predict greedy --max-tokens 10
predict beams --max-tokens 10 --beams 3 --no-repeat-ngram 2 --length-penalty 2 --min-tokens 3
predict draws --max-tokens 10 --temperature 1 --top-k 50 --seed 4
cmp -s greedy.out beams.out && fail "beams change nothing"
[ "$(cut -d'"' -f4 draws.out | sort -u | wc -l)" -ge 6 ] || fail "draws do not depend on the record"
expect_text '^\{"prediction": ".*", "reference": " is big"\}$' greedy.out "a record with its reference"
sed -n 2p greedy.out | grep -q reference && fail "a reference where there is none"
expect_text '^\{"prediction": ".*", "reference": ""\}$' greedy.out "an empty reference"

# The best of several right answers counts.
written=$(sed -n 1p greedy.out | cut -d'"' -f4)
printf '{"prompt": "the harbour", "completion": " is big", "references": ["no", "%s"]}\n' "$written" >several.jsonl
ranks 2 predict --model "$g" --data several.jsonl --max-tokens 10
expect_text "\"references\": \[\"no\", \"$written\"\]" out "several references"
! grep -q 'not used' err || fail "several references: $(cat err)"
ranks 2 eval --model "$g" --data several.jsonl --max-tokens 10 --generate
expect_text '^ROUGE-1 1\.0' out "the best of several references"
sed -i 's/\["no.*\]/"no"/' several.jsonl
ranks 1 predict --model "$g" --data several.jsonl --max-tokens 10
expect_error 1 'several\.jsonl: line 1: references: expected a list of texts, found ' "references that are no list"

# generate writes the same.
text=$(sed -n 6p beams.out | cut -d'"' -f4)
ranks 1 generate --model "$g" --prompt "the window paints the" --max-tokens 10 --beams 3 --no-repeat-ngram 2 --length-penalty 2 --min-tokens 3
[ "$(cat out)" = "the window paints the$text" ] || fail "generate: '$(cat out)', predict: '$text'"

# The folder's settings, and options that win over them.
mkdir told && cp "$g"/*.json "$g/model.safetensors" told/
echo '{"num_beams": 3, "no_repeat_ngram_size": 2, "length_penalty": 2, "min_new_tokens": 3, "max_new_tokens": 10}' >told/generation_config.json
ranks 1 predict --model told --data prompts.jsonl
cmp -s out beams.out || fail "the folder's settings give other texts than the options"
ranks 1 predict --model told --data prompts.jsonl --beams 1 --no-repeat-ngram 0 --length-penalty 1 --min-tokens 0
expect_status 2 "a length penalty for one beam"
ranks 1 predict --model told --data prompts.jsonl --beams 1 --no-repeat-ngram 0 --min-tokens 0
cmp -s out greedy.out || fail "options do not win over the folder's settings"
rm told/generation_config.json
sed -i '0,/{/s//{"num_beams": 3, "no_repeat_ngram_size": 2, "length_penalty": 2, "min_new_tokens": 3, "max_new_tokens": 10,/' told/config.json
ranks 1 predict --model told --data prompts.jsonl
cmp -s out beams.out || fail "an old folder's settings give other texts than the options"

# Prompts that are too long keep their end.
ranks 1 predict --model "$g" --data prompts.jsonl --seq-len 2 --max-tokens 3
expect_status 0 "long prompts"
expect_text 'longer than --seq-len 2 tokens and truncated' err "long prompts"

echo '{"text": "the river"}' >text.jsonl
bad 1 'text\.jsonl: its records are of the form "text", in which there is nothing to write .*"prompt"' "no prompts" predict --model "$g" --data text.jsonl
echo '{"completion": "the river"}' >text.jsonl
bad 1 'text\.jsonl: line 1: the record.s keys are "completion"' "a completion alone" predict --model "$g" --data text.jsonl
echo '{"prompt": ["the river"]}' >text.jsonl
bad 1 'text\.jsonl: line 1: prompt: expected a string' "a list" predict --model "$g" --data text.jsonl
bad 2 '--beams does not apply to a classifier' "beams of a classifier" predict --model "$models/bert" --data "$models/bert/train.jsonl" --beams 2

# Encoder-decoders: the document is read, the summary is the reference, or a list of references.
cat >documents.jsonl <<'END'
{"document": "the letter repairs the ladder. the market finds the kettle", "summary": "the river holds the lamp"}
{"document": "the river opens the stone", "summary": "a stone", "references": ["a stone", "the stone"]}
{"document": "the window warms the garden. the forest finds the engine. the lamp"}
END
for name in t5 bart mbart; do
  ranks 1 predict --model "$models/$name" --data documents.jsonl --max-tokens 8 --beams 3 --no-repeat-ngram 1
  expect_status 0 "$name"
  mv out "$name.out"
  expect_text '^\{"prediction": ".*", "reference": "the river holds the lamp"\}$' "$name.out" "$name: a reference"
  expect_text '^\{"prediction": ".*", "references": \["a stone", "the stone"\]\}$' "$name.out" "$name: several"
  expect_text '^\{"prediction": "[^"]*"\}$' "$name.out" "$name: none"
  for n in 2 3; do
    ranks "$n" predict --model "$models/$name" --data documents.jsonl --max-tokens 8 --beams 3 --no-repeat-ngram 1
    cmp -s out "$name.out" || fail "$name: other lines on $n ranks"
  done
  ranks 1 generate --model "$models/$name" --prompt "the river opens the stone" --max-tokens 8 --beams 3 --no-repeat-ngram 1
  expect_status 0 "$name: generate"
  [ "$name" = t5 ] || [ "$(cat out)" = "$(sed -n 2p "$name.out" | cut -d'"' -f4)" ] || fail "$name: generate: '$(cat out)'"
  ranks 2 predict --model "$models/$name" --data documents.jsonl --max-tokens 8 --source-prefix "the garden "
  expect_status 0 "$name: a prefix"
done
for n in 1 2 3; do
  ranks "$n" eval --model "$models/bart" --data "$models/bart/train.jsonl" --generate --max-tokens 8 --beams 2 --no-repeat-ngram 1 --stem
  expect_status 0 "eval --generate on $n ranks"
  expect_text '^ROUGE-1 [0-9.]+  ROUGE-2 [0-9.]+  ROUGE-L [0-9.]+  ROUGE-Lsum [0-9.]+  BLEU [0-9.]+  chrF [0-9.]+  records 80$' out "eval --generate"
  [ "$n" = 1 ] && mv out scores.out
  [ "$n" = 1 ] || cmp -s out scores.out || fail "eval --generate: other scores on $n ranks"
done
bad 2 '--beams has no effect without --generate' "beams of a loss" eval --model "$g" --data prompts.jsonl --beams 2
bad 2 '--generate does not apply to a classifier' "texts of a classifier" eval --model "$models/bert" --data "$models/bert/train.jsonl" --generate
sed 's/, "completion": "[^"]*"//' prompts.jsonl >bare.jsonl
bad 1 'bare\.jsonl: line 1: the record.s keys are "prompt"' "nothing to compare" eval --model "$g" --data bare.jsonl --generate
ranks 2 train --model "$models/bart" --data documents.jsonl --valid "$models/bart/train.jsonl" --steps 2 --out summaries
expect_status 1 "a record without a summary"
sed -i 3d documents.jsonl
ranks 2 train --model "$models/bart" --data documents.jsonl --valid "$models/bart/train.jsonl" --steps 2 --out summaries
expect_status 0 "training"
[ "$(grep -c '"event": "sample", .*"prompt": "the ' summaries/metrics.jsonl)" = 6 ] || fail "no samples of a training"
mkdir no_start && cp "$models/mbart"/*.json "$models/mbart/model.safetensors" no_start/
sed -i '/"\(decoder_start\|bos\)_token_id"/d' no_start/config.json no_start/generation_config.json
bad 1 'no_start.*decoder_start_token_id' "no token to begin with" predict --model no_start --data documents.jsonl

# BART's class ends a text that is cut off, unless config.json says otherwise.
mkdir old && cp "$models/bart"/*.json "$models/bart/model.safetensors" old/ && rm old/generation_config.json
cut_off() {
  sed "$1" "$models/bart/config.json" >old/config.json
  ranks 1 predict --model old --data documents.jsonl --max-tokens 6
  expect_status 0 "$1"
  cp out "$2.out"
}
cut_off '' stated
cut_off '/"forced_eos_token_id"/d' silent
cut_off 's/"forced_eos_token_id": 2/"forced_eos_token_id": null/' null
cmp -s stated.out silent.out || fail "BART's default end of a text is not its class's"
cmp -s stated.out null.out && fail "forced_eos_token_id changes nothing"

# Scores during training, by which the best adapter is chosen, on any number of ranks and in a resumed run.
learn=(train --model "$models/bart" --data "$models/bart/train.jsonl" --valid "$models/bart/train.jsonl" --steps 6 --eval-every 2 --save-every 2 --lr 1e-2
  --eval-generate 10 --max-tokens 8 --no-repeat-ngram 1 --best chrf)
scores() { grep '"event": "eval"' "$1/metrics.jsonl" | sed 's/, "seconds".*//'; }
for n in 1 2 3; do
  ranks "$n" "${learn[@]}" --out "scored$n"
  expect_status 0 "scores during training on $n ranks"
  expect_text '^step 6  validation loss [0-9.]+  perplexity [0-9.]+  ROUGE-1 [0-9.]+ .*chrF [0-9.]+$' err "scores during training"
  [ "$(scores "scored$n")" = "$(scores scored1)" ] || fail "other scores on $n ranks"
done
[ "$(scores scored1 | grep -c rougeLsum)" = 4 ] || fail "scores are not recorded"
best() { "$LORA_DIST" inspect "$1" | grep -o 'best loss.*'; }
ranks 2 "${learn[@]}" --out again --resume scored1/checkpoints/step-00000004.h5
expect_status 0 "resumed"
[ "$(best again/checkpoints/step-00000006.h5)" = "$(best scored1/checkpoints/step-00000006.h5)" ] || fail "a resumed run forgets its best"
expect_text 'Validation chrF' scored1/report.html "the report"
bad 2 '--best bleu: the metrics of this run are loss, perplexity; --eval-generate adds those of texts' "a metric that is not there" \
  train --model "$g" --data "$g/train.jsonl" --valid "$g/train.jsonl" --best bleu --out none
bad 2 '--beams has no effect without --eval-generate' "beams of a training" train --model "$g" --data "$g/train.jsonl" --beams 2 --out none
bad 2 '--eval-generate has no effect without --valid' "no validation data" train --model "$g" --data "$g/train.jsonl" --eval-generate 2 --out none
