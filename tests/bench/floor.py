"""The multiply-adds that a step cannot do without, by formula from the shape alone.

Two floating-point operations each. Counted: every frozen product forward, and backward to its input where something below is trained;
the adapters' products, forward, backward and their own gradients; attention's two products forward and four backward over the pairs
that attend (half the square where it is causal; what a backward pass computes again does not count); the logits of target tokens, and
their way back; a classifier's head. Not counted: norms, activations, softmax, embeddings, padding, the optimizer. Of a language model, what
stands in the last block above tokens that no target needs is counted, for simplicity.
"""

import json
import os


def read_config(folder: str) -> dict:
    with open(os.path.join(folder, "config.json"), encoding="utf-8") as file:
        return json.load(file)


def fits(name: str, target: str) -> bool:
    return target == "all-linear" or any(("." + name).endswith("." + part) for part in target.split(","))


class Counter:
    """Walks the model from its input; `trained` says whether anything up to here is."""

    def __init__(self, target: str, rank: int):
        self.target, self.rank = target, rank
        self.trained = False
        self.flops = 0.0

    def linear(self, name: str, n_in: int, n_out: int, rows: float, input_trained: bool) -> bool:
        """Returns whether its output depends on something trained."""
        has_lora = fits(name, self.target)
        self.flops += 2 * n_in * n_out * rows * (1 + input_trained)
        if has_lora:
            # down and up forward; to the gradients of both and to the middle; to the input where that is asked for
            self.flops += 2 * self.rank * rows * (2 * n_in + 3 * n_out + input_trained * n_in)
        return has_lora or input_trained

    def attention(self, pairs: float, width: int, query: bool, key: bool, value: bool):
        """Scores and sum forward; backward to the values, to the weights, to queries and to keys."""
        products = 2 + value + (query or key) + query + key
        self.flops += 2 * width * pairs * products


def causal_pairs(lengths: list[int]) -> float:
    return sum(n * (n + 1) / 2 for n in lengths)


def gpt2(counter: Counter, config: dict, lengths: list[int], targets: list[int]):
    width, rows, pairs = config["n_embd"], sum(lengths), causal_pairs(lengths)
    x = False
    for _ in range(config["n_layer"]):
        qkv = counter.linear("attn.c_attn", width, 3 * width, rows, x)
        counter.attention(pairs, width, qkv, qkv, qkv)
        x = counter.linear("attn.c_proj", width, width, rows, qkv) or x
        inner = counter.linear("mlp.c_fc", width, 4 * width, rows, x)
        x = counter.linear("mlp.c_proj", 4 * width, width, rows, inner) or x
    counter.flops += 2 * 2 * width * config["vocab_size"] * sum(targets)


def llama(counter: Counter, config: dict, lengths: list[int], targets: list[int]):
    width, inner, rows, pairs = config["hidden_size"], config["intermediate_size"], sum(lengths), causal_pairs(lengths)
    kv = width // config["num_attention_heads"] * config["num_key_value_heads"]
    x = False
    for _ in range(config["num_hidden_layers"]):
        q, k, v = (counter.linear(name, width, n, rows, x) for name, n in (("q_proj", width), ("k_proj", kv), ("v_proj", kv)))
        counter.attention(pairs, width, q, k, v)
        x = counter.linear("o_proj", width, width, rows, q or k or v) or x
        gate, up = (counter.linear(name, width, inner, rows, x) for name in ("gate_proj", "up_proj"))
        x = counter.linear("down_proj", inner, width, rows, gate or up) or x
    counter.flops += 2 * 2 * width * config["vocab_size"] * sum(targets)


def bert(counter: Counter, config: dict, lengths: list[int], targets: list[int]):
    width, inner, rows = config["hidden_size"], config["intermediate_size"], sum(lengths)
    pairs, x = sum(n * n for n in lengths), False
    for layer in range(config["num_hidden_layers"]):
        q, k, v = (counter.linear(name, width, width, rows, x) for name in ("query", "key", "value"))
        counter.attention(pairs, width, q, k, v)
        rows = rows if layer + 1 < config["num_hidden_layers"] else len(lengths)
        x = counter.linear("attention.output.dense", width, width, rows, q or k or v) or x
        up = counter.linear("intermediate.dense", width, inner, rows, x)
        x = counter.linear("output.dense", inner, width, rows, up) or x
    counter.flops += 2 * (2 * width * width + 3 * width * config["num_labels"]) * sum(targets)


def encoder_decoder(counter: Counter, shape: dict, lengths: list[int], targets: list[int]):
    """The decoder reads as many tokens as are targets, the encoder the rest. Keys and values of cross-attention are made of the
    encoder's rows."""
    width, inner, heads = shape["width"], shape["inner"], shape["heads"]
    sources = [n - m for n, m in zip(lengths, targets)]
    q_name, k_name, v_name, o_name, up_name, down_name = shape["names"]

    def attend(x: bool, rows: int, keys: bool, key_rows: int, pairs: float) -> bool:
        q = counter.linear(q_name, width, heads, rows, x)
        k, v = (counter.linear(name, width, heads, key_rows, keys) for name in (k_name, v_name))
        counter.attention(pairs, heads, q, k, v)
        return counter.linear(o_name, heads, width, rows, q or k or v) or x

    def feed_forward(x: bool, rows: int) -> bool:
        return counter.linear(down_name, inner, width, rows, counter.linear(up_name, width, inner, rows, x)) or x

    memory, x = False, False
    for _ in range(shape["encoder"]):
        memory = attend(memory, sum(sources), memory, sum(sources), sum(n * n for n in sources))
        memory = feed_forward(memory, sum(sources))
    for _ in range(shape["decoder"]):
        x = attend(x, sum(targets), x, sum(targets), causal_pairs(targets))
        x = attend(x, sum(targets), memory, sum(sources), sum(n * m for n, m in zip(sources, targets)))
        x = feed_forward(x, sum(targets))
    counter.flops += 2 * 2 * width * shape["vocab"] * sum(targets)


def t5(counter: Counter, config: dict, lengths: list[int], targets: list[int]):
    shape = {
        "width": config["d_model"],
        "inner": config["d_ff"],
        "heads": config["num_heads"] * config["d_kv"],
        "encoder": config["num_layers"],
        "decoder": config["num_decoder_layers"],
        "vocab": config["vocab_size"],
        "names": ("q", "k", "v", "o", "wi", "wo"),
    }
    encoder_decoder(counter, shape, lengths, targets)


def bart(counter: Counter, config: dict, lengths: list[int], targets: list[int]):
    shape = {
        "width": config["d_model"],
        "inner": config["encoder_ffn_dim"],
        "heads": config["d_model"],
        "encoder": config["encoder_layers"],
        "decoder": config["decoder_layers"],
        "vocab": config["vocab_size"],
        "names": ("q_proj", "k_proj", "v_proj", "out_proj", "fc1", "fc2"),
    }
    encoder_decoder(counter, shape, lengths, targets)


class Convolutions:
    """Of one image; a maps' size is that of its side."""

    def __init__(self, counter: Counter, images: int):
        self.counter, self.images = counter, images

    def convolve(self, name: str, n_in: int, n_out: int, kernel: int, side: int, trained: bool) -> bool:
        counter, area = self.counter, side * side * self.images
        counter.flops += 2 * n_in * n_out * kernel * kernel * area * (1 + trained)
        if not fits(name, counter.target):
            return trained
        middle = n_in * kernel * kernel
        counter.flops += 2 * counter.rank * area * (2 * middle + 3 * n_out + trained * middle)
        return True

    def head(self, width: int, n_out: int, trained: bool):
        self.counter.flops += 2 * width * n_out * self.images * (2 + trained)


def resnet(counter: Counter, config: dict, lengths: list[int], targets: list[int]):
    net, side, n_in = Convolutions(counter, len(lengths)), 112, config["embedding_size"]
    x = net.convolve("embedder.convolution", config["num_channels"], n_in, 7, side, False)
    side = 56
    for stage, (width, depth) in enumerate(zip(config["hidden_sizes"], config["depths"])):
        for index in range(depth):
            below, inner = side, width // 4
            side = side // 2 if stage and not index else side
            shortcut = net.convolve("shortcut.convolution", n_in, width, 1, side, x) if not index else x
            y = net.convolve("layer.0.convolution", n_in, inner, 1, below, x)
            y = net.convolve("layer.1.convolution", inner, inner, 3, side, y)
            x = net.convolve("layer.2.convolution", inner, width, 1, side, y) or shortcut
            n_in = width
    net.head(n_in, config["num_labels"], x)


def resnet_cifar(counter: Counter, config: dict, lengths: list[int], targets: list[int]):
    net, side, n_in = Convolutions(counter, len(lengths)), 32, 16
    x = net.convolve("conv1", config["num_channels"], 16, 3, side, False)
    for stage, width in enumerate((16, 32, 64)):
        for index in range((config["depth"] - 2) // 6):
            side = side // 2 if stage and not index else side
            y = net.convolve("conv1", n_in, width, 3, side, x)
            x = net.convolve("conv2", width, width, 3, side, y) or x
            n_in = width
    net.head(64, config["num_labels"], x)


FAMILIES = {"gpt2": gpt2, "llama": llama, "bert": bert, "t5": t5, "bart": bart, "resnet": resnet, "resnet_cifar": resnet_cifar}


def necessary_flops(folder: str, target: str, rank: int, lengths: list[int], targets: list[int]) -> float:
    """Of forward and backward over these samples: their numbers of tokens (of images 1 each), and how many of each are targets. Of
    an encoder-decoder the tokens of source and target count together."""
    counter, config = Counter(target, rank), read_config(folder)
    FAMILIES[config["model_type"]](counter, config, lengths, targets)
    return counter.flops
