#!/usr/bin/env python3
"""A style learnt by LoRA with diffusers and PEFT, and adapters of lora_dist measured in the same way.

    python3 compare_style.py [--steps N] [--lr LR] [--targets NAME,...] [--work DIR] [--out DIR]
    python3 compare_style.py --base DIR --style DIR --held DIR --prompts FILE [--adapter DIR] ...

Trains on the pictures of --style, as `lora_dist train` does with the same options, and prints the loss of --held: each
picture at the same 50 timesteps and noise every time. --adapter is a folder that lora_dist or diffusers has written; it
is measured as well, and with --steps 0 nothing else is. WORK/style.png has a row of pictures each for the base, the
adapters, and what was trained here. By default style and base are those of the drawing quickstart, and a classifier
says how many of 24 pictures of new scenes show what their caption says, and how many are in ink.
"""

import argparse
import json
import math
import pathlib
import random
import sys
import time

import torch
from diffusers import StableDiffusionPipeline
from peft import LoraConfig
from PIL import Image

DRAW = pathlib.Path(__file__).resolve().parents[2] / "jobs" / "quickstart" / "draw"
sys.path.append(str(DRAW))
import classify  # noqa: E402
import scenes  # noqa: E402


def prepared(pipeline, folder):
    """The latents' distribution of a folder's pictures, the states of their captions and those of the empty one."""
    rows = [json.loads(line) for line in (folder / "metadata.jsonl").read_text(encoding="utf-8").splitlines()]
    x = classify.as_tensor([Image.open(folder / row["file_name"]) for row in rows])
    tokens = pipeline.tokenizer([row["text"] for row in rows] + [""], padding="max_length", truncation=True,
                                return_tensors="pt")
    with torch.no_grad():
        latents = pipeline.vae.encode(x).latent_dist
        states = pipeline.text_encoder(tokens.input_ids).last_hidden_state
    return latents, states[:-1], states[-1:]


def errors(pipeline, latents, states, t, noise):
    a = pipeline.scheduler.alphas_cumprod[t][:, None, None, None]
    prediction = pipeline.unet(a.sqrt() * latents + (1 - a).sqrt() * noise, t, states).sample
    return (prediction - noise).square().mean()


@torch.no_grad()
def held_out(pipeline, held):
    latents, states, _ = held
    source = torch.Generator().manual_seed(0)
    latents, total = latents.mode() * pipeline.vae.config.scaling_factor, 0.0
    timesteps = range(10, 1000, 20)
    for t in timesteps:
        noise = torch.randn(latents.shape, generator=source)
        total += errors(pipeline, latents, states, torch.full((len(latents),), t), noise).item()
    return total / len(timesteps)


class Judge:
    """Draws the prompts and measures the loss of --held, with whatever adapter the pipeline has."""

    def __init__(self, pipeline, options):
        self.pipeline, self.options, self.rows, self.net = pipeline, options, [], None
        self.held = prepared(pipeline, options.held)
        if options.prompts:
            self.captions = options.prompts.read_text(encoding="utf-8").splitlines()
            return
        self.net = classify.trained(options.work)
        rng = random.Random(options.seed)
        self.captions = [f"{scenes.caption(scenes.chosen(rng))}, {scenes.STYLE}" for _ in range(24)]

    def judge(self, name):
        source = torch.Generator().manual_seed(self.options.seed)
        pictures = self.pipeline(self.captions, num_inference_steps=self.options.sample_steps,
                                 guidance_scale=self.options.guidance, generator=source).images
        self.rows.append(pictures)
        report = f", {classify.report(self.net, pictures, self.captions)}" if self.net else ""
        print(f"{name}: held out {held_out(self.pipeline, self.held):.4f}{report}", flush=True)

    def save_sheet(self, path):
        width, height = self.rows[0][0].size
        image = Image.new("RGB", (width * len(self.captions), height * len(self.rows)))
        for y, row in enumerate(self.rows):
            for x, picture in enumerate(row):
                image.paste(picture, (x * width, y * height))
        image.save(path)


def rate(options, step):
    """Linear warm-up from 0, then half a cosine: transformers' schedule."""
    warmup = math.ceil(options.warmup * options.steps)
    if step < warmup:
        return options.lr * step / warmup
    return options.lr * 0.5 * (1 + math.cos(math.pi * (step - warmup) / (options.steps - warmup)))


def batches(n, size):
    """Numbers of pictures: all of them in a new order in each epoch; a batch may reach into the next epoch."""
    waiting = torch.empty(0, dtype=torch.long)
    while True:
        while len(waiting) < size:
            waiting = torch.cat([waiting, torch.randperm(n)])
        yield waiting[:size]
        waiting = waiting[size:]


def add_adapter(pipeline, options):
    pipeline.unet.requires_grad_(False)
    pipeline.unet.add_adapter(LoraConfig(r=options.rank, lora_alpha=options.alpha,
                                         target_modules=options.targets.split(",")))
    return [p for p in pipeline.unet.parameters() if p.requires_grad]


def train(pipeline, held, options):
    distribution, states, nothing = prepared(pipeline, options.style)
    trained = add_adapter(pipeline, options)
    print(f"{sum(p.numel() for p in trained)} parameters, {len(states)} pictures", flush=True)
    stepper = torch.optim.AdamW(trained, lr=options.lr, weight_decay=options.weight_decay)
    seconds, losses = 0.0, []
    for step, picked in zip(range(options.steps), batches(len(states), options.batch)):
        start = time.time()
        text = torch.where(torch.rand(options.batch, 1, 1) < options.dropout, nothing, states[picked])
        latents = distribution.sample()[picked] * pipeline.vae.config.scaling_factor
        stepper.param_groups[0]["lr"] = rate(options, step)
        loss = errors(pipeline, latents, text, torch.randint(1000, (options.batch,)), torch.randn(latents.shape))
        loss.backward()
        torch.nn.utils.clip_grad_norm_(trained, 1.0)
        stepper.step()
        stepper.zero_grad()
        losses.append(loss.item())
        seconds += time.time() - start
        if (step + 1) % options.every == 0:
            mean = sum(losses[-options.every:]) / options.every
            print(f"step {step + 1}: loss {mean:.4f}, held out {held_out(pipeline, held):.4f}, {seconds:.1f} s", flush=True)


def save(pipeline, folder):
    from diffusers.utils import convert_state_dict_to_diffusers
    from peft.utils import get_peft_model_state_dict

    layers = convert_state_dict_to_diffusers(get_peft_model_state_dict(pipeline.unet))
    StableDiffusionPipeline.save_lora_weights(folder, unet_lora_layers=layers)


def options_of(arguments=None):
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--base", type=pathlib.Path, default=DRAW / "base")
    parser.add_argument("--style", type=pathlib.Path, default=DRAW / "style", help="pictures with metadata.jsonl")
    parser.add_argument("--held", type=pathlib.Path, default=DRAW / "held", help="the same, not trained on")
    parser.add_argument("--prompts", type=pathlib.Path, help="what is drawn, a prompt a line")
    parser.add_argument("--adapter", type=pathlib.Path, action="append", default=[], help="measured too; may be repeated")
    parser.add_argument("--steps", type=int, default=600)
    parser.add_argument("--batch", type=int, default=4)
    parser.add_argument("--lr", type=float, default=2e-3)
    parser.add_argument("--warmup", type=float, default=0.03, help="a fraction of the steps")
    parser.add_argument("--weight-decay", type=float, default=0.1)
    parser.add_argument("--dropout", type=float, default=0.1, help="of captions")
    parser.add_argument("--rank", type=int, default=16)
    parser.add_argument("--alpha", type=int, default=16)
    parser.add_argument("--targets", default="to_q,to_k,to_v,to_out.0,ff.net.0.proj,ff.net.2")
    parser.add_argument("--guidance", type=float, default=3.0)
    parser.add_argument("--sample-steps", type=int, default=30)
    parser.add_argument("--every", type=int, default=150)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--work", type=pathlib.Path, default=pathlib.Path("draw.work"))
    parser.add_argument("--out", type=pathlib.Path, help="folder for the adapter, as diffusers saves it")
    return parser.parse_args(arguments)


def main():
    options = options_of()
    torch.set_num_threads(options.threads)
    options.work.mkdir(parents=True, exist_ok=True)
    pipeline = StableDiffusionPipeline.from_pretrained(options.base, dtype=torch.float32)
    pipeline.set_progress_bar_config(disable=True)
    judge = Judge(pipeline, options)
    judge.judge("base")
    for adapter in options.adapter:
        pipeline.load_lora_weights(adapter)
        judge.judge(str(adapter))
        pipeline.unload_lora_weights()
    if options.steps:
        torch.manual_seed(options.seed)
        train(pipeline, judge.held, options)
        judge.judge("trained here")
        if options.out:
            save(pipeline, options.out)
    judge.save_sheet(options.work / "style.png")


if __name__ == "__main__":
    main()
