#!/usr/bin/env bash
# Classes of tokens: a body without a head learns to find names from CoNLL columns and from JSONL, with the
# same bits on 2 ranks; its adapter, its PEFT folder and the merged model give the same; wrong data is
# refused.
. "$(dirname "$0")/lib.sh"

cp -r "$models/bert" body
sed -i 's/"BertForSequenceClassification"/"BertModel"/' body/config.json
cat >names.conll <<'END'
-DOCSTART- -X- O

# a comment
mira X B-PER
olsen X I-PER
saw X O
the X O
river X B-LOC
. X O

the	O
old	O
kettle	B-LOC
of	O
mira	B-PER
END
cat >names.jsonl <<'END'
{"tokens": ["mira", "olsen", "saw", "the", "river", "."], "tags": ["B-PER", "I-PER", "O", "O", "B-LOC", "O"]}
{"tokens": ["the", "old", "kettle", "of", "mira"], "ner_tags": ["O", "O", "B-LOC", "O", "B-PER"]}
END

learn=(train --model body --steps 60 --batch-size 2 --micro-batch 1 --lr 1e-2 --target all-linear --schedule constant)
ranks 1 "${learn[@]}" --data names.conll --valid names.jsonl --out one
expect_status 0 "training"
expect_text '^head +new: 4 classes \(B-LOC, B-PER, I-PER, O\)$' err "the classes"
expect_text 'step 60 +validation loss 0\.0[0-9]*  F1 1\.0000  precision 1\.0000  recall 1\.0000  accuracy 1\.0000' err "what was learnt"
expect_text '"task_type": "TOKEN_CLS"' one/peft/adapter_config.json "PEFT's task"
expect_text '"task": "tokens", .*"target": "word", .*"key": "f1"' one/metrics.jsonl "the record"
expect_text 'Validation entity F1' one/report.html "the report"
ranks 2 "${learn[@]}" --data names.jsonl --valid names.conll --out two
expect_status 0 "training from JSONL on 2 ranks"
cmp -s one/peft/adapter_model.safetensors two/peft/adapter_model.safetensors || fail "JSONL on 2 ranks gives other bits than CoNLL on 1"

for adapter in one one/adapter.h5 one/peft; do
  ranks 2 predict --model body --adapter "$adapter" --data names.conll
  expect_status 0 "predict by $adapter"
  [ "$(head -1 out)" = '{"tags": ["B-PER", "I-PER", "O", "O", "B-LOC", "O"]}' ] || fail "$adapter: $(head -1 out)"
  ranks 1 eval --model body --adapter "$adapter" --data names.jsonl
  expect_text '^loss [0-9.]+  F1 1\.000000  precision 1\.000000  recall 1\.000000  accuracy 1\.000000  words 11  sequences 2$' out "eval by $adapter"
done
ranks 1 merge --model body --adapter one --out whole
expect_text '"BertForTokenClassification"' whole/config.json "the merged model's class"
ranks 1 eval --model whole --data names.jsonl
expect_text '^loss [0-9.]+  F1 1\.000000 ' out "eval of the merged model"

# A word without a token, and truncated words, have no tag.
printf '%s\n' '{"tokens": ["mira", "", "river", "the"]}' >words.jsonl
ranks 2 predict --model whole --data words.jsonl
expect_text '^\{"tags": \["[^"]+", null, "[^"]+", "[^"]+"\]\}$' out "a word without a token"
ranks 2 predict --model whole --data words.jsonl --seq-len 4
expect_text '^\{"tags": \["[^"]+", null, null, null\]\}$' out "words that were cut off"
expect_text 'words\.jsonl: 1 record is longer than --seq-len 4 tokens and truncated' err "that they were"

# Data for prediction may have words alone, and records without any.
printf 'mira\nsaw\n\nthe\n' >bare.conll
ranks 2 predict --model whole --data bare.conll
expect_status 0 "words without tags"
[ "$(wc -l <out)" = 2 ] || fail "words without tags: $(cat out)"
printf '%s\n' '{"tokens": [], "tags": []}' '{"tokens": ["mira"], "tags": ["B-PER"]}' '{"tokens": [""], "tags": ["O"]}' >empty.jsonl
ranks 1 predict --model whole --data empty.jsonl
[ "$(tr -d '\n' <out)" = '{"tags": []}{"tags": ["B-PER"]}{"tags": [null]}' ] || fail "records without words: $(cat out)"
printf '%s\n' '{"tokens": ["mira"], "tags": ["B-WHO"]}' >unknown.jsonl
ranks 1 eval --model whole --data unknown.jsonl
expect_error 1 'unknown\.jsonl: line 1: label: "B-WHO" is not among' "a tag that the model does not have"

# An adapter for words and data for texts, and the other way round.
printf '%s\n' '{"text": "mira saw", "label": "O"}' '{"text": "the river", "label": "B-LOC"}' >texts.jsonl
for command in eval predict; do
  ranks 1 $command --model body --adapter one --data texts.jsonl
  expect_error 1 'texts\.jsonl: its records are of the form "labelled"' "$command of texts by an adapter for words"
done
ranks 1 train --model body --data names.conll --valid texts.jsonl --out never
expect_error 1 'texts\.jsonl: its records are of the form "labelled"' "--valid of another form"
ranks 1 train --model body --data texts.jsonl --init-adapter one --out never
expect_error 1 'texts\.jsonl: its records are of the form "labelled"' "--init-adapter for another form"
ranks 1 train --model body --data texts.jsonl --steps 2 --out classes
expect_status 0 "classes of texts from the same body"
ranks 1 eval --model body --adapter classes --data names.conll
expect_error 1 'names\.conll: its records are of the form "tagged"' "eval of words by an adapter for texts"

# Other tags have a new head, and the same tags when one is asked for.
sed 's/PER/WHO/' names.conll >other.conll
ranks 1 "${learn[@]}" --model whole --data other.conll --out other
expect_text '^head +new: 4 classes \(B-LOC, B-WHO, I-WHO, O\)$' err "the classes of other tags"
ranks 1 "${learn[@]}" --model whole --data names.conll --out stored
expect_text '^head +stored: 4 classes \(B-LOC, B-PER, I-PER, O\)$' err "the stored head"
ranks 1 "${learn[@]}" --model whole --data names.conll --new-head --out fresh
expect_text '^head +new: 4 classes \(B-LOC, B-PER, I-PER, O\)$' err "a new head for the same tags"

# refused NAME LINE REGEX
refused() {
  printf '%s\n' "$2" >"$1.jsonl"
  ranks 1 "${learn[@]}" --data "$1.jsonl" --out never
  expect_error 1 "$3" "$1"
}
refused counts '{"tokens": ["a", "b"], "tags": ["O"]}' 'counts\.jsonl: line 1: 2 tokens, but 1 tags'
refused numbers '{"tokens": ["a"], "tags": [3]}' 'numbers\.jsonl: line 1: tags: item 1 is an integer, expected a string: write tags by their names'
refused none '{"tokens": ["a"]}' 'none\.jsonl: line 1: tags: expected a list of strings, found nothing'
refused string '{"tokens": "a b", "tags": ["O"]}' 'string\.jsonl: line 1: tokens: expected a list of strings, found a string'
printf 'mira B-PER\nolsen\n' >untagged.conll
ranks 1 "${learn[@]}" --data untagged.conll --out never
expect_error 1 'untagged\.conll: line 2: the word "olsen" has no tag: write "word tag"' "a word without a tag"
ranks 1 train --model "$models/gpt2" --data names.conll --out never
expect_error 1 'names\.conll: a \.conll file; a language model takes files that end in \.jsonl, ' "a language model"
ranks 1 eval --model whole --data names.jsonl --labels 3
expect_status 2 "--labels is not an option of eval"
