"""Makes base/, the small Stable Diffusion of the drawing quickstart, from nothing, and measures it.

All pictures are drawn by scenes.py, so everything is this project's own. First the autoencoder is trained, then the
denoiser together with the text encoder, on latents computed once; base/ gets the running means of the weights, as
f16. A checkpoint is written every 100 steps, and the same command goes on from it. Needs torch, diffusers,
transformers, safetensors and Pillow. 24 minutes of one core.
"""
import argparse
import collections
import copy
import json
import math
import pathlib
import random
import time

import diffusers
import numpy
import torch
from diffusers import AutoencoderKL, DDIMScheduler, StableDiffusionPipeline, UNet2DConditionModel
from PIL import Image
from safetensors.torch import load_file, save_file
from tokenizers import pre_tokenizers
from transformers import CLIPTextConfig, CLIPTextModel, CLIPTokenizer

import classify
import scenes

HERE = pathlib.Path(__file__).parent
LENGTH = 20  # tokens of a caption, with both ends
GROUPS, VAE_GROUPS, GUIDANCE, CHANNELS = 8, 4, 4.0, 8
START, END = "<|startoftext|>", "<|endoftext|>"
# Words that captions of a style may need: known to the tokenizer, unknown to the model.
MORE_WORDS = """ink drawing drawn with of and picture image style mosaic tiles stone paper pencil chalk sketch poster
stamp woodcut watercolour painting old new small large dark bright winter rain moon sun stars , ."""
VAE = dict(in_channels=3, out_channels=3, latent_channels=CHANNELS, block_out_channels=(24, 48, 48), layers_per_block=1,
           norm_num_groups=VAE_GROUPS, sample_size=scenes.SIZE, down_block_types=("DownEncoderBlock2D",) * 3,
           up_block_types=("UpDecoderBlock2D",) * 3)
UNET = dict(in_channels=CHANNELS, out_channels=CHANNELS, block_out_channels=(32, 64), layers_per_block=1, norm_num_groups=GROUPS,
            sample_size=scenes.SIZE // 4, cross_attention_dim=64, attention_head_dim=2,
            down_block_types=("CrossAttnDownBlock2D",) * 2, up_block_types=("CrossAttnUpBlock2D",) * 2)
TEXT = dict(hidden_size=64, intermediate_size=256, num_hidden_layers=2, num_attention_heads=4,
            max_position_embeddings=LENGTH, hidden_act="quick_gelu")
# Ends in noise alone (0.02 where Stable Diffusion has 0.012), so that a sample can begin with noise alone.
SCHEDULE = dict(num_train_timesteps=1000, beta_start=0.00085, beta_end=0.02, beta_schedule="scaled_linear",
                steps_offset=1, set_alpha_to_one=False, clip_sample=False, prediction_type="epsilon")


class Muon:
    """Momentum made orthogonal, for matrices and for kernels as matrices; those of one shape are stepped at once."""

    def __init__(self, parameters, momentum=0.95, decay=0.02):
        self.momentum, self.decay, self.by_shape = momentum, decay, collections.defaultdict(list)
        for p in parameters:
            self.by_shape[tuple(p.flatten(1).shape)].append(p)
        self.kept = {shape: torch.zeros(len(ps), *shape) for shape, ps in self.by_shape.items()}

    def step(self, lr):
        for shape, ps in self.by_shape.items():
            gradient, kept = torch.stack([p.grad.flatten(1) for p in ps]), self.kept[shape]
            kept.lerp_(gradient, 1 - self.momentum)
            change = orthogonal(gradient.lerp(kept, self.momentum)) * (0.2 * max(shape) ** 0.5)
            for p, part in zip(ps, change):
                p.data.mul_(1 - lr * self.decay).sub_(part.view_as(p), alpha=lr)


def orthogonal(x):
    """Newton and Schulz's iteration, with the coefficients of Jordan's Muon."""
    tall = x.shape[1] > x.shape[2]
    x = x.mT if tall else x
    x = x / (x.norm(dim=(1, 2), keepdim=True) + 1e-7)
    for _ in range(5):
        square = x @ x.mT
        x = 3.4445 * x + (2.0315 * square @ square - 4.775 * square) @ x
    return x.mT if tall else x


class Training:
    """Models with optimizers, running means of the weights, and a checkpoint to go on from."""

    def __init__(self, models, options, path, steps, decay):
        self.models, self.options, self.path, self.steps, self.decay = models, options, path, steps, decay
        self.means = copy.deepcopy(models).requires_grad_(False).eval()
        matrices = [p for name, p in models.named_parameters() if p.ndim > 1 and "embedding" not in name]
        inside = {id(p) for p in matrices}
        others = [p for p in models.parameters() if id(p) not in inside]
        self.muon = Muon(matrices)
        self.adam = torch.optim.AdamW(others, lr=options.lr, betas=(0.9, 0.99), weight_decay=0.0, fused=True)
        self.step, self.seconds = 0, 0.0
        if path.exists():
            self.restore(torch.load(path))

    def restore(self, state):
        self.models.load_state_dict(state["models"])
        self.means.load_state_dict(state["means"])
        self.muon.kept = state["muon"]
        self.adam.load_state_dict(state["adam"])
        self.step, self.seconds = state["step"], state["seconds"]

    def save(self):
        state = {"models": self.models.state_dict(), "means": self.means.state_dict(), "step": self.step,
                 "muon": self.muon.kept, "adam": self.adam.state_dict(), "seconds": self.seconds}
        torch.save(state, self.path.with_suffix(".new"))
        self.path.with_suffix(".new").replace(self.path)

    def update(self, loss):
        loss.backward()
        torch.nn.utils.clip_grad_norm_(self.models.parameters(), 1.0)
        lr = self.options.lr * min(1, (self.step + 1) / 50, max(0.02, 0.5 * (1 + math.cos(math.pi * self.step / self.steps))))
        self.muon.step(lr)
        self.adam.param_groups[0]["lr"] = lr
        self.adam.step()
        self.models.zero_grad()
        decay = min(self.decay, (1 + self.step) / (10 + self.step))
        values = [p.data for p in self.models.parameters()]
        torch._foreach_lerp_(list(self.means.parameters()), values, 1 - decay)

    def run(self, loss_of, evaluate):
        """Trains from where it stands to the last step; each step's numbers depend on the seed and the step alone."""
        while self.step < self.steps:
            start = time.process_time()
            torch.manual_seed(self.options.seed * 1000003 + self.step)
            loss = loss_of(self.models, self.step)
            self.update(loss)
            self.step += 1
            self.seconds += time.process_time() - start
            if self.step % 50 == 0:
                held = f", held out {evaluate(self.means):.4f}" if self.step % 200 == 0 else ""
                print(f"{self.path.stem} {self.step}: loss {loss.item():.4f}{held}, {self.seconds:.0f} s", flush=True)
            if self.step % 100 == 0 or self.step == self.steps:
                self.save()
        return self.means


def drawn(options, name, n, ink=False):
    """`n` scenes and their pictures (n, 3, H, W) of bytes; they are kept, since drawing takes a while."""
    path = options.work / f"{name}.npy"
    rngs = [random.Random(f"{options.seed} {name} {i}") for i in range(n)]
    chosen = [scenes.chosen(rng) for rng in rngs]
    if not path.exists():
        numpy.save(path, [scenes.picture(scene, rng, ink) for scene, rng in zip(chosen, rngs)])
    return chosen, torch.from_numpy(numpy.load(path)).permute(0, 3, 1, 2).contiguous()


def pixels(pictures):
    return pictures.float() / 127.5 - 1


def train_vae(options):
    """It learns from ink drawings too, a fifth of its pictures: it is to know more than the denoiser does."""
    plain, ink = drawn(options, "plain", options.pictures)[1], drawn(options, "ink", options.pictures // 4, True)[1]
    pictures = torch.cat([plain, ink])
    held = pixels(torch.cat([drawn(options, "held", 48)[1], drawn(options, "held-ink", 16, True)[1]]))
    torch.manual_seed(options.seed)
    vae = AutoencoderKL(**VAE).to(memory_format=torch.channels_last)

    def loss_of(model, step):
        x = pixels(pictures[torch.randint(len(pictures), (options.vae_batch,))])
        latents = model.encode(x).latent_dist
        y = model.decode(latents.sample()).sample
        sharp = (y.diff(dim=2) - x.diff(dim=2)).abs().mean() + (y.diff(dim=3) - x.diff(dim=3)).abs().mean()
        return (y - x).abs().mean() + 0.5 * sharp + 5e-4 * latents.kl().mean() / latents.mean[0].numel()

    @torch.no_grad()
    def evaluate(model):
        return (model.decode(model.encode(held).latent_dist.mode()).sample - held).abs().mean().item()

    return Training(vae, options, options.work / "vae.pt", options.vae_steps, 0.99).run(loss_of, evaluate)


def merges_of(words):
    """The merges that make each word one piece, the most frequent pair of pieces first."""
    split = {word: [*word[:-1], word[-1] + "</w>"] for word in sorted(words)}
    merges = []
    while True:
        pairs = collections.Counter(pair for pieces in split.values() for pair in zip(pieces, pieces[1:]))
        if not pairs:
            return merges
        first, second = min(pairs, key=lambda pair: (-pairs[pair], pair))
        merges.append((first, second))
        for word, pieces in split.items():
            joined = []
            for piece in pieces:
                if joined and (joined[-1], piece) == (first, second):
                    joined[-1] += piece
                else:
                    joined.append(piece)
            split[word] = joined


def write_tokenizer(folder):
    """CLIP's: all bytes, inside and at the end of a word, then the merges, then the two marks."""
    folder.mkdir(parents=True, exist_ok=True)
    words = set(MORE_WORDS.split())
    for thing in scenes.THINGS:
        for colour in scenes.COLOURS:
            for place in scenes.PLACES:
                for moment in scenes.TIMES:
                    words.update(scenes.caption(scenes.Scene(thing, colour, place, moment)).split())
    merges = merges_of(words)
    letters = sorted(pre_tokenizers.ByteLevel.alphabet())
    pieces = letters + [letter + "</w>" for letter in letters] + [a + b for a, b in merges] + [START, END]
    lines = ["#version: 0.2"] + [f"{a} {b}" for a, b in merges]
    (folder / "merges.txt").write_text("\n".join(lines) + "\n", encoding="utf-8")
    (folder / "vocab.json").write_text(json.dumps({piece: i for i, piece in enumerate(pieces)}) + "\n")
    marks = {"bos_token": START, "eos_token": END, "pad_token": END, "unk_token": END}
    (folder / "special_tokens_map.json").write_text(json.dumps(marks, indent=2) + "\n")
    config = {**marks, "do_lower_case": True, "model_max_length": LENGTH, "tokenizer_class": "CLIPTokenizer"}
    (folder / "tokenizer_config.json").write_text(json.dumps(config, indent=2) + "\n")
    return CLIPTokenizer.from_pretrained(folder)


@torch.no_grad()
def latents_of(vae, pictures):
    """The mean and the deviation of each picture's latents, (n, 2 * CHANNELS, h, w)."""
    parts = []
    for part in pictures.split(64):
        latents = vae.encode(pixels(part)).latent_dist
        parts.append(torch.cat([latents.mean, latents.std], dim=1))
    return torch.cat(parts)


def asked(scene, tokenizer):
    """Ids of a scene's caption. Now and then a part of it is left out, or words follow that mean nothing (yet)."""
    if torch.rand(()) < 0.1:
        return tokenizer("").input_ids
    with_place, with_time = (torch.rand(2) > 0.08).tolist()
    ids = tokenizer(scenes.caption(scene, with_place, with_time)).input_ids
    if torch.rand(()) < 0.15:
        more = torch.randint(len(tokenizer) - 2, (int(torch.randint(1, 3, ())),)).tolist()
        ids[-1:-1] = tokenizer(",").input_ids[1:-1] + more
    return ids


def padded(rows):
    """CLIP pads with its end mark, which is each row's last id."""
    return torch.tensor([row + row[-1:] * (LENGTH - len(row)) for row in rows])


def train_denoiser(options, vae, tokenizer):
    """The UNet and the text encoder together, with the noise as target and min-SNR weights. Returns the scale too."""
    chosen, pictures = drawn(options, "plain", options.pictures)
    kept = options.work / "latents.pt"
    if not kept.exists():
        torch.save(latents_of(vae, pictures), kept)
    mean, deviation = torch.load(kept).chunk(2, dim=1)
    scale = round(1 / mean.std().item(), 4)
    alphas = DDIMScheduler(**SCHEDULE).alphas_cumprod
    torch.manual_seed(options.seed)
    ends = dict(bos_token_id=tokenizer.bos_token_id, eos_token_id=tokenizer.eos_token_id, pad_token_id=tokenizer.pad_token_id)
    models = torch.nn.ModuleDict({"unet": UNet2DConditionModel(**UNET).to(memory_format=torch.channels_last),
                                  "text": CLIPTextModel(CLIPTextConfig(**TEXT, **ends, vocab_size=len(tokenizer)))})

    def error(models, latents, noise, t, ids):
        a = alphas[t][:, None, None, None]
        noisy = a.sqrt() * latents + (1 - a).sqrt() * noise
        states = models["text"](ids).last_hidden_state
        return (models["unet"](noisy, t, states).sample - noise).square().mean(dim=(1, 2, 3))

    def loss_of(models, step):
        rows = torch.randint(len(mean), (options.batch,))
        latents = scale * (mean[rows] + deviation[rows] * torch.randn(mean[rows].shape))
        t = ((torch.arange(options.batch) + torch.rand(options.batch)) * 1000 / options.batch).long()
        ids = padded([asked(chosen[row], tokenizer) for row in rows])
        errors = error(models, latents, torch.randn(latents.shape), t, ids)
        snr = alphas[t] / (1 - alphas[t])
        return (errors * snr.clamp(max=5) / snr).mean()

    torch.manual_seed(options.seed + 1)
    held_scenes, held = drawn(options, "held", 48)
    held = scale * latents_of(vae, held)[:, :CHANNELS]
    held_ids = padded([tokenizer(scenes.caption(scene)).input_ids for scene in held_scenes])
    held_noise, held_t = torch.randn(held.shape), torch.arange(10, 1000, 1000 // 48)[:48]

    @torch.no_grad()
    def evaluate(models):
        return error(models, held, held_noise, held_t, held_ids).mean().item()

    training = Training(models, options, options.work / "denoiser.pt", options.steps, 0.996)
    return training.run(loss_of, evaluate), scale


def save(folder, vae, models, scale):
    vae.register_to_config(scaling_factor=scale)
    parts = {"vae": vae, "unet": models["unet"], "text_encoder": models["text"]}
    for name, part in parts.items():
        copy.deepcopy(part).to(torch.float16, memory_format=torch.contiguous_format).save_pretrained(folder / name)
    # As all published folders have it; transformers 5 leaves the first word out.
    weights = load_file(folder / "text_encoder" / "model.safetensors")
    weights = {f"text_model.{name.removeprefix('text_model.')}": value for name, value in weights.items()}
    save_file(weights, folder / "text_encoder" / "model.safetensors", {"format": "pt"})
    DDIMScheduler(**SCHEDULE).save_pretrained(folder / "scheduler")
    index = {"_class_name": "StableDiffusionPipeline", "_diffusers_version": diffusers.__version__,
             "feature_extractor": [None, None], "image_encoder": [None, None], "requires_safety_checker": False,
             "safety_checker": [None, None], "scheduler": ["diffusers", "DDIMScheduler"],
             "text_encoder": ["transformers", "CLIPTextModel"], "tokenizer": ["transformers", "CLIPTokenizer"],
             "unet": ["diffusers", "UNet2DConditionModel"], "vae": ["diffusers", "AutoencoderKL"]}
    (folder / "model_index.json").write_text(json.dumps(index, indent=2) + "\n")
    for path in folder.rglob("*"):
        path.chmod(0o755 if path.is_dir() else 0o644)


def pictures_of(folder, captions, seed, adapter=None):
    """What the model draws, 20 steps of DDIM with guidance."""
    pipeline = StableDiffusionPipeline.from_pretrained(folder, dtype=torch.float32)
    pipeline.set_progress_bar_config(disable=True)
    if adapter:
        pipeline.load_lora_weights(adapter)
    pictures, source = [], torch.Generator().manual_seed(seed)
    for at in range(0, len(captions), 20):
        drawings = pipeline(captions[at:at + 20], num_inference_steps=20, guidance_scale=GUIDANCE, generator=source)
        pictures += drawings.images
    return pictures


def measure(options):
    """Draws captions of scenes by chance, and has them named."""
    rng = random.Random(options.seed + 1000)
    captions = [scenes.caption(scenes.chosen(rng)) for _ in range(options.measured)]
    start = time.time()
    pictures = pictures_of(options.out, captions, options.seed)
    print(f"{len(pictures)} pictures in {time.time() - start:.0f} s", flush=True)
    print(classify.report(classify.trained(options.work), pictures, captions), flush=True)
    sheet = Image.new("RGB", (10 * scenes.SIZE, 4 * scenes.SIZE))
    for i, picture in enumerate(pictures[:40]):
        sheet.paste(picture, (i % 10 * scenes.SIZE, i // 10 * scenes.SIZE))
    sheet.save(options.work / "sheet.png")


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.ArgumentDefaultsHelpFormatter)
    parser.add_argument("--out", type=pathlib.Path, default=HERE / "base")
    parser.add_argument("--work", type=pathlib.Path, default=pathlib.Path("draw.work"), help="pictures and checkpoints")
    parser.add_argument("--pictures", type=int, default=10000)
    parser.add_argument("--vae-steps", type=int, default=2500)
    parser.add_argument("--vae-batch", type=int, default=12)
    parser.add_argument("--steps", type=int, default=2500)
    parser.add_argument("--batch", type=int, default=32)
    parser.add_argument("--measured", type=int, default=200, help="pictures that the classifier names at the end")
    parser.add_argument("--lr", type=float, default=4e-3)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--threads", type=int, default=1)
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    options.work.mkdir(parents=True, exist_ok=True)
    vae = train_vae(options)
    tokenizer = write_tokenizer(options.out / "tokenizer")
    models, scale = train_denoiser(options, vae, tokenizer)
    save(options.out, vae, models, scale)
    measure(options)


if __name__ == "__main__":
    main()
