#!/usr/bin/env python3
"""Fine-tunes a model that writes texts with PyTorch + PEFT on a CPU, with the options of `lora_dist train`, for comparison.

    python3 write_reference.py --model DIR --data TRAIN.jsonl --valid TEST.jsonl --init-adapter DIR [--rank 8 --target q,v ...]

An encoder-decoder learns {"document", "summary"}, a decoder {"prompt", "completion"}. Samples are taken in the order of the file. Without
--init-adapter a start is made, and saved in --save-init. Prints one JSON object a line: each step's loss, and before and after the training
the mean ROUGE F of the texts that the model writes, greedily, for the first --judged records of --valid. README.md says more.
"""

import argparse
import json
import math
import os
import time

os.environ.setdefault("HF_HUB_OFFLINE", "1")

import torch  # noqa: E402
import torch.nn.functional as F  # noqa: E402
import transformers  # noqa: E402
from peft import LoraConfig, PeftModel, get_peft_model  # noqa: E402
from rouge_score.rouge_scorer import RougeScorer  # noqa: E402
from tokenizers import Tokenizer  # noqa: E402

KINDS = ("rouge1", "rouge2", "rougeL")


def say(**fields):
    print(json.dumps(fields), flush=True)


def read(path: str) -> list[dict]:
    with open(path, encoding="utf-8") as file:
        return [json.loads(line) for line in file]


class Pairs:
    """Source and target of each record, as ids; a batch is padded to its longest."""

    def __init__(self, records: list[dict], tokenizer: Tokenizer, args):
        self.samples = []
        for record in records:
            sides = []
            for text, most in ((args.source_prefix + record["document"], args.seq_len), (record["summary"], args.target_len)):
                tokenizer.enable_truncation(most)
                sides.append(tokenizer.encode(text).ids)
            self.samples.append(sides)
        tokenizer.no_truncation()

    def n_targets(self, i: int) -> int:
        return len(self.samples[i][1])

    def loss_sum(self, model, rows: list[int]) -> torch.Tensor:
        sources, targets = ([self.samples[i][side] for i in rows] for side in (0, 1))
        labels = padded(targets, -100)
        out = model(input_ids=padded(sources, 0), attention_mask=padded([[1] * len(s) for s in sources], 0), labels=labels)
        return F.cross_entropy(out.logits.flatten(0, 1), labels.flatten(), reduction="sum")

    def prompt(self, i: int) -> list[int]:
        return self.samples[i][0]


class Completions:
    """Prompt and completion as one text; the completion is learned."""

    def __init__(self, records: list[dict], tokenizer: Tokenizer, args):
        self.samples = []
        for record in records:
            whole = tokenizer.encode(record["prompt"] + record["completion"]).ids + [args.eos]
            prompt = tokenizer.encode(record["prompt"]).ids
            common = 0
            while common < min(len(prompt), len(whole)) and prompt[common] == whole[common]:
                common += 1
            whole = whole[: args.seq_len]
            self.samples.append((whole, prompt, min(max(common, 1), len(whole))))

    def n_targets(self, i: int) -> int:
        whole, _, first = self.samples[i]
        return len(whole[first:])

    def loss_sum(self, model, rows: list[int]) -> torch.Tensor:
        ids = [self.samples[i][0] for i in rows]
        labels = padded([[-100] * self.samples[i][2] + self.samples[i][0][self.samples[i][2] :] for i in rows], -100)
        out = model(input_ids=padded(ids, 0), attention_mask=padded([[1] * len(s) for s in ids], 0))
        return F.cross_entropy(out.logits[:, :-1].flatten(0, 1), labels[:, 1:].flatten(), reduction="sum")

    def prompt(self, i: int) -> list[int]:
        return self.samples[i][1]


def padded(rows: list[list[int]], fill: int) -> torch.Tensor:
    longest = max(map(len, rows))
    return torch.tensor([row + [fill] * (longest - len(row)) for row in rows])


def judge(model, data, records: list[dict], tokenizer: Tokenizer, args, reads: bool) -> dict:
    """Each text is written alone, greedily; the best of several references counts."""
    scorer, sums = RougeScorer(KINDS), dict.fromkeys(KINDS, 0.0)
    for i, record in enumerate(records):
        prompt = torch.tensor([data.prompt(i)])
        with torch.no_grad():
            out = model.generate(input_ids=prompt, attention_mask=torch.ones_like(prompt), max_new_tokens=args.max_tokens, do_sample=False, num_beams=1,
                                 eos_token_id=args.eos, pad_token_id=0)[0].tolist()
        text = tokenizer.decode(out if reads else out[prompt.shape[1] :], skip_special_tokens=True)
        if args.written:
            args.written.write(json.dumps({"prediction": text}) + "\n")
        references = record.get("references") or [record.get("summary") or record["completion"]]
        scores = scorer.score_multi(references, text)
        for kind in KINDS:
            sums[kind] += scores[kind].fmeasure
    return {kind: total / len(records) for kind, total in sums.items()}


def train(model, data, args):
    trained = [p for p in model.parameters() if p.requires_grad]
    optimizer = torch.optim.AdamW(trained, lr=args.lr, weight_decay=0.0)
    n, steps = len(data.samples), args.steps
    schedule = transformers.get_linear_schedule_with_warmup(optimizer, math.ceil(args.warmup * steps - 1e-9), steps)
    per_epoch = math.ceil(n / args.batch_size)
    for step in range(steps):
        first = step % per_epoch * args.batch_size
        rows = list(range(first, min(first + args.batch_size, n)))
        began, total = time.perf_counter(), 0.0
        n_targets = sum(data.n_targets(i) for i in rows)
        for at in range(0, len(rows), args.micro_batch):
            loss = data.loss_sum(model, rows[at : at + args.micro_batch]) / n_targets
            loss.backward()
            total += loss.item()
        torch.nn.utils.clip_grad_norm_(trained, 1.0)
        optimizer.step()
        schedule.step()
        optimizer.zero_grad()
        say(event="step", step=step + 1, loss=total, seconds=time.perf_counter() - began)


def parse():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    for name in ("--model", "--data", "--valid"):
        parser.add_argument(name, required=True)
    for name in ("--init-adapter", "--save-init", "--save", "--written"):
        parser.add_argument(name)
    parser.add_argument("--target", default="q,v")
    parser.add_argument("--source-prefix", default="")
    for name, value in (("rank", 8), ("alpha", 16), ("steps", 100), ("batch-size", 8), ("micro-batch", 4), ("seq-len", 512), ("target-len", 128),
                        ("max-tokens", 64), ("judged", 100), ("threads", 2), ("seed", 0)):
        parser.add_argument(f"--{name}", type=int, default=value)
    for name, value in (("lr", 1e-3), ("warmup", 0.1)):
        parser.add_argument(f"--{name}", type=float, default=value)
    return parser.parse_args()


def main():
    args = parse()
    torch.set_num_threads(args.threads)
    torch.manual_seed(args.seed)
    transformers.logging.set_verbosity_error()
    transformers.logging.disable_progress_bar()
    with open(os.path.join(args.model, "config.json"), encoding="utf-8") as file:
        config = json.load(file)
    reads, args.eos = bool(config.get("is_encoder_decoder")), config["eos_token_id"]
    kind = transformers.AutoModelForSeq2SeqLM if reads else transformers.AutoModelForCausalLM
    base = kind.from_pretrained(args.model, dtype=torch.float32).eval()
    if args.init_adapter:
        model = PeftModel.from_pretrained(base, args.init_adapter, is_trainable=True)
    else:
        model = get_peft_model(base, LoraConfig(task_type="SEQ_2_SEQ_LM" if reads else "CAUSAL_LM", r=args.rank, lora_alpha=args.alpha,
                                                target_modules=args.target if args.target == "all-linear" else args.target.split(",")))
    model.eval()
    if args.save_init:
        model.save_pretrained(args.save_init)
    args.written = open(args.written, "w", encoding="utf-8") if args.written else None
    tokenizer = Tokenizer.from_file(os.path.join(args.model, "tokenizer.json"))
    tokenizer.no_padding()
    records = read(args.valid)[: args.judged]
    cls = Pairs if reads else Completions
    valid = cls(records, tokenizer, args)
    if args.judged:
        say(event="before", **judge(model, valid, records, tokenizer, args, reads))
    train(model, cls(read(args.data), tokenizer, args), args)
    if args.save:
        model.save_pretrained(args.save)
    if args.judged:
        say(event="after", **judge(model, valid, records, tokenizer, args, reads))


if __name__ == "__main__":
    main()
