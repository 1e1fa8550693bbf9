#!/usr/bin/env python3
"""Times optimizer steps of transformers + PEFT + DistributedDataParallel on a CPU: the opponent of speed.py.

    python3 pytorch_step.py --model DIR --data FILE --target c_attn [--processes 2 --threads 1 --micro 2 ...]

It opens the folder and the data that lora_dist opens and takes the samples in the order of the file (or grouped by length), round
and round. Scaled dot product attention, AdamW without weight decay, gradients of the whole batch accumulated without traffic and reduced once, the norm
cut at 1, the base without dropout and with fixed BatchNorm statistics. Tokenising and decoding are done before the first step.
Prints one JSON object for each step as it ends.
"""

import argparse
import json
import os
import time

os.environ.setdefault("HF_HUB_OFFLINE", "1")
os.environ.setdefault("GLOO_SOCKET_IFNAME", "lo")

import forks  # noqa: E402
import numpy as np  # noqa: E402
import torch  # noqa: E402
import torch.distributed as dist  # noqa: E402
import torch.nn.functional as F  # noqa: E402
import transformers  # noqa: E402
from peft import LoraConfig, get_peft_model  # noqa: E402

DTYPES = {"f32": torch.float32, "bf16": torch.bfloat16}
LANGUAGE, PAIRS, IMAGES = ("gpt2", "llama"), ("t5", "bart"), ("resnet", "resnet_cifar")


def read_json(folder: str, name: str) -> dict:
    with open(os.path.join(folder, name), encoding="utf-8") as file:
        return json.load(file)


def read_lines(path: str) -> list[dict]:
    with open(path, encoding="utf-8") as file:
        return [json.loads(line) for line in file]


def padded(rows: list[list[int]], fill: int) -> torch.Tensor:
    longest = max(map(len, rows))
    return torch.tensor([row + [fill] * (longest - len(row)) for row in rows])


def cut(ids: list[int], most: int) -> list[int]:
    """The last one, which ends the text, stays."""
    return ids if len(ids) <= most else ids[: most - 1] + ids[-1:]


class Language:
    """Texts, or prompts with completions of which the completions are learned. Padded to the longest of a micro-batch; without a mask
    where nothing is padded, so that attention takes its fastest way."""

    def __init__(self, path: str, folder: str, config: dict, args):
        from tokenizers import Tokenizer

        tokenizer = Tokenizer.from_file(os.path.join(folder, "tokenizer.json"))
        self.ids, self.labels = [], []
        for record in read_lines(path):
            prompt = record.get("prompt", "")
            ids = tokenizer.encode(prompt + record.get("completion", record.get("text", ""))).ids + [config["eos_token_id"]]
            masked = len(tokenizer.encode(prompt).ids)
            self.ids.append(ids[: args.seq_len])
            self.labels.append(([-100] * masked + ids[masked:])[: args.seq_len])
        self.lengths = [len(ids) for ids in self.ids]
        self.targets = [sum(label != -100 for label in labels[1:]) for labels in self.labels]

    def batch(self, rows: list[int]) -> dict:
        inputs = {"input_ids": padded([self.ids[i] for i in rows], 0), "labels": padded([self.labels[i] for i in rows], -100)}
        if len({self.lengths[i] for i in rows}) > 1:
            inputs["attention_mask"] = padded([[1] * self.lengths[i] for i in rows], 0)
        return inputs

    def loss(self, model, rows: list[int], n_targets: int) -> torch.Tensor:
        return model(**self.batch(rows), use_cache=False, num_items_in_batch=torch.tensor(n_targets)).loss


class Pairs:
    """Documents with summaries. Their lengths are those of both together, but batches of like lengths go by the documents'."""

    def __init__(self, path: str, folder: str, config: dict, args):
        from tokenizers import Tokenizer

        tokenizer, records = Tokenizer.from_file(os.path.join(folder, "tokenizer.json")), read_lines(path)
        self.pad = config["pad_token_id"]
        self.ids = [cut(tokenizer.encode(record["document"]).ids, args.seq_len) for record in records]
        self.labels = [cut(tokenizer.encode(record["summary"]).ids, args.target_len) for record in records]
        self.targets, self.grouped_by = [len(ids) for ids in self.labels], [len(ids) for ids in self.ids]
        self.lengths = [n + m for n, m in zip(self.grouped_by, self.targets)]

    def loss(self, model, rows: list[int], n_targets: int) -> torch.Tensor:
        inputs = {"input_ids": padded([self.ids[i] for i in rows], self.pad), "labels": padded([self.labels[i] for i in rows], -100)}
        if len({len(self.ids[i]) for i in rows}) > 1:
            inputs["attention_mask"] = padded([[1] * len(self.ids[i]) for i in rows], 0)
        return model(**inputs, use_cache=False).loss * (sum(self.targets[i] for i in rows) / n_targets)


class Sentences:
    def __init__(self, path: str, folder: str, config: dict, args):
        tokenizer = transformers.AutoTokenizer.from_pretrained(folder)
        records = read_lines(path)
        self.ids = tokenizer([record["text"] for record in records], truncation=True, max_length=args.seq_len)["input_ids"]
        self.labels = torch.tensor([record["label"] for record in records])
        self.lengths = [len(ids) for ids in self.ids]
        self.targets = [1] * len(self.ids)

    def loss(self, model, rows: list[int], n_targets: int) -> torch.Tensor:
        mask = padded([[1] * self.lengths[i] for i in rows], 0)
        logits = model(input_ids=padded([self.ids[i] for i in rows], 0), attention_mask=mask).logits
        return F.cross_entropy(logits, self.labels[rows], reduction="sum") / n_targets


class Images:
    """Decoded, scaled and normalised before the first step, all in memory."""

    def __init__(self, path: str, folder: str, config: dict, args):
        import h5py

        rule = read_json(folder, "preprocessor_config.json")
        with h5py.File(path) as file:
            pixels, labels = file["images"][:], file["labels"][:]
        scaled = pixels.astype(np.float32) * np.float32(rule["rescale_factor"])
        scaled = (scaled - np.float32(rule["image_mean"])) / np.float32(rule["image_std"])
        self.form = torch.channels_last if args.channels_last else torch.contiguous_format
        self.pixels = torch.from_numpy(scaled.transpose(0, 3, 1, 2)).contiguous(memory_format=self.form)
        self.labels = torch.from_numpy(labels)
        self.lengths = self.targets = [1] * len(labels)

    def loss(self, model, rows: list[int], n_targets: int) -> torch.Tensor:
        out = model(self.pixels[rows].contiguous(memory_format=self.form))
        logits = out if torch.is_tensor(out) else out.logits
        return F.cross_entropy(logits, self.labels[rows], reduction="sum") / n_targets


def open_data(args, config: dict):
    kinds = {**dict.fromkeys(LANGUAGE, Language), **dict.fromkeys(PAIRS, Pairs), **dict.fromkeys(IMAGES, Images)}
    return kinds.get(config["model_type"], Sentences)(args.data, args.model, config, args)


def open_base(folder: str, config: dict, dtype: torch.dtype, attention: str):
    if config["model_type"] == "resnet_cifar":
        from classify_reference import CifarResNet
        from safetensors.torch import load_file

        model = CifarResNet(config["depth"], config["num_labels"])
        model.load_state_dict(load_file(os.path.join(folder, "model.safetensors")), strict=False)
        return model
    if config["model_type"] == "resnet":
        return transformers.AutoModelForImageClassification.from_pretrained(folder, dtype=dtype)
    kinds = {
        **dict.fromkeys(LANGUAGE, transformers.AutoModelForCausalLM),
        **dict.fromkeys(PAIRS, transformers.AutoModelForSeq2SeqLM),
    }
    kind = kinds.get(config["model_type"], transformers.AutoModelForSequenceClassification)
    return kind.from_pretrained(folder, dtype=dtype, attn_implementation=attention)


def open_model(args, config: dict):
    """The base frozen, LoRA on the targets, a classifier's head trained whole as PEFT does by itself for texts."""
    family = config["model_type"]
    task = "CAUSAL_LM" if family in LANGUAGE else "SEQ_2_SEQ_LM" if family in PAIRS else None if family in IMAGES else "SEQ_CLS"
    lora = LoraConfig(
        task_type=task,
        r=args.rank,
        lora_alpha=args.alpha,
        target_modules=args.target if args.target == "all-linear" else args.target.split(","),
        fan_in_fan_out=family == "gpt2",
        modules_to_save={"resnet_cifar": ["linear"], "resnet": ["classifier"], "bert": ["classifier"]}.get(family),
    )
    return get_peft_model(open_base(args.model, config, DTYPES[args.base], args.attention), lora).eval()


def grouped(lengths: list[int], batch: int) -> list[int]:
    """Batches of like lengths, as the Trainer makes them of much data: sorted within 50 batches. They are taken in an order whose first
    ones are long and short."""
    from transformers.trainer_pt_utils import get_length_grouped_indices

    order = get_length_grouped_indices(lengths, batch, mega_batch_mult=50, generator=torch.Generator().manual_seed(0))
    starts = sorted(range(0, len(order), batch), key=lambda start: start // batch * 0.618 % 1)
    return [i for start in starts for i in order[start : start + batch]]


class Trainer:
    def __init__(self, args, rank: int):
        config = read_json(args.model, "config.json")
        self.args, self.rank = args, rank
        self.data = open_data(args, config)
        self.model = open_model(args, config)
        self.trained = [p for p in self.model.parameters() if p.requires_grad]
        if args.channels_last:
            self.model.to(memory_format=torch.channels_last)
        if args.compile:
            self.model.compile(dynamic=args.compile == "dynamic")
        if args.processes > 1:
            self.model = torch.nn.parallel.DistributedDataParallel(self.model)
        self.optimizer = torch.optim.AdamW(self.trained, lr=2e-4, weight_decay=0.0)
        self.order = list(range(len(self.data.lengths)))
        if args.grouped:
            self.order = grouped(getattr(self.data, "grouped_by", self.data.lengths), args.batch)

    def rows_of(self, step: int) -> list[int]:
        first = (step - 1) * self.args.batch
        return [self.order[i % len(self.order)] for i in range(first, first + self.args.batch)]

    def micro_batch(self, rows: list[int], n_targets: int) -> float:
        """DDP takes the mean over the processes, of which each has its part of the sum."""
        with torch.autocast("cpu", DTYPES["bf16"], enabled=self.args.precision == "bf16"):
            loss = self.data.loss(self.model, rows, n_targets)
        (loss * self.args.processes).backward()
        return loss.item()

    def accumulate(self, rows: list[int], n_targets: int) -> float:
        micro = [rows[i : i + self.args.micro] for i in range(0, len(rows), self.args.micro)]
        mine, loss = micro[self.rank :: self.args.processes], 0.0
        for part in mine[:-1]:
            if self.args.processes == 1:
                loss += self.micro_batch(part, n_targets)
                continue
            with self.model.no_sync():
                loss += self.micro_batch(part, n_targets)
        return loss + self.micro_batch(mine[-1], n_targets)

    def step(self, number: int) -> dict:
        begin, compiled = time.perf_counter(), self.n_compiled()
        rows = self.rows_of(number)
        n_targets = sum(self.data.targets[i] for i in rows)
        self.optimizer.zero_grad(set_to_none=True)
        loss = self.accumulate(rows, n_targets)
        torch.nn.utils.clip_grad_norm_(self.trained, 1.0)
        self.optimizer.step()
        seconds = time.perf_counter() - begin
        tokens = sum(self.data.lengths[i] for i in rows)
        found = {"event": "step", "step": number, "loss": self.total(loss), "seconds": seconds}
        return {**found, "tokens": tokens, "target_tokens": n_targets, "compiled": self.n_compiled() - compiled}

    def n_compiled(self) -> int:
        """Graphs until now. Where nothing is compiled the module is not even loaded, which takes seconds."""
        return torch._dynamo.utils.counters["stats"]["unique_graphs"] if self.args.compile else 0

    def total(self, loss: float) -> float:
        if self.args.processes == 1:
            return loss
        together = torch.tensor(loss, dtype=torch.float64)
        dist.all_reduce(together)
        return together.item()


def work(rank: int, args, meeting: str):
    torch.set_num_threads(args.threads)
    torch.manual_seed(0)
    transformers.logging.set_verbosity_error()
    transformers.utils.logging.disable_progress_bar()
    if args.processes > 1:
        dist.init_process_group("gloo", init_method=f"file://{meeting}", rank=rank, world_size=args.processes)
    trainer = Trainer(args, rank)
    for number in range(1, args.steps + 1):
        found = trainer.step(number)
        if rank == 0:
            print(json.dumps(found), flush=True)
    if args.processes > 1:
        dist.barrier()


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--model", required=True)
    parser.add_argument("--data", required=True)
    parser.add_argument("--target", required=True)
    parser.add_argument("--rank", type=int, default=8)
    parser.add_argument("--alpha", type=float, default=16)
    parser.add_argument("--seq-len", type=int, default=512)
    parser.add_argument("--target-len", type=int, default=128, help="of encoder-decoders")
    parser.add_argument("--attention", choices=("sdpa", "eager"), default="sdpa")
    parser.add_argument("--compile", choices=("static", "dynamic"), help="by torch.compile, for each shape or for all at once")
    parser.add_argument("--channels-last", action="store_true", help="of images: the memory format")
    parser.add_argument("--batch", type=int, default=8, help="samples of a step, over all processes")
    parser.add_argument("--micro", type=int, default=1, help="samples that a process computes at a time")
    parser.add_argument("--steps", type=int, default=3)
    parser.add_argument("--processes", type=int, default=1)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--precision", choices=DTYPES, default="f32", help="bf16: autocast")
    parser.add_argument("--base", choices=DTYPES, default="f32", help="type of the frozen weights in memory")
    parser.add_argument("--grouped", action="store_true", help="batches of like lengths, as transformers' Trainer makes them")
    args = parser.parse_args()
    if args.batch % (args.micro * args.processes):
        parser.error("--batch must be a multiple of --micro times --processes")
    return args


if __name__ == "__main__":
    forks.run(parse(), work)
