#!/usr/bin/env python3
"""Makes the golden classifiers: tiny seeded models, adapters with their heads, and what PyTorch computes with them.

    python3 make_classifiers.py [--out DIR] [--seed S] [--big] [--only NAME,...]

See README.md beside this file for what is recorded. Every case depends on (seed, its name) alone.
"""

import math
import os
import sys

os.environ.setdefault("HF_HUB_OFFLINE", "1")

import numpy as np  # noqa: E402
import torch  # noqa: E402
import transformers  # noqa: E402
from peft import LoraConfig, get_peft_model  # noqa: E402
from safetensors.torch import load_file, save_file  # noqa: E402
from torch.nn import functional as F  # noqa: E402

import classifier_cases  # noqa: E402
import classifier_data  # noqa: E402
import classifier_models as cm  # noqa: E402
from golden_common import (Steps, fail, fill_adapter, lora_layers, make_cases, options_of, read_json,  # noqa: E402
                           relative, tidy_adapter, train, trained_parameters, whole_parameters, write_json)

STEPS, BATCH, SEQ_LEN = 16, 4, 48


def fan_in(p: torch.Tensor) -> int:
    return p[0].numel()


def spread(name: str, p: torch.Tensor) -> float:
    if p.ndim == 4:
        return 1.4
    # sharp attention that adds little: otherwise the tokens of a text become the same from layer to layer
    kind = name.split(".")[-2]
    if kind in ("query", "key", "q_lin", "k_lin"):
        return 2.0
    return 0.8 if ".attention." in name else 1.2


def fill_parameter(name: str, p: torch.nn.Parameter, gen: torch.Generator):
    """Spreads that keep activations, attention scores and logits near 1 to 3, whatever the width."""
    noise = torch.randn(p.shape, generator=gen)
    if p.ndim == 1:
        p.data = 1 + 0.2 * noise if name.endswith("weight") else 0.3 * noise
    elif "embeddings" in name:
        p.data = noise * (0.8 if "word" in name else 0.4)
    elif name.removesuffix(".weight") in cm.HEADS:
        p.data = noise * 2.0 / math.sqrt(fan_in(p))
    else:
        p.data = noise * spread(name, p) / math.sqrt(fan_in(p))


def fill_model(model, gen: torch.Generator):
    for name, p in model.named_parameters():
        fill_parameter(name, p, gen)


def fill_statistics(model, case, gen: torch.Generator):
    """BatchNorm's running statistics as training leaves them: those of activations, here of random images."""
    norms = [m for m in model.modules() if isinstance(m, torch.nn.BatchNorm2d)]
    if not norms:
        return
    for norm in norms:
        norm.momentum = 1.0
    with torch.no_grad():
        model.train()(torch.randn((16,) + case.images[1:], generator=gen))
    model.eval()
    for norm in norms:
        norm.momentum = 0.1
        norm.num_batches_tracked.fill_(1000)


def label_options(case) -> dict:
    if case.labels is None:
        return {}
    return {"id2label": dict(enumerate(case.labels)), "label2id": {name: i for i, name in enumerate(case.labels)}}


def to_old_hub(folder: str, model):
    """Names of the first BERT checkpoints, and a config.json as transformers 4 wrote it."""
    path = os.path.join(folder, "model.safetensors")
    tensors = {}
    for name, value in load_file(path).items():
        name = name.replace("LayerNorm.weight", "LayerNorm.gamma").replace("LayerNorm.bias", "LayerNorm.beta")
        tensors[name] = value
    positions = torch.arange(model.config.max_position_embeddings)[None]
    tensors["bert.embeddings.position_ids"] = positions.contiguous()
    save_file(tensors, path, metadata={"format": "pt"})
    path = os.path.join(folder, "config.json")
    config = read_json(path)
    config["torch_dtype"] = config.pop("dtype")
    config.update({"transformers_version": "4.46.3", "gradient_checkpointing": False,
                   "position_embedding_type": "absolute"})
    for key in ("is_decoder", "add_cross_attention", "tie_word_embeddings"):
        config.pop(key, None)
    write_json(path, dict(sorted(config.items())))


def write_transformers(folder: str, case, gen: torch.Generator):
    kind = cm.class_of(case.architecture)
    model = kind(kind.config_class(**case.config, **label_options(case)))
    fill_model(model, gen)
    fill_statistics(model, case, gen)
    if case.architecture == "BertForMaskedLM":
        model.tie_weights()
    model = model.to(getattr(torch, case.dtype))
    model.config.dtype = getattr(torch, case.dtype)
    before = {name: value.float() for name, value in model.state_dict().items()}
    model.save_pretrained(folder)
    if case.old_hub:
        to_old_hub(folder, model)
    generation = os.path.join(folder, "generation_config.json")
    if os.path.exists(generation):
        os.remove(generation)
    after = cm.load_base(folder)[0].state_dict()
    prefix = getattr(model, "base_model_prefix", "") + "."
    for name, value in before.items():
        stored = after.get(name, after.get(prefix + name))
        if stored is not None and not torch.equal(stored.float(), value):
            fail(f"{folder}: {name} is not read as it was written")


def write_plain(folder: str, case, gen: torch.Generator):
    cifar = case.architecture == "cifar"
    model = (cm.CifarResNet if cifar else cm.TorchvisionResNet)(case.config, len(case.labels))
    fill_model(model, gen)
    fill_statistics(model, case, gen)
    dtype = getattr(torch, case.dtype)
    tensors = {name: value.to(dtype) if value.is_floating_point() else value
               for name, value in model.state_dict().items()
               if not (cifar and name.endswith("num_batches_tracked"))}
    save_file(tensors, os.path.join(folder, "model.safetensors"), metadata={"format": "pt"})
    kind = "CifarResNetForImageClassification" if cifar else "ResNetForImageClassification"
    write_json(os.path.join(folder, "config.json"),
               {"architectures": [kind], "model_type": "resnet_cifar" if cifar else "resnet", **case.config,
                **label_options(case), "torch_dtype": case.dtype})


def write_base(folder: str, case, gen: torch.Generator):
    is_plain = case.architecture in ("cifar", "torchvision")
    (write_plain if is_plain else write_transformers)(folder, case, gen)


def write_adapter(folder: str, case, gen: torch.Generator):
    model = get_peft_model(cm.load_base(folder, case.n_new, case.lora.get("task_type"))[0], LoraConfig(**case.lora))
    fill_adapter(model, gen, 0.5 if case.is_text else 0.2)  # residual sums without norms grow from block to block
    for name, p in whole_parameters(model).items():
        fill_parameter(name, p, gen)
    model.save_pretrained(os.path.join(folder, "adapter"))
    tidy_adapter(os.path.join(folder, "adapter"), case.name)


def load(folder: str):
    return cm.load_classifier(folder, os.path.join(folder, "adapter"), trainable=True)


def random_text(case, rng, n: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Random tokens above the special ones (RoBERTa counts no position for padding); the rest of a pair has type 1."""
    ids = torch.from_numpy(rng.integers(3, case.config["vocab_size"], n))
    n_types = 1 if case.architecture.startswith("Distil") else case.config.get("type_vocab_size", 2)
    cut = int(rng.integers(1, n)) if n_types > 1 else n
    return ids.to(torch.int32), (torch.arange(n) >= cut).to(torch.int32) * (n_types - 1)


def token_labels(rng, lengths, n_labels: int) -> torch.Tensor:
    """Labels of all texts' tokens, one text after the other; -100, PyTorch's for none, for about half of them: special
    tokens, and pieces of a word after its first."""
    labels = rng.integers(-n_labels, n_labels, sum(lengths))
    ends = np.cumsum(lengths)
    labels[ends - lengths] = labels[ends - 1] = -1
    labels[ends - 2] = rng.integers(0, n_labels, len(lengths))
    return torch.from_numpy(np.where(labels < 0, -100, labels)).to(torch.int32)


def make_batch(case, rng, n_labels: int) -> dict:
    if case.is_text:
        texts = [random_text(case, rng, n) for n in case.lengths]
        batch = {"ids": [ids for ids, _ in texts], "types": [types for _, types in texts]}
    else:
        batch = {"pixels": torch.from_numpy(rng.normal(0, 1.2, case.images)).float()}
    n = len(case.lengths) if case.is_text else case.images[0]
    if case.is_regression:
        # far from 0: errors of one sign do not cancel
        batch["values"] = torch.from_numpy(rng.normal(4, 1.5, n)).float()
    elif case.is_of_tokens:
        batch["labels"] = token_labels(rng, case.lengths, n_labels)
    elif case.is_multilabel:
        batch["labels"] = torch.from_numpy(rng.integers(0, 2, (n, n_labels))).to(torch.int32)
    else:
        batch["labels"] = torch.from_numpy(rng.integers(0, n_labels, n)).to(torch.int32)
    return batch


def count_targets(batch: dict) -> int:
    """Samples, or the tokens that have a label, or the pairs of sample and class."""
    return len(batch["values"]) if "values" in batch else (batch["labels"] >= 0).sum().item()


def sum_loss(logits: torch.Tensor, batch: dict) -> torch.Tensor:
    """Sum over the targets, in float64."""
    if "values" in batch:
        return (logits[:, 0].double() - batch["values"].double()).square().sum()
    if batch["labels"].ndim == 2:
        return F.binary_cross_entropy_with_logits(logits.double(), batch["labels"].double(), reduction="sum")
    return F.cross_entropy(logits.double(), batch["labels"].long(), reduction="sum")


def gradients(model, batch: dict):
    model.zero_grad()
    logits = cm.run(model, batch)
    total = sum_loss(logits, batch)
    (total / count_targets(batch)).backward()
    grads = {name: p.grad.clone() for name, p in trained_parameters(model).items()}
    return total.item(), logits.detach(), grads


def check_loss(folder: str, model, batch: dict, total: float):
    """That transformers means the same loss."""
    if not isinstance(model.base_model.model, transformers.PreTrainedModel):
        return
    wanted = batch["values"] if "values" in batch else batch["labels"].long()
    of_tokens = "ids" in batch and len(wanted) != len(batch["ids"])
    several = wanted.ndim == 2
    if several:
        wanted = wanted.float()
    wanted = wanted.split([len(ids) for ids in batch["ids"]] if of_tokens else 1)
    theirs = 0.0
    for i, labels in enumerate(wanted):
        inputs = {"labels": labels[None] if of_tokens else labels}
        if "pixels" in batch:
            inputs["pixel_values"] = batch["pixels"][i:i + 1]
        else:
            inputs["input_ids"] = batch["ids"][i].long()[None]
            if model.config.model_type != "distilbert":
                inputs["token_type_ids"] = batch["types"][i].long()[None]
        with torch.no_grad():
            theirs += model(**inputs).loss.item() * (count_targets({"labels": labels}) if of_tokens or several else 1)
    if abs(theirs - total) > 1e-5 * abs(total):
        fail(f"{folder}: transformers' loss is {theirs}, ours {total}")


def steady_batch(folder: str, case, rng, n_labels: int):
    """A batch whose float32 gradients are those of float64, and what is computed with it. Where a ReLU's input is 0 but
    for rounding, or two pixels of a pooling are equal, the gradient jumps: such a batch judges nothing, and another one
    is drawn."""
    for _ in range(20):
        batch = make_batch(case, rng, n_labels)
        total, logits, grads = gradients(load(folder), batch)
        _, logits64, grads64 = gradients(load(folder).double(), batch)
        noise = {"logits_noise": relative(logits, logits64),
                 "grad_noise": max(relative(grads[k], grads64[k]) for k in grads)}
        if max(noise.values()) <= 2e-5:
            return batch, total, logits, grads, noise
    fail(f"{folder}: float32 and float64 disagree: {noise}")


def measure(folder: str, batch: dict, total: float, logits: torch.Tensor, grads: dict) -> dict:
    """That nothing recorded is near zero."""
    sizes = {"loss": total / count_targets(batch), "logits_std": logits.std().item(),
             "grad_min": min(g.abs().max().item() for g in grads.values())}
    model = load(folder)
    for _, layer in lora_layers(model):
        layer.lora_B["default"].weight.data.zero_()
    with torch.no_grad():
        sizes["lora_effect"] = relative(cm.run(model, batch), logits)
    has_lora = any(name.endswith(".A") for name in grads)
    if sizes["grad_min"] < 1e-3 or sizes["lora_effect"] < 0.02 * has_lora:
        fail(f"{folder}: too weak to judge anything: {sizes}")
    return sizes


def record_case(folder: str, case, rng) -> dict:
    n_labels = case.n_new or cm.n_labels_of(read_json(os.path.join(folder, "config.json")))
    batch, total, logits, grads, noise = steady_batch(folder, case, rng, n_labels)
    check_loss(folder, load(folder), batch, total)
    out = {"loss": torch.tensor([total], dtype=torch.float64), "logits": logits,
           "n_samples": torch.tensor([len(batch.get("ids", logits))], dtype=torch.int32)}
    for i in range(len(batch.get("ids", []))):
        out[f"sample{i}.ids"], out[f"sample{i}.types"] = batch["ids"][i], batch["types"][i]
    out.update({key: batch[key] for key in ("pixels", "labels", "values") if key in batch})
    base, missing = cm.load_base(folder)
    if not missing:
        with torch.no_grad():
            out["base_logits"] = cm.run(base, batch)
    out.update({f"grad.{name}": g for name, g in grads.items()})
    save_file({k: v.contiguous() for k, v in out.items()}, os.path.join(folder, "golden.safetensors"),
              metadata={"format": "pt"})
    return {**noise, **measure(folder, batch, total, logits, grads)}


def part(data: dict, step: int) -> dict:
    return {key: value[step * BATCH:(step + 1) * BATCH] for key, value in data.items()}


def train_case(model, data: dict, run) -> dict[str, torch.Tensor]:
    def mean_loss(step: int) -> torch.Tensor:
        batch = part(data, step)
        return sum_loss(cm.run(model, batch), batch) / count_targets(batch)

    return train(trained_parameters(model), mean_loss, run, STEPS)


def seen(data: dict) -> dict[str, torch.Tensor]:
    """What the trainer has to see; of the images the first."""
    out = {"batch.labels": data["labels"]}
    if "pixels" in data:
        out["first.pixels"] = data["pixels"][0].contiguous()
        return out
    for key in ("ids", "types"):
        out[f"batch.{key}"] = torch.nn.utils.rnn.pad_sequence(data[key], batch_first=True)
    out["batch.lengths"] = torch.tensor([len(ids) for ids in data["ids"]], dtype=torch.int32)
    return out


def record_runs(folder: str, case, rng) -> dict:
    if case.is_text:
        data = classifier_data.write_pairs(folder, rng, case.config["vocab_size"], case.labels, STEPS * BATCH,
                                           case.is_multilabel)
        facts = {"longest": max(len(ids) for ids in data["ids"])}
        if facts["longest"] > SEQ_LEN:
            fail(f"{case.name}: a record has {facts['longest']} tokens, more than --seq-len")
    else:
        data, facts = classifier_data.write_images(folder, rng, case.images[1:], len(case.labels), STEPS * BATCH), {}
    form = f"--no-pack --seq-len {SEQ_LEN} " if case.is_text else ""
    for run in case.runs:
        out = train_case(load(folder), data, run)
        again = train_case(load(folder).double(), data, run)
        noise = {k: relative(out[k], again[k]) for k in out if k != "lr"}
        if max(noise.values()) > 2e-5:  # more when a ReLU opens in one and not in the other: take a lower rate then
            fail(f"{folder}: float32 and float64 train apart: {noise}")
        facts[f"{run.name}_noise"] = max(noise.values())
        facts[f"{run.name}_loss"] = [round(out["loss"][i].item(), 3) for i in (0, STEPS - 1)]
        facts[f"{run.name}_norm"] = [round(f(out["grad_norm"]).item(), 3) for f in (torch.min, torch.max)]
        save_file({**out, **seen(data)}, os.path.join(folder, f"train_{run.name}.safetensors"),
                  metadata={"format": "pt"})
        with open(os.path.join(folder, f"train_{run.name}.args"), "w", encoding="utf-8") as file:
            file.write(f"--no-shuffle {form}--batch-size {BATCH} --steps {STEPS} {options_of(run)}\n")
    return facts


if __name__ == "__main__":
    sys.exit(make_cases(__doc__, classifier_cases, Steps(write_base, write_adapter, record_case, record_runs)))
