#!/usr/bin/env python3
"""Compares the sentences that lora_dist predict chooses with those of transformers + PEFT and PreSumm's rule.

    python3 check_extract.py --model DIR --adapter PEFT_DIR --data FILE.jsonl --predictions FILE [--sentences 3]
                             [--layers 0] [--seq-len 512]

FILE.jsonl has records {"sentences": [...]}, and the predictions are what lora_dist predict printed for it. Exit status 1
when PEFT does not load every tensor, or when other sentences were chosen, unless two scores differ by less than 1e-5.
"""

import argparse
import json
import os
import sys
import warnings

os.environ.setdefault("HF_HUB_OFFLINE", "1")

import torch  # noqa: E402
import transformers  # noqa: E402
from peft import PeftModel  # noqa: E402

from extract_model import BertSum  # noqa: E402
from golden_common import fail  # noqa: E402

MOST, LONGEST, SHORTEST = 100, 200, 5


def read_lines(path: str) -> list[dict]:
    with open(path, encoding="utf-8") as file:
        return [json.loads(line) for line in file if line.strip()]


def load(options):
    body = transformers.AutoModel.from_pretrained(options.model, dtype=torch.float32, attn_implementation="eager")
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        model = PeftModel.from_pretrained(BertSum(body, options.layers, options.seq_len), options.adapter)
    told = [str(w.message) for w in caught if "key" in str(w.message).lower()]
    if told:
        fail(f"{options.adapter}: PEFT warns: {told}")
    return model.eval()


def encode(tokenizer, sentences: list[str], seq_len: int):
    """ids and types (T), where the sentences begin (K), and their numbers in the document (K)."""
    sentences = sentences[:MOST]
    kept = [i for i, s in enumerate(sentences) if len(s.split()) >= SHORTEST] or list(range(len(sentences)))
    ids, begins = [], []
    for i in kept:
        begins.append(len(ids))
        ids += tokenizer(sentences[i], truncation=True, max_length=LONGEST)["input_ids"]
    if len(ids) > seq_len:
        ids = ids[:seq_len - 1] + ids[-1:]
    begins = [b for b in begins if b < len(ids) - 1]
    types = torch.zeros(len(ids), dtype=torch.long)
    for k, begin in enumerate(begins):
        types[begin:] = k % 2
    return torch.tensor(ids), types, torch.tensor(begins), kept[:len(begins)]


def trigrams(sentence: str) -> set:
    words = sentence.lower().split()
    return set(zip(words, words[1:], words[2:]))


def choose(sentences: list[str], scores: list[float], most: int) -> list[int]:
    """PreSumm's trainer_ext.py, in the document's order."""
    chosen: list[int] = []
    for i in sorted(range(len(scores)), key=lambda i: (-scores[i], i)):
        if len(chosen) < most and not any(trigrams(sentences[i]) & trigrams(sentences[k]) for k in chosen):
            chosen.append(i)
    return sorted(chosen)


def judge(model, tokenizer, record: dict, options) -> tuple[list[int], list[float]]:
    ids, types, begins, kept = encode(tokenizer, record["sentences"], options.seq_len)
    if getattr(model.base_model.model.config, "type_vocab_size", 1) < 2:
        types = torch.zeros_like(types)
    with torch.no_grad():
        scores = model.base_model.model(ids, types, begins).double()
    picked = choose([record["sentences"][i] for i in kept], scores.tolist(), options.sentences)
    return [kept[i] for i in picked], scores.sigmoid().tolist()


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    for name in ("model", "adapter", "data", "predictions"):
        parser.add_argument(f"--{name}", required=True)
    parser.add_argument("--sentences", type=int, default=3)
    parser.add_argument("--layers", type=int, default=0)
    parser.add_argument("--seq-len", type=int, default=512)
    options = parser.parse_args()
    model, tokenizer = load(options), transformers.AutoTokenizer.from_pretrained(options.model)
    records, given = read_lines(options.data), read_lines(options.predictions)
    if len(records) != len(given):
        fail(f"{len(records)} records, but {len(given)} predictions")
    wrong = 0
    for number, (record, ours) in enumerate(zip(records, given)):
        theirs, scores = judge(model, tokenizer, record, options)
        ordered = sorted(scores)
        close = min((b - a for a, b in zip(ordered, ordered[1:])), default=1) < 1e-5
        if theirs != ours["indexes"]:
            print(f"record {number + 1}: {ours['indexes']}, not {theirs}" + (" (two scores are equal)" if close else ""))
            wrong += not close
    print(f"{len(records)} records, {wrong} of them with other sentences")
    return int(wrong > 0)


if __name__ == "__main__":
    sys.exit(main())
