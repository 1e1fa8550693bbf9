#!/usr/bin/env bash
# Summaries of a document's own sentences: a body without a head learns to choose them, with the same bits and the
# same predictions on 1 to 4 ranks, from every form of the data; its adapter, its PEFT folder and the merged model
# give the same; wrong data is refused.
. "$(dirname "$0")/lib.sh"

base=$models/bert_extract
sed -n 's/^{"sentences": \["\(.*\)"\], "summary": \("[^"]*"\)}$/\1\t\2/p' "$base/train.jsonl" | sed 's/", "/ /g' >pairs
sed 's/^\(.*\)\t\(.*\)$/{"document": "\1", "summary": \2}/' pairs >pairs.jsonl
sed 's/^\(.*\)\t\(.*\)$/{"article": "\1", "highlights": \2}/' pairs >renamed.jsonl
sed 's/^\(.*\)\t\(.*\)$/\2,"\1"/; 1i summary,text' pairs >pairs.csv
sed 's/^\(.*\)\t"\(.*\)"$/\1\t\2/; 1i source\ttarget' pairs >pairs.tsv
sed -n '/"summary"/p' "$base/train.jsonl" >lists.jsonl

learn=(train --model "$base" --steps 40 --batch-size 4 --micro-batch 1 --lr 1e-2 --schedule constant)
ranks 1 "${learn[@]}" --data pairs.jsonl --valid renamed.jsonl --out one
expect_status 0 "training"
expect_text '^data +pairs\.jsonl: 40 documents, [0-9]+ tokens, [0-9]+ of them targets$' err "the data"
expect_text '^sample +\[CLS\] the .*\[SEP\] \[CLS\] .*, to choose: sentence [0-9]+' err "the sample"
expect_text 'step 40 +validation loss [0-9.]+  ROUGE-1 [0-9.]+ .*  lead ROUGE-1 [0-9.]+ .*  oracle ROUGE-1 [0-9.]+' err "the evaluation"
expect_text '"task_type": "FEATURE_EXTRACTION"' one/peft/adapter_config.json "PEFT's task"
expect_text '"ext_layer.linear1"' one/peft/adapter_config.json "the head's name"
expect_text '"task": "extract", .*"key": "rouge1"' one/metrics.jsonl "the record"
expect_text '"oracle_rougeL": [0-9.]+' one/metrics.jsonl "the scores"
expect_text 'LEAD ROUGE-1' one/report.html "the report"

same_adapter() { cmp -s one/adapter.h5 "$1/adapter.h5" || cmp -s one/peft/adapter_model.safetensors "$1/peft/adapter_model.safetensors" || fail "$2: other bits"; }
ranks 1 predict --model "$base" --adapter one --data pairs.jsonl
expect_status 0 "predict"
cp out predicted
[ "$(wc -l <predicted)" = 40 ] || fail "predict: $(wc -l <predicted) lines"
expect_text '^\{"sentences": \["The [^"]*\.", .*\], "indexes": \[[0-9]+, [0-9]+, [0-9]+\], "scores": \[0\.[0-9]+, ' predicted "a prediction"
ranks 1 eval --model "$base" --adapter one --data pairs.jsonl
cp out scores
expect_text '^loss [0-9.]+  ROUGE-1 [0-9.]+ .*scored sentences [0-9]+  sequences 40$' scores "eval"
for n in 2 3 4; do
  ranks "$n" "${learn[@]}" --data pairs.jsonl --valid renamed.jsonl --out "ranks$n"
  expect_status 0 "training on $n ranks"
  same_adapter "ranks$n" "$n ranks"
  ranks "$n" predict --model "$base" --adapter one --data pairs.jsonl --micro-batch 3
  cmp -s out predicted || fail "other predictions on $n ranks"
  ranks "$n" eval --model "$base" --adapter one --data pairs.jsonl
  cmp -s out scores || fail "other scores on $n ranks: $(cat out)"
done
for data in renamed.jsonl pairs.csv pairs.tsv lists.jsonl; do
  ranks 2 "${learn[@]}" --data "$data" --out "as_$data"
  expect_status 0 "training from $data"
  same_adapter "as_$data" "$data"
  ranks 2 predict --model "$base" --adapter one --data "$data"
  cmp -s out predicted || fail "other predictions of $data"
done

# The adapter in all its forms, and merged.
for adapter in one/adapter.h5 one/peft; do
  ranks 2 predict --model "$base" --adapter "$adapter" --data pairs.jsonl
  cmp -s out predicted || fail "other predictions by $adapter"
done
ranks 1 merge --model "$base" --adapter one --out whole
expect_text '"BertForExtractiveSummarization"' whole/config.json "the merged model's class"
ranks 1 eval --model whole --data pairs.jsonl
[ "$(cut -c1-10 out)" = "$(cut -c1-10 scores)" ] || fail "the merged model: $(cat out), not $(cat scores)"
ranks 1 "${learn[@]}" --model whole --data pairs.jsonl --steps 1 --out again
expect_status 0 "training the merged model"

# A head with layers over the sentences.
deep=("${learn[@]}" --data pairs.jsonl --steps 6 --lr 1e-3 --head-layers 2)
ranks 1 "${deep[@]}" --out deep
expect_status 0 "a head with layers"
expect_text '"ext_layer.transformer_inter.1.feed_forward.layer_norm"' deep/peft/adapter_config.json "its names"
ranks 3 "${deep[@]}" --stop-after 3 --out stopped
ranks 2 "${deep[@]}" --out stopped
expect_status 0 "a head with layers, resumed"
cmp -s deep/peft/adapter_model.safetensors stopped/peft/adapter_model.safetensors || fail "a head with layers: other bits when resumed on other ranks"
ranks 1 predict --model "$base" --adapter deep --data pairs.jsonl
cp out predicted
for adapter in deep/adapter.h5 deep/peft; do
  ranks 3 predict --model "$base" --adapter "$adapter" --data pairs.jsonl
  cmp -s out predicted || fail "a head with layers: other predictions by $adapter"
done
ranks 1 eval --model "$base" --adapter deep --data pairs.jsonl
cp out scores
ranks 1 merge --model "$base" --adapter deep --out deep_whole
ranks 1 eval --model deep_whole --data pairs.jsonl
[ "$(cut -c1-10 out)" = "$(cut -c1-10 scores)" ] || fail "a merged head with layers: $(cat out), not $(cat scores)"
ranks 2 "${learn[@]}" --model deep_whole --data pairs.jsonl --steps 2 --out deep_again
expect_status 0 "training a merged head with layers"
ranks 1 merge --model deep_whole --adapter deep_again --out deep_twice
expect_status 0 "merging it again"
ranks 1 eval --model deep_whole --adapter deep_again --data pairs.jsonl
cp out scores
ranks 1 eval --model deep_twice --data pairs.jsonl
[ "$(cut -c1-10 out)" = "$(cut -c1-10 scores)" ] || fail "merged twice: $(cat out), not $(cat scores)"
ranks 1 "${deep[@]}" --target layer_norm --out never
expect_error 2 "layer_norm" "an adapter of a norm"
ranks 1 train --model "$models/bert" --data "$models/bert/train.jsonl" --head-layers 2 --out never
expect_error 2 '--head-layers does not apply to a classifier' "layers for a classifier"

# How many sentences; documents without any; positions beyond the model's 48.
ranks 1 predict --model whole --data pairs.jsonl --sentences 1
expect_text '^\{"sentences": \["[^"]*"\], "indexes": \[[0-9]+\], "scores": \[[0-9.e-]+\]\}$' out "one sentence"
printf '%s\n' '{"document": " "}' '{"document": "The river holds the lamp. It is so."}' >bare.jsonl
ranks 2 predict --model whole --data bare.jsonl
[ "$(head -1 out)" = '{"sentences": [], "indexes": [], "scores": []}' ] || fail "a document without a sentence: $(head -1 out)"
expect_text '^\{"sentences": \["The river holds the lamp\."\], "indexes": \[0\], ' out "a short sentence is not chosen"
expect_text 'bare\.jsonl: 1 record has sentences of fewer than 5 words' err "what is left out"
ranks 1 train --model "$base" --data pairs.jsonl --seq-len 60 --steps 1 --out long
expect_text 'pairs\.jsonl: [0-9]+ records? (is|are) longer than --seq-len 60 tokens and truncated' err "--seq-len beyond the model's positions"
printf '%s\n' '{"document": "", "summary": "the river"}' '{"document": "The river holds the lamp again.", "summary": ""}' >>pairs.jsonl
ranks 2 "${learn[@]}" --data pairs.jsonl --out gap
expect_text 'pairs\.jsonl: 1 record has no token and is left out' err "an empty document"
expect_text 'pairs\.jsonl: 1 record has no scored sentence and is left out' err "an empty summary"

# refused NAME LINE REGEX
refused() {
  printf '%s\n' "$2" >"$1.jsonl"
  ranks 2 "${learn[@]}" --data "$1.jsonl" --out never
  expect_error 1 "$3" "$1"
}
refused alone '{"document": "the river"}' 'alone\.jsonl: line 1: summary: missing, expected a string'
refused number '{"sentences": ["the river", 3], "summary": "a"}' 'number\.jsonl: line 1: sentences: item 2 is an integer, expected a string'
refused neither '{"sentences": ["the river"]}' 'neither\.jsonl: line 1: the record has neither a "summary" nor "labels"'
refused labels '{"sentences": ["the river"], "labels": [0, 1]}' 'labels\.jsonl: line 1: labels: expected a list of 0 and 1, one for each of the 1 sentences'
refused empty '{"document": "", "summary": "the river"}' 'empty\.jsonl: none of its records has a token'
ranks 1 train --model "$models/bert" --data pairs.csv --out never
expect_error 1 'pairs\.csv' "a classifier with a head"
ranks 1 train --model "$models/gpt2" --data pairs.jsonl --sentences 2 --out never
expect_status 1 "a language model"
printf '%s\n' '{"text": "The river holds it.", "summary": "a", "label": "x"}' '{"text": "The lamp.", "summary": "a", "label": "y"}' >texts.jsonl
ranks 1 train --model "$base" --data texts.jsonl --steps 2 --out classes
expect_status 0 "classes of texts that have summaries"
sed 's/, "label": "."//' texts.jsonl >unlabelled.jsonl
ranks 1 predict --model "$base" --adapter classes --data unlabelled.jsonl
expect_text '^\{"label": ' out "classes of texts that have summaries, predicted"
ranks 1 predict --model "$base" --adapter one --data unlabelled.jsonl
expect_text '^\{"sentences": ' out "sentences of texts that have summaries"
sed 's/"summary": "a", //' texts.jsonl >bare_texts.jsonl
ranks 1 eval --model "$base" --adapter one --data bare_texts.jsonl
expect_error 1 'texts\.jsonl: ' "texts with labels"
