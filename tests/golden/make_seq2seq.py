#!/usr/bin/env python3
"""Makes the golden encoder-decoders: tiny seeded Hugging Face folders, PEFT adapters, and what PyTorch computes.

    python3 make_seq2seq.py [--out DIR] [--seed S] [--big] [--only NAME,...]

See README.md beside this file for what is recorded. Every case depends on (seed, its name) alone.
"""

import json
import math
import os
import sys
import warnings

os.environ.setdefault("HF_HUB_OFFLINE", "1")

import torch  # noqa: E402
import transformers  # noqa: E402
from peft import LoraConfig, PeftModel, get_peft_model  # noqa: E402
from safetensors.torch import load_file, save_file  # noqa: E402
from tokenizers.processors import TemplateProcessing  # noqa: E402

import golden_text  # noqa: E402
import seq2seq_cases  # noqa: E402
from golden_common import (Steps, fail, fill_adapter, make_cases, options_of, read_json, relative,  # noqa: E402
                           tidy_adapter, trained_parameters, write_json)
from golden_common import train as train_steps  # noqa: E402

STEPS, BATCH, SOURCE_LEN, TARGET_LEN = 20, 4, 40, 16
NOISE = 3e-5  # of float32; beyond it float64 judges
EMBEDDINGS = ("encoder.embed_tokens.weight", "decoder.embed_tokens.weight")


def weight_std(name: str, shape, config) -> float:
    """Spreads that keep activations, attention scores and logits near 1 to 3, whatever the width."""
    width = config.d_model
    if "shared" in name or "lm_head" in name:
        scaled = getattr(config, "scale_embedding", False)
        return 2.5 if getattr(config, "scale_decoder_outputs", False) else 2.0 / math.sqrt(width) if scaled or "lm_head" in name else 0.4
    if "relative_attention_bias" in name:
        return 1.0
    if "embed_positions" in name:
        return 0.3
    if name.endswith((".q.weight", ".k.weight")):
        return 1.1 / math.sqrt(width) / shape[0] ** 0.25  # T5 does not scale the scores
    return 1.2 / math.sqrt(shape[1])


def fill_weights(model, gen: torch.Generator):
    for name, p in model.named_parameters():
        noise = torch.randn(p.shape, generator=gen)
        if "embed_positions" in name and model.config.model_type == "pegasus":
            continue  # its positions are sines, which are computed
        if p.ndim == 1:
            p.data = 1 + 0.2 * noise if name.endswith("weight") else 0.3 * noise
        else:
            p.data = noise * weight_std(name, p.shape, model.config)
    if hasattr(model, "final_logits_bias"):
        model.final_logits_bias = 0.3 * torch.randn(model.final_logits_bias.shape, generator=gen)


def load_base(folder: str, attention: str = "eager"):
    """Weights as stored, computing in float32."""
    model, info = transformers.AutoModelForSeq2SeqLM.from_pretrained(
        folder, dtype=torch.float32, attn_implementation=attention, output_loading_info=True)
    missing = [name for name in info["missing_keys"] if not (model.config.model_type == "pegasus" and "embed_positions" in name)]
    if missing or info["mismatched_keys"]:
        fail(f"{folder}: transformers misses {info}")
    return model.eval()


def rewrite(folder: str, case, gen: torch.Generator):
    """What differs on disk from what save_pretrained writes."""
    path = os.path.join(folder, "model.safetensors")
    tensors = load_file(path)
    shared = next(n for n in tensors if n.endswith("shared.weight"))
    if case.own_head:
        noise = torch.randn(tensors[shared].shape, generator=gen)
        tensors["lm_head.weight"] = (noise * 2.5 / math.sqrt(noise.shape[1])).to(tensors[shared].dtype)
    for name in EMBEDDINGS if case.copies else ():
        tensors[shared.replace("shared.weight", name)] = tensors[shared].clone()
    if case.no_positions:
        tensors = {n: t for n, t in tensors.items() if "embed_positions" not in n}
    if case.bare:
        tensors = {n.removeprefix("model."): t for n, t in tensors.items()}
    save_file(tensors, path, metadata={"format": "pt"})
    config = read_json(os.path.join(folder, "config.json"))
    config.update(case.changed)
    write_json(os.path.join(folder, "config.json"), {k: v for k, v in config.items() if k not in case.dropped})


def write_base(folder: str, case, gen: torch.Generator):
    config = transformers.CONFIG_MAPPING[case.family](**case.config)
    if case.runs:
        config.eos_token_id = config.vocab_size - 1
    model = transformers.AutoModelForSeq2SeqLM.from_config(config)
    fill_weights(model, gen)
    model = model.to(getattr(torch, case.dtype))
    model.config.dtype = getattr(torch, case.dtype)
    model.save_pretrained(folder)
    rewrite(folder, case, gen)


def write_adapter(folder: str, case, gen: torch.Generator):
    model = get_peft_model(load_base(folder), LoraConfig(task_type="SEQ_2_SEQ_LM", **case.lora))
    fill_adapter(model, gen)
    model.save_pretrained(os.path.join(folder, "adapter"), save_embedding_layers=False)
    tidy_adapter(os.path.join(folder, "adapter"), case.name)


def load_adapter(folder: str, attention: str = "eager"):
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        model = PeftModel.from_pretrained(load_base(folder, attention), os.path.join(folder, "adapter"), is_trainable=True)
    told = [str(w.message) for w in caught if "key" in str(w.message).lower()]
    if told:
        fail(f"{folder}: PEFT warns: {told}")
    return model.eval()


def batch_loss(model, pairs, smoothing: float = 0.0):
    """Sum of the loss in float64, number of targets, logits of each pair; every pair runs by itself."""
    total, count, logits = torch.zeros((), dtype=torch.float64), 0, []
    for source, target in pairs:
        labels = torch.tensor([target])
        logits.append(model(input_ids=torch.tensor([source]), labels=labels).logits[0])
        logs = logits[-1].double().log_softmax(-1)
        nll, smooth = -logs.gather(1, labels[0][:, None]).sum(), -logs.mean(-1).sum()
        total = total + (1 - smoothing) * nll + smoothing * smooth
        count += len(target)
    return total, count, logits


def gradients(model, pairs):
    model.zero_grad()
    total, count, logits = batch_loss(model, pairs)
    (total / count).backward()
    return total.item(), count, [x.detach() for x in logits], {n: p.grad.clone() for n, p in trained_parameters(model).items()}


def draw_pairs(case, rng):
    vocab = case.config["vocab_size"]
    return [tuple([int(t) for t in rng.integers(0, vocab, n)] for n in lengths) for lengths in case.lengths]


def record_case(folder: str, case, rng) -> dict[str, float]:
    pairs = draw_pairs(case, rng)
    total, count, logits, grads = gradients(load_adapter(folder), pairs)
    facts = noise_of(folder, pairs, logits, grads)
    if max(facts.values()) > NOISE:
        # float32 is not enough for this model: some score of its attention is large. float64 then judges.
        total, count, logits, grads = gradients(load_adapter(folder).double(), pairs)
        logits, grads = [x.float() for x in logits], {name: g.float() for name, g in grads.items()}
    with torch.no_grad():
        _, _, base_logits = batch_loss(load_base(folder), pairs)
    out = {"loss": torch.tensor([total], dtype=torch.float64),
           "n_targets": torch.tensor([count], dtype=torch.int32),
           "n_pairs": torch.tensor([len(pairs)], dtype=torch.int32)}
    for i, (source, target) in enumerate(pairs):
        out[f"pair{i}.source"] = torch.tensor(source, dtype=torch.int32)
        out[f"pair{i}.target"] = torch.tensor(target, dtype=torch.int32)
        out[f"pair{i}.logits"] = logits[i].contiguous()
        out[f"pair{i}.base_logits"] = base_logits[i].contiguous()
    out.update({f"grad.{name}": g for name, g in grads.items()})
    save_file(out, os.path.join(folder, "golden.safetensors"), metadata={"format": "pt"})
    return {**facts, "loss": total / count, **sizes_of(folder, logits, base_logits, grads)}


def noise_of(folder: str, pairs, logits, grads) -> dict[str, float]:
    """How far sdpa attention is from eager: the noise of float32."""
    _, _, logits2, grads2 = gradients(load_adapter(folder, "sdpa"), pairs)
    return {"logits_noise": max(relative(a, b) for a, b in zip(logits2, logits)),
            "grad_noise": max(relative(grads2[k], grads[k]) for k in grads)}


def sizes_of(folder: str, logits, base_logits, grads) -> dict[str, float]:
    """Nothing recorded may be near zero."""
    sizes = {"logits_std": torch.cat(logits).std().item(),
             "adapter_effect": min(relative(a, b) for a, b in zip(logits, base_logits)),
             "grad_min": min(g.abs().max().item() for g in grads.values())}
    if sizes["grad_min"] < 1e-4 or sizes["adapter_effect"] < 0.02:
        fail(f"{folder}: too weak to judge anything: {sizes}")
    return sizes


def write_text(folder: str, rng, vocab: int, rows: int):
    """The tokenizer and train.jsonl; returns the pairs of ids that the trainer has to see."""
    tokenizer = golden_text.make_tokenizer(rng, vocab)
    tokenizer.post_processor = TemplateProcessing(single="$A " + golden_text.EOS, special_tokens=[(golden_text.EOS, vocab - 1)])
    tokenizer.save(os.path.join(folder, "tokenizer.json"))
    write_json(os.path.join(folder, "tokenizer_config.json"),
               {"eos_token": golden_text.EOS, "tokenizer_class": "PreTrainedTokenizerFast"})
    records = [{"document": ". ".join(golden_text.sentence(rng) for _ in range(int(rng.integers(1, 4)))),
                "summary": golden_text.sentence(rng)} for _ in range(rows)]
    with open(os.path.join(folder, "train.jsonl"), "w", encoding="utf-8") as file:
        file.writelines(json.dumps(r) + "\n" for r in records)

    def encode(text: str, most: int) -> list[int]:
        tokenizer.enable_truncation(most)
        return tokenizer.encode(text).ids

    return [(encode(r["document"], SOURCE_LEN), encode(r["summary"], TARGET_LEN)) for r in records]


def record_runs(folder: str, case, rng) -> dict[str, float]:
    rows = write_text(folder, rng, case.config["vocab_size"], STEPS * BATCH)
    facts = {"cut": sum(len(s) == SOURCE_LEN for s, _ in rows)}
    for run in case.runs:
        smoothing = getattr(run, "label_smoothing", 0.0)

        def train(attention: str):
            model = load_adapter(folder, attention)

            def mean_loss(step: int) -> torch.Tensor:
                total, count, _ = batch_loss(model, rows[step * BATCH:(step + 1) * BATCH], smoothing)
                return total / count

            return train_steps(trained_parameters(model), mean_loss, run, STEPS)

        out, again = train("eager"), train("sdpa")
        facts[f"{run.name}_noise"] = max(relative(again[k], out[k]) for k in out if k != "lr")
        facts[f"{run.name}_loss"] = [round(out["loss"][i].item(), 3) for i in (0, STEPS - 1)]
        for i, (source, target) in enumerate(rows):
            out[f"row{i}.source"] = torch.tensor(source, dtype=torch.int32)
            out[f"row{i}.target"] = torch.tensor(target, dtype=torch.int32)
        save_file(out, os.path.join(folder, f"train_{run.name}.safetensors"), metadata={"format": "pt"})
        with open(os.path.join(folder, f"train_{run.name}.args"), "w", encoding="utf-8") as file:
            file.write(f"--no-shuffle --batch-size {BATCH} --steps {STEPS} --seq-len {SOURCE_LEN} --target-len {TARGET_LEN} "
                       f"--label-smoothing {smoothing} {options_of(run)}\n")
    return facts


if __name__ == "__main__":
    sys.exit(make_cases(__doc__, seq2seq_cases, Steps(write_base, write_adapter, record_case, record_runs)))
