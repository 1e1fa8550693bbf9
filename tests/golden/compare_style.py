#!/usr/bin/env python3
"""What diffusers and PEFT make of the drawing quickstart: a style learnt by LoRA, measured as it arrives.

    python3 compare_style.py [--steps N] [--lr LR] [--targets NAME,...] [--work DIR] [--out DIR]

Trains on jobs/quickstart/draw/style with the base beside it, and prints the loss of held/ (each picture at the same
50 timesteps and noise every time), how many of 24 pictures show what their caption says, and how many are in ink.
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
    """The latents' distribution and the ids of a folder's pictures and captions."""
    rows = [json.loads(line) for line in (folder / "metadata.jsonl").read_text(encoding="utf-8").splitlines()]
    x = classify.as_tensor([Image.open(folder / row["file_name"]) for row in rows])
    tokens = pipeline.tokenizer([row["text"] for row in rows] + [""], padding="max_length", return_tensors="pt")
    with torch.no_grad():
        latents = pipeline.vae.encode(x).latent_dist
        states = pipeline.text_encoder(tokens.input_ids).last_hidden_state
    return latents, states[:-1], states[-1:]


def errors(pipeline, latents, states, t, noise):
    a = pipeline.scheduler.alphas_cumprod[t][:, None, None, None]
    prediction = pipeline.unet(a.sqrt() * latents + (1 - a).sqrt() * noise, t, states).sample
    return (prediction - noise).square().mean()


@torch.no_grad()
def held_out(pipeline, latents, states):
    source = torch.Generator().manual_seed(0)
    latents, total = latents.mode() * pipeline.vae.config.scaling_factor, 0.0
    timesteps = range(10, 1000, 20)
    for t in timesteps:
        noise = torch.randn(latents.shape, generator=source)
        total += errors(pipeline, latents, states, torch.full((len(latents),), t), noise).item()
    return total / len(timesteps)


def drawn(pipeline, captions, options):
    """The weights are in f32: 20 steps of the folder's scheduler."""
    source = torch.Generator().manual_seed(options.seed)
    return pipeline(captions, num_inference_steps=20, guidance_scale=options.guidance, generator=source).images


def sheet(rows, path):
    size = scenes.SIZE
    image = Image.new("RGB", (size * len(rows[0]), size * len(rows)))
    for y, row in enumerate(rows):
        for x, picture in enumerate(row):
            image.paste(picture, (x * size, y * size))
    image.save(path)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--base", type=pathlib.Path, default=DRAW / "base")
    parser.add_argument("--steps", type=int, default=400)
    parser.add_argument("--batch", type=int, default=4)
    parser.add_argument("--lr", type=float, default=3e-3)
    parser.add_argument("--rank", type=int, default=8)
    parser.add_argument("--alpha", type=int, default=16)
    parser.add_argument("--targets", default="to_q,to_k,to_v,to_out.0")
    parser.add_argument("--guidance", type=float, default=3.0)
    parser.add_argument("--every", type=int, default=100)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--work", type=pathlib.Path, default=pathlib.Path("draw.work"))
    parser.add_argument("--out", type=pathlib.Path, help="folder for the adapter, as diffusers saves it")
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    options.work.mkdir(parents=True, exist_ok=True)
    net = classify.trained(options.work)
    pipeline = StableDiffusionPipeline.from_pretrained(options.base, dtype=torch.float32)
    pipeline.set_progress_bar_config(disable=True)
    distribution, states, nothing = prepared(pipeline, DRAW / "style")
    held, held_states, _ = prepared(pipeline, DRAW / "held")
    rng = random.Random(options.seed)
    captions = [f"{scenes.caption(scenes.chosen(rng))}, {scenes.STYLE}" for _ in range(24)]

    torch.manual_seed(options.seed)
    pipeline.unet.requires_grad_(False)
    targets = options.targets.split(",")
    pipeline.unet.add_adapter(LoraConfig(r=options.rank, lora_alpha=options.alpha, target_modules=targets,
                                         init_lora_weights="gaussian"))
    trained = [p for p in pipeline.unet.parameters() if p.requires_grad]
    print(f"{sum(p.numel() for p in trained)} parameters", flush=True)
    stepper = torch.optim.AdamW(trained, lr=options.lr, weight_decay=0.01)
    rows, seconds = [], 0.0
    for step in range(options.steps + 1):
        if step % options.every == 0 or step == options.steps:
            rows.append(drawn(pipeline, captions, options))
            loss = held_out(pipeline, held, held_states)
            print(f"step {step}: held out {loss:.4f}, {seconds:.0f} s, {classify.report(net, rows[-1], captions)}", flush=True)
        if step == options.steps:
            break
        start = time.time()
        picked = torch.randint(len(states), (options.batch,))
        text = torch.where(torch.rand(options.batch, 1, 1) < 0.1, nothing, states[picked])
        latents = distribution.sample()[picked] * pipeline.vae.config.scaling_factor
        stepper.param_groups[0]["lr"] = options.lr * min(1, (step + 1) / 20) * 0.5 * (1 + math.cos(math.pi * step / options.steps))
        errors(pipeline, latents, text, torch.randint(1000, (options.batch,)), torch.randn(latents.shape)).backward()
        torch.nn.utils.clip_grad_norm_(trained, 1.0)
        stepper.step()
        stepper.zero_grad()
        seconds += time.time() - start
    sheet(rows, options.work / "style.png")
    if options.out:
        from diffusers.utils import convert_state_dict_to_diffusers
        from peft.utils import get_peft_model_state_dict
        layers = convert_state_dict_to_diffusers(get_peft_model_state_dict(pipeline.unet))
        StableDiffusionPipeline.save_lora_weights(options.out, unet_lora_layers=layers)


if __name__ == "__main__":
    main()
