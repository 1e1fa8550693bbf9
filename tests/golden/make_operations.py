#!/usr/bin/env python3
"""Writes operations.safetensors: what PyTorch and diffusers compute with single operations of a diffusion model.

    pip install torch==2.13.0 diffusers==0.42.1 safetensors
    python3 make_operations.py

Each case has its inputs, its output "CASE.y" and the gradients "CASE.d_INPUT" of sum(y * dy), dy given as "CASE.dy". They are
computed in float64 from float32 numbers and rounded, except of `sinusoids`, which diffusers rounds on its way. Maps are stored
as the program has them, (C, B H W).
"""

import os

import numpy as np
import torch
import torch.nn.functional as F
from diffusers.models.embeddings import get_timestep_embedding
from safetensors.numpy import save_file

HERE = os.path.dirname(os.path.abspath(__file__))
out = {}


def draw(*shape, shift=0.0):
    return (torch.randn(*shape, generator=generator, dtype=torch.float32) + shift).double().requires_grad_()


def stored(x):
    x = x.detach()
    if x.dim() == 4:
        x = x.permute(1, 0, 2, 3).reshape(x.shape[1], -1)
    return np.ascontiguousarray(x.float().numpy())


def record(case, inputs, y):
    dy = torch.randn(y.shape, generator=generator, dtype=torch.float32).double()
    trained = {name: x for name, x in inputs.items() if name not in FROZEN}
    gradients = torch.autograd.grad((y * dy).sum(), list(trained.values()), retain_graph=True)
    for name, x in inputs.items():
        out[f"{case}.{name}"] = stored(x)
    for name, x in zip(trained, gradients):
        out[f"{case}.d_{name}"] = stored(x)
    out[f"{case}.y"], out[f"{case}.dy"] = stored(y), stored(dy)


FROZEN = ("weight", "bias")
generator = torch.Generator().manual_seed(0)

for case, (n, c, groups, h, w, shift) in {
    "group_norm": (3, 12, 4, 5, 7, 0.5),
    "group_norm_large": (1, 2, 1, 41, 53, 20.0),  # several pieces of a run, and a mean far from 0
    "group_norm_pixel": (2, 20, 2, 1, 1, 0.0),
}.items():
    x, weight, bias = draw(n, c, h, w, shift=shift), draw(c), draw(c)
    y = F.group_norm(x, groups, weight, bias, 1e-6)
    if case != "group_norm_large":
        record(case, dict(x=x, weight=weight, bias=bias), y)
    record(case + "_silu", dict(x=x, weight=weight, bias=bias), F.silu(y))

for case, (n, c, d, h, w, size, stride, before, after) in {
    "convolution": (3, 5, 19, 7, 6, 3, 1, (1, 1), (1, 1)),
    "convolution_down": (2, 4, 7, 8, 6, 3, 2, (0, 0), (1, 1)),  # the VAE's
    "convolution_down_odd": (2, 4, 7, 9, 5, 3, 2, (0, 0), (1, 1)),
    "convolution_point": (2, 9, 35, 5, 7, 1, 1, (0, 0), (0, 0)),
}.items():
    x, weight, bias = draw(n, c, h, w), draw(d, c, size, size), draw(d)
    y = F.conv2d(F.pad(x, (before[1], after[1], before[0], after[0])), weight, bias, stride)
    flat = weight.reshape(d, -1)
    if case == "convolution":
        record(case, dict(x=x, weight=flat, bias=bias), y)
    residual = draw(*y.shape)
    record(case + "_plus", dict(x=x, weight=flat, bias=bias, residual=residual), y + residual)

x = draw(2, 21, 5, 7)
record("rows_of_maps", dict(x=x), x.permute(0, 2, 3, 1).reshape(-1, 21))
x = draw(70, 37)
record("maps_of_rows", dict(x=x), x.reshape(2, 5, 7, 37).permute(0, 3, 1, 2))
x, residual = draw(64, 32), draw(2, 32, 4, 8)
record("maps_of_rows_plus", dict(x=x, residual=residual), x.reshape(2, 4, 8, 32).permute(0, 3, 1, 2) + residual)

for case, (h, w, h2, w2) in {"upsample": (5, 7, 10, 14), "upsample_odd": (4, 5, 7, 9), "upsample_far": (3, 2, 10, 7)}.items():
    x = draw(2, 3, h, w)
    record(case, dict(x=x), F.interpolate(x, size=(h2, w2), mode="nearest"))
sizes = [(i, o) for i in range(1, 49) for o in range(i, 2 * i + 2)]
out["nearest.sizes"] = np.array(sizes, dtype=np.int32)
out["nearest.sums"] = np.array(  # of the sources times 1, 2, 3, ...
    [
        int((F.interpolate(torch.arange(i, dtype=torch.float32)[None, None], size=o, mode="nearest")[0, 0].long() * torch.arange(1, o + 1)).sum())
        for i, o in sizes
    ],
    dtype=np.int32,
)
a, b = draw(2, 3, 4, 5), draw(2, 6, 4, 5)
record("join", dict(a=a, b=b), torch.cat([a, b], 1))
x, values = draw(3, 5, 7, 5), draw(3, 5)
record("add_channels", dict(x=x, values=values), x + values[:, :, None, None])

x = draw(9, 37)
with torch.no_grad():
    x *= 3
record("quick_gelu", dict(x=x), x * torch.sigmoid(1.702 * x))
x = draw(9, 2 * 37)
hidden, gate = x.chunk(2, dim=-1)
record("geglu", dict(x=x), hidden * F.gelu(gate))
record("swiglu", dict(x=x), F.silu(hidden) * gate)
record("multiply", dict(x=x), hidden * gate)
record("silu_view", dict(x=x), F.silu(gate))

times = torch.tensor([0, 1, 7, 250, 501, 999], dtype=torch.float32)
out["sinusoids.times"] = times.numpy()
for case, (width, flip, shift, scale) in {"unet": (320, True, 0, 1), "plain": (64, False, 1, 1), "odd": (33, True, 0, 2)}.items():
    out[f"sinusoids.{case}"] = get_timestep_embedding(times, width, flip, shift, scale).numpy()

x, target, weight = draw(3, 6, 5, 7), draw(3, 4, 5, 7), torch.tensor([0.5, 2.0, 1.25], dtype=torch.float64)
for case, w in {"weighted_error": weight, "error": torch.ones(3, dtype=torch.float64)}.items():
    loss = (w * ((x[:, :4] - target) ** 2).mean(dim=(1, 2, 3))).sum()
    out[f"{case}.x"], out[f"{case}.target"], out[f"{case}.weight"] = stored(x), stored(target), w.float().numpy()
    out[f"{case}.loss"] = np.array([loss.item()])
    out[f"{case}.d_x"] = stored(torch.autograd.grad(loss, x)[0])

x, table = draw(2 * 70, 19), draw(2, 3 * 19)  # more rows than are summed at a time
shift, scale, gate = table.chunk(3, dim=1)
rows = lambda v: v.repeat_interleave(70, dim=0)
record("modulate", dict(x=x, table=table), x * (1 + rows(scale)) + rows(shift))
residual = draw(2 * 70, 19)
record("gate", dict(x=x, table=table, residual=residual), residual + rows(gate) * x)

save_file(out, os.path.join(HERE, "operations.safetensors"))
