#!/usr/bin/env python3
"""Makes tests/golden/tokenizers/: one small tokenizer.json per style, in the layout of the models that have that
style, and what the `tokenizers` library makes of a file of awkward lines.

    python3 tests/golden/make_tokenizers.py

lines.jsonl has one JSON string a line. STYLE/expected.txt has, for each of those lines, three columns:
  ids      without special tokens, two digits in base 64 for each (alphabet below)
  decoded  those ids decoded with special tokens kept, and
  skipped  with them skipped; each as a JSON string, or = where it is the line itself, or ~ as the column before
and before them one line with the ids that the post-processor puts before and after. For BERT's styles the lines are
those of bert.jsonl, for CLIP's those of clip.jsonl. bert_vocab is a folder with a vocab.txt instead, clip_vocab one with
vocab.json and merges.txt, spiece one with a SentencePiece model, of which transformers makes the tokenizer.

STYLE/inputs.txt has inputs of one text or two, cut or not, a row each: number of the line, of the second text's line or
-, most tokens (0: no limit), ids, type ids, a digit each.

words.jsonl has one word a line, as a JSON string. STYLE/words.txt has lists of words that are encoded each by itself
(is_pretokenized), by a tokenizer whose ByteLevel, where it stands alone, has add_prefix_space as transformers asks for
then; a row each: numbers of the lines, most tokens, ids, and for each id one more than the place in the list of the word
that begins with it, else 0, in base 64, too.

parts.jsonl tries parts by themselves: ["normalizer", part, text, normalised], ["pre_tokenizer", part, text, [piece,
...]] and ["decoder", part, [token, ...], text].
"""

import json
import os
import random
import unicodedata

from clip_folders import PARTS, train, write_old
from sentencepiece import SentencePieceTrainer
from sentencepiece.sentencepiece_model_pb2 import ModelProto
from tokenizer_lines import ALPHABETS, AWKWARD, BERT, CLIP, lines, random_line
from tokenizer_parts import REGEXES, charsmap_of, decoder, normalizer, pre_tokenizer
from tokenizers import AddedToken, Regex, Tokenizer, decoders, models, normalizers, pre_tokenizers, processors, trainers
from transformers import BertTokenizer, CLIPTokenizer, T5Tokenizer

HERE = os.path.join(os.path.dirname(os.path.abspath(__file__)), "tokenizers")
DIGITS = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz-_"
SENTINELS = [f"<extra_id_{i}>" for i in range(3, -1, -1)]
COUNT = 1600
MERGES = 320
BERT_COUNT = 480
BERT_SIZE = 420
CLIP_COUNT = 480
CLIP_MERGES = 200
INPUTS = 240
LISTS = 240

LLAMA3 = (r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*"
          r"|\s*[\r\n]+|\s+(?!\S)|\s+")
QWEN2 = LLAMA3.replace(r"\p{N}{1,3}", r"\p{N}")

SUBJECTS = "river lamp stone garden letter harbour window kettle forest engine ladder market bridge winter".split()
VERBS = "holds warms finds carries paints opens counts repairs watches moves isn't doesn't we'll they've".split()
OTHERS = ["caf\u00e9", "na\u00efve", "Stra\u00dfe", "\u6771\u4eac", "\u4f60\u597d\u4e16\u754c", "\u043f\u0440\u0438\u0432\u0435\u0442", "\U0001f600", "\u03b1\u03b2\u03b3", "x = y + 1;", "return foo_bar(x);"]


def training_text():
    rng = random.Random(1)
    for _ in range(4000):
        text = f"The {rng.choice(SUBJECTS)} {rng.choice(VERBS)} the {rng.choice(SUBJECTS)}"
        if rng.random() < 0.4:
            text += f", {rng.randrange(10000)} {rng.choice(OTHERS)}"
        yield text + rng.choice([".", "!", "?\n", "\n\n", ":  ", " ..."])


def special(text, **keywords):
    return AddedToken(text, **{"special": True, "normalized": False, **keywords})


def byte_level(pre_tokenizer, normalizer=None, ignore_merges=False):
    tok = Tokenizer(models.BPE(ignore_merges=ignore_merges))
    tok.pre_tokenizer = pre_tokenizer
    if normalizer:
        tok.normalizer = normalizer
    trainer = trainers.BpeTrainer(vocab_size=256 + MERGES, initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
                                  show_progress=False)
    tok.train_from_iterator(training_text(), trainer)
    tok.decoder = decoders.ByteLevel()
    tok.post_processor = processors.ByteLevel(trim_offsets=False)
    return tok


def gpt2():
    tok = byte_level(pre_tokenizers.ByteLevel(add_prefix_space=False))
    tok.add_special_tokens([special("<|endoftext|>", normalized=True)])
    return tok


def roberta():
    tok = byte_level(pre_tokenizers.ByteLevel(add_prefix_space=True))
    tok.add_special_tokens([special(t) for t in ("<s>", "<pad>", "</s>", "<unk>")] + [special("<mask>", lstrip=True)])
    tok.post_processor = processors.RobertaProcessing(("</s>", tok.token_to_id("</s>")),
                                                      ("<s>", tok.token_to_id("<s>")))
    return tok


def split_and_bytes(pattern):
    return pre_tokenizers.Sequence([pre_tokenizers.Split(Regex(pattern), behavior="isolated"),
                                    pre_tokenizers.ByteLevel(add_prefix_space=False, trim_offsets=True, use_regex=False)])


def llama3():
    tok = byte_level(split_and_bytes(LLAMA3), ignore_merges=True)
    tok.add_special_tokens([special(t) for t in ("<|begin_of_text|>", "<|end_of_text|>", "<|reserved_special_token_0|>",
                                                 "<|start_header_id|>", "<|end_header_id|>", "<|eot_id|>")])
    bos = "<|begin_of_text|>"
    tok.post_processor = processors.Sequence([
        processors.ByteLevel(trim_offsets=True),
        processors.TemplateProcessing(single=f"{bos} $A", pair=f"{bos} $A {bos}:1 $B:1",
                                      special_tokens=[(bos, tok.token_to_id(bos))])])
    return tok


def qwen2():
    tok = byte_level(split_and_bytes(QWEN2), normalizers.NFC())
    tok.add_special_tokens([special(t) for t in ("<|endoftext|>", "<|im_start|>", "<|im_end|>")])
    return tok


def smollm():
    tok = byte_level(pre_tokenizers.Sequence([pre_tokenizers.Digits(individual_digits=True),
                                              pre_tokenizers.ByteLevel(add_prefix_space=False)]))
    tok.add_special_tokens([special(t) for t in ("<|endoftext|>", "<|im_start|>", "<|im_end|>", "<file_sep>")])
    return tok


def sentencepiece(specials):
    tok = Tokenizer(models.BPE(unk_token="<unk>", fuse_unk=True, byte_fallback=True))
    tok.pre_tokenizer = pre_tokenizers.Metaspace()
    trainer = trainers.BpeTrainer(
        vocab_size=3 + 256 + 70 + MERGES, show_progress=False, limit_alphabet=70,
        special_tokens=["<unk>", "<s>", "</s>"] + specials + ["<0x%02X>" % b for b in range(256)])
    tok.train_from_iterator(training_text(), trainer)
    # Training makes the bytes added tokens, too; the models' files have only the control tokens there.
    data = json.loads(tok.to_str())
    data["added_tokens"] = [t for t in data["added_tokens"] if not t["content"].startswith("<0x")]
    tok = Tokenizer.from_str(json.dumps(data))
    tok.decoder = decoders.Sequence([decoders.Replace("\u2581", " "), decoders.ByteFallback(), decoders.Fuse(),
                                     decoders.Strip(" ", 1, 0)])
    tok.post_processor = processors.TemplateProcessing(single="<s> $A", pair="<s> $A <s>:1 $B:1",
                                                       special_tokens=[("<s>", 1)])
    return tok


def llama2():
    tok = sentencepiece([])
    tok.pre_tokenizer = None
    tok.normalizer = normalizers.Sequence([normalizers.Prepend("\u2581"), normalizers.Replace(" ", "\u2581")])
    return tok


def mistral():
    tok = sentencepiece(["[INST]", "[/INST]"])
    tok.pre_tokenizer = pre_tokenizers.Metaspace(prepend_scheme="first", split=False)
    return tok


def sentencepiece_charsmap():
    """As SentencePiece's nmt_nfkc, of the characters that are in the lines."""
    texts = set("".join(ALPHABETS) + "".join(AWKWARD)) - {"\0"} | {"e\u0301", "a\u030a", "\r\n"}
    entries = {t: unicodedata.normalize("NFKC", t) for t in sorted(texts) if unicodedata.normalize("NFKC", t) != t}
    entries |= {c: " " for c in "\t\n\r\u00a0\u1680\u200b\u200c\u200d\u2028\u2029\u2581\ufeff\ufffd"} | {"\r\n": " "}
    entries |= {c: "" for c in "\u0001\u0007\u001b\u007f\u009f"}
    return charsmap_of(entries)


def unigram(size, pieces, normalizer, pre_tokenizer):
    """Training breaks ties at random, so a file that is there is kept."""
    tok = Tokenizer(models.Unigram())
    tok.normalizer, tok.pre_tokenizer = normalizer, pre_tokenizer
    trainer = trainers.UnigramTrainer(vocab_size=size, show_progress=False, special_tokens=pieces, unk_token="<unk>")
    tok.train_from_iterator(training_text(), trainer)
    return tok


def t5():
    """The layout of T5's old file, which names no type of model and has a Metaspace with older keys."""
    path = os.path.join(HERE, "t5", "tokenizer.json")
    if os.path.exists(path):
        return Tokenizer.from_file(path)
    part = {"type": "Precompiled", "precompiled_charsmap": sentencepiece_charsmap()}
    normalizer = Tokenizer.from_str(json.dumps({"added_tokens": [], "normalizer": part, "model": {"type": "BPE", "vocab": {}, "merges": []}})).normalizer
    tok = unigram(360, ["<pad>", "</s>", "<unk>"], normalizer, pre_tokenizers.Sequence([pre_tokenizers.WhitespaceSplit(), pre_tokenizers.Metaspace()]))
    tok.decoder = decoders.Metaspace()
    tok.add_special_tokens([special(t) for t in SENTINELS])
    tok.post_processor = processors.TemplateProcessing(single="$A </s>", pair="$A </s> $B </s>", special_tokens=[("</s>", 1)])
    return tok


def pegasus():
    """The parts of Pegasus, with bytes for unknown characters, and the special tokens of other classes."""
    path = os.path.join(HERE, "pegasus", "tokenizer.json")
    if os.path.exists(path):
        return Tokenizer.from_file(path)
    parts = [normalizers.Nmt(), normalizers.NFKC(), normalizers.Replace(Regex(" {2,}"), " ")]
    tok = unigram(520, ["<pad>", "</s>", "<unk>"], normalizers.Sequence(parts), pre_tokenizers.Metaspace())
    data = json.loads(tok.to_str())
    data["model"]["byte_fallback"] = True
    data["model"]["vocab"] += [["<0x%02X>" % b, -12.5] for b in range(256)]
    data["model"]["vocab"] += [[piece, 0] for piece in ("[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "<s>", "<mask>", "en_XX", "de_DE")]
    tok = Tokenizer.from_str(json.dumps(data))
    tok.decoder = decoders.Sequence([decoders.Replace("\u2581", " "), decoders.ByteFallback(), decoders.Fuse(), decoders.Strip(" ", 1, 0)])
    tok.post_processor = processors.TemplateProcessing(single="$A </s>", pair="$A $B </s>", special_tokens=[("</s>", 1)])
    return tok


def forget_paths(path):
    """Takes the folders of this machine out of a SentencePiece model."""
    model = ModelProto()
    with open(path, "rb") as f:
        model.ParseFromString(f.read())
    model.trainer_spec.ClearField("model_prefix")
    model.normalizer_spec.ClearField("normalization_rule_tsv")
    with open(path, "wb") as f:
        f.write(model.SerializeToString())


def spiece():
    """A SentencePiece model alone, with rules of its own, of which transformers makes T5's tokenizer."""
    folder = os.path.join(HERE, "spiece")
    if not os.path.exists(os.path.join(folder, "spiece.model")):
        os.makedirs(folder, exist_ok=True)
        rules = {"\u00e9": "e", "e\u0301": "e", "\ufb01": "fi", "\t": " ", "\n": " ", "\u3000": " ", "\u0001": "", "\u00df": "ss", "\u2026": "..."}
        with open(os.path.join(folder, "rules.tsv"), "w", encoding="utf-8") as f:
            f.writelines(" ".join("%X" % ord(c) for c in a) + "\t" + " ".join("%X" % ord(c) for c in b) + "\n" for a, b in rules.items())
        SentencePieceTrainer.train(
            sentence_iterator=training_text(), model_prefix=os.path.join(folder, "spiece"), vocab_size=400, minloglevel=2, num_threads=1,
            normalization_rule_tsv=os.path.join(folder, "rules.tsv"), pad_id=0, eos_id=1, unk_id=2, bos_id=-1, user_defined_symbols=["lamp"])
        forget_paths(os.path.join(folder, "spiece.model"))
        for name in ("rules.tsv", "spiece.vocab"):
            os.remove(os.path.join(folder, name))
        with open(os.path.join(folder, "tokenizer_config.json"), "w", encoding="utf-8") as f:
            f.write(json.dumps({"tokenizer_class": "T5Tokenizer", "extra_ids": 4}, indent=2) + "\n")
    return T5Tokenizer.from_pretrained(folder).backend_tokenizer


def mixed():
    """No model's: the parts that the others have not. Training with a prefix breaks ties at random, so a file that is
    there is kept."""
    path = os.path.join(HERE, "mixed", "tokenizer.json")
    if os.path.exists(path):
        return Tokenizer.from_file(path)
    tok = Tokenizer(models.BPE(unk_token="[UNK]", continuing_subword_prefix="##", end_of_word_suffix="</w>"))
    tok.normalizer = normalizers.Sequence([normalizers.Strip(), normalizers.NFKD(), normalizers.StripAccents(),
                                           normalizers.Lowercase(), normalizers.Replace(Regex(r"(\w)\1{2,}"), "\u00b7")])
    tok.pre_tokenizer = pre_tokenizers.Sequence([
        pre_tokenizers.WhitespaceSplit(), pre_tokenizers.Punctuation("merged_with_next"),
        pre_tokenizers.Split(Regex(r"[\d_]+"), "contiguous"), pre_tokenizers.Split("x", "merged_with_previous")])
    trainer = trainers.BpeTrainer(vocab_size=MERGES, show_progress=False, special_tokens=["[UNK]"],
                                  continuing_subword_prefix="##", end_of_word_suffix="</w>")
    tok.train_from_iterator(training_text(), trainer)
    tok.add_tokens([AddedToken("Lamp", normalized=True), AddedToken("river", single_word=True, normalized=False),
                    AddedToken("caf\u00e9", normalized=True, single_word=True), AddedToken("--", rstrip=True),
                    AddedToken("==", lstrip=True, rstrip=True, normalized=False)])
    tok.post_processor = processors.BertProcessing(("--", tok.token_to_id("--")), ("==", tok.token_to_id("==")))
    return tok


def wordpiece(name, special_tokens=("[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"), **options):
    """As `mixed`, a file that is there is kept."""
    path = os.path.join(HERE, name, "tokenizer.json")
    if os.path.exists(path):
        return Tokenizer.from_file(path)
    tok = Tokenizer(models.WordPiece(unk_token="[UNK]"))
    tok.normalizer = normalizers.BertNormalizer(**options)
    tok.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    tok.decoder = decoders.WordPiece(prefix="##")
    letters = list("abcdefghijklmnopqrstuvwxyz0123456789.,;:!?'\"()-_/=+")
    trainer = trainers.WordPieceTrainer(vocab_size=BERT_SIZE, show_progress=False, special_tokens=list(special_tokens),
                                        initial_alphabet=letters + ([] if options["lowercase"] else [c.upper() for c in letters]))
    tok.train_from_iterator(training_text(), trainer)
    cls, sep = (("[CLS]", tok.token_to_id("[CLS]")), ("[SEP]", tok.token_to_id("[SEP]")))
    tok.post_processor = processors.TemplateProcessing(single="[CLS] $A [SEP]", pair="[CLS] $A [SEP] $B:1 [SEP]:1",
                                                       special_tokens=[cls, sep])
    return tok


def bert():
    return wordpiece("bert", clean_text=True, handle_chinese_chars=True, strip_accents=None, lowercase=True)


def bert_cased():
    tok = wordpiece("bert_cased", clean_text=True, handle_chinese_chars=True, strip_accents=None, lowercase=False)
    tok.post_processor = processors.BertProcessing(("[SEP]", 3), ("[CLS]", 2))
    return tok


def bert_accents():
    return wordpiece("bert_accents", clean_text=True, handle_chinese_chars=False, strip_accents=False, lowercase=True)


def bert_raw():
    """No cleaning: control characters and other spaces reach the words."""
    return wordpiece("bert_raw", clean_text=False, handle_chinese_chars=True, strip_accents=True, lowercase=False)


def bert_vocab():
    """The folder's settings are not the defaults, and one of its special tokens is not in the vocabulary."""
    folder = os.path.join(HERE, "bert_vocab")
    vocab = sorted(bert_cased().get_vocab().items(), key=lambda item: item[1])
    spelled = {"[UNK]": "<unk>", "[PAD]": "<pad>"}
    with open(os.path.join(folder, "vocab.txt"), "w", encoding="utf-8") as f:
        f.writelines(spelled.get(token, token) + "\n" for token, _ in vocab if token != "[MASK]")
    settings = {"tokenizer_class": "BertTokenizer", "do_lower_case": False, "strip_accents": True, "unk_token": "<unk>",
                "pad_token": "<pad>", "model_max_length": 512}
    with open(os.path.join(folder, "tokenizer_config.json"), "w", encoding="utf-8") as f:
        f.write(json.dumps(settings, indent=2) + "\n")
    return BertTokenizer.from_pretrained(folder).backend_tokenizer


def clip_model():
    """Byte tokens, those that end a word, merges, special tokens, in CLIP's order."""
    tokens, merges = train(training_text(), CLIP_MERGES)
    tokens += ["<|startoftext|>", "<|endoftext|>"]
    return {token: i for i, token in enumerate(tokens)}, merges


def clip():
    """The layout of CLIP's file on the hub, by itself: the library leaves "</w>" in decoded text."""
    vocab, merges = clip_model()
    ends = ["<|startoftext|>", "<|endoftext|>"]
    added = [{"id": vocab[token], "content": token, "single_word": False, "lstrip": False, "rstrip": False, "normalized": token == ends[0], "special": True} for token in ends]
    model = {"type": "BPE", "dropout": None, "unk_token": ends[1], "continuing_subword_prefix": "", "end_of_word_suffix": "</w>", "fuse_unk": False, "vocab": vocab, "merges": merges}
    processor = {"type": "RobertaProcessing", "sep": [ends[1], vocab[ends[1]]], "cls": [ends[0], vocab[ends[0]]], "trim_offsets": False, "add_prefix_space": False}
    return Tokenizer.from_str(json.dumps({"version": "1.0", "added_tokens": added, **PARTS, "post_processor": processor, "model": model}))


def clip_vocab():
    """A diffusers folder as Stable Diffusion 2 has it, with a token of a textual inversion."""
    folder = os.path.join(HERE, "clip_vocab")
    vocab, merges = clip_model()
    write_old(folder, vocab, merges)
    plain = {"lstrip": False, "normalized": True, "rstrip": False, "single_word": False}
    described = {role: {"content": token, **plain} for role, token in (("bos_token", "<|startoftext|>"), ("eos_token", "<|endoftext|>"), ("unk_token", "<|endoftext|>"))}
    settings = {"add_prefix_space": False, **{role: {"__type": "AddedToken", **token} for role, token in described.items()}, "do_lower_case": True, "errors": "replace",
                "model_max_length": 77, "pad_token": "<|endoftext|>", "tokenizer_class": "CLIPTokenizer"}
    for name, value in (("tokenizer_config.json", settings), ("special_tokens_map.json", {**described, "pad_token": "!"}), ("added_tokens.json", {"<cat-toy>": len(vocab)})):
        with open(os.path.join(folder, name), "w", encoding="utf-8") as f:
            f.write(json.dumps(value, indent=2) + "\n")
    return CLIPTokenizer.from_pretrained(folder).backend_tokenizer


STYLES = [gpt2, roberta, llama2, mistral, llama3, qwen2, smollm, mixed, t5, pegasus, spiece]
BERT_STYLES = [bert, bert_cased, bert_accents, bert_raw, bert_vocab]
CLIP_STYLES = [clip, clip_vocab]
INPUT_STYLES = {"bert", "bert_cased", "bert_vocab", "clip_vocab", "roberta", "gpt2", "llama3", "t5", "pegasus"}
WORD_STYLES = {"bert", "bert_cased", "roberta", "gpt2", "llama2", "smollm", "t5"}


def code(ids):
    return "".join(DIGITS[i // 64] + DIGITS[i % 64] for i in ids)


def around(tok):
    plain, full = tok.encode("a", add_special_tokens=False).ids, tok.encode("a").ids
    at = next(i for i in range(len(full)) if full[i:i + len(plain)] == plain)
    return full[:at], full[at + len(plain):]


def expected(tok, texts):
    before, behind = around(tok)
    yield code(before) + "\t" + code(behind)
    for text in texts:
        ids = tok.encode(text, add_special_tokens=False).ids
        assert tok.encode(text).ids == before + ids + behind
        kept, skipped = (tok.decode(ids, skip_special_tokens=skip) for skip in (False, True))
        yield "\t".join([code(ids), "=" if kept == text else json.dumps(kept, ensure_ascii=False),
                         "~" if skipped == kept else "=" if skipped == text else json.dumps(skipped, ensure_ascii=False)])


def inputs(tok, texts):
    """Most limits are near the length, and some leave only the special tokens."""
    rng = random.Random(11)
    usual = [i for i, text in enumerate(texts) if 1 < len(tok.encode(text, add_special_tokens=False).ids) < 64]
    for k in range(INPUTS):
        a, b = rng.choice(usual), rng.choice(usual) if k % 3 else None
        text, pair = texts[a], None if b is None else texts[b]
        least, length = tok.num_special_tokens_to_add(b is not None), len(tok.encode(text, pair).ids)
        most = rng.choice([0, least or 1, rng.randrange(least + 1, length + 4), rng.randrange(least + 1, length + 4)])
        if most:
            tok.enable_truncation(most, strategy="longest_first")
        got = tok.encode(text, pair)
        tok.no_truncation()
        yield "\t".join([str(a), "-" if b is None else str(b), str(most), code(got.ids), "".join(map(str, got.type_ids))])


def words():
    """Plain ones, many that are empty or blank or give no token, special tokens, and whatever is awkward; no NUL, which
    the program refuses."""
    rng = random.Random(13)
    plain = sorted({word for text, _ in zip(training_text(), range(60)) for word in text.split()})
    blank = ["", " ", "  ", "\t", "\n", " \n", "\u00a0", "\u2003", "\u200b", "\ufeff", "\u0301", "\u0001", "\ufffd"]
    marked = [f"{a}{token}{b}" for token in ("<s>", "</s>", "<mask>", "<|endoftext|>", "[UNK]", "[MASK]", "[SEP]")
              for a in ("", " ", "x") for b in ("", " ", "y")]
    odd = [word for text in BERT + AWKWARD for word in (text, " " + text, *text.split())]
    return [word for word in plain + 8 * blank + marked + rng.sample(odd, 200) if "\0" not in word]


def for_words(tok):
    data = json.loads(tok.to_str())
    if (data["pre_tokenizer"] or {}).get("type") == "ByteLevel":
        data["pre_tokenizer"]["add_prefix_space"] = True
    return Tokenizer.from_str(json.dumps(data))


def word_lists(tok, every):
    """Most limits are near the length, and some leave only the special tokens."""
    rng, tok = random.Random(17), for_words(tok)
    added = tok.num_special_tokens_to_add(False)
    for _ in range(LISTS):
        chosen = [rng.randrange(len(every)) for _ in range(rng.choice([0, 1, 1, 2, 3, 5, 8, 12]))]
        given = [every[i] for i in chosen]
        whole = tok.encode(given, is_pretokenized=True)
        most = rng.choice([0, 0, added or 1, rng.randrange(added + 1, len(whole.ids) + 4)])
        if most:
            tok.enable_truncation(most)
        got = tok.encode(given, is_pretokenized=True)
        tok.no_truncation()
        of, begins = [-1 if word is None else word for word in got.word_ids], []
        for i, word in enumerate(of):
            begins.append(word + 1 if word >= 0 and (i == 0 or of[i - 1] != word) else 0)
        yield "\t".join([" ".join(map(str, chosen)), str(most), code(got.ids), code(begins)])


def with_part(family, part):
    empty = {"type": "BPE", "vocab": {}, "merges": []}
    return Tokenizer.from_str(json.dumps({"added_tokens": [], "model": empty, family: part}))


def try_part(rng, family, part):
    text = random_line(rng, [], 6)
    tok = with_part(family, part)
    if family == "normalizer":
        return text, tok.normalizer.normalize_str(text)
    if family == "pre_tokenizer":
        return text, [piece for piece, _ in tok.pre_tokenizer.pre_tokenize_str(text)]
    tokens = [rng.choice(["\u2581the", "a", "##s", " do not", " .", " ' ", "<0x41>", "<0xE4>", "<0xBD>", "<0xA0>", "<0xFF>", "\u00e4\u00bd\u0142", "\u00e4", "\u0120x", "  ", "\u00f0\u0141",
                          random_line(rng, [], 2)]) for _ in range(rng.randrange(8))]
    return tokens, tok.decoder.decode(tokens)


def parts():
    """Every regular expression with each behaviour, then random parts. What makes the library panic is left out."""
    rng = random.Random(3)
    wanted = [("pre_tokenizer", {"type": "Split", "pattern": {"Regex": regex}, "behavior": behavior, "invert": rng.random() < 0.3})
              for regex in REGEXES for behavior in ("Removed", "Isolated", "MergedWithPrevious", "MergedWithNext", "Contiguous")]
    wanted += [(family, make(rng)) for _ in range(250)
               for family, make in (("normalizer", normalizer), ("pre_tokenizer", pre_tokenizer), ("decoder", decoder))]
    for family, part in wanted:
        try:
            yield [family, part, *try_part(rng, family, part)]
        except BaseException as error:
            if isinstance(error, KeyboardInterrupt):
                raise


def write_lines(name, rows):
    with open(os.path.join(HERE, name), "w", encoding="utf-8") as f:
        f.writelines(row + "\n" for row in rows)


def write_style(name, tok, texts, every_word):
    os.makedirs(os.path.join(HERE, name), exist_ok=True)
    assert tok.get_vocab_size() <= 64 * 64
    data = json.loads(tok.to_str())
    if name == "t5":
        del data["model"]["type"], data["model"]["byte_fallback"]
        for part in (data["decoder"], data["pre_tokenizer"]["pretokenizers"][1]):
            del part["prepend_scheme"], part["split"]
            part |= {"str_rep": "\u2581", "add_prefix_space": True}
    if name not in ("bert_vocab", "clip_vocab", "spiece"):
        write_lines(name + "/tokenizer.json", [json.dumps(data, ensure_ascii=False, separators=(",", ":"))])
    write_lines(name + "/expected.txt", expected(tok, texts))
    if name in INPUT_STYLES:
        write_lines(name + "/inputs.txt", inputs(tok, texts))
    if name in WORD_STYLES:
        write_lines(name + "/words.txt", word_lists(tok, every_word))


def main():
    os.makedirs(HERE, exist_ok=True)
    toks = {style.__name__: style() for style in STYLES}
    specials = sorted({t.content for tok in toks.values() for t in tok.get_added_tokens_decoder().values()} - set(SENTINELS))
    texts = lines(COUNT, 7, specials, parts=6)
    write_lines("lines.jsonl", (json.dumps(text, ensure_ascii=False) for text in texts))
    every_word = words()
    write_lines("words.jsonl", (json.dumps(word, ensure_ascii=False) for word in every_word))
    write_lines("parts.jsonl", (json.dumps(row, ensure_ascii=False, separators=(",", ":")) for row in parts()))
    for name, tok in toks.items():
        write_style(name, tok, texts, every_word)
    texts = lines(BERT_COUNT, 9, ["[UNK]", "[MASK]"], parts=6, first=BERT)
    write_lines("bert.jsonl", (json.dumps(text, ensure_ascii=False) for text in texts))
    for style in BERT_STYLES:
        os.makedirs(os.path.join(HERE, style.__name__), exist_ok=True)
        write_style(style.__name__, style(), texts, every_word)
    texts = lines(CLIP_COUNT, 15, ["<|startoftext|>", "<|endoftext|>", "<cat-toy>", "!"], parts=6, first=CLIP)
    write_lines("clip.jsonl", (json.dumps(text, ensure_ascii=False) for text in texts))
    for style in CLIP_STYLES:
        write_style(style.__name__, style(), texts, every_word)


if __name__ == "__main__":
    main()
