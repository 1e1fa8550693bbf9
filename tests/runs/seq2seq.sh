#!/usr/bin/env bash
# Encoder-decoders: training from JSONL, CSV and TSV under the names that people have gives the same bits, also on
# several ranks and after a kill; the merged model is what the adapter made of it; wrong data is refused.
. "$(dirname "$0")/lib.sh"

base=$models/t5
head -24 "$base/train.jsonl" >pairs.jsonl
sed 's/"document"/"article"/; s/"summary"/"highlights"/' pairs.jsonl >renamed.jsonl
sed 's/^{"document": \("[^"]*"\), "summary": \("[^"]*"\)}$/\2,\1/; 1i highlights,article' pairs.jsonl >pairs.csv
sed 's/^{"document": "\([^"]*\)", "summary": "\([^"]*\)"}$/\1\t\2/; 1i source\ttarget' pairs.jsonl >pairs.tsv

learn=(train --model "$base" --steps 12 --batch-size 4 --micro-batch 1 --lr 1e-2 --schedule constant)
ranks 1 "${learn[@]}" --data pairs.jsonl --valid renamed.jsonl --eval-every 6 --out one
expect_status 0 "training"
expect_text '^model .* t5, 4 blocks, ' err "the model"
expect_text '^data +pairs\.jsonl: 24 records, [0-9]+ tokens, [0-9]+ of them targets$' err "the data"
expect_text '^sample +the .*<\|endoftext\|> -> .*\[\[.*\]\] +\(trained: \[\[ \]\]\)$' err "the sample"
expect_text 'step 12 +validation loss [0-9.]+ +perplexity' err "the evaluation"
expect_text '"task_type": "SEQ_2_SEQ_LM"' one/peft/adapter_config.json "PEFT's task"
expect_text '"task": "seq2seq"' one/metrics.jsonl "the record"

same_adapter() { cmp -s one/adapter.h5 "$1/adapter.h5" || cmp -s one/peft/adapter_model.safetensors "$1/peft/adapter_model.safetensors" || fail "$2: other bits"; }
for n in 2 3 4; do
  ranks "$n" "${learn[@]}" --data pairs.jsonl --valid renamed.jsonl --eval-every 6 --out "ranks$n"
  expect_status 0 "training on $n ranks"
  same_adapter "ranks$n" "$n ranks"
done
for data in renamed.jsonl pairs.csv pairs.tsv; do
  ranks 2 "${learn[@]}" --data "$data" --out "as_$data"
  expect_status 0 "training from $data"
  same_adapter "as_$data" "$data"
done
ranks 2 "${learn[@]}" --data pairs.jsonl --stop-after 5 --out stopped
ranks 3 "${learn[@]}" --data pairs.jsonl --out stopped
expect_status 0 "resuming"
same_adapter stopped "resumed on other ranks"

# Cut separately, and counted.
ranks 1 "${learn[@]}" --data pairs.jsonl --seq-len 20 --target-len 5 --out cut
expect_text 'pairs\.jsonl: [0-9]+ records are longer than --seq-len 20 tokens and truncated' err "sources that were cut"
expect_text 'pairs\.jsonl: 24 targets are longer than --target-len 5 tokens and truncated' err "targets that were cut"
ranks 1 "${learn[@]}" --data pairs.jsonl --source-prefix 'the window holds the lamp. ' --out prefixed
expect_text '^sample +the window holds the lamp\. ' err "the prefix"
ranks 1 "${learn[@]}" --data pairs.jsonl --label-smoothing 0.1 --out smooth
expect_status 0 "--label-smoothing"
cmp -s one/peft/adapter_model.safetensors smooth/peft/adapter_model.safetensors && fail "--label-smoothing changes nothing"

# The adapter in all its forms, and merged.
ranks 1 eval --model "$base" --adapter one --data pairs.jsonl
expect_text '^loss [0-9.]+  perplexity [0-9.]+  target tokens [0-9]+  sequences 24$' out "eval"
cp out loss
for adapter in one/adapter.h5 one/peft; do
  ranks 3 eval --model "$base" --adapter "$adapter" --data pairs.csv
  cmp -s out loss || fail "$adapter on 3 ranks: $(cat out)"
done
ranks 1 merge --model "$base" --adapter one --out whole
ranks 1 eval --model whole --data pairs.jsonl
[ "$(cut -c1-10 out)" = "$(cut -c1-10 loss)" ] || fail "the merged model: $(cat out), not $(cat loss)"

# Records are read as in the run that the adapter comes from, unless options say otherwise.
told=(eval --model "$base" --data pairs.jsonl --adapter)
ranks 1 "${told[@]}" prefixed/peft --source-prefix 'the window holds the lamp. '
cp out loss
for n in 1 3; do
  ranks $n "${told[@]}" prefixed/peft
  expect_status 0 "an adapter with its run on $n ranks"
  cmp -s out loss || fail "not the run's prefix on $n ranks: $(cat out)"
  expect_text '^options from .*prefixed/run\.yaml: --source-prefix "the window holds the lamp\. "$' err "the run's options"
done
ranks 1 "${told[@]}" prefixed --source-prefix 'a '
cmp -s out loss && fail "--source-prefix does not come before the run's"
cp -r prefixed/peft alone
ranks 1 "${told[@]}" alone
cmp -s out loss && fail "a prefix without a run"
ranks 1 "${told[@]}" cut
expect_text '^options from .*cut/run\.yaml: --seq-len 20, --target-len 5$' err "the run's lengths"
ranks 1 predict --model "$base" --data pairs.jsonl --adapter prefixed --max-tokens 6
cp out texts
ranks 1 predict --model "$base" --data pairs.jsonl --adapter alone --max-tokens 6 --source-prefix 'the window holds the lamp. '
cmp -s out texts || fail "predict does not use the run's prefix"
sed -i 's/^seq-len: .*/seq-len: many/' cut/run.yaml
ranks 1 "${told[@]}" cut
expect_error 2 "cut/run\.yaml: line [0-9]+: .*'many'" "a record that makes no sense"

# refused NAME LINE REGEX
refused() {
  printf '%s\n' "$2" >"$1.jsonl"
  ranks 2 "${learn[@]}" --data "$1.jsonl" --out never
  expect_error 1 "$3" "$1"
}
refused alone '{"document": "the river"}' 'alone\.jsonl: line 1: summary: missing, expected a string'
refused null '{"document": "the river", "summary": null}' 'null\.jsonl: line 1: summary: missing, expected a string'
refused list '{"document": ["the river"], "summary": "the"}' 'list\.jsonl: line 1: document: expected a string'
refused unknown '{"body": "the river", "gist": "the"}' 'unknown\.jsonl: line 1: the keys are "body", "gist", and none has a known name for a text: name the text that is read "source"'
refused several '{"document": "the river", "text": "the", "summary": "a"}' 'several\.jsonl: line 1: several keys could be the text \("document", "text", "summary"\): leave only one'
refused references '{"document": "the", "summary": "a", "references": "b"}' 'references\.jsonl: line 1: references: expected a list of texts, found a string'
refused empty '{"document": "", "summary": "the river"}' 'empty\.jsonl: none of its records has a token'
printf '%s\n' '{"document": "", "summary": "the river"}' >>pairs.jsonl
ranks 1 "${learn[@]}" --data pairs.jsonl --out gap
expect_status 0 "an empty source"
expect_text '1 record' err "an empty source is counted"

cp -r "$base" headless
sed -i '/"decoder_start_token_id"/d' headless/config.json
ranks 1 "${learn[@]}" --model headless --data pairs.tsv --out never
expect_error 1 'headless/config\.json: decoder_start_token_id is missing: give the token with which the decoder begins' "no start token"
ranks 1 train --model "$models/bart" --data pairs.tsv --target-len 500 --out never
expect_error 2 '--target-len 500: .* has only 160 positions: give at most 160' "a target longer than the model takes"
ranks 1 train --model "$models/gpt2" --data "$models/gpt2/train.jsonl" --target-len 50 --out never
expect_error 2 '--target-len does not apply to a language model' "--target-len for a language model"
ranks 1 train --model "$models/gpt2" --data pairs.csv --out never
expect_error 1 'pairs\.csv: line 1: the columns are "highlights", "article"' "pairs for a language model"
