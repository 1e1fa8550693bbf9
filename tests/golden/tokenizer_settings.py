#!/usr/bin/env python3
"""Compares what stands beside a vocabulary: every key of tokenizer_config.json that transformers honours, present and
contradicting tokenizer.json, special_tokens_map.json and added_tokens.json, for each tokenizer class.

    python3 tests/golden/tokenizer_settings.py --program PATH [--verbose] [--only TEXT]
    python3 tests/golden/tokenizer_settings.py --record

The first form makes a folder for each case out of the small vocabularies in tests/golden/tokenizers, opens it with
AutoTokenizer and with the program tests/tools/tokenize, and compares on awkward texts the ids with and without special
tokens, a pair's, the text decoded with and without special tokens, and the ids of eos_token and pad_token. It prints a table: how many cases of a
key agree, how many the program refuses, how many the reference cannot open (these are not compared). Exit status 1 when
anything differs, or when a refusal does not name the key.

The second form records some of the cases as a test: of each key and vocabulary the first that changes anything, and some
that change nothing. settings.jsonl in tests/golden/tokenizers has a line for each: {"key", "style", "files": {name:
content}, "eos", "pad", "types", "rows": [[text, ids with special tokens, cut to 7, those decoded without special tokens], ...]}.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile

os.environ["HF_HUB_OFFLINE"] = "1"
import transformers
from transformers import AutoTokenizer

transformers.logging.set_verbosity_error()
HERE = os.path.join(os.path.dirname(os.path.abspath(__file__)), "tokenizers")
TEXTS = ["Hello world", " Hello  WORLD, caf\u00e9 na\u00efve \u00c9", "a <|x|> b<|y|>c", "<s>lamp</s> river<pad>", "<|endoftext|>The lamp<|im_end|>\n<|x|>",
         "[CLS] the Lamp [SEP] [MASK][UNK] x", "\u6771\u4eac \u4f60\u597d \u0130stanbul stra\u00dfe", "x1234 56.7 isn't we'll  \n\n\ttabs", "<|im_start|>user\nhi<|im_end|>", "",
         "  ", "  <|x|>  <|y|>  end", "a<mask>b <mask> c", "<extra> <EXTRA> <Extra>", "word<|x|>word", "\u2581low \u2581 bar", "don ' t do n't . , !", "\U0001f600 e\u0301 \ufb01"]
MOST = 7

# base: style, tokenizer classes, model types
BASES = [("gpt2", ["GPT2Tokenizer", "GPT2TokenizerFast"], ["gpt2", "llama"]), ("llama2", ["LlamaTokenizer", "LlamaTokenizerFast"], ["llama", "mistral"]),
         ("llama3", ["PreTrainedTokenizerFast", "LlamaTokenizer"], ["llama"]), ("mistral", ["LlamaTokenizer"], ["mistral", "llama"]),
         ("qwen2", ["Qwen2Tokenizer", "PreTrainedTokenizerFast", "LlamaTokenizerFast"], ["qwen2", "qwen3"]), ("roberta", ["RobertaTokenizer"], ["roberta"]),
         ("smollm", ["GPT2Tokenizer", "PreTrainedTokenizerFast"], ["llama"]), ("bert", ["BertTokenizer", "BertTokenizerFast"], ["bert"]),
         ("bert_cased", ["DistilBertTokenizer"], ["distilbert"]), ("bert_cased", ["BertTokenizer", "PreTrainedTokenizerFast"], ["bert"]), ("bert", ["ElectraTokenizer"], ["electra"]),
         ("t5", ["T5Tokenizer", "T5TokenizerFast", "PreTrainedTokenizerFast"], ["t5", "mt5", "umt5"]), ("pegasus", ["PegasusTokenizer"], ["pegasus"]),
         ("pegasus", ["MBartTokenizer", "MBart50TokenizerFast"], ["mbart"]), ("pegasus", ["XLMRobertaTokenizer"], ["xlm-roberta"]),
         ("pegasus", ["AlbertTokenizerFast"], ["albert"]), ("pegasus", ["DebertaV2Tokenizer"], ["deberta-v2"]), ("clip", ["CLIPTokenizer", "CLIPTokenizerFast"], ["clip"])]
UNIGRAM = ("t5", "pegasus")


def token(content, typed=True, **flags):
    return {**({"__type": "AddedToken"} if typed else {}), "content": content, "lstrip": False, "rstrip": False, "single_word": False, "normalized": True, **flags}


def described(content, **flags):
    return {"content": content, "lstrip": False, "rstrip": False, "single_word": False, "normalized": False, "special": True, **flags}


def cases(style, size, known):
    """(key, files beside the vocabulary), `size` the first free id, `known` an added token of the vocabulary."""
    if style in UNIGRAM:
        yield from unigram_cases(known)
    for key in ("do_lower_case", "strip_accents", "tokenize_chinese_chars", "add_prefix_space", "add_bos_token", "add_eos_token",
                "legacy", "clean_up_tokenization_spaces", "do_basic_tokenize", "trim_offsets", "use_default_system_prompt",
                "split_special_tokens", "spaces_between_special_tokens", "use_fast", "keep_accents", "fix_mistral_regex"):
        for value in (True, False, None):
            yield key, {"tokenizer_config.json": {key: value}}
    for role in ("bos_token", "eos_token", "unk_token", "pad_token", "sep_token", "cls_token", "mask_token", "image_token"):
        for value in ("<|x|>", known, token("<|x|>"), token("<|x|>", lstrip=True, rstrip=True, normalized=False), token(known, lstrip=True, normalized=False), token("<|x|>", typed=False), None, 7):
            yield role, {"tokenizer_config.json": {role: value}}
        for value in ("<|x|>", known, token("<|x|>", typed=False, lstrip=True), token(known, typed=False, rstrip=True, normalized=False), None):
            yield role + " (special_tokens_map.json)", {"special_tokens_map.json": {role: value}}
        yield role + " (both files)", {"special_tokens_map.json": {role: "<|x|>"}, "tokenizer_config.json": {role: "<|y|>"}}
        yield role + " (with a decoder)", {"special_tokens_map.json": {role: "<|x|>"}, "tokenizer_config.json": {role: "<|y|>", "added_tokens_decoder": {}}}
    for flag in ("lstrip", "rstrip", "single_word", "normalized", "special"):
        for value in (True, False):
            for content in ("<|x|>", known, "lamp", "<Extra>"):
                yield "added_tokens_decoder, " + flag, {"tokenizer_config.json": {"added_tokens_decoder": {str(size): described(content, **{flag: value})}}}
    for at in (0, size - 1, size, size + 9):
        yield "added_tokens_decoder, index", {"tokenizer_config.json": {"added_tokens_decoder": {str(at): described("<|x|>")}}}
    yield "added_tokens_decoder, order", {"tokenizer_config.json": {"added_tokens_decoder": {str(size + 1): described("<|x|>"), str(size): described("<|y|>", special=False)}}}
    yield "added_tokens_decoder, order", {"tokenizer_config.json": {"added_tokens_decoder": {str(10**len(str(size))): described("<|x|>"), str(size): described("<|y|>")}}}
    yield "added_tokens_decoder, eos", {"tokenizer_config.json": {"eos_token": "<|x|>", "added_tokens_decoder": {str(size): described("<|x|>", special=False, normalized=True)}}}
    yield "added_tokens_decoder, empty", {"tokenizer_config.json": {"added_tokens_decoder": {}}, "added_tokens.json": {"<|x|>": size}}
    yield "added_tokens_decoder, bad", {"tokenizer_config.json": {"added_tokens_decoder": {str(size): "<|x|>"}}}
    for key in ("additional_special_tokens", "extra_special_tokens"):
        for value in (["<|x|>"], ["<|x|>", "<|y|>", known], [token("<|x|>", lstrip=True)], [token("<|x|>", special=True)], [], None, ["lamp"]):
            yield key, {"tokenizer_config.json": {key: value}}
            yield key + " (special_tokens_map.json)", {"special_tokens_map.json": {key: value}}
        yield key + " (both files)", {"tokenizer_config.json": {key: ["<|x|>"]}, "special_tokens_map.json": {key: ["<|y|>"]}}
    for value in ({"image_token": "<|x|>", "other": "<|y|>"}, {"image_token": token("<|x|>", lstrip=True)}, {}):
        yield "extra_special_tokens, object", {"tokenizer_config.json": {"extra_special_tokens": value}}
        yield "extra_special_tokens, object (special_tokens_map.json)", {"special_tokens_map.json": {"extra_special_tokens": value}}
    yield "additional_ and extra_special_tokens", {"tokenizer_config.json": {"additional_special_tokens": ["<|x|>"], "extra_special_tokens": ["<|y|>"]}}
    yield "additional_ and extra_special_tokens", {"tokenizer_config.json": {"additional_special_tokens": ["<|x|>"], "extra_special_tokens": []}}
    for extra in ({"image_token": "<|x|>"}, {}):
        yield f"additional_special_tokens beside {len(extra)} with names", {"tokenizer_config.json": {"additional_special_tokens": ["<|y|>"], "extra_special_tokens": extra}}
        yield f"additional_special_tokens (special_tokens_map.json) beside {len(extra)} with names", {"special_tokens_map.json": {"additional_special_tokens": ["<|y|>"]}, "tokenizer_config.json": {"extra_special_tokens": extra}}
    for empty in ({}, None):
        yield f"extra_special_tokens (special_tokens_map.json) {empty} beside one with a name", {"special_tokens_map.json": {"extra_special_tokens": empty}, "tokenizer_config.json": {"extra_special_tokens": {"other": "<|y|>"}}}
    yield "added_tokens.json, described role", {"added_tokens.json": {"<|X|>": size}, "tokenizer_config.json": {"mask_token": token("<|X|>", normalized=False)}}
    yield "added_tokens.json, described role (special_tokens_map.json)", {"added_tokens.json": {"<|X|>": size}, "special_tokens_map.json": {"mask_token": token("<|X|>", typed=False, normalized=False)}}
    yield "added_tokens_decoder, pad", {"tokenizer_config.json": {"pad_token": "<|x|>", "added_tokens_decoder": {str(size): described("<|x|>", special=False)}}}
    yield "added_tokens.json", {"added_tokens.json": {"<|x|>": size}}
    yield "added_tokens.json", {"added_tokens.json": {"<|x|>": size + 1, "<|y|>": size, "lamp": size + 2}}
    yield "added_tokens.json", {"added_tokens.json": {"<|x|>": 0, "<Extra>": 1}}
    yield "added_tokens.json", {"added_tokens.json": {"<|x|>": size}, "tokenizer_config.json": {"pad_token": "<|x|>"}}
    yield "added_tokens.json", {"added_tokens.json": {"<|x|>": size}, "special_tokens_map.json": {"additional_special_tokens": ["<|x|>"]}}
    yield "added_tokens.json", {"added_tokens.json": {"<|x|>": size}, "tokenizer_config.json": {"additional_special_tokens": ["<|x|>"]}}
    yield "added_tokens.json", {"added_tokens.json": {"<|x|>": "no"}}
    for key, value in [("model_max_length", 4), ("model_max_length", 1000000000000000019884624838656), ("max_len", 4), ("model_max_length", None), ("truncation_side", "left"), ("padding_side", "left"), ("padding_side", "right"), ("chat_template", "{{ messages }}"), ("errors", "strict"),
                       ("model_input_names", ["input_ids"]), ("sp_model_kwargs", {}), ("name_or_path", "x"), ("backend", "tokenizers"), ("is_local", True), ("init_inputs", []), ("never_split", ["lamp"]),
                       ("stride", 1), ("max_length", 3), ("truncation_strategy", "longest_first"), ("fast_tokenizer_files", ["tokenizer.json"]), ("fast_tokenizer_files", ["tokenizer.json", "tokenizer.4.0.0.json"]),
                       ("tokenizer_file", "/none"), ("vocab_file", "x"), ("vocab_size", 3), ("return_token_type_ids", False), ("bos_token_id", 3), ("eos_token_id", 5), ("response_schema", {}), ("processor_class", "X")]:
        yield key, {"tokenizer_config.json": {key: value}}
    for name in ("PreTrainedTokenizerFast", "PreTrainedTokenizer", "TokenizersBackend", "NoSuchTokenizer", "GPT2Tokenizer", "LlamaTokenizer", "BertTokenizer", "DistilBertTokenizerFast", "RobertaTokenizer",
                 "Qwen2Tokenizer", "GemmaTokenizer", "GPTNeoXTokenizerFast", "BloomTokenizerFast", "CodeLlamaTokenizer", None):
        yield "tokenizer_class", {"tokenizer_config.json": {"tokenizer_class": name}}
    yield "tokenizer_class (config.json)", {"tokenizer_config.json": {"tokenizer_class": None}, "config.json": {"tokenizer_class": "PreTrainedTokenizerFast"}}
    yield "tokenizer_class (config.json)", {"tokenizer_config.json": {"tokenizer_class": None}, "config.json": {"tokenizer_class": "GPT2Tokenizer"}}
    yield "clean_up_tokenization_spaces (forced on BPE)", {"tokenizer_config.json": {"clean_up_tokenization_spaces": True, "clean_up_tokenization_spaces_for_bpe_even_though_it_will_corrupt_output": True}}
    yield "no settings", {}


def unigram_cases(known):
    """Keys that only classes with a Unigram model have."""
    for key, values in (("split_by_punct", (True, False, None)), ("extra_ids", (0, 4, 100, 7)), ("offset", (2, 10, 103)), ("mask_token_sent", ("<|x|>", "<mask_1>", None)),
                        ("src_lang", ("de_DE", "en_XX", None)), ("tgt_lang", ("de_DE", None)), ("unk_id", (0, 1, 2))):
        for value in values:
            yield key, {"tokenizer_config.json": {key: value}}
    for tokens in (["<extra_id_0>"], [f"<extra_id_{i}>" for i in range(4)], ["<|x|>", token("<|y|>", special=True)], ["<mask_1>", "<|x|>"], ["de_DE", "<|x|>"], [known]):
        for extra in ({}, {"extra_ids": 4}, {"extra_ids": 0}):
            yield "additional_special_tokens and extra_ids (special_tokens_map.json)", {"special_tokens_map.json": {"additional_special_tokens": tokens}, "tokenizer_config.json": extra}
            yield "additional_special_tokens and extra_ids", {"tokenizer_config.json": {"additional_special_tokens": tokens, **extra}}


def read(style):
    with open(os.path.join(HERE, style, "tokenizer.json"), encoding="utf-8") as f:
        return json.load(f)


def write(folder, name, value):
    with open(os.path.join(folder, name), "w", encoding="utf-8") as f:
        f.write(value if isinstance(value, str) else json.dumps(value, ensure_ascii=False))


def write_older(folder, data):
    """vocab.txt, or vocab.json and merges.txt, with the added tokens in the vocabulary."""
    vocab = dict(data["model"]["vocab"])
    for t in data["added_tokens"]:
        vocab.setdefault(t["content"], t["id"])
    if "merges" not in data["model"]:
        return write(folder, "vocab.txt", "".join(t + "\n" for t, _ in sorted(vocab.items(), key=lambda item: item[1])))
    write(folder, "vocab.json", vocab)
    write(folder, "merges.txt", "#version: 0.2\n" + "".join(" ".join(m) + "\n" for m in data["model"]["merges"]))


def make(folder, style, vocabulary, files):
    write_older(folder, read(style)) if vocabulary == "older" else write(folder, "tokenizer.json", read(style))
    for name, value in files.items():
        write(folder, name, value)


def types(encoded):
    return encoded.get("token_type_ids", [0] * len(encoded["input_ids"]))


def cut(tok, text, pair):
    return tok.encode(text, pair, truncation="longest_first", max_length=MOST)


def reference(folder):
    """What AutoTokenizer makes of the texts; None where it fails."""
    try:
        tok = AutoTokenizer.from_pretrained(folder)
    except Exception as e:
        return None, repr(e)
    rows = []
    for text in TEXTS:
        try:
            ids = tok.encode(text)
            rows.append([tok.encode(text, add_special_tokens=False), ids, tok.decode(ids), tok.decode(ids, skip_special_tokens=True), tok.encode(text, "a <|x|>"), types(tok(text, "a <|x|>")),
                         cut(tok, text, None), cut(tok, text, "a <|x|> b")])
        except Exception as e:
            return None, repr(e)
    return rows, [-1 if id is None else id for id in (tok.eos_token_id, tok.pad_token_id)]


def program(path, folder):
    pairs = [(None, MOST), ("a <|x|> b", MOST), ("a <|x|>", 0)]
    lines = [json.dumps(text) for text in TEXTS] + [json.dumps([text, pair, most]) for pair, most in pairs for text in TEXTS] + ["null"]
    done = subprocess.run([path, folder], input="\n".join(lines) + "\n", capture_output=True, text=True)
    if done.returncode:
        return None, done.stderr.strip(), ""
    out = [json.loads(line) for line in done.stdout.splitlines()]
    n, (eos, has_types, pad) = len(TEXTS), out[-1]
    failed = [row[0] for row in out[:-1] if isinstance(row[0], str)]
    if failed:
        return None, failed[0], done.stderr
    rows = [one + [pair[0], pair[1] if has_types else [0] * len(pair[1]), cut_one[0], cut_pair[0]]
            for one, cut_one, cut_pair, pair in zip(out[:n], out[n:], out[2 * n:], out[3 * n:])]
    return rows, [eos, pad], done.stderr


def all_cases():
    for style, classes, types in BASES:
        data = read(style)
        vocab = data["model"]["vocab"]
        size = len({v if isinstance(v, str) else v[0] for v in vocab} | {t["content"] for t in data["added_tokens"]})
        for model_type in types:
            for name in classes + [None]:
                for vocabulary in ("tokenizer.json", "older"):
                    if vocabulary == "older" and style in ("llama2", "llama3", "mistral", "smollm", *UNIGRAM):
                        continue
                    for key, files in cases(style, size, data["added_tokens"][0]["content"]):
                        files = {"config.json": {"model_type": model_type, **files.get("config.json", {})}, **{k: v for k, v in files.items() if k != "config.json"}}
                        settings = {"tokenizer_class": name, **files.get("tokenizer_config.json", {})}
                        if settings["tokenizer_class"] is None:
                            del settings["tokenizer_class"]
                        files["tokenizer_config.json"] = settings
                        yield key, style, vocabulary, files


def show(files):
    return json.dumps({k: v for k, v in files.items()}, ensure_ascii=False)


def compare(options):
    table, bad = {}, 0
    for key, style, vocabulary, files in all_cases():
        if options.only and options.only not in key + " " + style + " " + vocabulary + " " + show(files):
            continue
        counts = table.setdefault(key, {"same": 0, "refused": 0, "reference fails": 0, "differs": 0, "unnamed": 0})
        with tempfile.TemporaryDirectory() as folder:
            make(folder, style, vocabulary, files)
            expected, ends = reference(folder)
            got, own_ends, warnings = program(options.program, folder)
        what = f"{key}: {style} {vocabulary} {show(files)}"
        if expected is None:
            counts["reference fails"] += 1
            if options.verbose:
                print(f"{what}\n  reference: {ends[:200]}\n  program: {own_ends if got is None else 'opens it'}")
        elif got is None:
            counts["refused"] += 1
            if options.verbose:
                print(f"{what}\n  refused: {own_ends}")
        elif got == expected and own_ends == ends:
            counts["same"] += 1
            if options.verbose and warnings:
                print(f"{what}\n  warns: {warnings}")
        else:
            counts["differs"] += 1
            bad += 1
            print(f"DIFFERS {what}\n  warnings: {warnings.strip()}")
            if own_ends != ends:
                print(f"  eos and pad: reference {ends}, program {own_ends}")
            for text, e, g in zip(TEXTS, expected, got):
                if e != g:
                    print(f"  {text!r}\n    reference {e}\n    program   {g}")
                    break
    print(f"{'key':60} {'same':>6} {'refused':>8} {'ref. fails':>11} {'differs':>8}")
    for key, c in sorted(table.items()):
        print(f"{key:60} {c['same']:6} {c['refused']:8} {c['reference fails']:11} {c['differs']:8}")
    total = {k: sum(c[k] for c in table.values()) for k in ("same", "refused", "reference fails", "differs")}
    print(f"{'all':60} {total['same']:6} {total['refused']:8} {total['reference fails']:11} {total['differs']:8}")
    return 1 if bad else 0


def pick(rows, plain):
    """Of the texts at most two on which a setting matters, or else the last."""
    changed = [i for i in range(len(TEXTS)) if rows[i] != plain[i]] if plain else []
    return changed[:2] or [len(TEXTS) - 1]


IGNORED = ("add_bos_token", "add_eos_token", "do_lower_case", "padding_side", "model_max_length", "spaces_between_special_tokens")


def record():
    plain, done = {}, set()
    with open(os.path.join(HERE, "settings.jsonl"), "w", encoding="utf-8") as out:
        for key, style, vocabulary, files in sorted(all_cases(), key=lambda case: case[0] != "no settings"):
            if vocabulary != "tokenizer.json" or (style, key) in done or (key == "no settings" and style in plain):
                continue
            if key == "fast_tokenizer_files" or (key[:4] in ("sep_", "cls_", "mask") and style not in ("bert", "roberta")):
                continue
            with tempfile.TemporaryDirectory() as folder:
                make(folder, style, vocabulary, files)
                rows, ends = reference(folder)
            if rows is None:
                continue
            name = files["config.json"]["model_type"], files["tokenizer_config.json"].get("tokenizer_class")
            if key == "no settings":
                plain[style] = name, rows, ends
            elif name != plain[style][0] and not key.startswith("tokenizer_class"):
                continue
            elif rows == plain[style][1] and ends[0] == plain[style][2][0] and not (style == "gpt2" and key in IGNORED):
                continue
            done.add((style, key))
            picked = pick(rows, plain[style][1] if key != "no settings" else None)
            line = {"key": key, "style": style, "files": files, "eos": ends[0], "pad": ends[1], "types": max(rows[0][5], default=0),
                    "rows": [[TEXTS[i], rows[i][1], rows[i][6], rows[i][3]] for i in picked]}
            out.write(json.dumps(line, ensure_ascii=False) + "\n")
    return 0


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--program")
    parser.add_argument("--verbose", action="store_true")
    parser.add_argument("--only", help="only cases whose description contains this")
    parser.add_argument("--record", action="store_true")
    options = parser.parse_args()
    return record() if options.record else compare(options)


if __name__ == "__main__":
    sys.exit(main())
