#!/usr/bin/env python3
"""Makes the golden summarisers: tiny seeded bodies, adapters with a head that scores sentences, and what PyTorch
computes with them.

    python3 make_extract.py [--out DIR] [--seed S] [--big] [--only NAME,...]

See README.md beside this file for what is recorded. Every case depends on (seed, its name) alone.
"""

import json
import math
import os
import sys

os.environ.setdefault("HF_HUB_OFFLINE", "1")

import torch  # noqa: E402
import transformers  # noqa: E402
from peft import LoraConfig, PeftModel, get_peft_model  # noqa: E402
from safetensors.torch import save_file  # noqa: E402
from torch.nn import functional as F  # noqa: E402

import classifier_data  # noqa: E402
import extract_cases  # noqa: E402
import golden_text  # noqa: E402
import text_scores  # noqa: E402
from extract_model import BertSum  # noqa: E402
from golden_common import (Steps, fail, fill_adapter, make_cases, options_of, relative, tidy_adapter,  # noqa: E402
                           train, trained_parameters, whole_parameters, write_json)

STEPS, BATCH, SEQ_LEN = 20, 4, 60  # some documents are longer, and have more tokens than the model has positions
MOST, STRETCHED = 3, 512


def fill(name: str, p: torch.nn.Parameter, gen: torch.Generator):
    noise = torch.randn(p.shape, generator=gen)
    if p.ndim == 1:
        p.data = 1 + 0.2 * noise if name.endswith("weight") else 0.3 * noise
    elif "embeddings" in name:
        p.data = noise * (0.8 if "word" in name else 0.4)
    else:
        sharp = name.split(".")[-2] in ("query", "key", "q_lin", "k_lin", "linear1", "wo")
        p.data = noise * (2.0 if sharp else 1.0) / math.sqrt(p.shape[1])


def no_pooler(case) -> dict:
    return {} if case.body == "distilbert" else {"add_pooling_layer": False}


def write_base(folder: str, case, gen: torch.Generator):
    config = transformers.CONFIG_MAPPING[case.body](**case.config)
    body = transformers.AutoModel.from_config(config, **no_pooler(case))
    for name, p in body.named_parameters():
        fill(name, p, gen)
    body = body.to(getattr(torch, case.dtype))
    body.config.dtype = getattr(torch, case.dtype)
    body.save_pretrained(folder)


def load_base(folder: str, case) -> BertSum:
    body = transformers.AutoModel.from_pretrained(folder, dtype=torch.float32, attn_implementation="eager",
                                                  **no_pooler(case))
    return BertSum(body, case.layers, STRETCHED).eval()


def write_adapter(folder: str, case, gen: torch.Generator):
    lora = LoraConfig(task_type="FEATURE_EXTRACTION", modules_to_save=["ext_layer"], **case.lora)
    model = get_peft_model(load_base(folder, case), lora)
    fill_adapter(model, gen)
    for name, p in whole_parameters(model).items():
        fill(name, p, gen)
    model.save_pretrained(os.path.join(folder, "adapter"), save_embedding_layers=False)
    tidy_adapter(os.path.join(folder, "adapter"), case.name)


def load(folder: str, case):
    model = PeftModel.from_pretrained(load_base(folder, case), os.path.join(folder, "adapter"), is_trainable=True)
    return model.eval()


def sum_loss(model, documents):
    """Sum of the binary cross-entropy over all sentences in float64, their number, and the scores of each document."""
    total, count, scores = torch.zeros((), dtype=torch.float64), 0, []
    for d in documents:
        scores.append(model.base_model.model(d["ids"], d["types"], d["sentences"]))
        total = total + F.binary_cross_entropy_with_logits(scores[-1].double(), d["labels"].double(), reduction="sum")
        count += len(d["labels"])
    return total, count, scores


def gradients(model, documents):
    model.zero_grad()
    total, count, scores = sum_loss(model, documents)
    (total / count).backward()
    return total.item(), count, [s.detach() for s in scores], {n: p.grad.clone() for n, p in trained_parameters(model).items()}


def document(ids, sentences, labels, n_types: int) -> dict[str, torch.Tensor]:
    """Types alternate from sentence to sentence, where the model has them."""
    types = torch.zeros(len(ids), dtype=torch.int32)
    for i, begin in enumerate(sentences):
        types[begin:] = i % 2 if n_types > 1 else 0
    return {"ids": torch.tensor(ids, dtype=torch.int32), "types": types,
            "sentences": torch.tensor(sentences, dtype=torch.int32), "labels": torch.tensor(labels, dtype=torch.int32)}


def n_types_of(case) -> int:
    return 0 if case.body == "distilbert" else case.config.get("type_vocab_size", 2)


def draw(case, rng, lengths) -> dict[str, torch.Tensor]:
    begins = [sum(lengths[:i]) for i in range(len(lengths))]
    ids = [int(t) for t in rng.integers(3, case.config["vocab_size"], sum(lengths))]
    return document(ids, begins, [int(x) for x in rng.integers(0, 2, len(lengths))], n_types_of(case))


def seen_by_loss(values: dict) -> dict:
    """Without the bias of the head's keys: attention does not depend on it, so that its gradient is what rounding left,
    and AdamW makes steps of that."""
    return {name: value for name, value in values.items() if not name.endswith("linear_keys.bias")}


def record_case(folder: str, case, rng) -> dict[str, float]:
    documents = [draw(case, rng, lengths) for lengths in case.documents]
    total, count, scores, grads = gradients(load(folder, case), documents)
    _, _, scores64, grads64 = gradients(load(folder, case).double(), documents)
    grads = seen_by_loss(grads)
    facts = {"scores_noise": max(relative(a, b) for a, b in zip(scores, scores64)),
             "grad_noise": max(relative(grads[k], grads64[k]) for k in grads),
             "grad_min": min(g.abs().max().item() for g in grads.values()), "loss": total / count}
    if max(facts["scores_noise"], facts["grad_noise"]) > 3e-5 or facts["grad_min"] < 1e-5:
        fail(f"{folder}: judges nothing: {facts}")
    out = {"loss": torch.tensor([total], dtype=torch.float64), "n_targets": torch.tensor([count], dtype=torch.int32),
           "n_documents": torch.tensor([len(documents)], dtype=torch.int32)}
    for i, d in enumerate(documents):
        out.update({f"document{i}.{key}": value for key, value in d.items()})
        out[f"document{i}.scores"] = scores[i].contiguous()
    out.update({f"grad.{name}": g for name, g in grads.items()})
    save_file(out, os.path.join(folder, "golden.safetensors"), metadata={"format": "pt"})
    return facts


def encode(tokenizer, sentences: list[str], labels: list[int], n_types: int) -> dict[str, torch.Tensor]:
    """As PreSumm joins and cuts them (data_builder.py, data_loader.py), but without a sentence whose [CLS] falls on the
    last place, which the last [SEP] takes."""
    ids, begins = [], []
    for sentence in sentences:
        begins.append(len(ids))
        ids += tokenizer.encode(sentence).ids
    ids = ids[:-1][:SEQ_LEN - 1] + ids[-1:]
    begins = [b for b in begins if b < len(ids) - 1]
    return document(ids, begins, labels[:len(begins)], n_types)


def write_text(folder: str, rng, case, rows: int) -> list[dict]:
    """The tokenizer and train.jsonl; returns what the trainer has to see."""
    tokenizer = classifier_data.make_wordpiece(rng, case.config["vocab_size"])
    tokenizer.save(os.path.join(folder, "tokenizer.json"))
    names = {f"{token[1:-1].lower()}_token": token for token in classifier_data.SPECIAL}
    write_json(os.path.join(folder, "tokenizer_config.json"), {"do_lower_case": True, "tokenizer_class": "BertTokenizer", **names})
    seen = []
    with open(os.path.join(folder, "train.jsonl"), "w", encoding="utf-8") as file:
        for row in range(rows):
            sentences = [golden_text.sentence(rng).capitalize() + "." for _ in range(int(rng.integers(2, 8)))]
            picked = sorted(int(i) for i in rng.choice(len(sentences), 2, replace=False))
            summary = " ".join(sentences[i] for i in picked)
            labels = [int(i in text_scores.oracle(sentences, summary, MOST)) for i in range(len(sentences))]
            given = {"summary": summary} if row % 2 == 0 else {"labels": labels}
            file.write(json.dumps({"sentences": sentences, **given}) + "\n")
            seen.append(encode(tokenizer, sentences, labels, n_types_of(case)))
    return seen


def record_runs(folder: str, case, rng) -> dict[str, float]:
    rows = write_text(folder, rng, case, STEPS * BATCH)
    facts = {"cut": sum(len(d["ids"]) == SEQ_LEN for d in rows), "chosen": sum(d["labels"].sum().item() for d in rows)}
    for run in case.runs:
        def train_it(model):
            def mean_loss(step: int) -> torch.Tensor:
                total, count, _ = sum_loss(model, rows[step * BATCH:(step + 1) * BATCH])
                return total / count

            return train(trained_parameters(model), mean_loss, run, STEPS)

        out, again = (seen_by_loss(train_it(model)) for model in (load(folder, case), load(folder, case).double()))
        facts[f"{run.name}_noise"] = max(relative(out[k], again[k]) for k in out if k != "lr")
        facts[f"{run.name}_loss"] = [round(out["loss"][i].item(), 3) for i in (0, STEPS - 1)]
        if facts[f"{run.name}_noise"] > 3e-5:
            fail(f"{folder}: float32 and float64 train apart: {facts}")
        for i, d in enumerate(rows):
            out.update({f"row{i}.{key}": value for key, value in d.items()})
        save_file(out, os.path.join(folder, f"train_{run.name}.safetensors"), metadata={"format": "pt"})
        with open(os.path.join(folder, f"train_{run.name}.args"), "w", encoding="utf-8") as file:
            file.write(f"--no-shuffle --batch-size {BATCH} --steps {STEPS} --seq-len {SEQ_LEN} {options_of(run)}\n")
    return facts


if __name__ == "__main__":
    sys.exit(make_cases(__doc__, extract_cases, Steps(write_base, write_adapter, record_case, record_runs)))
