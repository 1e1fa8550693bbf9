"""Checkpoints of Stable Diffusion in one file: the names and shapes that the first program gives its tensors, for
published models and for tiny ones, and bytes that follow from a tensor's name alone.
"""
import json
import struct

import numpy as np

SIZES = {"F32": 4, "F16": 2, "I64": 8, "F8_E4M3": 1}

# width, multiples of it by level, resnets a level, layers of a transformer by level (0: no attention)
MODELS = {
    "sd1": dict(kind="sd1", dtype="F16", width=32, mult=[1, 2], units=1, depth=[1, 0], middle=1, linear=False,
                vae=dict(width=32, mult=[1, 2], units=1), texts=[dict(width=64, inner=128, layers=1, vocab=690, length=77)]),
    "sd2": dict(kind="sd2", dtype="F32", width=64, mult=[1, 2], units=1, depth=[1, 0], middle=1, linear=True,
                vae=dict(width=32, mult=[1, 1], units=1), texts=[dict(width=64, inner=96, layers=24, vocab=690, length=77)]),
    "sdxl": dict(kind="sdxl", dtype="F16", width=64, mult=[1, 2], units=1, depth=[0, 2], middle=2, linear=True,
                 vae=dict(width=32, mult=[1, 2, 2], units=1),
                 texts=[dict(width=64, inner=128, layers=2, vocab=690, length=77),
                        dict(width=128, inner=192, layers=2, vocab=690, length=77, projected=96)]),
}
KL = dict(width=128, mult=[1, 2, 4, 4], units=2)
CLIP_L = dict(width=768, inner=3072, layers=12, vocab=49408, length=77)
PUBLISHED = {
    "sd1": dict(kind="sd1", dtype="F8_E4M3", width=320, mult=[1, 2, 4, 4], units=2, depth=[1, 1, 1, 0], middle=1, linear=False,
                vae=KL, texts=[CLIP_L]),
    "sd2": dict(kind="sd2", dtype="F8_E4M3", width=320, mult=[1, 2, 4, 4], units=2, depth=[1, 1, 1, 0], middle=1, linear=True,
                vae=KL, texts=[dict(width=1024, inner=4096, layers=24, vocab=49408, length=77)]),
    "sdxl": dict(kind="sdxl", dtype="F8_E4M3", width=320, mult=[1, 2, 4], units=2, depth=[0, 2, 10], middle=10, linear=True,
                 vae=KL, texts=[CLIP_L, dict(width=1280, inner=5120, layers=32, vocab=49408, length=77, projected=1280)]),
}


class Shapes(dict):
    def norm(self, path, n):
        self[f"{path}.weight"] = [n]
        self[f"{path}.bias"] = [n]

    def linear(self, path, n_in, n_out, bias=True):
        self[f"{path}.weight"] = [n_out, n_in]
        if bias:
            self[f"{path}.bias"] = [n_out]

    def conv(self, path, n_in, n_out, kernel=3):
        self[f"{path}.weight"] = [n_out, n_in, kernel, kernel]
        self[f"{path}.bias"] = [n_out]


def unet(m, out):
    p, w = "model.diffusion_model", m["width"]
    wide, context = 4 * w, sum(t["width"] for t in m["texts"])

    def resnet(path, n_in, n_out):
        out.norm(f"{path}.in_layers.0", n_in)
        out.conv(f"{path}.in_layers.2", n_in, n_out)
        out.linear(f"{path}.emb_layers.1", wide, n_out)
        out.norm(f"{path}.out_layers.0", n_out)
        out.conv(f"{path}.out_layers.3", n_out, n_out)
        if n_in != n_out:
            out.conv(f"{path}.skip_connection", n_in, n_out, 1)

    def transformer(path, n, depth):
        project = out.linear if m["linear"] else (lambda at, a, b: out.conv(at, a, b, 1))
        out.norm(f"{path}.norm", n)
        project(f"{path}.proj_in", n, n)
        for i in range(depth):
            b = f"{path}.transformer_blocks.{i}"
            for name, states in (("attn1", n), ("attn2", context)):
                out.linear(f"{b}.{name}.to_q", n, n, False)
                out.linear(f"{b}.{name}.to_k", states, n, False)
                out.linear(f"{b}.{name}.to_v", states, n, False)
                out.linear(f"{b}.{name}.to_out.0", n, n)
            out.linear(f"{b}.ff.net.0.proj", n, 8 * n)
            out.linear(f"{b}.ff.net.2", 4 * n, n)
            for k in (1, 2, 3):
                out.norm(f"{b}.norm{k}", n)
        project(f"{path}.proj_out", n, n)

    out.linear(f"{p}.time_embed.0", w, wide)
    out.linear(f"{p}.time_embed.2", wide, wide)
    if m["kind"] == "sdxl":
        out.linear(f"{p}.label_emb.0.0", m["texts"][1]["projected"] + 6 * 256, wide)
        out.linear(f"{p}.label_emb.0.2", wide, wide)
    out.conv(f"{p}.input_blocks.0.0", 4, w)
    skips, at, step, last = [w], w, 1, len(m["mult"]) - 1
    for level, mult in enumerate(m["mult"]):
        for _ in range(m["units"]):
            resnet(f"{p}.input_blocks.{step}.0", at, w * mult)
            at = w * mult
            if m["depth"][level]:
                transformer(f"{p}.input_blocks.{step}.1", at, m["depth"][level])
            skips.append(at)
            step += 1
        if level != last:
            out.conv(f"{p}.input_blocks.{step}.0.op", at, at)
            skips.append(at)
            step += 1
    resnet(f"{p}.middle_block.0", at, at)
    transformer(f"{p}.middle_block.1", at, m["middle"])
    resnet(f"{p}.middle_block.2", at, at)
    step = 0
    for level in reversed(range(len(m["mult"]))):
        for k in range(m["units"] + 1):
            n = w * m["mult"][level]
            resnet(f"{p}.output_blocks.{step}.0", at + skips.pop(), n)
            at, inside = n, 1
            if m["depth"][level]:
                transformer(f"{p}.output_blocks.{step}.1", at, m["depth"][level])
                inside = 2
            if level and k == m["units"]:
                out.conv(f"{p}.output_blocks.{step}.{inside}.conv", at, at)
            step += 1
    out.norm(f"{p}.out.0", w)
    out.conv(f"{p}.out.2", w, 4)


def vae(m, out):
    v, p = m["vae"], "first_stage_model"

    def resnet(path, n_in, n_out):
        out.norm(f"{path}.norm1", n_in)
        out.conv(f"{path}.conv1", n_in, n_out)
        out.norm(f"{path}.norm2", n_out)
        out.conv(f"{path}.conv2", n_out, n_out)
        if n_in != n_out:
            out.conv(f"{path}.nin_shortcut", n_in, n_out, 1)

    def middle(path, n):
        resnet(f"{path}.block_1", n, n)
        out.norm(f"{path}.attn_1.norm", n)
        for name in ("q", "k", "v", "proj_out"):
            out.conv(f"{path}.attn_1.{name}", n, n, 1)
        resnet(f"{path}.block_2", n, n)

    widths = [v["width"] * k for k in v["mult"]]
    last, at = len(widths) - 1, widths[0]
    out.conv(f"{p}.encoder.conv_in", 3, at)
    for i, n in enumerate(widths):
        for k in range(v["units"]):
            resnet(f"{p}.encoder.down.{i}.block.{k}", at, n)
            at = n
        if i != last:
            out.conv(f"{p}.encoder.down.{i}.downsample.conv", at, at)
    middle(f"{p}.encoder.mid", at)
    out.norm(f"{p}.encoder.norm_out", at)
    out.conv(f"{p}.encoder.conv_out", at, 8)
    out.conv(f"{p}.decoder.conv_in", 4, at)
    middle(f"{p}.decoder.mid", at)
    for i in reversed(range(len(widths))):
        for k in range(v["units"] + 1):
            resnet(f"{p}.decoder.up.{i}.block.{k}", at, widths[i])
            at = widths[i]
        if i:
            out.conv(f"{p}.decoder.up.{i}.upsample.conv", at, at)
    out.norm(f"{p}.decoder.norm_out", at)
    out.conv(f"{p}.decoder.conv_out", at, 3)
    out.conv(f"{p}.quant_conv", 8, 8, 1)
    out.conv(f"{p}.post_quant_conv", 4, 4, 1)


def clip(t, p, out):
    n = t["width"]
    out[f"{p}.embeddings.token_embedding.weight"] = [t["vocab"], n]
    out[f"{p}.embeddings.position_embedding.weight"] = [t["length"], n]
    for i in range(t["layers"]):
        b = f"{p}.encoder.layers.{i}"
        for name in ("q_proj", "k_proj", "v_proj", "out_proj"):
            out.linear(f"{b}.self_attn.{name}", n, n)
        out.norm(f"{b}.layer_norm1", n)
        out.norm(f"{b}.layer_norm2", n)
        out.linear(f"{b}.mlp.fc1", n, t["inner"])
        out.linear(f"{b}.mlp.fc2", t["inner"], n)
    out.norm(f"{p}.final_layer_norm", n)


def open_clip(t, p, out):
    n = t["width"]
    out[f"{p}.token_embedding.weight"] = [t["vocab"], n]
    out[f"{p}.positional_embedding"] = [t["length"], n]
    for i in range(t["layers"]):
        b = f"{p}.transformer.resblocks.{i}"
        out[f"{b}.attn.in_proj_weight"] = [3 * n, n]
        out[f"{b}.attn.in_proj_bias"] = [3 * n]
        out.linear(f"{b}.attn.out_proj", n, n)
        out.norm(f"{b}.ln_1", n)
        out.norm(f"{b}.ln_2", n)
        out.linear(f"{b}.mlp.c_fc", n, t["inner"])
        out.linear(f"{b}.mlp.c_proj", t["inner"], n)
    out.norm(f"{p}.ln_final", n)
    out[f"{p}.text_projection"] = [n, t.get("projected", n)]
    out[f"{p}.logit_scale"] = []


def tensors(m):
    """name: (dtype, shape), with what such files hold besides the networks."""
    out = Shapes()
    unet(m, out)
    vae(m, out)
    extra = {"betas": ("F32", [10])}
    if m["kind"] == "sd1":
        clip(m["texts"][0], "cond_stage_model.transformer.text_model", out)
        extra["cond_stage_model.transformer.text_model.embeddings.position_ids"] = ("I64", [1, 77])
        extra["model_ema.diffusion_modelinput_blocks00weight"] = ("F32", [4])
    elif m["kind"] == "sd2":
        open_clip(m["texts"][0], "cond_stage_model.model", out)
    else:
        clip(m["texts"][0], "conditioner.embedders.0.transformer.text_model", out)
        extra["conditioner.embedders.0.transformer.text_model.embeddings.position_ids"] = ("I64", [1, 77])
        open_clip(m["texts"][1], "conditioner.embedders.1.model", out)
    return {**{name: (m["dtype"], shape) for name, shape in out.items()}, **extra}


def seed_of(name):
    """FNV-1a of 32 bits."""
    h = 2166136261
    for byte in name.encode():
        h = (h ^ byte) * 16777619 & 0xFFFFFFFF
    return h


def bytes_of(name, dtype, shape):
    n = SIZES[dtype] * int(np.prod(shape, dtype=np.int64))
    i = np.arange(n, dtype=np.uint64)
    return ((i * np.uint64(2654435761) + np.uint64(seed_of(name))) >> np.uint64(24)).astype(np.uint8)


def checksum(data):
    """The sum of (i + 1) byte_i, in 64 bits."""
    return int((np.arange(1, len(data) + 1, dtype=np.uint64) * data.astype(np.uint64)).sum(dtype=np.uint64))


def write(path, named, fill=True):
    """A safetensors file; without `fill` all bytes are zero and take no room."""
    header, at = {}, 0
    for name, (dtype, shape) in named.items():
        n = SIZES[dtype] * int(np.prod(shape, dtype=np.int64))
        header[name] = {"dtype": dtype, "shape": shape, "data_offsets": [at, at + n]}
        at += n
    text = json.dumps(header, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)
    with open(path, "wb") as file:
        file.write(struct.pack("<Q", len(text)) + text)
        if fill:
            for name, (dtype, shape) in named.items():
                file.write(bytes_of(name, dtype, shape).tobytes())
        else:
            file.truncate(8 + len(text) + at)
