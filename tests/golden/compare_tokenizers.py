#!/usr/bin/env python3
"""Compares the program tests/tools/tokenize with the `tokenizers` library, line by line.

    python3 tests/golden/compare_tokenizers.py --program PATH [--lines N] [--seed S] TOKENIZER.json ...
    python3 tests/golden/compare_tokenizers.py --program PATH --random N [--lines N] [--seed S] TOKENIZER.json ...

The first form runs N lines (and those of --text FILE) through each file. The second makes N tokenizers with
parts and added tokens drawn at random around the models of the files, and runs N lines through each.
Exit status 1 when anything differs.
"""

import argparse
import json
import os
import random
import subprocess
import sys
import tempfile

from tokenizer_lines import WORDS, lines
from tokenizer_parts import decoder, normalizer, pre_tokenizer
from tokenizers import Tokenizer

SPECIALS = ["<s>", "<x>", "lamp", " the", "don't", "  ", "É", "\n", "THE", "a", "é", "ﬁ", "▁", "<|end|>", "<|end", "123", "é̂"]


def variant(rng, data):
    data = json.loads(json.dumps(data))
    model = data["model"]
    for part, make, often in (("normalizer", normalizer, 0.6), ("pre_tokenizer", pre_tokenizer, 0.7), ("decoder", decoder, 0.5)):
        if rng.random() < often:
            data[part] = make(rng) if rng.random() < 0.9 else None
    # A Replace that matches nothing at the start of a text makes the library's own alignment wrong: later steps repeat
    # what was put there, or panic.
    for regex in (r"\b", "x*", r"\B."):
        data["normalizer"] = json.loads(json.dumps(data["normalizer"]).replace(json.dumps({"Regex": regex}), json.dumps({"Regex": "x+"})))
    if '"NF' in json.dumps(data["normalizer"]) and isinstance(data["pre_tokenizer"], dict):
        # The one known difference: which pieces a Split within a composed character has "first" prepended.
        data["pre_tokenizer"] = json.loads(json.dumps(data["pre_tokenizer"]).replace('"prepend_scheme": "first"', '"prepend_scheme": "always"'))
    if rng.random() < 0.7:
        first = len(model["vocab"])
        data["added_tokens"] = [
            {"id": first + i, "content": text, **{k: rng.random() < 0.4 for k in ("single_word", "lstrip", "rstrip", "normalized", "special")}}
            for i, text in enumerate(rng.sample(SPECIALS, rng.randrange(7)))]
    for key in ("fuse_unk", "byte_fallback", "ignore_merges"):
        if rng.random() < 0.3:
            model[key] = not model[key]
    if rng.random() < 0.3:
        model["unk_token"] = rng.choice([None, next(iter(model["vocab"]))])
    if rng.random() < 0.5:
        model["merges"] = [" ".join(m) if not isinstance(m, str) else m for m in model["merges"]]
    return data


def spellings_clash(data):
    """Of added tokens that normalisation makes equal the library finds any one; one of which it leaves nothing
    matches between any two characters, or for ever."""
    tok = Tokenizer.from_str(json.dumps(data))
    seen = [tok.normalizer.normalize_str(t["content"]) if tok.normalizer else t["content"]
            for t in data["added_tokens"] if t["normalized"]]
    return len(seen) != len(set(seen)) or "" in seen


def compare(program, path, texts):
    """The number of lines that differ; the first few are shown. Lines that make the library panic are left out."""
    tok = Tokenizer.from_file(path)
    tok.no_truncation()
    tok.no_padding()
    expected = []
    for text in texts:
        try:
            full = tok.encode(text).ids
            expected.append([tok.encode(text, add_special_tokens=False).ids, full, tok.decode(full, skip_special_tokens=False), tok.decode(full)])
        except BaseException as error:
            if isinstance(error, KeyboardInterrupt):
                raise
            expected.append(None)
    run = subprocess.run([program, path], input="".join(json.dumps(t, ensure_ascii=False) + "\n" for t in texts).encode(), capture_output=True)
    got = run.stdout.split(b"\n")[:-1]
    if run.returncode or run.stderr or len(got) != len(texts):
        print(f"{path}: status {run.returncode}, {len(got)} lines of {len(texts)}: {run.stderr.decode()[:500]}")
        return len(texts), 0
    got = [json.loads(line) for line in got]
    wrong = [i for i, e in enumerate(expected) if e is not None and e != got[i]]
    for i in wrong[:3]:
        print(f"{path}: {json.dumps(texts[i], ensure_ascii=False)}")
        for name, e, g in zip(("plain", "full", "decoded", "skipped"), expected[i], got[i] + [None] * 4):
            if e != g:
                print(f"  {name}: library {json.dumps(e, ensure_ascii=False)}\n  {name}: program {json.dumps(g, ensure_ascii=False)}")
    return len(wrong), sum(e is not None for e in expected)


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--program", required=True)
    parser.add_argument("--lines", type=int, default=10000)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--random", type=int, default=0)
    parser.add_argument("--text", action="append", default=[])
    parser.add_argument("--keep", help="a folder for random tokenizers that differ")
    parser.add_argument("files", nargs="+")
    options = parser.parse_args()
    own = [line for path in options.text for line in open(path, encoding="utf-8").read().splitlines(keepends=True)]
    bad = tried = total = 0
    if not options.random:
        for path in options.files:
            specials = [t.content for t in Tokenizer.from_file(path).get_added_tokens_decoder().values()]
            wrong, count = compare(options.program, path, lines(options.lines, options.seed, specials[:40]) + own)
            print(f"{path}: {count} lines, {wrong} differ")
            bad, total = bad + wrong, total + count
    rng = random.Random(options.seed)
    bases = [json.load(open(path, encoding="utf-8")) for path in options.files]
    with tempfile.TemporaryDirectory() as folder:
        path = os.path.join(options.keep or folder, "tokenizer.json")
        while tried < options.random:
            data = variant(rng, rng.choice(bases))
            try:
                if spellings_clash(data):
                    continue
            except BaseException:
                continue
            tried += 1
            json.dump(data, open(path, "w", encoding="utf-8"), ensure_ascii=False)
            wrong, count = compare(options.program, path, lines(options.lines, rng.randrange(1 << 30), SPECIALS + WORDS[:3]))
            if wrong:
                print(json.dumps({k: v for k, v in data.items() if k != "model"}, ensure_ascii=False))
                print(json.dumps({k: v for k, v in data["model"].items() if k not in ("vocab", "merges")}, ensure_ascii=False))
                if options.keep:
                    os.rename(path, os.path.join(options.keep, f"bad-{tried}.json"))
            bad, total = bad + wrong, total + count
    if options.random:
        print(f"{tried} random tokenizers, {total} lines, {bad} differ")
    return 1 if bad else 0


sys.exit(main())
