"""The data of the classifiers' recorded training runs: labelled pairs with their tokenizer, and labelled images."""

import json
import os

import h5py
import numpy as np
import torch
from tokenizers import Tokenizer, decoders, models, normalizers, pre_tokenizers, processors

import golden_text
from golden_common import fail, write_json

SPECIAL = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
MEAN, STD = [0.485, 0.456, 0.406], [0.229, 0.224, 0.225]


def text_of(rng, index: int) -> str:
    text = golden_text.sentence(rng)
    if index % 3 == 0:
        text = text.capitalize() + "."
    if index % 4 == 3:
        text += " " + golden_text.ODD[int(rng.integers(len(golden_text.ODD)))]
    return text


def record(rng, index: int, labels: list[str]) -> dict[str, str]:
    """Which label it is shows in the text (its first noun), so that there is something to learn."""
    first = text_of(rng, index)
    noun = first.lower().split()[1]
    label = labels[golden_text.NOUNS.index(noun) % len(labels)]
    return {"text": first, "text_pair": text_of(rng, index + 1), "label": label}


def several(rec: dict, index: int, labels: list[str]) -> dict:
    """The same with a list of labels: its own and those that the letters of the text tell, or none."""
    found = {rec["label"]} | {label for label in labels if label[-1] in rec["text_pair"].split()[0].lower()}
    return {"text": rec["text"], "text_pair": rec["text_pair"],
            "labels": [] if index % 5 == 4 else sorted(found, reverse=index % 2 == 0)}


def pieces(rng, room: int) -> list[str]:
    """A vocabulary from sentences: letters, then the pieces that cover most. (WordPieceTrainer changes its ids)."""
    found: dict[str, int] = {}
    for word in " ".join(golden_text.sentence(rng) for _ in range(400)).split():
        for i in range(len(word)):
            for k in range(i + 1, len(word) + 1):
                piece = word[i:k] if i == 0 else "##" + word[i:k]
                found[piece] = found.get(piece, 0) + k - i
    letters = sorted(p for p in found if len(p.removeprefix("##")) == 1)
    longer = sorted(found.keys() - set(letters), key=lambda p: (-found[p], p))
    return (letters + longer)[:room]


def make_wordpiece(rng, vocab: int) -> Tokenizer:
    tokens = SPECIAL + pieces(rng, vocab - len(SPECIAL))
    if len(tokens) != vocab:
        fail(f"the tokenizer has {len(tokens)} tokens, not {vocab}")
    tokenizer = Tokenizer(models.WordPiece({token: i for i, token in enumerate(tokens)}, unk_token="[UNK]"))
    tokenizer.normalizer = normalizers.BertNormalizer(lowercase=True)
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    tokenizer.decoder = decoders.WordPiece()
    tokenizer.add_special_tokens(SPECIAL)
    tokenizer.post_processor = processors.TemplateProcessing(
        single="[CLS] $A [SEP]", pair="[CLS] $A [SEP] $B:1 [SEP]:1",
        special_tokens=[(name, tokenizer.token_to_id(name)) for name in ("[CLS]", "[SEP]")])
    return tokenizer


def write_pairs(folder: str, rng, vocab: int, labels: list[str], rows: int,
                is_multilabel: bool = False) -> dict:
    """Writes tokenizer.json, tokenizer_config.json and train.jsonl; returns what the trainer has to see."""
    tokenizer = make_wordpiece(rng, vocab)
    tokenizer.save(os.path.join(folder, "tokenizer.json"))
    names = {f"{token[1:-1].lower()}_token": token for token in SPECIAL}
    write_json(os.path.join(folder, "tokenizer_config.json"),
               {"do_lower_case": True, "model_max_length": 48, "tokenizer_class": "BertTokenizer", **names})
    records = [record(rng, i, labels) for i in range(rows)]
    classes = [labels.index(rec["label"]) for rec in records]
    if is_multilabel:
        records = [several(rec, i, labels) for i, rec in enumerate(records)]
        classes = [[int(label in rec["labels"]) for label in labels] for rec in records]
    with open(os.path.join(folder, "train.jsonl"), "w", encoding="utf-8") as file:
        for i, rec in enumerate(records):
            file.write(json.dumps(rec, ensure_ascii=i % 2 == 0) + "\n")
    encoded = [tokenizer.encode(rec["text"], rec["text_pair"]) for rec in records]
    return {"ids": [torch.tensor(e.ids, dtype=torch.int32) for e in encoded],
            "types": [torch.tensor(e.type_ids, dtype=torch.int32) for e in encoded],
            "labels": torch.tensor(classes, dtype=torch.int32)}


def write_images(folder: str, rng, shape, n_labels: int, rows: int) -> dict:
    """Writes train.h5 and preprocessor_config.json; returns what the trainer has to see. Patches of 4 x 4 pixels of one
    colour keep the file small; a class has its own brightness."""
    channels, height, width = shape
    labels = rng.integers(0, n_labels, rows)
    patches = rng.integers(0, 256, (rows, -(-height // 4), -(-width // 4), channels))
    shade = 40 + 170 * labels[:, None, None, None] // n_labels
    patches = (patches // 2 + shade // 2).astype(np.uint8)
    images = patches.repeat(4, 1).repeat(4, 2)[:, :height, :width]
    with h5py.File(os.path.join(folder, "train.h5"), "w") as file:
        file.create_dataset("images", data=images, chunks=(8, height, width, channels), compression="gzip")
        file.create_dataset("labels", data=labels.astype(np.int64))
    write_json(os.path.join(folder, "preprocessor_config.json"),
               {"do_resize": True, "size": {"height": height, "width": width}, "do_rescale": True,
                "rescale_factor": 1 / 255, "do_normalize": True, "image_mean": MEAN, "image_std": STD})
    pixels = (torch.from_numpy(images).float() / 255 - torch.tensor(MEAN)) / torch.tensor(STD)
    return {"pixels": pixels.permute(0, 3, 1, 2).contiguous(),
            "labels": torch.from_numpy(labels).to(torch.int32)}
