#!/usr/bin/env python3
"""Makes again the seeds of the targets model, folder, images, convert, report, options and single_file from ../golden and from here.

    python3 tests/fuzz/make_seeds.py
"""
import gzip
import json
import pathlib
import struct

here = pathlib.Path(__file__).parent
golden = here.parent / "golden"


def put(target, name, content):
    folder = here / "corpus" / target
    folder.mkdir(parents=True, exist_ok=True)
    (folder / name).write_bytes(content)


def header_of(path):
    raw = path.read_bytes()
    header = json.loads(raw[8 : 8 + struct.unpack("<Q", raw[:8])[0]])
    header.pop("__metadata__", None)
    return header


def model(name):
    folder = golden / "models" / name
    shapes = {key: {"dtype": value["dtype"], "shape": value["shape"]}
              for key, value in header_of(folder / "model.safetensors").items()}
    config = json.loads((folder / "config.json").read_text())
    put("model", name, json.dumps(config).encode() + b"\0" + json.dumps(shapes, separators=(",", ":")).encode())


def tensors(named):
    """A safetensors file of float32 vectors."""
    header, at = {}, 0
    for name, values in named.items():
        header[name] = {"dtype": "F32", "shape": [len(values)], "data_offsets": [at, at + 4 * len(values)]}
        at += 4 * len(values)
    text = json.dumps(header, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)
    return struct.pack("<Q", len(text)) + text + b"".join(struct.pack(f"<{len(v)}f", *v) for v in named.values())


NAMES = ["config.json", "model.safetensors", "model.safetensors.index.json", "model-00001-of-00002.safetensors",
         "model-00002-of-00002.safetensors", "tokenizer_config.json", "special_tokens_map.json", "generation_config.json"]


def folder(name, files):
    pieces = [(NAMES.index(key), value if isinstance(value, bytes) else json.dumps(value).encode())
              for key, value in files.items()]
    put("folder", name, b"".join(bytes([n, len(v) & 255, len(v) >> 8]) + v for n, v in pieces))


def idx(kind, shape, values):
    return bytes([0, 0, kind, len(shape)]) + b"".join(struct.pack(">I", n) for n in shape) + bytes(values)


def convert():
    images, labels = idx(8, [3, 2, 4], range(24)), idx(8, [3], [0, 1, 1])
    put("convert", "idx", bytes([2, 0]) + images)
    put("convert", "idx_labels", bytes([6, len(labels)]) + labels + images)
    put("convert", "idx_gz", bytes([3, 0]) + gzip.compress(images, mtime=0))
    put("convert", "cifar10", bytes([0, 0]) + bytes([7]) + bytes(3072))
    put("convert", "cifar100", bytes([1, 0]) + bytes([3, 14]) + bytes(3072))


def report():
    records = [
        {"event": "start", "step": 0, "ranks": 2, "hosts": 1, "trained_parameters": 1024, "base_parameters": 9000,
         "date": "2026-01-02 03:04", "task": "classes", "unit": "images"},
        *({"event": "step", "step": k, "epoch": 0, "loss": 3.5 / k, "lr": 1e-3, "grad_norm": 1.25, "target_tokens": 8,
           "tokens": 64, "seconds": 0.5} for k in range(1, 15)),
        {"event": "eval", "step": 4, "loss": 0.7, "seconds": 0.1, "accuracy": 0.5, "macro_f1": 0.4, "matthews": 0.1},
        {"event": "confusion", "step": 4, "labels": ["a<b", "c&d"], "counts": [[3, 1], [0, 2]]},
        {"event": "sample", "step": 0, "prompt": "one", "text": "two"},
        {"event": "sample", "step": 4, "prompt": "one", "text": "</script>"},
        {"event": "end", "step": 4, "seconds": 2.5},
    ]
    put("report", "classes", b"rank: 8\nlr: 0.001\n\0" + b"".join(json.dumps(r).encode() + b"\n" for r in records))
    put("report", "cut", b"\0" + b'{"event": "step", "step": 1, "loss": null}\n{"event": "st')


def options():
    put("options", "config", b"\0rank: 16\nlr: 3e-4\nschedule: cosine\ntarget: q_proj,v_proj\nrslora: yes\npack: no\n")
    put("options", "run", b"\0version: \"0.1.0\"\nbase-digest: \"00\"\nrank: 8\nhost: \"a\"\nranks: 2\nflip: false\n")
    put("options", "recorded", b'\1{"rank": 8, "alpha": 16, "dropout": 0.1, "target": null, "lr": 2e-4, "steps": 7}')


def single_file(name):
    lines = (golden / "single_files" / f"{name}.txt").read_text().splitlines()
    words = [line.split()[1:] for line in lines if line.startswith("from ")]
    put("single_file", name, "".join(f"{key} {shape}\n" for key, _, shape in words).encode())


for name in ["gpt2_bf16", "llama_head", "qwen3_old", "qwen2_window", "bert_regression", "roberta_bare", "distilbert_bare",
             "resnet_basic", "resnet_bottleneck_down", "resnet_cifar_new"]:
    model(name)
config = {"model_type": "gpt2", "eos_token_id": 5}
folder("single", {"config.json": config, "model.safetensors": tensors({"a": [1, 2], "b.c": [3]}),
                  "tokenizer_config.json": {"eos_token": {"content": "</s>"}, "bos_token": "<s>"},
                  "generation_config.json": {"eos_token_id": [3, 4]}})
folder("shards", {"config.json": config, "special_tokens_map.json": {"pad_token": "x"},
                  "model.safetensors.index.json": {"weight_map": {"a": NAMES[3], "b": NAMES[4]}},
                  NAMES[3]: tensors({"a": [1]}), NAMES[4]: tensors({"b": [2, 3]})})
for name in ["good", "broken_image", "few_labels", "channels_first", "external"]:
    put("images", name, (golden / "images" / f"{name}.h5").read_bytes())
convert()
report()
options()
for name in ["sd1", "sd2", "sdxl"]:
    single_file(name)
