#!/usr/bin/env python3
"""Compares the program tests/tools/tokenize with the `tokenizers` library, line by line.

    python3 tests/golden/compare_tokenizers.py --program PATH [--lines N] [--seed S] TOKENIZER.json ...
    python3 tests/golden/compare_tokenizers.py --program PATH --random N [--lines N] [--seed S] TOKENIZER.json ...

The first form runs N lines (and those of --text FILE) through each file, each also as an input of one text or
two, cut at a random length or not. In the place of a file may stand a folder without a tokenizer.json, which
transformers then makes a tokenizer of (--class NAME for a folder that does not tell its class, or to have
transformers, not the library, read its tokenizer.json: AutoTokenizer). The second
makes N tokenizers with parts and added tokens drawn at random around the models of the files (of a Unigram file
only the charsmap is used: the model is random too), and runs N lines through each.
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
from tokenizer_parts import decoder, normalizer, post_processor, pre_tokenizer, unigram
from tokenizers import Tokenizer

SPECIALS = ["<s>", "<x>", "lamp", " the", "don't", "  ", "É", "\n", "THE", "a", "é", "ﬁ", "▁", "<|end|>", "<|end", "123", "é̂"]


def charsmaps_in(part):
    """The charsmaps of a normalizer."""
    return [part["precompiled_charsmap"]] if "precompiled_charsmap" in part else [c for inner in part.get("normalizers", []) for c in charsmaps_in(inner)]


def variant(rng, data):
    data = json.loads(json.dumps(data))
    charsmaps, draw_normalizer = charsmaps_in(data.get("normalizer") or {}), normalizer
    if isinstance(data["model"]["vocab"], list):
        data["model"] = unigram(rng)
        draw_normalizer = lambda rng: normalizer(rng, charsmaps=charsmaps or [None])
    model = data["model"]
    for part, make, often in (("normalizer", draw_normalizer, 0.6), ("pre_tokenizer", pre_tokenizer, 0.7), ("decoder", decoder, 0.5),
                              ("post_processor", post_processor, 0.5)):
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
    if model["type"] == "Unigram":
        return data
    if rng.random() < 0.3:
        model["unk_token"] = rng.choice([None, next(iter(model["vocab"]))]) if model["type"] == "BPE" else rng.choice(["?", next(iter(model["vocab"]))])
    if model["type"] == "WordPiece":
        if rng.random() < 0.4:
            model["max_input_chars_per_word"] = rng.choice([0, 1, 3, 10, 1000])
        if rng.random() < 0.3:
            model["continuing_subword_prefix"] = rng.choice(["", "#", "s"])
        return data
    for key in ("fuse_unk", "byte_fallback", "ignore_merges"):
        if rng.random() < 0.3:
            model[key] = not model[key]
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


def open_library(path, name):
    """The library's tokenizer of a file, or of a folder through transformers' class."""
    if not os.path.isdir(path) or (os.path.exists(os.path.join(path, "tokenizer.json")) and not name):
        return Tokenizer.from_file(os.path.join(path, "tokenizer.json") if os.path.isdir(path) else path)
    import transformers
    return getattr(transformers, name or "AutoTokenizer").from_pretrained(path).backend_tokenizer


def encode_input(tok, text, pair, most):
    """None where the limit has no room for the special tokens: the library does not cut there, the program refuses."""
    if most and most < tok.num_special_tokens_to_add(pair is not None):
        return None
    if most:
        tok.enable_truncation(most, strategy="longest_first")
    full = tok.encode(text, pair)
    tok.no_truncation()
    return [full.ids, full.type_ids]


def ask(tok, item):
    """What the program should say to a line; None for lines that make the library panic, and for those above."""
    try:
        if isinstance(item, list):
            return encode_input(tok, *item)
        full = tok.encode(item).ids
        return [tok.encode(item, add_special_tokens=False).ids, full, tok.decode(full, skip_special_tokens=False), tok.decode(full)]
    except BaseException as error:
        if isinstance(error, KeyboardInterrupt):
            raise
        tok.no_truncation()
        return None


def with_languages(path, name, texts, rng):
    """Inputs in languages, and what transformers makes of them, for the classes whose tokenizers have src_lang."""
    import transformers
    tok = getattr(transformers, name).from_pretrained(path)
    if not hasattr(tok, "src_lang"):
        return [], []
    items, expected = [], []
    for text in texts:
        tok.src_lang = rng.choice(["de_DE", "en_XX", "ro_RO", "zh_CN"])
        pair = rng.choice(texts) if rng.random() < 0.3 else None
        items.append([text, pair, 0, tok.src_lang])
        full = tok(text, pair, return_token_type_ids=True)
        expected.append([full["input_ids"], full["token_type_ids"]])
    return items, expected


def with_inputs(texts, rng):
    """Each text by itself, then as an input: with or without a second text, uncut or cut."""
    return texts + [[text, rng.choice(texts) if rng.random() < 0.7 else None, rng.choice([0, rng.randrange(1, 40)])]
                    for text in texts]


def compare(program, path, texts, name=None):
    """The number of lines that differ, the first few of which are shown, and of those compared."""
    tok = open_library(path, name)
    tok.no_truncation()
    tok.no_padding()
    expected = [ask(tok, item) for item in texts]
    if name:
        more, wanted = with_languages(path, name, [text for text in texts if isinstance(text, str)][:2000], random.Random(1))
        texts, expected = texts + more, expected + wanted
    run = subprocess.run([program, path], input="".join(json.dumps(t, ensure_ascii=False) + "\n" for t in texts).encode(), capture_output=True)
    got = run.stdout.split(b"\n")[:-1]
    if run.returncode or run.stderr or len(got) != len(texts):
        print(f"{path}: status {run.returncode}, {len(got)} lines of {len(texts)}: {run.stderr.decode()[:500]}")
        return len(texts), 0
    got = [json.loads(line) for line in got]
    wrong = [i for i, e in enumerate(expected) if e is not None and e != got[i]]
    for i in wrong[:3]:
        print(f"{path}: {json.dumps(texts[i], ensure_ascii=False)}")
        for what, e, g in zip(("ids", "types") if len(expected[i]) == 2 else ("plain", "full", "decoded", "skipped"), expected[i], got[i] + [None] * 4):
            if e != g:
                print(f"  {what}: library {json.dumps(e, ensure_ascii=False)}\n  {what}: program {json.dumps(g, ensure_ascii=False)}")
    return len(wrong), sum(e is not None for e in expected)


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--program", required=True)
    parser.add_argument("--lines", type=int, default=10000)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--random", type=int, default=0)
    parser.add_argument("--text", action="append", default=[])
    parser.add_argument("--keep", help="a folder for random tokenizers that differ")
    parser.add_argument("--class", dest="name")
    parser.add_argument("files", nargs="+")
    options = parser.parse_args()
    own = [line for path in options.text for line in open(path, encoding="utf-8").read().splitlines(keepends=True)]
    bad = tried = total = 0
    if not options.random:
        for path in options.files:
            specials = [t.content for t in open_library(path, options.name).get_added_tokens_decoder().values()]
            texts = lines(options.lines, options.seed, specials[:40]) + own
            wrong, count = compare(options.program, path, with_inputs(texts, random.Random(options.seed)), options.name)
            print(f"{path}: {count} lines, {wrong} differ")
            bad, total = bad + wrong, total + count
    rng = random.Random(options.seed)
    bases = [json.load(open(path, encoding="utf-8")) for path in options.files if options.random]
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
            texts = lines(options.lines, rng.randrange(1 << 30), SPECIALS + WORDS[:3])
            wrong, count = compare(options.program, path, with_inputs(texts, rng))
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
