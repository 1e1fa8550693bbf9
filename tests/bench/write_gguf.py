"""Writes a model folder of shapes.py (gpt2 or llama) as one GGUF file for llama.cpp: the same weights in the same type.

A GGUF file is a header of typed keys and tensor descriptions, and the tensors, each at a multiple of 32 bytes. Its tokenizer has the
true number of tokens, of which none is used: prompts are given as ids.
"""

import json
import math
import os
import struct

import numpy as np

ALIGNMENT = 32
TYPES = {"F32": 0, "BF16": 30}
UINT32, FLOAT32, STRING, ARRAY, INT32 = 4, 6, 8, 9, 5
NAMES = {
    "gpt2": {
        "transformer.wte": "token_embd",
        "transformer.wpe": "position_embd",
        "transformer.ln_f": "output_norm",
        "ln_1": "attn_norm",
        "attn.c_attn": "attn_qkv",
        "attn.c_proj": "attn_output",
        "ln_2": "ffn_norm",
        "mlp.c_fc": "ffn_up",
        "mlp.c_proj": "ffn_down",
    },
    "llama": {
        "model.embed_tokens": "token_embd",
        "model.norm": "output_norm",
        "lm_head": "output",
        "input_layernorm": "attn_norm",
        "self_attn.q_proj": "attn_q",
        "self_attn.k_proj": "attn_k",
        "self_attn.v_proj": "attn_v",
        "self_attn.o_proj": "attn_output",
        "post_attention_layernorm": "ffn_norm",
        "mlp.gate_proj": "ffn_gate",
        "mlp.up_proj": "ffn_up",
        "mlp.down_proj": "ffn_down",
    },
}


def text(value: str) -> bytes:
    return struct.pack("<Q", len(value.encode())) + value.encode()


def value_of(value) -> bytes:
    """A type and a value."""
    if isinstance(value, list):
        kind = STRING if isinstance(value[0], str) else INT32
        return struct.pack("<IIQ", ARRAY, kind, len(value)) + b"".join(text(v) if kind == STRING else struct.pack("<i", v) for v in value)
    if isinstance(value, str):
        return struct.pack("<I", STRING) + text(value)
    return struct.pack("<If", FLOAT32, value) if isinstance(value, float) else struct.pack("<II", UINT32, value)


def keys_of(config: dict) -> dict:
    family = config["model_type"]
    if family == "gpt2":
        shape = {"context_length": config["n_positions"], "embedding_length": config["n_embd"], "block_count": config["n_layer"]}
        shape |= {"feed_forward_length": 4 * config["n_embd"], "attention.head_count": config["n_head"]}
        shape |= {"attention.layer_norm_epsilon": config["layer_norm_epsilon"]}
    else:
        heads = config["num_attention_heads"]
        shape = {"context_length": config["max_position_embeddings"], "embedding_length": config["hidden_size"]}
        shape |= {"block_count": config["num_hidden_layers"], "feed_forward_length": config["intermediate_size"]}
        shape |= {"attention.head_count": heads, "attention.head_count_kv": config["num_key_value_heads"]}
        shape |= {"attention.layer_norm_rms_epsilon": config["rms_norm_eps"], "rope.freq_base": config["rope_theta"]}
        shape |= {"rope.dimension_count": config["hidden_size"] // heads, "vocab_size": config["vocab_size"]}
    n = config["vocab_size"]
    tokenizer = {"model": "gpt2", "pre": "gpt-2", "tokens": [f"<{i}>" for i in range(n)], "token_type": [1] * n, "merges": ["< 0"]}
    tokenizer |= {"bos_token_id": config["bos_token_id"], "eos_token_id": config["eos_token_id"]}
    keys = {"general.architecture": family, **{f"{family}.{key}": value for key, value in shape.items()}}
    return {**keys, **{f"tokenizer.ggml.{key}": value for key, value in tokenizer.items()}}


def renamed(family: str, name: str) -> str:
    module, _, part = name.rpartition(".")
    blocks = {"gpt2": "transformer.h.", "llama": "model.layers."}[family]
    if not module.startswith(blocks):
        return f"{NAMES[family][module]}.{part}"
    number, _, rest = module.removeprefix(blocks).partition(".")
    return f"blk.{number}.{NAMES[family][rest]}.{part}"


def arranged(config: dict, name: str, values: np.ndarray) -> np.ndarray:
    """As llama.cpp has it: rows of outputs, and the two halves of a head that RoPE turns beside each other."""
    if config["model_type"] == "gpt2" and ".c_" in name and values.ndim == 2:
        return values.T
    heads = {"q_proj.weight": "num_attention_heads", "k_proj.weight": "num_key_value_heads"}
    key = next((heads[end] for end in heads if name.endswith(end)), None)
    if not key:
        return values
    return values.reshape(config[key], 2, -1, values.shape[1]).swapaxes(1, 2).reshape(values.shape)


def open_tensors(path: str) -> dict:
    """name: (type, array) of a safetensors file, mapped; bfloat16 as its 16 bits."""
    with open(path, "rb") as file:
        size = int.from_bytes(file.read(8), "little")
        header = json.loads(file.read(size))
    found = {}
    for name, entry in header.items():
        if name != "__metadata__":
            kind = {"F32": np.float32, "BF16": np.uint16}[entry["dtype"]]
            begin = 8 + size + entry["data_offsets"][0]
            found[name] = (entry["dtype"], np.memmap(path, kind, "r", begin, tuple(entry["shape"])))
    return found


def stored(config: dict, name: str, dtype: str, values: np.ndarray) -> tuple[str, np.ndarray]:
    """Vectors are float32 always."""
    if values.ndim == 1 and dtype == "BF16":
        return "F32", (values.astype(np.uint32) << 16).view(np.float32)
    return dtype, np.ascontiguousarray(arranged(config, name, values))


def described(name: str, dtype: str, shape: tuple, offset: int) -> bytes:
    """Dimensions from the fastest on."""
    return text(name) + struct.pack(f"<I{len(shape)}QIQ", len(shape), *shape[::-1], TYPES[dtype], offset)


def padding(n: int) -> int:
    return -n % ALIGNMENT


def write(folder: str, path: str):
    with open(os.path.join(folder, "config.json"), encoding="utf-8") as file:
        config = json.load(file)
    tensors, keys = open_tensors(os.path.join(folder, "model.safetensors")), keys_of(config)
    header = b"GGUF" + struct.pack("<IQQ", 3, len(tensors), len(keys))
    header += b"".join(text(key) + value_of(value) for key, value in keys.items())
    offset = 0
    for name, (dtype, values) in tensors.items():
        kind, shape = ("F32" if values.ndim == 1 else dtype), values.shape
        shape = shape[::-1] if config["model_type"] == "gpt2" and ".c_" in name and values.ndim == 2 else shape
        header += described(renamed(config["model_type"], name), kind, shape, offset)
        size = math.prod(shape) * (4 if kind == "F32" else 2)
        offset += size + padding(size)
    with open(path, "wb") as file:
        file.write(header + b"\0" * padding(len(header)))
        for name, (dtype, values) in tensors.items():
            bits = stored(config, name, dtype, values)[1].tobytes()
            file.write(bits + b"\0" * padding(len(bits)))
