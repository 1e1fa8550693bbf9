#!/usr/bin/env python3
"""Times optimizer steps of diffusers + PEFT + DistributedDataParallel on a CPU: the opponent of pictures.py.

    python3 diffusers_step.py --model DIR --data DIR [--resolution 256 --batch 2 --micro 1 --processes 2 ...]

It opens the folders that lora_dist opens. The step is that of diffusers' train_text_to_image_lora.py: the picture's latents, noise at
chosen timesteps, the UNet with LoRA, the mean squared error, AdamW, the norm cut at 1. Latents and text states are made once before
the first step, as its scripts for newer models can; with --encode in each step, as that script does. Decoding and scaling of the
pictures is never counted. Prints one JSON object for each step as it ends.
"""

import argparse
import contextlib
import json
import os
import time

os.environ.setdefault("HF_HUB_OFFLINE", "1")
os.environ.setdefault("GLOO_SOCKET_IFNAME", "lo")

import diffusers  # noqa: E402
import forks  # noqa: E402
import numpy as np  # noqa: E402
import torch  # noqa: E402
import torch.distributed as dist  # noqa: E402
import transformers  # noqa: E402
from peft import LoraConfig  # noqa: E402
from PIL import Image  # noqa: E402

DTYPES = {"f32": torch.float32, "bf16": torch.bfloat16}
TARGETS = ["to_q", "to_k", "to_v", "to_out.0"]


def read_pictures(folder: str, side: int) -> tuple[torch.Tensor, list[str]]:
    with open(os.path.join(folder, "metadata.jsonl"), encoding="utf-8") as file:
        records = [json.loads(line) for line in file]
    pictures = [Image.open(os.path.join(folder, r["file_name"])).convert("RGB").resize((side, side), Image.LANCZOS) for r in records]
    pixels = torch.from_numpy(np.stack([np.asarray(picture) for picture in pictures])).permute(0, 3, 1, 2)
    return pixels / 127.5 - 1, [r["text"] for r in records]


class Trainer:
    def __init__(self, args, rank: int):
        self.args, self.rank, dtype = args, rank, DTYPES[args.precision]
        self.pixels, captions = read_pictures(args.data, args.resolution)
        form = torch.channels_last if args.channels_last else torch.contiguous_format
        self.scheduler = diffusers.DDPMScheduler.from_pretrained(args.model, subfolder="scheduler")
        tokenizer = transformers.CLIPTokenizer.from_pretrained(args.model, subfolder="tokenizer")
        self.ids = tokenizer(captions, padding="max_length", truncation=True, return_tensors="pt").input_ids
        open_part = {"torch_dtype": dtype, "low_cpu_mem_usage": True}
        self.text = transformers.CLIPTextModel.from_pretrained(args.model, subfolder="text_encoder", dtype=dtype)
        self.vae = diffusers.AutoencoderKL.from_pretrained(args.model, subfolder="vae", **open_part).to(memory_format=form)
        self.scale = self.vae.config.scaling_factor
        if not args.encode:
            self.latents, self.states = self.kept()
            self.vae = self.text = None
        self.unet = diffusers.UNet2DConditionModel.from_pretrained(args.model, subfolder="unet", **open_part).to(memory_format=form)
        self.unet.requires_grad_(False)
        lora = LoraConfig(r=args.rank, lora_alpha=args.alpha, init_lora_weights="gaussian", target_modules=TARGETS)
        self.unet.add_adapter(lora)
        self.trained = [p for p in self.unet.parameters() if p.requires_grad]
        for p in self.trained:
            p.data = p.data.float()
        if args.recompute:
            self.unet.enable_gradient_checkpointing()
        self.model = self.unet.train()
        if args.compile:
            self.model = torch.compile(self.model)
        if args.processes > 1:
            self.model = torch.nn.parallel.DistributedDataParallel(self.model)
        self.optimizer = torch.optim.AdamW(self.trained, lr=1e-4)

    def autocast(self):
        return torch.autocast("cpu", torch.bfloat16, enabled=self.args.precision == "bf16")

    @torch.no_grad()
    def encoded(self, rows: list[int]):
        pixels = self.pixels[rows].to(self.vae.dtype)
        return self.vae.encode(pixels).latent_dist, self.text(self.ids[rows])[0]

    def kept(self):
        """Only the pictures of the steps that are timed."""
        n = min(len(self.pixels), self.args.batch * self.args.steps)
        each = [self.encoded([i]) for i in range(n)]
        moments = torch.cat([latents.parameters for latents, _ in each])
        return moments, torch.cat([states for _, states in each])

    def micro_batch(self, rows: list[int], n: int) -> float:
        if self.args.encode:
            latents, states = self.encoded(rows)
        else:
            kept = [i % len(self.latents) for i in rows]
            latents = diffusers.models.autoencoders.vae.DiagonalGaussianDistribution(self.latents[kept])
            states = self.states[kept]
        latents = (latents.sample() * self.scale).to(DTYPES[self.args.precision])
        noise = torch.randn_like(latents)
        t = torch.randint(1000, (len(rows),))
        noisy = self.scheduler.add_noise(latents, noise, t)
        with self.autocast():
            prediction = self.model(noisy, t, states, return_dict=False)[0]
        loss = torch.nn.functional.mse_loss(prediction.float(), noise.float()) * len(rows) / n
        (loss * self.args.processes).backward()
        return loss.item()

    def step(self, number: int) -> dict:
        args, begin = self.args, time.perf_counter()
        rows = [i % len(self.pixels) for i in range((number - 1) * args.batch, number * args.batch)]
        parts = [rows[i : i + args.micro] for i in range(0, len(rows), args.micro)][self.rank :: args.processes]
        self.optimizer.zero_grad(set_to_none=True)
        loss = 0.0
        for i, part in enumerate(parts):
            quiet = args.processes > 1 and i < len(parts) - 1
            with self.model.no_sync() if quiet else contextlib.nullcontext():
                loss += self.micro_batch(part, len(rows))
        torch.nn.utils.clip_grad_norm_(self.trained, 1.0)
        self.optimizer.step()
        return {"event": "step", "step": number, "loss": loss, "seconds": time.perf_counter() - begin}


def draw(rank: int, args):
    """A picture for each of this process's part of the batch, by the folder's scheduler."""
    pipeline = diffusers.StableDiffusionPipeline.from_pretrained(args.model, torch_dtype=DTYPES[args.precision])
    pipeline.set_progress_bar_config(disable=True)
    if args.channels_last:
        pipeline.unet.to(memory_format=torch.channels_last)
        pipeline.vae.to(memory_format=torch.channels_last)
    if args.compile:
        pipeline.unet = torch.compile(pipeline.unet)
    source = [torch.Generator().manual_seed(rank * args.micro + i) for i in range(args.micro)]
    side, prompts = args.resolution, ["a cat"] * args.micro
    pipeline(prompts, height=side, width=side, num_inference_steps=args.draw, guidance_scale=7.5, generator=source)


def work(rank: int, args, meeting: str):
    torch.set_num_threads(args.threads)
    torch.manual_seed(rank)
    transformers.logging.set_verbosity_error()
    diffusers.utils.logging.disable_progress_bar()
    transformers.utils.logging.disable_progress_bar()
    if args.draw:
        draw(rank, args)
        return
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
    parser.add_argument("--resolution", type=int, default=256)
    parser.add_argument("--rank", type=int, default=8)
    parser.add_argument("--alpha", type=float, default=16)
    parser.add_argument("--batch", type=int, default=1, help="pictures of a step, over all processes")
    parser.add_argument("--micro", type=int, default=1, help="pictures that a process computes at a time")
    parser.add_argument("--steps", type=int, default=3)
    parser.add_argument("--processes", type=int, default=1)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--precision", choices=DTYPES, default="f32", help="bf16: frozen weights in bf16, and autocast")
    parser.add_argument("--channels-last", action="store_true")
    parser.add_argument("--compile", action="store_true", help="by torch.compile")
    parser.add_argument("--recompute", action="store_true", help="diffusers' gradient checkpointing")
    parser.add_argument("--encode", action="store_true", help="run the autoencoder and the text encoder in each step")
    parser.add_argument("--draw", type=int, metavar="STEPS", help="draw the pictures of one batch instead of training")
    args = parser.parse_args()
    if args.batch % (args.micro * args.processes):
        parser.error("--batch must be a multiple of --micro times --processes")
    return args


if __name__ == "__main__":
    forks.run(parse(), work)
