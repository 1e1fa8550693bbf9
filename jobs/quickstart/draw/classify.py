"""Names what small pictures show, to judge a model that draws them: thing, colour, place, time, and plain or ink.

    python3 classify.py FOLDER...    pictures with captions (metadata.jsonl), or with their caption as a file's name

The classifier is trained on new scenes of scenes.py (two minutes of one core) and kept in --work. A picture is
named right when each of the four that its caption speaks of is.
"""
import argparse
import json
import math
import pathlib
import random

import numpy
import torch
from PIL import Image

import scenes

ANSWERS = {"thing": list(scenes.THINGS), "colour": list(scenes.COLOURS), "place": list(scenes.PLACES),
           "time": list(scenes.TIMES), "style": ["plain", "ink"]}
IN_CAPTION = ("thing", "colour", "place", "time")


def network():
    layers, channels = [], 3
    for width in (24, 48, 64):
        layers += [torch.nn.Conv2d(channels, width, 3, padding=1), torch.nn.BatchNorm2d(width), torch.nn.ReLU(),
                   torch.nn.MaxPool2d(2)]
        channels = width
    cells = channels * (scenes.SIZE // 8) ** 2
    return torch.nn.Sequential(*layers, torch.nn.Flatten(), torch.nn.Dropout(0.3), torch.nn.Linear(cells, 128),
                               torch.nn.ReLU(), torch.nn.Linear(128, sum(map(len, ANSWERS.values()))))


def split(scores):
    return dict(zip(ANSWERS, scores.split([len(answers) for answers in ANSWERS.values()], dim=1)))


def as_tensor(pictures):
    return torch.from_numpy(numpy.stack([numpy.asarray(p.convert("RGB")) for p in pictures])).permute(0, 3, 1, 2) / 127.5 - 1


def examples(seed, n):
    """Pictures, and for each kind of answer its number; a third of them are ink drawings."""
    pictures, answers = [], []
    for i in range(n):
        rng = random.Random(f"classify {seed} {i}")
        scene, ink = scenes.chosen(rng), i % 3 == 0
        pictures.append(scenes.picture(scene, rng, ink))
        answers.append([ANSWERS[kind].index(value) for kind, value in scene._asdict().items()] + [int(ink)])
    return as_tensor(pictures), torch.tensor(answers)


def roughened(x):
    """Noise and shifted light: a picture that a model draws is not as clean as a program's."""
    x = x + torch.rand(len(x), 1, 1, 1) * 0.12 * torch.randn_like(x)
    return x + 0.08 * torch.randn(len(x), 3, 1, 1)


def trained(work, seed=77, n=6000, steps=500, batch=64):
    path = work / "classifier.pt"
    net = network()
    if path.exists():
        net.load_state_dict(torch.load(path))
        return net.eval()
    torch.manual_seed(seed)
    pictures, answers = examples(seed, n)
    stepper = torch.optim.AdamW(net.parameters(), lr=2e-3, weight_decay=0.05)
    rate = torch.optim.lr_scheduler.LambdaLR(stepper, lambda i: 0.5 * (1 + math.cos(math.pi * i / steps)))
    for _ in range(steps):
        rows = torch.randint(n, (batch,))
        scores = split(net(roughened(pictures[rows])))
        loss = sum(torch.nn.functional.cross_entropy(s, answers[rows, i]) for i, s in enumerate(scores.values()))
        loss.backward()
        stepper.step()
        stepper.zero_grad()
        rate.step()
    net.eval()
    held, truth = examples(seed + 1, 600)
    right = torch.stack([s.argmax(1) == truth[:, i] for i, s in enumerate(split(named(net, held)).values())])
    print(f"classifier: {right[:4].all(0).float().mean():.1%} of new drawn scenes named right, "
          f"style {right[4].float().mean():.1%}", flush=True)
    torch.save(net.state_dict(), path)
    return net


@torch.no_grad()
def named(net, pictures):
    return torch.cat([net(part) for part in pictures.split(64)])


def asked(caption):
    """What a caption says of each kind: an answer's number, or nothing."""
    words = caption.replace(",", " ").split()
    found = {}
    for kind in IN_CAPTION:
        hits = [i for i, answer in enumerate(ANSWERS[kind]) if answer in words]
        found[kind] = hits[0] if len(hits) == 1 else None
    return found


def judged(net, pictures, captions):
    """The share of pictures in which all is as captioned, the share for each kind, and the share in ink."""
    scores = split(named(net, as_tensor(pictures)))
    rights = {kind: [] for kind in IN_CAPTION}
    whole = []
    for i, caption in enumerate(captions):
        right = {kind: int(scores[kind][i].argmax()) == wanted for kind, wanted in asked(caption).items() if wanted is not None}
        for kind, value in right.items():
            rights[kind].append(value)
        whole.append(all(right.values()))
    shares = {kind: sum(values) / max(1, len(values)) for kind, values in rights.items()}
    return sum(whole) / len(whole), shares, scores["style"].argmax(1).float().mean().item()


def report(net, pictures, captions):
    whole, shares, ink = judged(net, pictures, captions)
    parts = ", ".join(f"{kind} {share:.1%}" for kind, share in shares.items())
    return f"{len(captions)} pictures: {whole:.1%} as captioned ({parts}); in ink {ink:.1%}"


def read(folder):
    listed = folder / "metadata.jsonl"
    if listed.exists():
        rows = [json.loads(line) for line in listed.read_text(encoding="utf-8").splitlines()]
        return [Image.open(folder / row["file_name"]) for row in rows], [row["text"] for row in rows]
    paths = sorted(folder.glob("*.png"))
    return [Image.open(path) for path in paths], [path.stem.replace("_", " ") for path in paths]


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folders", type=pathlib.Path, nargs="+")
    parser.add_argument("--work", type=pathlib.Path, default=pathlib.Path("draw.work"))
    parser.add_argument("--threads", type=int, default=1)
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    options.work.mkdir(parents=True, exist_ok=True)
    net = trained(options.work)
    for folder in options.folders:
        print(f"{folder}: {report(net, *read(folder))}")


if __name__ == "__main__":
    main()
