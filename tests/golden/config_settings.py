#!/usr/bin/env python3
"""Compares what config.json's keys do here with what they do in transformers, on tiny seeded models.

    python3 config_settings.py --logits BUILD/tests/logits [--family NAME,...] [--only KEY,...] [--all]

Every field of the family's configuration class, and every other key that transformers takes, is left out, null, at the
edges of its range, of each wrong type, and in contradiction with the other keys that say the same thing. Both sides must
give the same logits (1e-4 of the largest), or ours must end with an error that names the key. Printed is every case that
falls short, with --all every case; the last lines count the outcomes:

    same     the same logits
    both     an error on both sides, ours names the key
    refused  an error here, logits there: what is refused by name
    UNNAMED  an error here that names neither the key nor one that it contradicts
    LAX      logits here, an error there
    WRONG    other logits

Exit status 1 when one of the last three occurs.
"""

import dataclasses
import json
import os
import resource
import signal
import sys
import tempfile
from collections import Counter

os.environ.setdefault("HF_HUB_OFFLINE", "1")

import torch  # noqa: E402
import transformers  # noqa: E402
from safetensors.torch import save_file  # noqa: E402

from settings import ABSENT, FORMS, Case, changed, compare, ours, run  # noqa: E402

RELATIVE = dict(vocab_size=64, hidden_size=24, intermediate_size=40, num_hidden_layers=3, num_attention_heads=4,
                num_key_value_heads=2, max_position_embeddings=64, pad_token_id=None)
ENCODER = dict(vocab_size=64, hidden_size=24, num_hidden_layers=2, num_attention_heads=4, intermediate_size=40,
               max_position_embeddings=40, num_labels=3)


def tiny(family: str) -> dict:
    return {
        "gpt2": dict(vocab_size=64, n_positions=64, n_embd=24, n_layer=2, n_head=4, bos_token_id=1, eos_token_id=2),
        "llama": RELATIVE,
        "mistral": dict(RELATIVE, sliding_window=6),
        "qwen2": dict(RELATIVE, use_sliding_window=True, sliding_window=6, max_window_layers=1),
        "qwen3": dict(RELATIVE, head_dim=6, use_sliding_window=True, sliding_window=6, max_window_layers=1),
        "bert": ENCODER,
        "roberta": ENCODER,
        "distilbert": dict(vocab_size=64, dim=24, n_layers=2, n_heads=4, hidden_dim=40, max_position_embeddings=40,
                           num_labels=3),
        "resnet": dict(embedding_size=8, hidden_sizes=[16, 32], depths=[1, 2], layer_type="bottleneck", num_labels=3),
    }[family]


ROPE = "rope_parameters", "rope_scaling", "rope_theta", "rope", "partial_rotary_factor"
LLAMA3 = dict(rope_type="llama3", factor=4.0, low_freq_factor=1.0, high_freq_factor=4.0,
              original_max_position_embeddings=16)


def rope_cases() -> list[tuple[str, dict]]:
    """Everything that can say something about rotary positions, alone and against the others."""
    linear = dict(rope_type="linear", factor=2.0)
    new = dict(rope_type="default", rope_theta=500.0)
    types = [dict(rope_type=name, factor=2.0) for name in ("yarn", "dynamic", "longrope", "proportional", "su", "x", 3)]
    alone = [{}, linear, dict(type="linear", factor=2.0), dict(linear, type="default"), dict(linear, type="yarn"),
             dict(rope_type="default", type="yarn", factor=2.0), dict(linear, rope_theta=300.0), dict(rope_theta=300.0),
             dict(type="default", rope_theta=300.0), dict(rope_type=None), dict(rope_type=None, type="linear", factor=2.0),
             dict(rope_type="linear"), dict(linear, factor=0), dict(linear, factor=-2), dict(linear, factor=None),
             dict(linear, factor=0.5), dict(linear, factor="2"), dict(linear, factor=True), dict(linear, factor=[2]),
             dict(linear, rope_theta=None), dict(linear, rope_theta="300"), dict(linear, rope_theta=0),
             dict(linear, rope_theta=-3), dict(linear, rope_theta=1), dict(linear, rope_theta=0.5),
             dict(linear, partial_rotary_factor=0.5), dict(linear, partial_rotary_factor=1),
             dict(linear, partial_rotary_factor=None), dict(linear, attention_factor=2.0), dict(linear, unknown=1),
             dict(linear, original_max_position_embeddings=8), dict(rope_type="default", factor=7.0),
             dict(mrope_section=[1, 1, 1]), dict(rope_type="default", mrope_section=[1, 1, 1]),
             LLAMA3, dict(LLAMA3, rope_theta=300.0), dict(LLAMA3, low_freq_factor=4.0), dict(LLAMA3, low_freq_factor=8.0),
             dict(LLAMA3, low_freq_factor=0), dict(LLAMA3, low_freq_factor=-1), dict(LLAMA3, high_freq_factor=0),
             dict(LLAMA3, factor=0), dict(LLAMA3, factor=-1), dict(LLAMA3, factor=0.5), dict(LLAMA3, factor=None),
             dict(LLAMA3, factor="8"), dict(LLAMA3, original_max_position_embeddings=0),
             dict(LLAMA3, original_max_position_embeddings=-8), dict(LLAMA3, original_max_position_embeddings=None),
             dict(LLAMA3, original_max_position_embeddings=16.5), dict(LLAMA3, original_max_position_embeddings="16"),
             dict(full_attention=linear), dict(full_attention=linear, sliding_attention=new),
             dict(full_attention=None), dict(linear, full_attention=new), *types]
    for key in ("factor", "low_freq_factor", "high_freq_factor", "original_max_position_embeddings"):
        alone.append({k: v for k, v in LLAMA3.items() if k != key})
    out = [(f"{where}={value}", {"rope_parameters": ABSENT, where: value})
           for where in ("rope_scaling", "rope_parameters") for value in alone]
    out += [(f"rope_scaling={value} beside rope_parameters", {"rope_scaling": value, "rope_parameters": new})
            for value in alone + [None]]
    out += [(f"rope_theta beside {where}={value}", {"rope_parameters": ABSENT, where: value, "rope_theta": 77.0})
            for where in ("rope_scaling", "rope_parameters") for value in (linear, dict(linear, rope_theta=300.0), {}, None)]
    for factor in (None, 1, 1.0, 0.5, 0, "1", True):
        out.append((f"partial_rotary_factor={factor}", {"partial_rotary_factor": factor}))
        out.append((f"partial_rotary_factor={factor}, linear",
                    {"partial_rotary_factor": factor, "rope_parameters": linear}))
    out += [(f"original_max_position_embeddings={n} beside llama3",
             {"original_max_position_embeddings": n, "rope_parameters": LLAMA3}) for n in (8, None, 0, "8")]
    out += [("per_layer_config", {"per_layer_config": {"0": {"rms_norm_eps": 1e-2}}})]
    return out


def extra_cases(family: str) -> list[tuple[str, dict]]:
    """Keys that are not fields of the class, and contradictions."""
    window = [(f"layer_types={types}", {"layer_types": types}) for types in (
        ["full_attention"] * 3, ["sliding_attention"] * 3, ["sliding_attention", "full_attention", "sliding_attention"],
        ["full_attention"] * 2, ["full_attention"] * 4, [], None, ["chunked_attention"] * 3, ["text"] * 3, [1, 2, 3],
        "full_attention", {"0": "full_attention"}, ["attention"] * 3, ["linear_attention"] * 3)]
    common = [(f"{key}={value}", {key: value}) for key in (
        "is_causal", "sliding_window", "attention_chunk_size", "attn_implementation", "_attn_implementation",
        "use_bidirectional_attention", "quantization_config", "per_layer_config", "output_attentions", "dtype",
        "torch_dtype", "is_decoder", "add_cross_attention", "cross_attention_hidden_size", "tie_encoder_decoder",
        "pruned_heads", "torchscript", "use_bfloat16", "chunk_size_feed_forward", "is_encoder_decoder",
        "finetuning_task", "auto_map", "head_dim", "mlp_bias", "attention_bias", "qkv_bias", "position_embedding_type",
        "architectures", "model_type", "transformers_version", "tie_word_embeddings", "sinusoidal_pos_embds",
        "embedding_size", "num_experts", "logit_scale", "final_logit_softcapping", "attn_logit_softcapping",
        "residual_multiplier", "embedding_multiplier", "attention_multiplier", "logits_scaling", "attention_dropout")
              for value in FORMS]
    common += [(f"dtype={name}", {"dtype": name}) for name in ("float16", "float64", "auto", "int8", "torch.float32")]
    aliases = {"gpt2": dict(hidden_size="n_embd", max_position_embeddings="n_positions", num_attention_heads="n_head",
                            num_hidden_layers="n_layer"),
               "distilbert": dict(hidden_size="dim", num_attention_heads="n_heads", num_hidden_layers="n_layers")}
    for alias, key in aliases.get(family, {}).items():
        for value in FORMS:
            common.append((f"{alias}={value} beside {key}", {alias: value}))
        common.append((f"{alias} for {key}", {alias: tiny(family)[key], key: ABSENT}))
    labels = {str(i): f"L{i}" for i in range(3)}
    if family not in ("gpt2", "llama", "mistral", "qwen2", "qwen3"):
        common += [(f"id2label={map}, num_labels={n}, problem_type={kind}",
                    {"id2label": map, "num_labels": n, "problem_type": kind})
                   for map in (labels, {"0": "a"}, {"0": "a", "1": "b"}, {"5": "a", "9": "b", "x": "c"},
                               {"0": "a", "2": "b", "7": "c"}, {"0": "a", "00": "b", "1": "c", "2": "d"},
                               {"0": 1, "1": None, "2": "c"}, [1, 2, 3], ["a", "b", "c"], {}, None, ABSENT, "text")
                   for n in (ABSENT, None, 0, 1, 2, 3, 5, "3", 3.0)
                   for kind in (ABSENT,)]
        common += [(f"problem_type={kind}", {"problem_type": kind}) for kind in (
            None, "regression", "single_label_classification", "multi_label_classification", "text", 1)]
    if family in ("llama", "mistral", "qwen2", "qwen3"):
        common += rope_cases() + window
        common += [(f"sliding_window={w}, use_sliding_window={u}, max_window_layers={m}",
                    {"layer_types": ABSENT, "sliding_window": w, "use_sliding_window": u, "max_window_layers": m})
                   for w in (ABSENT, None, 0, 1, 4, -1) for u in (ABSENT, True, False) for m in (ABSENT, 0, 1, 3, 5)]
        common += [(f"head_dim={d}, hidden 24, heads {h}", {"head_dim": d, "num_attention_heads": h})
                   for d in (ABSENT, None, 0, 5, 6, 8) for h in (3, 4, 5)]
        common += [(f"layer_types beside sliding_window={w}, use={u}",
                    {"layer_types": ["sliding_attention", "full_attention", "sliding_attention"], "sliding_window": w,
                     "use_sliding_window": u}) for w in (ABSENT, None, 0, 4) for u in (ABSENT, True, False)]
    if family == "resnet":
        common += [(f"{key}={value}", {key: value}) for key, values in {
            "depths": ([1], [1, 2, 1], [0, 2], [1, 0], [1.0, 2.0], [True, 2], [1, "2"], [-1, 2], [1, None], [[1], [2]]),
            "hidden_sizes": ([16], [16, 32, 64], [16, 0], [16, 30], [16.0, 32.0], [True, 32], [16, "32"], [18, 32]),
            "layer_type": ("basic", "other", None), "out_features": (["stage1"], ["x"], []), "out_indices": ([1], [9])
        }.items() for value in values]
    if family == "roberta":
        common += [(f"pad_token_id={value}", {"pad_token_id": value}) for value in (37, 38, 39, 40, 63, 64)]
    return common


def cases(family: str) -> list[Case]:
    out = []
    cls = transformers.CONFIG_MAPPING[family]
    for field in sorted(dataclasses.fields(cls), key=lambda f: f.name):
        for value in FORMS:
            if field.name in ("num_hidden_layers", "n_layer", "n_layers") and value == 10**6:
                value = 300
            names = (field.name, "num_labels") if field.name == "id2label" else (field.name,)
            out.append(Case(f"{field.name}={value!r}", {field.name: value}, names))
    for label, edits in extra_cases(family):
        names = tuple(edits) + (("num_labels",) if "id2label" in edits else ()) + (ROPE if any("rope" in key or "rotary" in key for key in edits) else ())
        out.append(Case(label, edits, names))
    acts = sorted(transformers.activations.ACT2CLS)
    key = {"gpt2": "activation_function", "distilbert": "activation"}.get(family, "hidden_act")
    return out + [Case(f"{key}={act}", {key: act}, (key,)) for act in acts]


def auto_class(family: str):
    if family == "resnet":
        return transformers.AutoModelForImageClassification
    if family in ("bert", "roberta", "distilbert"):
        return transformers.AutoModelForSequenceClassification
    return transformers.AutoModelForCausalLM


def make(family: str, folder: str) -> dict:
    """Writes the model's weights and gives its config."""
    torch.manual_seed(5)
    model = auto_class(family).from_config(transformers.AutoConfig.for_model(family, **tiny(family)))
    for parameter in model.parameters():
        parameter.data = torch.randn(parameter.shape) * 0.3 + (1 if parameter.ndim == 1 else 0)
    model.tie_weights()
    model.save_pretrained(folder)
    with open(os.path.join(folder, "config.json"), encoding="utf-8") as file:
        return json.load(file)


def inputs_of(family: str, folder: str):
    """What goes in: text for standard input, or the path of a file; and the tensors."""
    gen = torch.Generator().manual_seed(3)
    if family == "resnet":
        batch = {"pixels": torch.randn(2, 3, 40, 40, generator=gen)}
    else:
        batch = {f"sample{i}.ids": torch.randint(0, 64, (n,), generator=gen, dtype=torch.int32)
                 for i, n in enumerate((5, 30))}
        if family not in ("bert", "roberta", "distilbert"):
            return "".join(" ".join(map(str, ids.tolist())) + "\n" for ids in batch.values()), batch
        batch["sample1.ids"][4:7] = 1  # RoBERTa's padding
    path = os.path.join(folder, "in.safetensors")
    save_file(batch, path)
    return None, batch


def too_long(*_):
    raise TimeoutError("too long")


def theirs(family: str, folder: str, batch: dict):
    signal.signal(signal.SIGALRM, too_long)
    signal.alarm(30)
    try:
        model, info = auto_class(family).from_pretrained(folder, dtype=torch.float32, output_loading_info=True)
        if info["missing_keys"] or info["mismatched_keys"]:
            return f"weights are missing or do not fit: {sorted(info['missing_keys'])[:2]}"
        model.eval()
        with torch.no_grad():
            if family == "resnet":
                return model(batch["pixels"], return_dict=True).logits
            out = [model(ids.long()[None], return_dict=True).logits for ids in batch.values()]
        return torch.cat([o.reshape(-1, o.shape[-1]) for o in out])
    except (Exception, TimeoutError) as why:  # whatever it is: it does not load there
        return f"{type(why).__name__}: {str(why).strip()[:200]}"
    finally:
        signal.alarm(0)


def run_family(family: str, options) -> Counter:
    with tempfile.TemporaryDirectory() as folder:
        config = make(family, folder)
        text, batch = inputs_of(family, folder)

        def both_sides(case: Case):
            with open(os.path.join(folder, "config.json"), "w", encoding="utf-8") as file:
                json.dump(changed(config, case.edits), file)
            return ours(options.logits, folder, "-", text), theirs(family, folder, batch)

        return compare(family, cases(family), both_sides, options)


if __name__ == "__main__":
    resource.setrlimit(resource.RLIMIT_DATA, (3 << 30, 3 << 30))
    sys.exit(run(__doc__, "gpt2,llama,mistral,qwen2,qwen3,bert,roberta,distilbert,resnet", run_family))
