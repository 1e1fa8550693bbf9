#!/usr/bin/env python3
"""Compares what adapter_config.json's keys, and what else may stand in an adapter's file, do here and in PEFT.

    python3 adapter_settings.py --logits BUILD/tests/logits [--family NAME,...] [--only TEXT,...] [--all]

As config_settings.py, on adapters for its tiny models: every field of PEFT's LoraConfig is left out, null, at the edges of
its range, of each wrong type, and in contradiction with the tensors that are stored."""

import dataclasses
import json
import os
import re
import sys
import tempfile
import warnings
from collections import Counter
from collections.abc import Iterator
from typing import NamedTuple

os.environ.setdefault("HF_HUB_OFFLINE", "1")

import peft  # noqa: E402
import torch  # noqa: E402
from safetensors.torch import load_file, save_file  # noqa: E402

import config_settings  # noqa: E402
from settings import ABSENT, FORMS, changed, compare, ours, run  # noqa: E402

TARGETS = {"llama": ["q_proj", "down_proj"], "gpt2": ["c_attn"], "bert": ["query", "value"]}
PREFIX = "base_model.model."


def config_cases(family: str) -> list[tuple[str, dict]]:
    targets = TARGETS[family]
    first = targets[0]
    layer = {"llama": "model.layers.0.self_attn.q_proj", "gpt2": "transformer.h.0.attn.c_attn",
             "bert": "bert.encoder.layer.0.attention.self.query"}[family]
    cases = [(f"{field.name}={value!r}", {field.name: value})
             for field in sorted(dataclasses.fields(peft.LoraConfig), key=lambda f: f.name) for value in FORMS]
    several = {
        "r": [4, 4.0, 3, 8], "lora_alpha": [16, 0, -4, 1e-3], "use_rslora": [True], "lora_dropout": [1, 1.0, 2],
        "target_modules": [[first], targets + ["lm_head"], targets + ["x"], ["x"], [layer], ".*" + first, first, "all-linear",
                           ".*\\.(" + "|".join(targets) + ")", "dummy-target-modules", [first[1:]], ["." + first], [""],
                           ["*" + first], "(" + first, None],
        "exclude_modules": [[first], ["x"], ".*" + first, "x", ["layers.0"], ".*[.]0[.].*", [layer]],
        "layers_to_transform": [0, [0], [1], [0, 1], [0, 1, 2], [7], []],
        "rank_pattern": [{first: 4}, {first: 8}, {"x": 3}, {layer: 4}, {"^" + layer: 8}, {first: None}, {first: "4"},
                         {first: 4.0}, {first: 0}, {"(": 4}, {"q.*|c_.*": 4}, [], [1]],
        "alpha_pattern": [{first: 32}, {"x": 3}, {layer: 1}, {"^" + layer: 2}, {first: None}, {first: "4"}, {first: 0},
                          {first: 0.5}, {"(": 4}, {first: True}, {"proj|attn": 3, first: 5}, [], [1]],
        "bias": ["none", "all", "lora_only"], "peft_type": ["LORA", "lora", "IA3", "LOHA", "ADALORA", None, ABSENT],
        "task_type": ["CAUSAL_LM", "SEQ_CLS", "TOKEN_CLS", "FEATURE_EXTRACTION", "causal_lm", None],
        "init_lora_weights": [True, False, "gaussian", "pissa", "pissa_niter_4", "olora", "eva", "orthogonal", "corda",
                              "loftq", "lora_ga", "mora"],
        "modules_to_save": [[], ["x"], [first], ["embed_tokens"], ["lm_head"], ["wte"], ["classifier"], "classifier"],
        "layer_replication": [[[0, 2], [0, 2]]], "trainable_token_indices": [[1, 2], {"embed_tokens": [1]}],
        "target_parameters": [["q_proj.weight"], ["x"]], "fan_in_fan_out": [True, False],
        "layers_pattern": ["layers", "h", "layer", ["layers"]], "use_dora": [True], "lora_bias": [True],
        "arrow_config": [{"top_k": 1}], "kasa_config": [{"beta": 0.1}], "use_bdlora": [{"nblocks": 2}],
        "unknown_key": [True, False, 0, 1, 0.5, "x", "", [], [1], {}, {"a": 1}, None],
        "runtime_config": [{"ephemeral_gpu_offload": True}], "merge_weights": [True], "enable_lora": [[True, False, True]],
        "scaling": [3], "alpha": [5], "rank": [5], "lora_scale": [2], "use_qalora": [True], "ensure_weight_tying": [True],
        "base_model_name_or_path": ["elsewhere"], "revision": ["main"], "inference_mode": [False],
    }
    cases += [(f"{key}={value!r}", {key: value}) for key, values in several.items() for value in values]
    cases += [(f"layers_to_transform=[0], layers_pattern={p!r}", {"layers_to_transform": [0], "layers_pattern": p})
              for p in ("layers", "h", "layer", "x", ["layers"], ["x"], "", [])]
    cases += [("target_modules regex with layers", {"target_modules": ".*" + first, "layers_to_transform": [0]}),
              ("use_rslora, alpha_pattern", {"use_rslora": True, "alpha_pattern": {first: 3}}),
              ("use_rslora, rank_pattern", {"use_rslora": True, "rank_pattern": {layer: 4}}),
              ("rank_pattern for all, r other", {"r": 8, "rank_pattern": {t: 4 for t in targets}}),
              ("rank_pattern for all, r 0", {"r": 0, "rank_pattern": {t: 4 for t in targets}}),
              ("rank_pattern for all, r null", {"r": None, "rank_pattern": {t: 4 for t in targets}}),
              ("alpha_pattern for all, lora_alpha null", {"lora_alpha": None, "alpha_pattern": {t: 4 for t in targets}})]
    return cases


def tensor_cases(family: str, tensors: dict, base: dict) -> list[tuple[str, dict]]:
    """What stands in the adapter's file; an edit of None removes."""
    a = next(name for name in tensors if "lora_A" in name)
    b, stem = a.replace("lora_A", "lora_B"), a.removesuffix(".lora_A.weight")
    module = stem.removeprefix(PREFIX)
    embedding = next(n for n in base if "embed_tokens" in n or "wte" in n or "word_embeddings" in n)
    zero = torch.zeros_like(tensors[b])
    default = {name.replace(".weight", ".default.weight"): t for name, t in tensors.items()}
    bare = {name.removeprefix(PREFIX): t for name, t in tensors.items()}
    gone = dict.fromkeys(tensors)
    own = base[module + ".weight"]
    return [
        ("no lora_B", {b: None}), ("no lora_A", {a: None}), ("no pair", {a: None, b: None}),
        (".default. keys", {**gone, **default}), ("without base_model.model.", {**gone, **bare}),
        ("twice the prefix", {**gone, **{PREFIX + n: t for n, t in tensors.items()}}),
        ("rank of the tensors", {a: tensors[a][:2], b: tensors[b][:, :2]}), ("shape of A", {a: tensors[a][:, 1:]}),
        ("bf16", {n: t.bfloat16() for n, t in tensors.items()}), ("f64", {n: t.double() for n, t in tensors.items()}),
        ("another module", {a.replace(module, "x.y"): tensors[a], b.replace(module, "x.y"): tensors[b]}),
        ("lora_bias", {stem + ".lora_B.bias": torch.ones(zero.shape[0])}),
        ("magnitude", {stem + ".lora_magnitude_vector": torch.ones(zero.shape[0])}),
        ("base_layer as the base", {stem + ".base_layer.weight": own}),
        ("base_layer other", {stem + ".base_layer.weight": own + 1}),
        ("base_layer of another shape", {stem + ".base_layer.weight": own[1:]}),
        ("base_layer of no adapter", {PREFIX + "x.base_layer.weight": own}),
        ("embedding as the base", {PREFIX + embedding: base[embedding]}),
        ("embedding other", {PREFIX + embedding: base[embedding] + 1}),
        ("embedding with more rows", {PREFIX + embedding: torch.cat([base[embedding], base[embedding][:2]])}),
        ("lm_head as the base", {PREFIX + "lm_head.weight": base.get("lm_head.weight", base[embedding])}),
        ("lm_head other", {PREFIX + "lm_head.weight": base[embedding] + 1}),
        ("token_adapter", {PREFIX + embedding.replace(".weight", ".token_adapter.trainable_tokens_delta"): zero[:2, :2]}),
        ("lora_embedding_A", {PREFIX + embedding.replace(".weight", ".lora_embedding_A"): zero.T.contiguous()}),
        ("a bias of the base", {stem + ".bias": torch.ones(zero.shape[0])}),
        ("unknown tensor", {PREFIX + "x.weight": torch.ones(2)}), ("unknown key", {"x": torch.ones(2)}),
    ]


def theirs(family: str, folder: str, adapter: str, batch: dict):
    try:
        base = config_settings.auto_class(family).from_pretrained(folder, dtype=torch.float32)
        model = peft.PeftModel.from_pretrained(base, adapter).eval()
        with torch.no_grad():
            out = [model(ids.long()[None]).logits for ids in batch.values()]
        return torch.cat([o.reshape(-1, o.shape[-1]) for o in out])
    except Exception as why:  # whatever it is: it does not load there
        return f"{type(why).__name__}: {str(why).strip()[:200]}"


def write_adapter(adapter: str, config: dict, tensors: dict, edits: dict, tensor_edits: dict):
    with open(os.path.join(adapter, "adapter_config.json"), "w", encoding="utf-8") as file:
        json.dump(changed(config, edits), file)
    stored = {k: v.clone().contiguous() for k, v in {**tensors, **tensor_edits}.items() if v is not None}
    save_file(stored, os.path.join(adapter, "adapter_model.safetensors"), {"format": "pt"})


def make_adapter(family: str, folder: str, adapter: str) -> tuple[dict, dict]:
    base = config_settings.auto_class(family).from_pretrained(folder, dtype=torch.float32)
    config = peft.LoraConfig(r=4, lora_alpha=8, target_modules=TARGETS[family], fan_in_fan_out=family == "gpt2",
                             task_type="SEQ_CLS" if family == "bert" else "CAUSAL_LM")
    model = peft.get_peft_model(base, config)
    for name, parameter in model.named_parameters():
        if "lora_" in name:
            parameter.data = torch.randn(parameter.shape) * 0.3
    model.save_pretrained(adapter)
    with open(os.path.join(adapter, "adapter_config.json"), encoding="utf-8") as file:
        return json.load(file), load_file(os.path.join(adapter, "adapter_model.safetensors"))


class AdapterCase(NamedTuple):
    label: str
    edits: dict
    tensors: dict
    keys: tuple


def all_cases(family: str, tensors: dict, base: dict) -> Iterator[AdapterCase]:
    for label, edits in config_cases(family):
        yield AdapterCase(label, edits, {}, tuple(edits))
    for label, edits in tensor_cases(family, tensors, base):
        # of a tensor the error must name its module
        named = tuple(re.sub(r"\.lora_.*|\.base_layer.*", "", n).removeprefix(PREFIX) for n in edits)
        yield AdapterCase(label, {}, edits, named)


def run_family(family: str, options) -> Counter:
    with tempfile.TemporaryDirectory() as folder:
        adapter = os.path.join(folder, "adapter")
        config_settings.make(family, folder)
        text, batch = config_settings.inputs_of(family, folder)
        config, tensors = make_adapter(family, folder, adapter)
        base = load_file(os.path.join(folder, "model.safetensors"))

        def both_sides(case: AdapterCase):
            write_adapter(adapter, config, tensors, case.edits, case.tensors)
            return ours(options.logits, folder, adapter, text), theirs(family, folder, adapter, batch)

        return compare(family, all_cases(family, tensors, base), both_sides, options)


if __name__ == "__main__":
    warnings.simplefilter("ignore")
    sys.exit(run(__doc__, "llama,gpt2,bert", run_family))
