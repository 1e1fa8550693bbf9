"""Model folders of the true shapes with random weights, and random data that fills them.

A model folder is what both programs open: config.json, model.safetensors with the names of transformers, and a tokenizer or the rule
for images. Language models get a byte-level tokenizer of 256 tokens beside a vocabulary of the true size: a character is a token, so a
sequence has the length that its text has, and the work is the same as with any other tokenizer. Everything follows from fixed seeds.
"""

import json
import math
import os
import shutil

import numpy as np

GPT2 = {
    "model_type": "gpt2",
    "architectures": ["GPT2LMHeadModel"],
    "n_embd": 768,
    "n_head": 12,
    "n_layer": 12,
    "n_positions": 1024,
    "vocab_size": 50257,
    "activation_function": "gelu_new",
    "layer_norm_epsilon": 1e-5,
    "attn_pdrop": 0.0,
    "embd_pdrop": 0.0,
    "resid_pdrop": 0.0,
    "bos_token_id": 50256,
    "eos_token_id": 50256,
    "tie_word_embeddings": True,
}
SMOLLM = {
    "model_type": "llama",
    "architectures": ["LlamaForCausalLM"],
    "hidden_size": 576,
    "intermediate_size": 1536,
    "num_hidden_layers": 30,
    "num_attention_heads": 9,
    "num_key_value_heads": 3,
    "vocab_size": 49152,
    "max_position_embeddings": 2048,
    "rope_theta": 10000.0,
    "rms_norm_eps": 1e-5,
    "hidden_act": "silu",
    "bos_token_id": 49150,
    "eos_token_id": 49151,
    "tie_word_embeddings": True,
}
TINYLLAMA = {
    **SMOLLM,
    "hidden_size": 2048,
    "intermediate_size": 5632,
    "num_hidden_layers": 22,
    "num_attention_heads": 32,
    "num_key_value_heads": 4,
    "vocab_size": 32000,
    "bos_token_id": 31998,
    "eos_token_id": 31999,
    "tie_word_embeddings": False,
}
BERT = {
    "model_type": "bert",
    "architectures": ["BertForSequenceClassification"],
    "hidden_size": 768,
    "intermediate_size": 3072,
    "num_hidden_layers": 12,
    "num_attention_heads": 12,
    "vocab_size": 30522,
    "type_vocab_size": 2,
    "max_position_embeddings": 512,
    "hidden_act": "gelu",
    "layer_norm_eps": 1e-12,
    "hidden_dropout_prob": 0.0,
    "attention_probs_dropout_prob": 0.0,
    "pad_token_id": 0,
    "num_labels": 2,
    "id2label": {"0": "0", "1": "1"},
    "label2id": {"0": 0, "1": 1},
}
T5 = {
    "model_type": "t5",
    "architectures": ["T5ForConditionalGeneration"],
    "d_model": 768,
    "d_kv": 64,
    "d_ff": 3072,
    "num_heads": 12,
    "num_layers": 12,
    "num_decoder_layers": 12,
    "relative_attention_num_buckets": 32,
    "relative_attention_max_distance": 128,
    "feed_forward_proj": "relu",
    "layer_norm_epsilon": 1e-6,
    "dropout_rate": 0.0,
    "vocab_size": 32128,
    "pad_token_id": 0,
    "decoder_start_token_id": 0,
    "eos_token_id": 256,
    "tie_word_embeddings": True,
}
BART = {
    "model_type": "bart",
    "architectures": ["BartForConditionalGeneration"],
    "d_model": 768,
    "encoder_layers": 6,
    "decoder_layers": 6,
    "encoder_attention_heads": 12,
    "decoder_attention_heads": 12,
    "encoder_ffn_dim": 3072,
    "decoder_ffn_dim": 3072,
    "max_position_embeddings": 1024,
    "activation_function": "gelu",
    "scale_embedding": False,
    "dropout": 0.0,
    "attention_dropout": 0.0,
    "activation_dropout": 0.0,
    "vocab_size": 50265,
    "bos_token_id": 0,
    "pad_token_id": 1,
    "decoder_start_token_id": 2,
    "eos_token_id": 256,
    "forced_eos_token_id": None,
    "tie_word_embeddings": True,
}
RESNET50 = {
    "model_type": "resnet",
    "architectures": ["ResNetForImageClassification"],
    "num_channels": 3,
    "embedding_size": 64,
    "hidden_sizes": [256, 512, 1024, 2048],
    "depths": [3, 4, 6, 3],
    "layer_type": "bottleneck",
    "hidden_act": "relu",
    "downsample_in_first_stage": False,
    "num_labels": 10,
    "id2label": {str(i): str(i) for i in range(10)},
    "label2id": {str(i): i for i in range(10)},
}
RESNET20 = {
    "model_type": "resnet_cifar",
    "architectures": ["CifarResNetForImageClassification"],
    "depth": 20,
    "shortcut": "A",
    "num_channels": 3,
    "num_labels": 10,
}


def fail(text: str):
    raise SystemExit(f"shapes.py: {text}")


class Tensors:
    """Names and shapes first, values when they are written: a model of a billion weights is never whole in memory."""

    def __init__(self):
        self.entries = []

    def normal(self, name: str, shape: tuple, spread: float = 0.02):
        self.entries.append((name, shape, spread, 0.0))

    def constant(self, name: str, n: int, value: float):
        self.entries.append((name, (n,), 0.0, value))

    def linear(self, name: str, n_in: int, n_out: int, bias: bool = True, transposed: bool = False):
        self.normal(f"{name}.weight", (n_in, n_out) if transposed else (n_out, n_in))
        if bias:
            self.constant(f"{name}.bias", n_out, 0.0)

    def norm(self, name: str, n: int, bias: bool = True):
        self.constant(f"{name}.weight", n, 1.0)
        if bias:
            self.constant(f"{name}.bias", n, 0.0)

    def convolution(self, path: str, norm: str, n_in: int, n_out: int, kernel: int, gain: float = 1.0):
        """He's initial values, so that a deep random network keeps its values in range."""
        self.normal(f"{path}.weight", (n_out, n_in, kernel, kernel), math.sqrt(2 / (n_in * kernel * kernel)))
        for part, value in (("weight", gain), ("bias", 0.0), ("running_mean", 0.0), ("running_var", 1.0)):
            self.constant(f"{norm}.{part}", n_out, value)

    def write(self, path: str, dtype: str):
        size = {"F32": 4, "BF16": 2}[dtype]
        header, end = {"__metadata__": {"format": "pt"}}, 0
        for name, shape, _, _ in self.entries:
            begin, end = end, end + size * math.prod(shape)
            header[name] = {"dtype": dtype, "shape": list(shape), "data_offsets": [begin, end]}
        text = json.dumps(header).encode()
        text += b" " * (-len(text) % 8)
        random = np.random.default_rng(0)
        with open(path, "wb") as file:
            file.write(len(text).to_bytes(8, "little") + text)
            for _, shape, spread, value in self.entries:
                if spread:
                    values = random.standard_normal(math.prod(shape), np.float32) * np.float32(spread)
                else:
                    values = np.full(math.prod(shape), value, np.float32)
                # bfloat16 is the upper half of a float32; cutting is as good as rounding for random weights
                file.write((values.view(np.uint32) >> 16).astype(np.uint16).tobytes() if dtype == "BF16" else values.tobytes())


def gpt2_tensors(config: dict) -> Tensors:
    tensors, width = Tensors(), config["n_embd"]
    tensors.normal("transformer.wte.weight", (config["vocab_size"], width))
    tensors.normal("transformer.wpe.weight", (config["n_positions"], width))
    for i in range(config["n_layer"]):
        block = f"transformer.h.{i}"
        tensors.norm(f"{block}.ln_1", width)
        tensors.linear(f"{block}.attn.c_attn", width, 3 * width, transposed=True)
        tensors.linear(f"{block}.attn.c_proj", width, width, transposed=True)
        tensors.norm(f"{block}.ln_2", width)
        tensors.linear(f"{block}.mlp.c_fc", width, 4 * width, transposed=True)
        tensors.linear(f"{block}.mlp.c_proj", 4 * width, width, transposed=True)
    tensors.norm("transformer.ln_f", width)
    return tensors


def llama_tensors(config: dict) -> Tensors:
    tensors, width, inner = Tensors(), config["hidden_size"], config["intermediate_size"]
    kv = width // config["num_attention_heads"] * config["num_key_value_heads"]
    tensors.normal("model.embed_tokens.weight", (config["vocab_size"], width))
    for i in range(config["num_hidden_layers"]):
        block = f"model.layers.{i}"
        tensors.norm(f"{block}.input_layernorm", width, bias=False)
        for name, n in (("q_proj", width), ("k_proj", kv), ("v_proj", kv), ("o_proj", width)):
            tensors.linear(f"{block}.self_attn.{name}", width, n, bias=False)
        tensors.norm(f"{block}.post_attention_layernorm", width, bias=False)
        tensors.linear(f"{block}.mlp.gate_proj", width, inner, bias=False)
        tensors.linear(f"{block}.mlp.up_proj", width, inner, bias=False)
        tensors.linear(f"{block}.mlp.down_proj", inner, width, bias=False)
    tensors.norm("model.norm", width, bias=False)
    if not config["tie_word_embeddings"]:
        tensors.linear("lm_head", width, config["vocab_size"], bias=False)
    return tensors


def bert_tensors(config: dict) -> Tensors:
    tensors, width, inner = Tensors(), config["hidden_size"], config["intermediate_size"]
    tensors.normal("bert.embeddings.word_embeddings.weight", (config["vocab_size"], width))
    tensors.normal("bert.embeddings.position_embeddings.weight", (config["max_position_embeddings"], width))
    tensors.normal("bert.embeddings.token_type_embeddings.weight", (config["type_vocab_size"], width))
    tensors.norm("bert.embeddings.LayerNorm", width)
    for i in range(config["num_hidden_layers"]):
        block = f"bert.encoder.layer.{i}"
        for name in ("query", "key", "value"):
            tensors.linear(f"{block}.attention.self.{name}", width, width)
        tensors.linear(f"{block}.attention.output.dense", width, width)
        tensors.norm(f"{block}.attention.output.LayerNorm", width)
        tensors.linear(f"{block}.intermediate.dense", width, inner)
        tensors.linear(f"{block}.output.dense", inner, width)
        tensors.norm(f"{block}.output.LayerNorm", width)
    tensors.linear("bert.pooler.dense", width, width)
    tensors.linear("classifier", width, config["num_labels"])
    return tensors


def t5_tensors(config: dict) -> Tensors:
    tensors, width, inner = Tensors(), config["d_model"], config["num_heads"] * config["d_kv"]
    tensors.normal("shared.weight", (config["vocab_size"], width))
    for stack, n in (("encoder", config["num_layers"]), ("decoder", config["num_decoder_layers"])):
        for i in range(n):
            kinds = ("SelfAttention", "EncDecAttention")[: 1 + (stack == "decoder")]
            for layer, kind in enumerate(kinds):
                part = f"{stack}.block.{i}.layer.{layer}"
                for name in "qkv":
                    tensors.linear(f"{part}.{kind}.{name}", width, inner, bias=False)
                tensors.linear(f"{part}.{kind}.o", inner, width, bias=False)
                tensors.norm(f"{part}.layer_norm", width, bias=False)
            if not i:
                bias = f"{stack}.block.0.layer.0.SelfAttention.relative_attention_bias.weight"
                tensors.normal(bias, (config["relative_attention_num_buckets"], config["num_heads"]), 0.5)
            part = f"{stack}.block.{i}.layer.{len(kinds)}"
            tensors.linear(f"{part}.DenseReluDense.wi", width, config["d_ff"], bias=False)
            tensors.linear(f"{part}.DenseReluDense.wo", config["d_ff"], width, bias=False)
            tensors.norm(f"{part}.layer_norm", width, bias=False)
        tensors.norm(f"{stack}.final_layer_norm", width, bias=False)
    return tensors


def bart_tensors(config: dict) -> Tensors:
    tensors, width = Tensors(), config["d_model"]
    tensors.normal("model.shared.weight", (config["vocab_size"], width))
    for stack in ("encoder", "decoder"):
        tensors.normal(f"model.{stack}.embed_positions.weight", (config["max_position_embeddings"] + 2, width))
        tensors.norm(f"model.{stack}.layernorm_embedding", width)
        for i in range(config[f"{stack}_layers"]):
            block, inner = f"model.{stack}.layers.{i}", config[f"{stack}_ffn_dim"]
            for kind in ("self_attn", "encoder_attn")[: 1 + (stack == "decoder")]:
                for name in ("q_proj", "k_proj", "v_proj", "out_proj"):
                    tensors.linear(f"{block}.{kind}.{name}", width, width)
                tensors.norm(f"{block}.{kind}_layer_norm", width)
            tensors.linear(f"{block}.fc1", width, inner)
            tensors.linear(f"{block}.fc2", inner, width)
            tensors.norm(f"{block}.final_layer_norm", width)
    return tensors


def resnet_tensors(config: dict) -> Tensors:
    """The last normalisation of a block is small: nothing else keeps the sums of a random network from growing."""
    tensors, n_in = Tensors(), config["embedding_size"]
    stem = "resnet.embedder.embedder"
    tensors.convolution(f"{stem}.convolution", f"{stem}.normalization", config["num_channels"], n_in, 7)
    for stage, (width, depth) in enumerate(zip(config["hidden_sizes"], config["depths"])):
        for index in range(depth):
            block = f"resnet.encoder.stages.{stage}.layers.{index}"
            inner = width // 4
            if index == 0:
                tensors.convolution(f"{block}.shortcut.convolution", f"{block}.shortcut.normalization", n_in, width, 1)
            for k, part in enumerate(((n_in, inner, 1), (inner, inner, 3), (inner, width, 1))):
                unit = f"{block}.layer.{k}"
                tensors.convolution(f"{unit}.convolution", f"{unit}.normalization", *part, gain=0.2 if k == 2 else 1.0)
            n_in = width
    tensors.linear("classifier.1", n_in, config["num_labels"])
    return tensors


def resnet_cifar_tensors(config: dict) -> Tensors:
    tensors, n_in = Tensors(), 16
    tensors.convolution("conv1", "bn1", config["num_channels"], 16, 3)
    for stage, width in enumerate((16, 32, 64), 1):
        for index in range((config["depth"] - 2) // 6):
            block = f"layer{stage}.{index}"
            tensors.convolution(f"{block}.conv1", f"{block}.bn1", n_in, width, 3)
            tensors.convolution(f"{block}.conv2", f"{block}.bn2", width, width, 3, gain=0.2)
            n_in = width
    tensors.linear("linear", 64, config["num_labels"])
    return tensors


def write_json(folder: str, name: str, value: dict):
    with open(os.path.join(folder, name), "w", encoding="utf-8") as file:
        json.dump(value, file, indent=1, ensure_ascii=False)


EOS = "</s>"


def byte_tokenizer(folder: str, ends: bool = False, named: int = 0):
    """GPT-2's alphabet of 256 characters for the 256 bytes, and nothing else; with a token that ends each text, whose id is 256, where
    asked for. The other ids below `named` get names, which no text is encoded to: what a model writes with them can be read."""
    plain = [*range(33, 127), *range(161, 173), *range(174, 256)]
    moved = iter(range(256, 512))
    alphabet = [chr(byte if byte in plain else next(moved)) for byte in range(256)]
    level = {"type": "ByteLevel", "add_prefix_space": False, "trim_offsets": True, "use_regex": True}
    write_json(folder, "tokenizer_config.json", {"tokenizer_class": "PreTrainedTokenizerFast"})
    flags = {"single_word": False, "lstrip": False, "rstrip": False, "normalized": False, "special": True}
    eos = {"SpecialToken": {"id": EOS, "type_id": 0}}
    template = {
        "type": "TemplateProcessing",
        "single": [{"Sequence": {"id": "A", "type_id": 0}}, eos],
        "pair": [{"Sequence": {"id": "A", "type_id": 0}}, eos, {"Sequence": {"id": "B", "type_id": 0}}, eos],
        "special_tokens": {EOS: {"id": EOS, "ids": [256], "tokens": [EOS]}},
    }
    write_json(
        folder,
        "tokenizer.json",
        {
            "version": "1.0",
            "truncation": None,
            "padding": None,
            "added_tokens": [{"id": 256, "content": EOS, **flags}] if ends else [],
            "normalizer": None,
            "pre_tokenizer": level,
            "post_processor": template if ends else None,
            "decoder": level,
            "model": {
                "type": "BPE",
                "dropout": None,
                "unk_token": None,
                "continuing_subword_prefix": None,
                "end_of_word_suffix": None,
                "fuse_unk": False,
                "byte_fallback": False,
                "vocab": {**{character: i for i, character in enumerate(alphabet)}, **{f"<{i}>": i for i in range(256 + ends, named)}},
                "merges": [],
            },
        },
    )


def word_pieces(folder: str, data: str):
    shutil.copyfile(os.path.join(data, "tokenizers", "bert-base-uncased", "vocab.txt"), os.path.join(folder, "vocab.txt"))
    write_json(folder, "tokenizer_config.json", {"tokenizer_class": "BertTokenizer", "do_lower_case": True, "model_max_length": 512})


def image_rule(folder: str, side: int):
    write_json(
        folder,
        "preprocessor_config.json",
        {
            "image_processor_type": "ViTImageProcessor",
            "do_resize": True,
            "size": {"height": side, "width": side},
            "do_rescale": True,
            "rescale_factor": 1 / 255,
            "do_normalize": True,
            "image_mean": [0.485, 0.456, 0.406],
            "image_std": [0.229, 0.224, 0.225],
        },
    )


# name: config, tensors, stored type, what else the folder needs
MODELS = {
    "gpt2": (GPT2, gpt2_tensors, "F32", lambda folder, data: byte_tokenizer(folder)),
    "gpt2-writes": (GPT2, gpt2_tensors, "F32", lambda folder, data: byte_tokenizer(folder, named=GPT2["vocab_size"])),
    "gpt2-writes-bf16": (GPT2, gpt2_tensors, "BF16", lambda folder, data: byte_tokenizer(folder, named=GPT2["vocab_size"])),
    "smollm": (SMOLLM, llama_tensors, "F32", lambda folder, data: byte_tokenizer(folder)),
    "tinyllama": (TINYLLAMA, llama_tensors, "BF16", lambda folder, data: byte_tokenizer(folder)),
    "tinyllama-writes": (TINYLLAMA, llama_tensors, "BF16", lambda folder, data: byte_tokenizer(folder, named=TINYLLAMA["vocab_size"])),
    "bert": (BERT, bert_tensors, "F32", word_pieces),
    "t5": (T5, t5_tensors, "F32", lambda folder, data: byte_tokenizer(folder, ends=True, named=T5["vocab_size"])),
    "bart": (BART, bart_tensors, "F32", lambda folder, data: byte_tokenizer(folder, ends=True, named=BART["vocab_size"])),
    "resnet50": (RESNET50, resnet_tensors, "F32", lambda folder, data: image_rule(folder, 224)),
    "resnet20": (RESNET20, resnet_cifar_tensors, "F32", lambda folder, data: image_rule(folder, 32)),
}


def random_text(random: np.random.Generator, n: int) -> str:
    """Words of printable characters; no space at either end, where some programs would cut it off."""
    codes = random.integers(33, 127, n)
    codes[random.random(n) < 0.16] = 32
    codes[:1] = codes[-1:] = 65
    return bytes(codes.astype(np.uint8)).decode()


def write_lines(path: str, records):
    with open(path, "w", encoding="utf-8") as file:
        for record in records:
            file.write(json.dumps(record) + "\n")


def full_texts(path: str, n: int, seq_len: int):
    """Each sequence is full: its characters and the end token."""
    random = np.random.default_rng(1)
    write_lines(path, ({"text": random_text(random, seq_len - 1)} for _ in range(n)))


def instructions(path: str, n: int):
    """Prompts and completions of 10 to 400 tokens together (the end token is one), many short and few long: log-normal about 90. A
    prompt is two thirds of its sample on the average."""
    random = np.random.default_rng(2)
    records = []
    for _ in range(n):
        total = int(np.clip(np.exp(random.normal(math.log(90), 0.85)), 10, 400)) - 1
        completion = int(np.clip(round(total * random.beta(2.0, 4.0)), 2, total - 4))
        records.append({"prompt": random_text(random, total - completion), "completion": random_text(random, completion)})
    write_lines(path, records)


def summaries(path: str, n: int):
    """Documents of 60 to 512 tokens and summaries of 10 to 80 (the end token is one of each), log-normal about 200 and 30."""
    random = np.random.default_rng(5)

    def text(middle: float, spread: float, least: int, most: int) -> str:
        return random_text(random, int(np.clip(np.exp(random.normal(math.log(middle), spread)), least, most)) - 1)

    write_lines(path, ({"document": text(200, 0.6, 60, 512), "summary": text(30, 0.5, 10, 80)} for _ in range(n)))


def sentences(path: str, n: int, data: str):
    """SST-2's training sentences in a random order."""
    with open(os.path.join(data, "text", "sst2-train.txt"), encoding="utf-8", newline="\n") as file:
        lines = [line.rstrip("\n").partition(" ") for line in file]
    order = np.random.default_rng(3).permutation(len(lines))[:n]
    if len(order) < n:
        fail(f"text/sst2-train.txt has {len(order)} sentences, not {n}")
    write_lines(path, ({"text": lines[i][2], "label": int(lines[i][0])} for i in order))


def random_images(path: str, n: int, side: int):
    import h5py

    random = np.random.default_rng(4)
    with h5py.File(path, "w") as file:
        file["images"] = random.integers(0, 256, (n, side, side, 3), np.uint8)
        file["labels"] = random.integers(0, 10, n).astype(np.int64)


# name: ending, maker of so many samples
DATA = {
    "text512": (".jsonl", lambda path, n, data: full_texts(path, n, 512)),
    "text1024": (".jsonl", lambda path, n, data: full_texts(path, n, 1024)),
    "instructions": (".jsonl", lambda path, n, data: instructions(path, n)),
    "summaries": (".jsonl", lambda path, n, data: summaries(path, n)),
    "sst2": (".jsonl", sentences),
    "images224": (".h5", lambda path, n, data: random_images(path, n, 224)),
    "images32": (".h5", lambda path, n, data: random_images(path, n, 32)),
}
NEED_DATA = ("bert", "sst2")


def make(path: str, write):
    """Written beside and renamed, so that what is there is whole."""
    if not os.path.exists(path):
        beside = path + ".new"
        shutil.rmtree(beside, ignore_errors=True)
        write(beside)
        os.rename(beside, path)
    return path


def model_folder(work: str, name: str, data: str | None) -> str:
    config, tensors, dtype, rest = MODELS[name]

    def write(folder: str):
        os.makedirs(folder)
        write_json(folder, "config.json", {**config, "torch_dtype": {"F32": "float32", "BF16": "bfloat16"}[dtype]})
        tensors(config).write(os.path.join(folder, "model.safetensors"), dtype)
        rest(folder, data)

    return make(os.path.join(work, "models", name), write)


def data_file(work: str, name: str, n: int, data: str | None) -> str:
    ending, write = DATA[name]
    os.makedirs(os.path.join(work, "data"), exist_ok=True)
    return make(os.path.join(work, "data", f"{name}-{n}{ending}"), lambda path: write(path, n, data))


def lengths_of(name: str, path: str, folder: str, seq_len: int) -> list[tuple[int, int]]:
    """Tokens and target tokens of each sample, in the order of the file; images are one of each. The tokens of a document and its
    summary count together."""
    if name.startswith("images"):
        import h5py

        with h5py.File(path) as file:
            return [(1, 1)] * len(file["labels"])
    with open(path, encoding="utf-8") as file:
        records = [json.loads(line) for line in file]
    if "label" in records[0]:
        from tokenizers import BertWordPieceTokenizer

        tokenizer = BertWordPieceTokenizer(os.path.join(folder, "vocab.txt"))
        return [(min(len(tokenizer.encode(record["text"]).ids), seq_len), 1) for record in records]
    if "document" in records[0]:
        return [(len(r["document"]) + len(r["summary"]) + 2, len(r["summary"]) + 1) for r in records]
    if "text" in records[0]:
        return [(len(record["text"]) + 1, len(record["text"])) for record in records]
    return [(len(r["prompt"]) + len(r["completion"]) + 1, len(r["completion"]) + 1) for r in records]
