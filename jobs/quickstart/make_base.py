"""Makes base/, the small language model of the quickstart, from nothing: text, tokenizer, model.

The text comes from tales.txt and pirate.txt, so all of it is this project's own. Needs torch, transformers,
tokenizers and safetensors; one core takes about half an hour. Same seed and libraries: same text and tokenizer,
and the same model up to rounding.
"""
import argparse
import json
import math
import pathlib
import random
import time

import torch
from safetensors.torch import save_file
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
from transformers import LlamaConfig, LlamaForCausalLM

from make_data import parrot_lines, sea_tales
from tales import Grammar, tales

HERE = pathlib.Path(__file__).parent
SPECIAL = ["<|endoftext|>", "<|im_start|>", "<|im_end|>"]
EOS = 0
CONFIG = {
    "architectures": ["LlamaForCausalLM"],
    "model_type": "llama",
    "vocab_size": 1536,
    "hidden_size": 128,
    "intermediate_size": 352,
    "num_hidden_layers": 6,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "head_dim": 32,
    "hidden_act": "silu",
    "max_position_embeddings": 512,
    "rope_theta": 10000.0,
    "rms_norm_eps": 1e-5,
    "initializer_range": 0.02,
    "attention_bias": False,
    "mlp_bias": False,
    "tie_word_embeddings": True,
    "bos_token_id": EOS,
    "eos_token_id": EOS,
    "torch_dtype": "bfloat16",
    "use_cache": True,
}


def make_texts(seed, n_bytes):
    """Village tales, with a few tales of the sea and some parrot talk between them."""
    texts = list(tales(Grammar(HERE / "tales.txt"), seed, int(0.92 * n_bytes)))
    texts += sea_tales(seed, int(0.05 * n_bytes))
    texts += parrot_lines(seed + 1000, int(0.06 * n_bytes))
    random.Random(seed).shuffle(texts)
    return texts


def train_tokenizer(texts):
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [pre_tokenizers.Digits(individual_digits=True), pre_tokenizers.ByteLevel(add_prefix_space=False)]
    )
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=CONFIG["vocab_size"],
        special_tokens=SPECIAL,
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    tokenizer.train_from_iterator(texts, trainer)
    return tokenizer


def pack(texts, tokenizer, length):
    """Rows of `length` + 1 ids that begin with a text; texts follow each other with an end mark between."""
    rows, row = [], []
    for encoding in tokenizer.encode_batch(texts):
        row += encoding.ids + [EOS]
        if len(row) > length:
            rows.append(row[: length + 1])
            row = []
    return torch.tensor(rows)


def loss_of(model, rows):
    with torch.autocast("cpu", dtype=torch.bfloat16):
        logits = model(input_ids=rows[:, :-1]).logits.float()
    return torch.nn.functional.cross_entropy(logits.flatten(0, 1), rows[:, 1:].flatten())


@torch.no_grad()
def evaluate(model, rows):
    return sum(loss_of(model, part).item() * len(part) for part in rows.split(16)) / len(rows)


def optimizers(model, lr):
    """Muon for the matrices inside the blocks, AdamW for the embedding and the norms."""
    inside = [p for name, p in model.named_parameters() if p.ndim == 2 and "embed" not in name]
    others = [p for name, p in model.named_parameters() if p.ndim != 2 or "embed" in name]
    return [
        torch.optim.Muon(inside, lr=lr, weight_decay=0.05, adjust_lr_fn="match_rms_adamw"),
        torch.optim.AdamW(others, lr=lr, betas=(0.9, 0.98), weight_decay=0.0),
    ]


def train(model, rows, valid, options):
    steppers = optimizers(model, options.lr)
    start = time.time()
    order = torch.cat([torch.randperm(len(rows)) for _ in range(options.steps * options.batch // len(rows) + 1)])
    for step in range(options.steps):
        share = step / options.steps
        lr = options.lr * min(1, (step + 1) / 50, max(0.02, 0.5 * (1 + math.cos(math.pi * share))))
        for stepper in steppers:
            stepper.param_groups[0]["lr"] = lr
        batch = rows[order[step * options.batch:(step + 1) * options.batch]]
        loss = loss_of(model, batch)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        for stepper in steppers:
            stepper.step()
            stepper.zero_grad()
        if (step + 1) % 50 == 0:
            held = f", valid {evaluate(model, valid):.4f}" if (step + 1) % 250 == 0 else ""
            print(f"step {step + 1}: loss {loss.item():.4f}{held}, {time.time() - start:.0f} s", flush=True)


def save(model, tokenizer, folder):
    folder.mkdir(parents=True, exist_ok=True)

    def write(name, content):
        (folder / name).write_text(json.dumps(content, indent=2) + "\n")

    state = {name: value.to(torch.bfloat16) for name, value in model.state_dict().items() if name != "lm_head.weight"}
    save_file(state, folder / "model.safetensors", metadata={"format": "pt"})
    (folder / "model.safetensors").chmod(0o644)
    tokenizer.save(str(folder / "tokenizer.json"))
    write("config.json", CONFIG)
    write("generation_config.json", {"bos_token_id": EOS, "eos_token_id": EOS})
    write(
        "tokenizer_config.json",
        {
            "tokenizer_class": "PreTrainedTokenizerFast",
            "bos_token": SPECIAL[EOS],
            "eos_token": SPECIAL[EOS],
            "pad_token": SPECIAL[EOS],
            "clean_up_tokenization_spaces": False,
            "model_max_length": CONFIG["max_position_embeddings"],
        },
    )


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.ArgumentDefaultsHelpFormatter)
    parser.add_argument("--out", type=pathlib.Path, default=HERE / "base")
    parser.add_argument("--megabytes", type=float, default=16, help="size of the text")
    parser.add_argument("--steps", type=int, default=2600)
    parser.add_argument("--batch", type=int, default=10, help="rows in a step")
    parser.add_argument("--length", type=int, default=320, help="tokens in a row")
    parser.add_argument("--lr", type=float, default=4e-3)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--threads", type=int, default=1)
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    torch.manual_seed(options.seed)

    texts = make_texts(options.seed, options.megabytes * 1e6)
    tokenizer = train_tokenizer(texts[:20000])
    n_valid = len(texts) // 100
    valid = pack(texts[:n_valid], tokenizer, options.length)
    rows = pack(texts[n_valid:], tokenizer, options.length)
    model = LlamaForCausalLM(LlamaConfig(**CONFIG))
    n = sum(p.numel() for p in model.parameters())
    print(f"{len(texts)} texts, {len(rows)} rows of {options.length}, {n} parameters", flush=True)
    train(model, rows, valid, options)
    save(model, tokenizer, options.out)
    rounded = LlamaForCausalLM.from_pretrained(options.out, dtype=torch.float32)
    print(f"valid {evaluate(model, valid):.4f}, rounded to bf16 {evaluate(rounded, valid):.4f}")


if __name__ == "__main__":
    main()
