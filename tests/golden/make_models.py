#!/usr/bin/env python3
"""Makes the golden models: tiny seeded Hugging Face folders, PEFT adapters, and what PyTorch computes with them.

    python3 make_models.py [--out DIR] [--seed S] [--big] [--only NAME,...]

See README.md beside this file for what is recorded. Every case depends on (seed, its name) alone.
"""

import math
import os
import sys
import warnings

os.environ.setdefault("HF_HUB_OFFLINE", "1")

import torch  # noqa: E402
import transformers  # noqa: E402
from peft import LoraConfig, PeftModel, get_peft_model  # noqa: E402
from safetensors.torch import save_file  # noqa: E402

import golden_cases  # noqa: E402
import golden_text  # noqa: E402
from golden_common import (Steps, fail, fill_adapter, make_cases, options_of, pad, read_json, relative,  # noqa: E402
                           tidy_adapter, trained_parameters, whole_parameters, write_json)
from golden_common import train as train_steps  # noqa: E402

STEPS, BATCH, SEQ_LEN = 20, 4, 48


def weight_std(name: str, shape, hidden: int, tied: bool, family: str) -> float:
    """Spreads that keep activations, attention scores and logits near 1 to 3, whatever the width."""
    if "embed_tokens" in name or "wte" in name:
        return 2.5 / math.sqrt(hidden) if tied else 0.8
    if "wpe" in name:
        return 0.3
    if "lm_head" in name:
        return 2.5 / math.sqrt(hidden)
    fan_in = shape[0] if family == "gpt2" else shape[1]
    return 1.2 / math.sqrt(fan_in)


def fill_weights(model, case, gen: torch.Generator):
    config = model.config
    for name, p in model.named_parameters():
        noise = torch.randn(p.shape, generator=gen)
        if p.ndim == 1:
            is_norm = name.endswith("weight")
            p.data = 1 + 0.2 * noise if is_norm else 0.3 * noise
        else:
            tied = bool(config.tie_word_embeddings)
            p.data = noise * weight_std(name, p.shape, config.hidden_size, tied, case.family)
    model.tie_weights()


def save_hub_gpt2(folder: str, model):
    """The layout of the first GPT-2 checkpoints: no prefix, and the causal mask stored as a float buffer."""
    tensors = {n.removeprefix("transformer."): p.detach().clone() for n, p in model.named_parameters()}
    mask = torch.tril(torch.ones(model.config.n_positions, model.config.n_positions))
    for i in range(model.config.n_layer):
        tensors[f"h.{i}.attn.bias"] = mask[None, None].clone()
    save_file(tensors, os.path.join(folder, "model.safetensors"), metadata={"format": "pt"})


def old_style(config: dict, case) -> dict:
    """config.json as transformers 4 wrote it: rope_theta and rope_scaling at the top, torch_dtype, no layer_types."""
    old = {k: v for k, v in config.items() if k not in ("rope_parameters", "dtype", "layer_types")}
    rope = dict(config.get("rope_parameters") or {})
    if rope:
        old["rope_theta"] = rope.pop("rope_theta")
        kind = rope.pop("rope_type")
        type_key = "type" if kind == "linear" else "rope_type"
        old["rope_scaling"] = None if kind == "default" else {**rope, type_key: kind}
    if "sliding_window" in case.config:
        old["sliding_window"] = case.config["sliding_window"]
    old["torch_dtype"] = config["dtype"]
    old["transformers_version"] = "4.46.3"
    for key in case.bare_old_keys:
        old.pop(key, None)
    return dict(sorted(old.items()))


def load_base(folder: str, attention: str = "eager"):
    """Weights as stored, computing in float32."""
    model, info = transformers.AutoModelForCausalLM.from_pretrained(
        folder, dtype=torch.float32, attn_implementation=attention, output_loading_info=True)
    if info["missing_keys"] or info["mismatched_keys"]:
        fail(f"{folder}: transformers misses {info}")
    return model.eval()


def token_ids(case) -> dict:
    if case.runs:
        return {"bos_token_id": None, "eos_token_id": case.config["vocab_size"] - 1}
    return {"bos_token_id": 1, "eos_token_id": 2}


def write_base(folder: str, case, gen: torch.Generator):
    config_class = transformers.CONFIG_MAPPING[case.family]
    config = config_class(**{**case.config, **token_ids(case)})
    model = transformers.AutoModelForCausalLM.from_config(config)
    fill_weights(model, case, gen)
    model = model.to(getattr(torch, case.dtype))
    model.config.dtype = getattr(torch, case.dtype)
    total = sum(p.numel() * p.element_size() for p in model.parameters())
    # 0.8: shards are filled in turn, so the bound has to leave something for the last one
    model.save_pretrained(folder, max_shard_size=int(total / case.shards / 0.8) if case.shards > 1 else "1GB")
    if case.hub_gpt2:
        save_hub_gpt2(folder, model)
    if not case.runs:
        os.remove(os.path.join(folder, "generation_config.json"))
    write_configs(folder, case)
    shards = [n for n in os.listdir(folder) if n.startswith("model") and n.endswith(".safetensors")]
    if (len(shards) > 1) != (case.shards > 1):
        fail(f"{case.name}: {len(shards)} shards written, {case.shards} wanted")


def write_configs(folder: str, case):
    """config.json in the style of the case, config.other.json in the other one; both have to mean the same."""
    path = os.path.join(folder, "config.json")
    new = read_json(path)
    probe = torch.arange(2, 50)[None] % case.config["vocab_size"]
    with torch.no_grad():
        logits_new = load_base(folder)(probe).logits
        write_json(path, old_style(new, case))
        logits_old = load_base(folder)(probe).logits
    if not torch.equal(logits_new, logits_old):
        fail(f"{case.name}: the old config changes the logits by {relative(logits_old, logits_new)}")
    styles = [new, old_style(new, case)]
    write_json(path, styles[case.old_config])
    write_json(os.path.join(folder, "config.other.json"), styles[not case.old_config])


def write_adapter(folder: str, case, gen: torch.Generator):
    options = {"task_type": "CAUSAL_LM", **case.lora}
    model = get_peft_model(load_base(folder), LoraConfig(**options))
    fill_adapter(model, gen)
    for p in whole_parameters(model).values():
        p.data = p.data + 0.5 * p.data.std() * torch.randn(p.shape, generator=gen)
    names = [("adapter", False)]
    if "lm_head" in (options.get("target_modules") or []):
        names.append(("adapter_auto", "auto"))  # PEFT then stores lm_head's frozen weight beside the adapter
    for name, embeddings in names:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore" if embeddings else "default")
            model.save_pretrained(os.path.join(folder, name), save_embedding_layers=embeddings)
        tidy_adapter(os.path.join(folder, name), case.name)


def load_adapter(folder: str, attention: str = "eager", adapter: str = "adapter"):
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        model = PeftModel.from_pretrained(load_base(folder, attention), os.path.join(folder, adapter),
                                          is_trainable=True)
    told = [str(w.message) for w in caught if "key" in str(w.message).lower()]
    if told:
        fail(f"{folder}: PEFT warns: {told}")
    return model.eval()


def sequences(case, rng) -> list[tuple[list[int], list[int]]]:
    """Random tokens; the first third is not trained (a prompt), nor is one token in six of the rest."""
    out = []
    for n in case.lengths:
        ids = [int(t) for t in rng.integers(0, case.config["vocab_size"], n)]
        out.append((ids, [int(i > n // 3 and rng.random() > 1 / 6) for i in range(n - 1)] + [1]))
    return out


def sum_loss(logits: torch.Tensor, ids: list[int], target: list[int]) -> torch.Tensor:
    """Sum of -log p(ids[i] | ids[:i]) over the i with target[i], in float64."""
    at = torch.tensor([i for i in range(1, len(ids)) if target[i]])
    return torch.nn.functional.cross_entropy(logits[at - 1].double(), torch.tensor(ids)[at], reduction="sum")


def batch_loss(model, batch) -> tuple[torch.Tensor, int, list[torch.Tensor]]:
    """Sum of the loss, number of target tokens, logits of each sequence; every sequence runs by itself."""
    total, count, logits = torch.zeros((), dtype=torch.float64), 0, []
    for ids, target in batch:
        logits.append(model(torch.tensor([ids])).logits[0])
        total = total + sum_loss(logits[-1], ids, target)
        count += sum(target[1:])
    return total, count, logits


def gradients(model, batch):
    model.zero_grad()
    total, count, logits = batch_loss(model, batch)
    (total / count).backward()
    grads = {name: p.grad.clone() for name, p in trained_parameters(model).items()}
    return total.item(), count, [x.detach() for x in logits], grads


def record_case(folder: str, case, rng) -> dict[str, float]:
    batch = sequences(case, rng)
    total, count, logits, grads = gradients(load_adapter(folder), batch)
    with torch.no_grad():
        _, _, base_logits = batch_loss(load_base(folder), batch)
    out = {"loss": torch.tensor([total], dtype=torch.float64),
           "n_targets": torch.tensor([count], dtype=torch.int32),
           "n_seqs": torch.tensor([len(batch)], dtype=torch.int32)}
    for i, (ids, target) in enumerate(batch):
        out[f"seq{i}.ids"] = torch.tensor(ids, dtype=torch.int32)
        out[f"seq{i}.target"] = torch.tensor(target, dtype=torch.int32)
        out[f"seq{i}.logits"] = logits[i].contiguous()
        out[f"seq{i}.base_logits"] = base_logits[i].contiguous()
    out.update({f"grad.{name}": g for name, g in grads.items()})
    save_file(out, os.path.join(folder, "golden.safetensors"), metadata={"format": "pt"})
    return measure(folder, batch, total / count, logits, base_logits, grads)


def measure(folder: str, batch, loss: float, logits, base_logits, grads) -> dict[str, float]:
    """How far sdpa attention is from eager (the noise of float32), and that nothing recorded is near zero."""
    _, _, logits2, grads2 = gradients(load_adapter(folder, "sdpa"), batch)
    noise = {"logits_noise": max(relative(a, b) for a, b in zip(logits2, logits)),
             "grad_noise": max(relative(grads2[k], grads[k]) for k in grads)}
    sizes = {"loss": loss, "logits_std": torch.cat(logits).std().item(),
             "adapter_effect": min(relative(a, b) for a, b in zip(logits, base_logits)),
             "grad_min": min(g.abs().max().item() for g in grads.values())}
    if max(noise.values()) > 2e-5:
        fail(f"{folder}: sdpa and eager disagree: {noise}")
    if sizes["grad_min"] < 1e-4 or sizes["adapter_effect"] < 0.02:
        fail(f"{folder}: too weak to judge anything: {sizes}")
    if os.path.isdir(os.path.join(folder, "adapter_auto")):
        again = gradients(load_adapter(folder, adapter="adapter_auto"), batch)
        if not all(torch.equal(a, b) for a, b in zip(again[2], logits)):
            fail(f"{folder}: adapter_auto is not adapter")
    return {**noise, **sizes}


def train(model, rows, run) -> dict[str, torch.Tensor]:
    def mean_loss(step: int) -> torch.Tensor:
        total, count, _ = batch_loss(model, rows[step * BATCH:(step + 1) * BATCH])
        return total / count

    return train_steps(trained_parameters(model), mean_loss, run, STEPS)


def record_runs(folder: str, case, rng) -> dict[str, float]:
    rows = golden_text.write_text(folder, rng, case.config["vocab_size"], STEPS * BATCH)
    longest = max(len(ids) for ids, _ in rows)
    if longest > SEQ_LEN:
        fail(f"{case.name}: a record has {longest} tokens, more than the --seq-len of the recorded runs")
    facts = {"longest": longest}
    for run in case.runs:
        out = train(load_adapter(folder), rows, run)
        again = train(load_adapter(folder, "sdpa"), rows, run)
        facts[f"{run.name}_noise"] = max(relative(again[k], out[k]) for k in out if k != "lr")
        facts[f"{run.name}_loss"] = [round(out["loss"][i].item(), 3) for i in (0, STEPS - 1)]
        facts[f"{run.name}_norm"] = [round(f(out["grad_norm"]).item(), 3) for f in (torch.min, torch.max)]
        out["batch.ids"], out["batch.target"] = pad(rows, 0, longest), pad(rows, 1, longest)
        out["batch.lengths"] = torch.tensor([len(ids) for ids, _ in rows], dtype=torch.int32)
        save_file(out, os.path.join(folder, f"train_{run.name}.safetensors"), metadata={"format": "pt"})
        with open(os.path.join(folder, f"train_{run.name}.args"), "w", encoding="utf-8") as file:
            file.write(f"--no-shuffle --no-pack --batch-size {BATCH} --steps {STEPS} --seq-len {SEQ_LEN} "
                       f"{options_of(run)}\n")
    return facts


if __name__ == "__main__":
    sys.exit(make_cases(__doc__, golden_cases, Steps(write_base, write_adapter, record_case, record_runs)))
