"""Makes base/, the small encoder-decoder of the second quickstart, from nothing: text, tokenizer, model.

It learns to fill gaps, as every T5 does, and what a summary is made of: to find a sentence, to answer questions,
to write a headline. It never sees a summary. All text comes from news.txt, so it is this project's own. Needs
torch, transformers, tokenizers and safetensors; one core takes less than half an hour. Same seed and libraries:
same text and tokenizer, and the same model up to rounding.
"""
import argparse
import collections
import itertools
import json
import math
import pathlib
import random
import re
import time

import torch
from safetensors.torch import save_file
from tokenizers import AddedToken, Tokenizer, decoders, models, pre_tokenizers, processors, trainers
from transformers import T5Config, T5ForConditionalGeneration

from make_data import articles

HERE = pathlib.Path(__file__).parent
PAD, EOS, UNK = 0, 1, 2
SPECIAL = ["<pad>", "</s>", "<unk>"]
SENTINELS = 100
SENTENCE = re.compile(r'.+?[.!?]"?(?= [A-Z"]|$)')
CONFIG = {
    "architectures": ["T5ForConditionalGeneration"],
    "model_type": "t5",
    "vocab_size": 2048,
    "d_model": 128,
    "d_kv": 32,
    "d_ff": 256,
    "num_layers": 4,
    "num_decoder_layers": 4,
    "num_heads": 4,
    "feed_forward_proj": "gated-gelu",
    "relative_attention_num_buckets": 32,
    "relative_attention_max_distance": 128,
    "layer_norm_epsilon": 1e-6,
    "dropout_rate": 0.0,
    "tie_word_embeddings": True,
    "is_encoder_decoder": True,
    "decoder_start_token_id": PAD,
    "pad_token_id": PAD,
    "eos_token_id": EOS,
    "n_positions": 512,
    "torch_dtype": "bfloat16",
    "use_cache": True,
}


def train_tokenizer(texts):
    """A Unigram tokenizer laid out as T5's: <extra_id_0> is the last id, <extra_id_99> the first of them.

    The pieces are the most frequent of those that BPE finds, scored by their frequency: from a text that repeats
    itself so much, Unigram's own training keeps rare names whole and splits "and".
    """
    pre_tokenizer = pre_tokenizers.Sequence([pre_tokenizers.WhitespaceSplit(), pre_tokenizers.Metaspace()])
    bpe = Tokenizer(models.BPE())
    bpe.pre_tokenizer = pre_tokenizers.Sequence([pre_tokenizer, pre_tokenizers.Punctuation()])
    bpe.train_from_iterator(texts, trainers.BpeTrainer(vocab_size=CONFIG["vocab_size"] * 11 // 8, show_progress=False))
    counts = collections.Counter(token for encoding in bpe.encode_batch(texts) for token in encoding.tokens)
    letters = {letter: max(1, counts.pop(letter, 1)) for letter in sorted(bpe.get_vocab()) if len(letter) == 1}
    size = CONFIG["vocab_size"] - SENTINELS - len(SPECIAL) - len(letters)
    kept = {**letters, **dict(counts.most_common(size))}
    total = sum(kept.values())
    pieces = [(piece, math.log(count / total)) for piece, count in sorted(kept.items(), key=lambda item: -item[1])]

    sentinels = [f"<extra_id_{i}>" for i in reversed(range(SENTINELS))]
    vocab = [(token, 0.0) for token in SPECIAL] + pieces + [(token, 0.0) for token in sentinels]
    tokenizer = Tokenizer(models.Unigram(vocab, unk_id=UNK))
    tokenizer.pre_tokenizer = pre_tokenizer
    tokenizer.decoder = decoders.Metaspace()
    tokenizer.add_special_tokens([AddedToken(token, normalized=False) for token in SPECIAL + sentinels])
    tokenizer.post_processor = processors.TemplateProcessing(
        single="$A </s>", pair="$A </s> $B </s>", special_tokens=[("</s>", EOS)]
    )
    return tokenizer


def gaps(text, rng):
    """Some spans of words fall out; the target is what stood in the gaps."""
    words = text.split()
    source, target, gap = [], [], 0
    at = rng.randint(0, 6)
    while at < len(words) and gap < SENTINELS:
        source += words[:at] + [f"<extra_id_{gap}>"]
        n = rng.randint(1, 5)
        target += [f"<extra_id_{gap}>"] + words[at:at + n]
        words = words[at + n:]
        at, gap = rng.randint(4, 16), gap + 1
    return " ".join(source + words), " ".join(target + [f"<extra_id_{gap}>"])


def find(text, rng):
    """Two or three words of a sentence are given, and the sentence is the target."""
    sentence = rng.choice(SENTENCE.findall(text)).strip()
    words = sentence.split()
    at = rng.randrange(max(1, len(words) - 2))
    return f"find: {' '.join(words[at:at + rng.randint(2, 3)])} text: {text}", sentence


def ask(article, rng):
    """One to four questions and their answers."""
    picked = rng.sample(article["questions"], rng.randint(1, 4))
    questions, answers = zip(*picked)
    return f"question: {' '.join(questions)} context: {article['document']}", "; ".join(answers)


def passage(document, rng):
    """Some sentences of a document that follow each other: what is short is learnt first, and costs less."""
    sentences = SENTENCE.findall(document)
    first = rng.randrange(len(sentences))
    return "".join(sentences[first:rng.randint(first + 1, len(sentences))]).strip()


def exercise(article, rng):
    """What the model learns from an article: a pair of source and target."""
    task = rng.choices(["gaps", "find", "ask", "headline"], [25, 25, 35, 15])[0]
    if task == "gaps":
        return gaps(passage(article["document"], rng), rng)
    if task == "find":
        return find(passage(article["document"], rng), rng)
    if task == "ask":
        return ask(article, rng)
    return f"headline: {article['document']}", article["headline"]


def padded(rows, fill):
    width = max(map(len, rows))
    return torch.tensor([row + [fill] * (width - len(row)) for row in rows])


def batches(tokenizer, seed, size, pool=16):
    """Batches without end, each of samples of about the same length."""
    rng = random.Random(seed)
    news = articles(seed, float("inf"))
    while True:
        pairs = [exercise(article, rng) for article in itertools.islice(news, size * pool)]
        sources, targets = ([e.ids for e in tokenizer.encode_batch(list(texts))] for texts in zip(*pairs))
        samples = sorted(zip(sources, targets), key=lambda sample: len(sample[0]))
        for at in rng.sample(range(0, size * pool, size), pool):
            sources, targets = zip(*samples[at:at + size])
            yield padded(sources, PAD), padded(targets, -100)


def loss_of(model, batch):
    sources, targets = batch
    return model(input_ids=sources, attention_mask=(sources != PAD).long(), labels=targets).loss


@torch.no_grad()
def evaluate(model, held):
    return sum(loss_of(model, batch).item() for batch in held) / len(held)


def optimizers(model, lr):
    """Muon for the matrices inside the blocks, AdamW for the rest, each at a rate that fits the size of its numbers.

    T5 does not divide its scores by the root of the head's width, so its queries are small. Its embeddings are
    large, and the bias by distance, which is all that it knows of positions, has far to go: from 0.1 to some units.
    """
    groups = {".q.weight": [], "relative_attention_bias": [], "shared": [], "layer_norm": [], "": []}
    for name, p in model.named_parameters():
        next(group for part, group in groups.items() if part in name).append(p)
    queries, distances, embeddings, norms, inside = groups.values()
    return [
        torch.optim.Muon(inside, lr=lr, weight_decay=0.05, adjust_lr_fn="match_rms_adamw"),
        torch.optim.Muon(queries, lr=lr / 4, weight_decay=0.05, adjust_lr_fn="match_rms_adamw"),
        torch.optim.AdamW(norms, lr=lr, betas=(0.9, 0.98), weight_decay=0.0),
        torch.optim.AdamW(embeddings, lr=4 * lr, betas=(0.9, 0.98), weight_decay=0.0),
        torch.optim.AdamW(distances, lr=10 * lr, betas=(0.9, 0.98), weight_decay=0.0),
    ]


def train(model, tokenizer, held, options):
    steppers = optimizers(model, options.lr)
    rates = [stepper.param_groups[0]["lr"] for stepper in steppers]
    start = time.time()
    for step, batch in enumerate(itertools.islice(batches(tokenizer, options.seed, options.batch), options.steps)):
        share = step / options.steps
        factor = min(1, (step + 1) / 50, max(0.02, 0.5 * (1 + math.cos(math.pi * share))))
        for stepper, rate in zip(steppers, rates):
            stepper.param_groups[0]["lr"] = rate * factor
        loss = loss_of(model, batch)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        for stepper in steppers:
            stepper.step()
            stepper.zero_grad()
        if (step + 1) % 50 == 0:
            valid = f", valid {evaluate(model, held):.4f}" if (step + 1) % 250 == 0 else ""
            print(f"step {step + 1}: loss {loss.item():.4f}{valid}, {time.time() - start:.0f} s", flush=True)
        if (step + 1) % 250 == 0:
            save(model, tokenizer, options.out)


def save(model, tokenizer, folder):
    folder.mkdir(parents=True, exist_ok=True)

    def write(name, content):
        (folder / name).write_text(json.dumps(content, indent=2) + "\n")

    state = {name: value.to(torch.bfloat16) for name, value in model.named_parameters()}
    save_file(state, folder / "model.safetensors", metadata={"format": "pt"})
    (folder / "model.safetensors").chmod(0o644)
    tokenizer.save(str(folder / "tokenizer.json"))
    write("config.json", CONFIG)
    write("generation_config.json", {"decoder_start_token_id": PAD, "eos_token_id": EOS, "pad_token_id": PAD})
    write(
        "tokenizer_config.json",
        {
            "tokenizer_class": "T5Tokenizer",
            "eos_token": "</s>",
            "pad_token": "<pad>",
            "unk_token": "<unk>",
            "extra_ids": SENTINELS,
            "model_max_length": CONFIG["n_positions"],
        },
    )


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.ArgumentDefaultsHelpFormatter)
    parser.add_argument("--out", type=pathlib.Path, default=HERE / "base")
    parser.add_argument("--steps", type=int, default=2000)
    parser.add_argument("--batch", type=int, default=32, help="samples in a step")
    parser.add_argument("--lr", type=float, default=4e-3)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--threads", type=int, default=1)
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    torch.manual_seed(options.seed)

    sample = itertools.islice(articles(options.seed, float("inf")), 10000)
    rng = random.Random(options.seed)
    tokenizer = train_tokenizer([text for article in sample for text in ask(article, rng)])
    held = list(itertools.islice(batches(tokenizer, options.seed + 1000, 64), 4))
    model = T5ForConditionalGeneration(T5Config(**CONFIG, attn_implementation="eager"))
    print(f"{sum(p.numel() for p in model.parameters())} parameters", flush=True)
    train(model, tokenizer, held, options)
    save(model, tokenizer, options.out)
    rounded = T5ForConditionalGeneration.from_pretrained(options.out, dtype=torch.float32)
    print(f"valid {evaluate(model, held):.4f}, rounded to bf16 {evaluate(rounded, held):.4f}")


if __name__ == "__main__":
    main()
