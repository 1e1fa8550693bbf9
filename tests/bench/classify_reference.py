#!/usr/bin/env python3
"""Fine-tunes a classifier with PyTorch + PEFT on a CPU, with the options of `lora_dist train`, for comparison.

    python3 classify_reference.py --model DIR --data TRAIN --valid TEST [--rank 8 --alpha 16 --target query,value ...]

Texts (a .tsv with columns sentence, label) go to a transformers encoder with a new head, images (a .h5 with images, labels) to a
plain PyTorch CIFAR ResNet. Prints one JSON object a line; README.md beside this file says what they hold and how the settings
compare with those of lora_dist.
"""

import argparse
import csv
import json
import math
import os
import statistics
import sys
import time

os.environ.setdefault("HF_HUB_OFFLINE", "1")

import h5py  # noqa: E402
import numpy as np  # noqa: E402
import torch  # noqa: E402
import torch.nn.functional as F  # noqa: E402
import transformers  # noqa: E402
from peft import LoraConfig, PeftModel, get_peft_model  # noqa: E402
from peft.utils.constants import DUMMY_TARGET_MODULES  # noqa: E402
from PIL import Image  # noqa: E402
from safetensors.torch import load_file  # noqa: E402
from torch import nn  # noqa: E402
from transformers.trainer_pt_utils import get_length_grouped_indices  # noqa: E402

WARM_STEPS = 5


def fail(text: str):
    raise SystemExit(f"classify_reference.py: {text}")


def say(**fields):
    print(json.dumps(fields), flush=True)


def read_config(folder: str, name: str) -> dict:
    with open(os.path.join(folder, name), encoding="utf-8") as file:
        return json.load(file)


class BasicBlock(nn.Module):
    """Option A of He et al., "Deep residual learning": a shortcut without weights, every other pixel, new planes zero."""

    def __init__(self, n_in: int, n_out: int, stride: int):
        super().__init__()
        self.conv1 = nn.Conv2d(n_in, n_out, 3, stride, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(n_out)
        self.conv2 = nn.Conv2d(n_out, n_out, 3, 1, 1, bias=False)
        self.bn2 = nn.BatchNorm2d(n_out)
        self.stride, self.new_planes = stride, n_out - n_in

    def forward(self, x):
        y = self.bn2(self.conv2(F.relu(self.bn1(self.conv1(x)))))
        if self.stride != 1 or self.new_planes:
            x = F.pad(x[:, :, :: self.stride, :: self.stride], (0, 0, 0, 0, self.new_planes // 2, self.new_planes // 2))
        return F.relu(y + x)


class CifarResNet(nn.Module):
    def __init__(self, depth: int, n_labels: int):
        super().__init__()
        self.conv1 = nn.Conv2d(3, 16, 3, 1, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(16)
        for stage, (n_in, n_out) in enumerate(((16, 16), (16, 32), (32, 64)), 1):
            blocks = [BasicBlock(n_out if i else n_in, n_out, 2 if i == 0 and stage > 1 else 1) for i in range((depth - 2) // 6)]
            setattr(self, f"layer{stage}", nn.Sequential(*blocks))
        self.linear = nn.Linear(64, n_labels)

    def forward(self, images):
        x = F.relu(self.bn1(self.conv1(images)))
        x = self.layer3(self.layer2(self.layer1(x)))
        return self.linear(x.mean((2, 3)))


class Texts:
    """Sentences, tokenised once; a batch is padded to its longest."""

    def __init__(self, path: str, model: str, seq_len: int):
        with open(path, encoding="utf-8", newline="") as file:
            rows = list(csv.DictReader(file, delimiter="\t"))
        tokenizer = transformers.AutoTokenizer.from_pretrained(model)
        self.ids = tokenizer([row["sentence"] for row in rows], truncation=True, max_length=seq_len)["input_ids"]
        self.labels = np.array([int(row["label"]) for row in rows])
        self.lengths = [len(ids) for ids in self.ids]
        self.collate = transformers.DataCollatorWithPadding(tokenizer)

    def batch(self, rows) -> tuple[dict, int]:
        return dict(self.collate({"input_ids": [self.ids[i] for i in rows]})), sum(self.lengths[i] for i in rows)


class Images:
    """Images, fitted to the model once, as its preprocessor_config.json says; a batch's tokens are its images."""

    def __init__(self, path: str, model: str):
        rule = read_config(model, "preprocessor_config.json")
        size = (rule["size"]["width"], rule["size"]["height"])
        with h5py.File(path) as file:
            pixels, self.labels = file["images"][:], file["labels"][:]
        fitted = [Image.fromarray(image).convert("RGB").resize(size, Image.Resampling.BILINEAR) for image in pixels]
        scaled = np.stack([np.asarray(image) for image in fitted]).astype(np.float32) * np.float32(rule["rescale_factor"])
        scaled = (scaled - np.float32(rule["image_mean"])) / np.float32(rule["image_std"])
        self.pixels = torch.from_numpy(scaled.transpose(0, 3, 1, 2).copy())
        self.lengths = None

    def batch(self, rows) -> tuple[dict, int]:
        return {"images": self.pixels[rows]}, len(rows)


def open_data(path: str, args):
    return Images(path, args.model) if path.endswith(".h5") else Texts(path, args.model, args.seq_len)


def build_encoder(args, n_labels: int):
    return transformers.AutoModelForSequenceClassification.from_pretrained(args.model, num_labels=n_labels, dtype=torch.float32)


def build_resnet(args, n_labels: int):
    config = read_config(args.model, "config.json")
    model = CifarResNet(config["depth"], config["num_labels"])
    missing, unexpected = model.load_state_dict(load_file(os.path.join(args.model, "model.safetensors")), strict=False)
    if unexpected or any(not key.endswith("num_batches_tracked") for key in missing):
        fail(f"{args.model}: missing {missing}, unexpected {unexpected}")
    if args.head == "new":
        model.linear = nn.Linear(model.linear.in_features, n_labels)
    return model


def adapt(model, args, is_image: bool):
    """The base frozen, LoRA on the targets (none: the head alone), the head trained whole."""
    if args.init_adapter:
        return PeftModel.from_pretrained(model, args.init_adapter, is_trainable=True)
    target = args.target or ("conv1,conv2" if is_image else "query,value")
    config = LoraConfig(
        task_type=None if is_image else "SEQ_CLS",
        r=args.rank,
        lora_alpha=args.alpha,
        target_modules=DUMMY_TARGET_MODULES if target == "none" else target.split(","),
        modules_to_save=["linear"] if is_image else ["classifier"],
    )
    return get_peft_model(model, config)


def logits_of(model, inputs: dict):
    out = model(**inputs)
    return out if torch.is_tensor(out) else out.logits


def score(truth: np.ndarray, predicted: np.ndarray) -> dict:
    """Macro F1 over the classes that occur at all; Matthews' correlation for any number of classes (Gorodkin, 2004)."""
    n = int(max(truth.max(), predicted.max())) + 1
    confusion = np.zeros((n, n))
    np.add.at(confusion, (truth, predicted), 1)
    right, is_class, says_class = confusion.diagonal(), confusion.sum(1), confusion.sum(0)
    occurs = is_class + says_class > 0
    total = len(truth)
    spread = math.sqrt(total**2 - (says_class**2).sum()) * math.sqrt(total**2 - (is_class**2).sum())
    return {
        "accuracy": right.sum() / total,
        "macro_f1": (2 * right[occurs] / (is_class + says_class)[occurs]).mean(),
        "matthews": (right.sum() * total - says_class @ is_class) / spread if spread else 0.0,
    }


@torch.no_grad()
def evaluate(model, data, batch_size: int) -> dict:
    begin = time.perf_counter()
    model.eval()
    labels = torch.as_tensor(data.labels)
    predicted, loss = [], 0.0
    for first in range(0, len(labels), batch_size):
        rows = range(first, min(first + batch_size, len(labels)))
        logits = logits_of(model, data.batch(rows)[0])
        loss += F.cross_entropy(logits, labels[rows.start : rows.stop], reduction="sum").item()
        predicted.append(logits.argmax(1).numpy())
    scores = score(data.labels, np.concatenate(predicted))
    return {**scores, "loss": loss / len(labels), "seconds": time.perf_counter() - begin}


def epoch_order(data, args) -> list[int]:
    if args.group_by_length and data.lengths:
        return get_length_grouped_indices(data.lengths, args.batch_size)
    return torch.randperm(len(data.labels)).tolist() if args.shuffle else list(range(len(data.labels)))


class Trainer:
    def __init__(self, model, data, args):
        self.model, self.data, self.args = model, data, args
        self.labels = torch.as_tensor(data.labels)
        self.trained = [p for p in model.parameters() if p.requires_grad]
        self.per_epoch = math.ceil(len(data.labels) / args.batch_size)
        self.total = args.steps if args.steps is not None else args.epochs * self.per_epoch
        warmup = args.warmup if args.warmup > 1 else math.ceil(args.warmup * self.total)
        self.optimizer = torch.optim.AdamW(self.trained, lr=args.lr, weight_decay=0.0)
        name = args.schedule.replace("constant", "constant_with_warmup")
        self.schedule = transformers.get_scheduler(name, self.optimizer, int(warmup), self.total)

    def step(self, rows: list[int]) -> tuple[float, int]:
        inputs, n_tokens = self.data.batch(rows)
        loss = F.cross_entropy(logits_of(self.model, inputs), self.labels[rows])
        self.optimizer.zero_grad(set_to_none=True)
        loss.backward()
        if self.args.clip > 0:
            nn.utils.clip_grad_norm_(self.trained, self.args.clip)
        self.optimizer.step()
        self.schedule.step()
        return loss.item(), n_tokens

    def steps(self, limit: int):
        """Yields (step from 1, loss, tokens, seconds, whether an epoch ends)."""
        done = 0
        while done < limit:
            order = epoch_order(self.data, self.args)
            for first in range(0, min(len(order), (limit - done) * self.args.batch_size), self.args.batch_size):
                self.model.train(self.args.base_dropout)
                begin = time.perf_counter()
                loss, n_tokens = self.step(order[first : first + self.args.batch_size])
                done += 1
                yield done, loss, n_tokens, time.perf_counter() - begin, done % self.per_epoch == 0


def train(trainer, valid, args):
    seconds = 0.0
    for step, loss, _, took, is_end in trainer.steps(trainer.total):
        seconds += took
        if step % args.log_every == 0 or step == trainer.total:
            say(event="step", step=step, loss=loss, seconds=took)
        if valid and (is_end or step == trainer.total):
            say(event="eval", step=step, train_seconds=seconds, **evaluate(trainer.model, valid, args.eval_batch))
            seconds = 0.0


def measure(trainer, n_steps: int):
    """Times whole steps (collate, forward, backward, clip, AdamW) after a few that are not counted."""
    taken = list(trainer.steps(WARM_STEPS + n_steps))[WARM_STEPS:]
    seconds = [took for _, _, _, took, _ in taken]
    say(
        event="time",
        steps=n_steps,
        median_seconds=statistics.median(seconds),
        samples_per_second=trainer.args.batch_size / statistics.median(seconds),
        real_tokens_per_second=sum(n for _, _, n, _, _ in taken) / sum(seconds),
        total_seconds=sum(seconds),
        threads=torch.get_num_threads(),
    )


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--model", required=True)
    parser.add_argument("--data", help="what to train on; needed but for --steps 0")
    parser.add_argument("--valid", help="evaluated at the end of each epoch and of the run")
    parser.add_argument("--rank", type=int, default=8)
    parser.add_argument("--alpha", type=float, default=16)
    parser.add_argument("--target", help="names for PEFT, or none for the head alone (query,value; of images conv1,conv2)")
    parser.add_argument("--head", choices=("new", "keep"), default="new", help="of images: keep the network's own head")
    parser.add_argument("--labels", type=int, help="number of labels (counted from the data)")
    parser.add_argument("--lr", type=float, default=2e-4)
    parser.add_argument("--batch-size", type=int, default=8)
    parser.add_argument("--epochs", type=int, default=1)
    parser.add_argument("--steps", type=int, help="instead of --epochs; 0: evaluate only")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--schedule", choices=("linear", "cosine", "constant"), default="linear")
    parser.add_argument("--warmup", type=float, default=0.03, help="a share of the steps, or a count when above 1")
    parser.add_argument("--clip", type=float, default=1.0, help="the global norm; 0 for none")
    parser.add_argument("--seq-len", type=int, default=512)
    parser.add_argument("--no-shuffle", dest="shuffle", action="store_false")
    parser.add_argument("--group-by-length", action="store_true", help="batches of like lengths, as transformers' Trainer makes them")
    parser.add_argument("--base-dropout", action="store_true", help="train with the base's own dropout and BatchNorm statistics")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--init-adapter", help="PEFT folder to start from")
    parser.add_argument("--save-init", help="PEFT folder to write before the first step")
    parser.add_argument("--out", help="PEFT folder to write after the last step")
    parser.add_argument("--eval-batch", type=int, default=64)
    parser.add_argument("--log-every", type=int, default=20)
    parser.add_argument("--time-only", type=int, metavar="N", help="time N steps and do nothing else")
    args = parser.parse_args()
    if args.data is None and (args.steps != 0 or args.valid is None):
        parser.error("--data is missing, and not both --steps 0 and --valid are given")
    return args


def main():
    args = parse()
    torch.set_num_threads(args.threads)
    torch.manual_seed(args.seed)
    transformers.logging.set_verbosity_error()
    begin = time.perf_counter()
    data = open_data(args.data, args) if args.data else None
    valid = open_data(args.valid, args) if args.valid else None
    n_labels = args.labels or int(max(part.labels.max() for part in (data, valid) if part)) + 1
    is_image = isinstance(data or valid, Images)
    model = (build_resnet if is_image else build_encoder)(args, n_labels)
    if args.head == "new":
        model = adapt(model, args, is_image)
    if args.save_init:
        model.save_pretrained(args.save_init)
    say(
        event="start",
        command=sys.argv[1:],
        trained=sum(p.numel() for p in model.parameters() if p.requires_grad),
        seconds=time.perf_counter() - begin,
        versions={"torch": torch.__version__, "transformers": transformers.__version__},
    )
    if args.time_only:
        return measure(Trainer(model, data, args), args.time_only)
    if valid:
        say(event="eval", step=0, **evaluate(model, valid, args.eval_batch))
    if args.steps != 0:
        train(Trainer(model, data, args), valid, args)
    if args.out:
        model.save_pretrained(args.out)


if __name__ == "__main__":
    main()
