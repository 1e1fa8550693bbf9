#!/usr/bin/env python3
"""Makes the golden diffusion models: tiny seeded diffusers folders, and what diffusers and PEFT compute with them.

    python3 make_diffusion.py [--out DIR] [--seed S] [--only NAME,...] [--samples]

Each case is a folder of diffusers with one file more, golden.safetensors: a batch (image, ids, timesteps, noise),
the autoencoder's moments and a picture decoded from latents, the text encoders' states, the prediction, the loss,
every gradient of a LoRA adapter, and 20 steps of AdamW. Every case depends on (seed, its name) alone.

samples.safetensors beside it has pictures that the pipelines of diffusers make from the folder, ten steps with each
scheduler: "<scheduler>.noise" (calls, c, h, w), what is drawn before the first call of the model and after each, and
"<scheduler>.pixels" (3, H, W) from 0 to 1. For texts the guidance is 5, the prompt "a red cat" and the negative prompt
"dog in the ink"; "none" is the case's own scheduler without a negative prompt, "plain" without guidance.
"""

import argparse
import json
import os
import shutil
import sys
import zlib

import torch
import diffusers
from diffusers import (AutoencoderKL, DDIMScheduler, DDPMPipeline, DDPMScheduler, DiTTransformer2DModel,
                       FlowMatchEulerDiscreteScheduler, UNet2DConditionModel, UNet2DModel)
from peft import LoraConfig, inject_adapter_in_model
from safetensors.torch import save_file
from transformers import CLIPTextConfig, CLIPTextModel, CLIPTextModelWithProjection, CLIPTokenizer

HERE = os.path.dirname(os.path.abspath(__file__))
STEPS, LR, RANK, ALPHA = 20, 5e-4, 3, 6
VOCAB, LENGTH, END = 40, 9, 39
START_TEXT, END_TEXT = "<|startoftext|>", "<|endoftext|>"

VAE = dict(in_channels=3, out_channels=3, block_out_channels=(8, 12), layers_per_block=1, latent_channels=4,
           norm_num_groups=4, sample_size=16, down_block_types=("DownEncoderBlock2D",) * 2,
           up_block_types=("UpDecoderBlock2D",) * 2)
TEXT = dict(vocab_size=VOCAB, hidden_size=12, intermediate_size=20, num_hidden_layers=2, num_attention_heads=3,
            max_position_embeddings=LENGTH, bos_token_id=38, eos_token_id=END, pad_token_id=END)
UNET = dict(sample_size=8, in_channels=4, out_channels=4, layers_per_block=1, block_out_channels=(8, 16),
            norm_num_groups=4, cross_attention_dim=12, attention_head_dim=2,
            down_block_types=("CrossAttnDownBlock2D", "DownBlock2D"), up_block_types=("UpBlock2D", "CrossAttnUpBlock2D"))
PIXELS = dict(sample_size=8, in_channels=3, out_channels=3, layers_per_block=2, block_out_channels=(8, 12),
              norm_num_groups=4, attention_head_dim=4, down_block_types=("DownBlock2D", "AttnDownBlock2D"),
              up_block_types=("AttnUpBlock2D", "UpBlock2D"))
DIT = dict(num_attention_heads=2, attention_head_dim=8, in_channels=4, out_channels=8, num_layers=2, sample_size=6,
           num_embeds_ada_norm=5)
SCALED = dict(beta_start=0.00085, beta_end=0.012, beta_schedule="scaled_linear")
ATTENTION = ["to_q", "to_k", "to_v", "to_out.0"]

CASES = {
    "sd1": dict(pipeline="StableDiffusionPipeline", unet=UNET, vae=VAE,
                texts=[dict(TEXT, hidden_act="quick_gelu", eos_token_id=2)],
                scheduler=(DDIMScheduler, dict(SCALED, steps_offset=1, set_alpha_to_one=False, clip_sample=False)),
                targets=ATTENTION, size=(16, 16)),
    # odd sizes on the way down, old names in the autoencoder, a transformer over linear projections, v-prediction
    "sd2": dict(pipeline="StableDiffusionPipeline",
                unet=dict(UNET, use_linear_projection=True, attention_head_dim=[2, 4],
                          down_block_types=("CrossAttnDownBlock2D", "CrossAttnDownBlock2D"),
                          up_block_types=("CrossAttnUpBlock2D", "CrossAttnUpBlock2D")),
                vae=dict(VAE, scaling_factor=0.2), texts=[dict(TEXT, hidden_act="gelu")], old_names=True,
                scheduler=(DDIMScheduler, dict(SCALED, prediction_type="v_prediction")),
                targets=["to_q", "to_v", "proj_in", "conv1", "conv2", "conv_shortcut", "time_emb_proj", "ff.net.0.proj",
                         "linear_1"], size=(14, 18)),
    "sdxl": dict(pipeline="StableDiffusionXLPipeline",
                 unet=dict(UNET, use_linear_projection=True, attention_head_dim=[2, 4], cross_attention_dim=20,
                           transformer_layers_per_block=[1, 2], addition_embed_type="text_time",
                           addition_time_embed_dim=6, projection_class_embeddings_input_dim=36 + 10,
                           down_block_types=("DownBlock2D", "CrossAttnDownBlock2D"),
                           up_block_types=("CrossAttnUpBlock2D", "UpBlock2D")),
                 vae=dict(VAE, scaling_factor=0.13025), texts=[
                     dict(TEXT, hidden_act="quick_gelu"),
                     dict(TEXT, hidden_size=8, num_attention_heads=2, hidden_act="gelu", projection_dim=10)],
                 scheduler=(DDPMScheduler, dict(SCALED, clip_sample=False)), targets=ATTENTION,
                 text_targets=["q_proj", "out_proj"], size=(16, 24)),
    "ddpm": dict(pipeline="DDPMPipeline", unet=dict(PIXELS, downsample_padding=0, flip_sin_to_cos=False, freq_shift=1),
                 scheduler=(DDPMScheduler, {}), targets=["to_q", "to_out.0", "conv1", "downsamplers.0.conv", "conv_in"],
                 size=(8, 8)),
    "ddpm_classes": dict(pipeline="DDPMPipeline", unet=dict(PIXELS, num_class_embeds=5, attention_head_dim=None),
                         scheduler=(DDPMScheduler, dict(beta_schedule="squaredcos_cap_v2", prediction_type="sample")),
                         targets=["to_v", "conv2", "conv_out"], size=(8, 12)),
    # learned variances; 3 x 3 patches; the last class is none
    "dit": dict(pipeline="DiTPipeline", transformer=DIT, vae=VAE, scheduler=(DDIMScheduler, SCALED), targets=ATTENTION,
                size=(12, 12), classes=[4, 0, 5]),
    # flow matching; a size that is not the base's; every other module
    "dit_flow": dict(pipeline="DiTPipeline",
                     transformer=dict(DIT, out_channels=None, sample_size=8, attention_bias=False,
                                      activation_fn="gelu", norm_elementwise_affine=True, norm_eps=1e-6),
                     vae=dict(VAE, shift_factor=0.1), scheduler=(FlowMatchEulerDiscreteScheduler, dict(shift=3.0)),
                     targets=["to_k", "pos_embed.proj", "timestep_embedder.linear_1", "timestep_embedder.linear_2",
                              "norm1.linear", "ff.net.0.proj", "ff.net.2", "proj_out_1", "proj_out_2"],
                     size=(12, 12), spread=0.1),
}


def fill(model, gen):
    for name, p in model.named_parameters():
        noise = torch.randn(p.shape, generator=gen)
        if p.ndim == 1:
            p.data = 1 + 0.2 * noise if name.endswith("weight") else 0.2 * noise
        else:
            table = "embed" in name and not name.startswith("pos_embed") and "embedder.linear" not in name
            p.data = noise * (0.5 if table else 1.3 / (p[0].numel() ** 0.5))


def rename_old(folder):
    """The autoencoder's attention as old files have it, one of the layers as a convolution."""
    from safetensors.torch import load_file
    path = os.path.join(folder, "vae", "diffusion_pytorch_model.safetensors")
    weights = {}
    for name, w in load_file(path).items():
        if ".attentions.0." in name:
            for new, old in (("to_q", "query"), ("to_k", "key"), ("to_v", "value"), ("to_out.0", "proj_attn")):
                name = name.replace("." + new + ".", "." + old + ".")
        weights[name] = w[:, :, None, None] if name.endswith(("query.weight", "proj_attn.weight")) else w
    save_file(weights, path, {"format": "pt"})


def save(folder, case, parts):
    index = {"_class_name": case["pipeline"], "_diffusers_version": "0.42.1"}
    for name, part in parts.items():
        part.save_pretrained(os.path.join(folder, name))
        library = "transformers" if name.startswith("text") else "diffusers"
        index[name] = [library, type(part).__name__]
    for i in range(len(case.get("texts", []))):
        name = "tokenizer" + ("_2" if i else "")
        save_tokenizer(os.path.join(folder, name), 0 if i else END)
        index[name] = ["transformers", "CLIPTokenizer"]
    if "transformer" in case:
        index["id2label"] = {str(i): f"thing {i}" for i in range(case["transformer"]["num_embeds_ada_norm"])}
    with open(os.path.join(folder, "model_index.json"), "w") as f:
        json.dump(index, f, indent=2)
        f.write("\n")
    if case.get("old_names"):
        rename_old(folder)


def save_tokenizer(folder, padding):
    """CLIP's class with a vocabulary of 40: some letters, alone and at the end of a word, and a few merges. The padding, which
    is a token of its own wherever it stands in a text, is in no prompt."""
    letters = "uacdeghiknortbl"
    merges = ["c a", "ca t</w>", "d o", "do g</w>", "r e", "re d</w>", "i n", "in k</w>"]
    tokens = [*letters, *(c + "</w>" for c in letters), *(m.replace(" ", "") for m in merges), START_TEXT, END_TEXT]
    os.makedirs(folder)
    files = {"vocab.json": json.dumps({t: i for i, t in enumerate(tokens)}) + "\n",
             "merges.txt": "#version: 0.2\n" + "\n".join(merges) + "\n",
             "tokenizer_config.json": json.dumps({
                 "tokenizer_class": "CLIPTokenizer", "bos_token": START_TEXT, "eos_token": END_TEXT,
                 "unk_token": END_TEXT, "pad_token": tokens[padding], "model_max_length": LENGTH}, indent=2) + "\n"}
    for name, text in files.items():
        with open(os.path.join(folder, name), "w") as f:
            f.write(text)


def pad(ids, padding):
    return torch.tensor([row + [padding] * (LENGTH - len(row)) for row in ids])


def build(case, gen):
    if "transformer" in case:
        parts = {"transformer": DiTTransformer2DModel(**case["transformer"])}
    else:
        parts = {"unet": (UNet2DConditionModel if "vae" in case else UNet2DModel)(**case["unet"])}
    if "vae" in case:
        parts["vae"] = AutoencoderKL(**case["vae"])
    for i, text in enumerate(case.get("texts", [])):
        cls = CLIPTextModelWithProjection if i else CLIPTextModel
        parts["text_encoder" + ("_2" if i else "")] = cls(CLIPTextConfig(**text))
    for part in parts.values():
        fill(part, gen)
        part.eval().requires_grad_(False)
    cls, settings = case["scheduler"]
    parts["scheduler"] = cls(**settings)
    parts["scheduler"].register_to_config(skip_prk_steps=True)  # for PNDM, as the folders on the hub have it
    return parts


def add_lora(name, part, targets, gen, spread=0.3):
    config = LoraConfig(r=RANK, lora_alpha=ALPHA, target_modules=targets)
    inject_adapter_in_model(config, part)
    trained = {}
    for key, p in part.named_parameters():
        if ".lora_" not in key:
            continue
        module, which = key.split(".lora_")
        p.data = spread * torch.randn(p.shape, generator=gen)
        p.requires_grad_(True)
        if name.startswith("text") and not module.startswith("text_"):
            module = "text_model." + module  # files have it, whatever the version calls the module
        trained[f"{name}.{module}.{which[0]}"] = p
    return trained


def is_flow(scheduler):
    return isinstance(scheduler, FlowMatchEulerDiscreteScheduler)


def snr_weights(case, scheduler, t, gamma=5.0):
    if is_flow(scheduler):
        return torch.ones(len(t))
    alphas = scheduler.alphas_cumprod
    snr = alphas[t] / (1 - alphas[t])
    prediction = case["scheduler"][1].get("prediction_type", "epsilon")
    clipped = torch.minimum(snr, torch.full_like(snr, gamma))
    return {"epsilon": clipped / snr, "v_prediction": clipped / (snr + 1), "sample": clipped}[prediction]


def mix(case, scheduler, x, data):
    """The noised maps, the target, and the times as the model is told them."""
    times, noise = data["times"], data["noise"]
    if is_flow(scheduler):  # whose timesteps go down
        told = scheduler.timesteps.flip(0)[times]
        return scheduler.scale_noise(x, told, noise), noise - x, told
    noised = scheduler.add_noise(x, noise, times)
    prediction = case["scheduler"][1].get("prediction_type", "epsilon")
    target = {"epsilon": noise, "sample": x}.get(prediction)
    if target is None:
        target = scheduler.get_velocity(x, noise, times)
    return noised, target, times


def run(case, parts, data, record=None):
    """The loss; with `record` its parts go there."""
    denoiser = parts["transformer" if "transformer" in case else "unet"]
    x = data["image"]
    if "vae" in parts:
        moments = parts["vae"].encode(x).latent_dist.parameters
        mean, logvar = moments.chunk(2, 1)
        x = mean + torch.exp(0.5 * logvar.clamp(-30, 20)) * data["draw"]
        x = (x - (parts["vae"].config.shift_factor or 0)) * parts["vae"].config.scaling_factor
        if record is not None:
            record["moments"] = moments
            record["decoded"] = parts["vae"].decode(mean).sample
    noised, target, told = mix(case, parts["scheduler"], x, data)
    args = {}
    if "texts" in case:
        first = parts["text_encoder"](data["ids"], output_hidden_states=True)
        args["encoder_hidden_states"] = first[0]
        if len(case["texts"]) == 2:
            second = parts["text_encoder_2"](data["ids_2"], output_hidden_states=True)
            states = torch.cat([first.hidden_states[-2], second.hidden_states[-2]], -1)
            sizes = torch.tensor([[*case["size"], 0, 0, *case["size"]]] * len(x), dtype=torch.float32)
            args = dict(encoder_hidden_states=states,
                        added_cond_kwargs={"text_embeds": second[0], "time_ids": sizes})
            if record is not None:
                record["pooled"] = second[0]
    elif "transformer" in case or "num_class_embeds" in case["unet"]:
        args["class_labels"] = data["classes"]
    y = denoiser(noised, told, **args).sample
    if record is not None:
        record.update({"noised": noised, "prediction": y})
        if "encoder_hidden_states" in args:
            record["states"] = args["encoder_hidden_states"]
    per_image = ((y[:, :target.shape[1]] - target) ** 2).mean((1, 2, 3))
    return (per_image * data["weights"]).mean()


def make_data(case, gen, scheduler):
    h, w = case["size"]
    b, factor = 3, 2 if "vae" in case else 1
    channels = 4 if "vae" in case else 3
    latent = (b, channels, h // factor, w // factor)
    data = {"image": torch.rand(b, 3, h, w, generator=gen) * 2 - 1, "noise": torch.randn(latent, generator=gen),
            "times": torch.tensor([17, 481, 950]), "classes": torch.tensor(case.get("classes", [4, 0, 2]))}
    if factor == 2:
        data["draw"] = torch.randn(latent, generator=gen)
        ids = [[38, 5, 7, 9, END], [38, END], [38, *range(1, LENGTH - 1), END][:LENGTH]]
        data["ids"], data["ids_2"] = pad(ids, END), pad(ids, 0)
    data["weights"] = snr_weights(case, scheduler, data["times"])
    return data


def make(name, case, folder, seed):
    gen = torch.Generator().manual_seed(seed + zlib.crc32(name.encode()))
    torch.manual_seed(0)
    parts = build(case, gen)
    shutil.rmtree(folder, ignore_errors=True)
    save(folder, case, parts)
    data = make_data(case, gen, parts["scheduler"])
    golden = {k: v.to(torch.int32) if v.dtype == torch.int64 else v for k, v in data.items()}
    denoiser = "transformer" if "transformer" in case else "unet"
    trained = add_lora(denoiser, parts[denoiser], case["targets"], gen, case.get("spread", 0.3))
    for i in range(len(case.get("texts", [])) if "text_targets" in case else 0):
        part = "text_encoder" + ("_2" if i else "")
        trained.update(add_lora(part, parts[part], case["text_targets"], gen))
    for key, p in trained.items():
        golden["lora." + key] = p.data.clone()
    record = {}
    loss = run(case, parts, data, record)
    loss.backward()
    golden.update({k: v.detach() for k, v in record.items()})
    golden["loss"] = loss.detach().double().reshape(1)
    for key, p in trained.items():
        golden["grad." + key] = p.grad.clone() if p.grad is not None else torch.zeros_like(p)
    optimizer = torch.optim.AdamW(trained.values(), lr=LR, weight_decay=0.01)
    losses = []
    for _ in range(STEPS):
        optimizer.zero_grad()
        loss = run(case, parts, data)
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    golden["losses"] = torch.tensor(losses, dtype=torch.float64)
    for key, p in trained.items():
        golden["after." + key] = p.data.clone()
    save_file({k: v.contiguous().clone() for k, v in golden.items()}, os.path.join(folder, "golden.safetensors"))
    print(f"{name}: loss {losses[0]:.6f} to {losses[-1]:.6f}, {len(trained)} matrices")


SAMPLERS = {"ddim": "DDIMScheduler", "ddpm": "DDPMScheduler", "pndm": "PNDMScheduler", "euler": "EulerDiscreteScheduler",
            "euler_ancestral": "EulerAncestralDiscreteScheduler", "dpmsolver++": "DPMSolverMultistepScheduler"}
FLOW_SAMPLERS = {"flow": "FlowMatchEulerDiscreteScheduler"}
PROMPT, NEGATIVE, GUIDANCE, CALLS = "a red cat", "dog in the ink", 5.0, 10


class Draws:
    """Stands in for the schedulers' randn_tensor, and remembers what it gave."""

    def __init__(self, gen):
        self.gen, self.list = gen, []

    def __call__(self, shape, *args, **kwargs):
        self.list.append(torch.randn(shape, generator=self.gen))
        return self.list[-1]


def draw_from(draws):
    for name in SAMPLERS.values():
        module = sys.modules[getattr(diffusers, name).__module__]
        if hasattr(module, "randn_tensor"):
            module.randn_tensor = draws


def open_pipeline(folder, case, parts):
    """The pipeline of the parts; the autoencoder's old names are not for diffusers' own reader."""
    if "transformer" in case:
        return diffusers.DiTPipeline(**parts)
    if "texts" not in case:
        return DDPMPipeline(**parts)
    for name in list(parts):
        if name.startswith("text"):
            tokenizer = name.replace("text_encoder", "tokenizer")
            parts[tokenizer] = CLIPTokenizer.from_pretrained(os.path.join(folder, tokenizer))
    if case["pipeline"] == "StableDiffusionPipeline":
        parts.update(safety_checker=None, feature_extractor=None, requires_safety_checker=False)
    pipe = getattr(diffusers, case["pipeline"])(**parts)
    pipe.set_progress_bar_config(disable=True)
    return pipe


def sample_texts(pipe, case, draws, negative, guidance):
    h, w = 16, 24
    start = draws((1, 4, h // 2, w // 2))
    more = {"add_watermarker": False} if "XL" in case["pipeline"] else {}
    return pipe(PROMPT, negative_prompt=negative, guidance_scale=guidance, height=h, width=w, latents=start,
                num_inference_steps=CALLS, output_type="pt", **more).images[0]


def sample_pixels(pipe, case, draws):
    """As DDPMPipeline does it, with any scheduler, size and class."""
    scheduler = pipe.scheduler
    scheduler.set_timesteps(CALLS)
    x = draws((1, 3, *case["size"])) * scheduler.init_noise_sigma
    labels = {"class_labels": torch.tensor([3])} if "num_class_embeds" in case["unet"] else {}
    for t in scheduler.timesteps:
        y = pipe.unet(scheduler.scale_model_input(x, t), t, **labels).sample
        x = scheduler.step(y, t, x).prev_sample
    return (x / 2 + 0.5).clamp(0, 1)[0]


def sample_classes(pipe, case, draws):
    """As DiTPipeline does it, with any scheduler and size, and with the table's last class as none, which is 1000 there."""
    scheduler, vae = pipe.scheduler, pipe.vae.config
    scheduler.set_timesteps(CALLS)
    x = draws((1, 4, case["size"][0] // 2, case["size"][1] // 2)) * getattr(scheduler, "init_noise_sigma", 1)
    labels = torch.tensor([3, case["transformer"]["num_embeds_ada_norm"]])
    for t in scheduler.timesteps:
        both = torch.cat([x, x])
        both = scheduler.scale_model_input(both, t) if hasattr(scheduler, "scale_model_input") else both
        y = pipe.transformer(both, timestep=t.expand(2), class_labels=labels).sample[:, :4]
        x = scheduler.step(y[1:] + GUIDANCE * (y[:1] - y[1:]), t, x).prev_sample
    x = pipe.vae.decode(x / vae.scaling_factor + (vae.shift_factor or 0)).sample
    return (x / 2 + 0.5).clamp(0, 1)[0]


@torch.no_grad()
def make_samples(name, case, folder, seed):
    parts = build(case, torch.Generator().manual_seed(seed + zlib.crc32(name.encode())))
    gen = torch.Generator().manual_seed(seed + zlib.crc32(name.encode()) + 1)
    # As the folder has it, for in memory it says what is a default of its class; StableDiffusionPipeline sets clip_sample and steps_offset.
    parts["scheduler"] = case["scheduler"][0].from_pretrained(os.path.join(folder, "scheduler"))
    pipe = open_pipeline(folder, case, parts)
    own, samples = pipe.scheduler, {}
    samplers = FLOW_SAMPLERS if is_flow(own) else SAMPLERS
    runs = [(s, s, NEGATIVE, GUIDANCE) for s in samplers]
    if "texts" in case:
        runs += [("none", None, None, GUIDANCE), ("plain", None, None, 1.0)]
    for key, scheduler, negative, guidance in runs:
        if scheduler in ("pndm", "euler_ancestral") and case["scheduler"][1].get("prediction_type") == "sample":
            continue
        draws = Draws(gen)
        draw_from(draws)
        other = getattr(diffusers, samplers[scheduler]) if scheduler else type(own)
        pipe.scheduler = own if other is type(own) else other.from_config(own.config)
        if "texts" in case:
            pixels = sample_texts(pipe, case, draws, negative, guidance)
        else:
            pixels = (sample_classes if "transformer" in case else sample_pixels)(pipe, case, draws)
        samples[key + ".noise"], samples[key + ".pixels"] = torch.cat(draws.list), pixels
    save_file({k: v.float().contiguous().clone() for k, v in samples.items()}, os.path.join(folder, "samples.safetensors"))


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--out", default=os.path.join(HERE, "diffusion"))
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--only", default="")
    parser.add_argument("--samples", action="store_true", help="only samples.safetensors, of folders that are there")
    args = parser.parse_args()
    for name, case in CASES.items():
        if not args.only or name in args.only.split(","):
            if not args.samples:
                make(name, case, os.path.join(args.out, name), args.seed)
            make_samples(name, case, os.path.join(args.out, name), args.seed)


if __name__ == "__main__":
    main()
