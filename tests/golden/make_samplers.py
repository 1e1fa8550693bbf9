#!/usr/bin/env python3
"""Writes schedules.jsonl and samplers.jsonl: what diffusers makes of scheduler configs, in training and in sampling.

    pip install torch==2.13.0 diffusers==0.42.1
    python3 make_samplers.py

The model and the noise are functions that tests/unit/test_samplers.c has too, so that the files need only hold results. A line of
schedules.jsonl is a config with, at some timesteps t: the numbers of the schedule, and a noised sample, its target and its weight. A line of
samplers.jsonl is a config, a sampler by its class, a number of steps, and the sample after each call of the model.
"""

import json
import math
import os

import diffusers
import numpy as np
import torch
from diffusers.schedulers import scheduling_ddpm, scheduling_dpmsolver_multistep, scheduling_euler_ancestral_discrete
from diffusers.schedulers import scheduling_flow_match_euler_discrete
from diffusers.training_utils import compute_snr

HERE = os.path.dirname(os.path.abspath(__file__))
N = 8
GAMMA = 5.0

SD = {"beta_start": 0.00085, "beta_end": 0.012, "beta_schedule": "scaled_linear", "num_train_timesteps": 1000, "trained_betas": None}
SD1 = {"_class_name": "PNDMScheduler", **SD, "set_alpha_to_one": False, "skip_prk_steps": True, "steps_offset": 1, "clip_sample": False}
SD2_V = {"_class_name": "DDIMScheduler", **SD, "set_alpha_to_one": False, "skip_prk_steps": True, "steps_offset": 1, "clip_sample": False,
         "prediction_type": "v_prediction"}
SDXL = {"_class_name": "EulerDiscreteScheduler", **SD, "clip_sample": False, "interpolation_type": "linear", "prediction_type": "epsilon",
        "sample_max_value": 1.0, "set_alpha_to_one": False, "skip_prk_steps": True, "steps_offset": 1, "timestep_spacing": "leading",
        "use_karras_sigmas": False}
CIFAR = {"_class_name": "DDPMScheduler", "beta_start": 0.0001, "beta_end": 0.02, "beta_schedule": "linear", "clip_sample": True,
         "num_train_timesteps": 1000, "trained_betas": None, "variance_type": "fixed_large"}
DIT = {"_class_name": "DDIMScheduler", "beta_start": 0.0001, "beta_end": 0.02, "beta_schedule": "linear", "clip_sample": False,
       "num_train_timesteps": 1000, "prediction_type": "epsilon", "set_alpha_to_one": True, "steps_offset": 0, "trained_betas": None}
SD3 = {"_class_name": "FlowMatchEulerDiscreteScheduler", "num_train_timesteps": 1000, "shift": 3.0}
COSINE = {"_class_name": "DDPMScheduler", "beta_schedule": "squaredcos_cap_v2", "prediction_type": "sample", "num_train_timesteps": 500}
BETAS = {"_class_name": "DDPMScheduler", "num_train_timesteps": 12, "trained_betas": [0.01 * (i + 1) for i in range(12)]}
ZERO = {**SD2_V, "rescale_betas_zero_snr": True, "timestep_spacing": "trailing"}

BASES = {"sd1": SD1, "sd2_v": SD2_V, "sdxl": SDXL, "cifar": CIFAR, "dit": DIT, "zero_snr": ZERO}
CLASSES = ["DDIMScheduler", "DDPMScheduler", "PNDMScheduler", "EulerDiscreteScheduler", "EulerAncestralDiscreteScheduler",
           "DPMSolverMultistepScheduler"]
EULER, DPM, FLOW = "EulerDiscreteScheduler", "DPMSolverMultistepScheduler", "FlowMatchEulerDiscreteScheduler"
SPACED = [{"timestep_spacing": spacing} for spacing in ("linspace", "leading", "trailing")]

# Beside each base with each class: sampler, config. Of 10 steps only.
OTHERS = [(name, {**SD1, **spacing}) for name in CLASSES for spacing in SPACED]
OTHERS += [("DDIMScheduler", {**CIFAR, "clip_sample_range": 0.7, "prediction_type": "sample"}), ("DDIMScheduler", COSINE)]
OTHERS += [("DDPMScheduler", {**CIFAR, "variance_type": kind}) for kind in ("fixed_small", "fixed_small_log", "learned_range")]
OTHERS += [("DDPMScheduler", {**DIT, "variance_type": "learned_range", "timestep_spacing": "trailing"}), ("DDPMScheduler", COSINE)]
OTHERS += [(name, {**SDXL, "use_karras_sigmas": True}) for name in (EULER, DPM)]
OTHERS += [(name, {**SDXL, "use_exponential_sigmas": True, "timestep_spacing": "trailing"}) for name in (EULER, DPM)]
OTHERS += [(name, {**SD2_V, "use_karras_sigmas": True, "sigma_min": 0.05, "sigma_max": 12.0}) for name in (EULER, DPM)]
OTHERS += [(name, {**SD1, "final_sigmas_type": "sigma_min"}) for name in (EULER, DPM)]
OTHERS += [(name, {**COSINE, "use_karras_sigmas": True}) for name in (EULER, DPM)]
OTHERS += [(DPM, {**SD1, "solver_order": 1}), (DPM, {**SD1, "solver_type": "heun"}), (DPM, {**SD1, "euler_at_final": True})]
OTHERS += [(DPM, {**SD1, "lower_order_final": False, "final_sigmas_type": "sigma_min"}), (DPM, {**DIT, "solver_type": "bh2"})]
OTHERS += [(DPM, {**SD1, "algorithm_type": "sde-dpmsolver++"}), (DPM, {**SD2_V, "algorithm_type": "sde-dpmsolver++", "solver_type": "heun"})]
OTHERS += [(DPM, {**COSINE, "lambda_min_clipped": -5.1, **spacing}) for spacing in SPACED]
OTHERS += [(FLOW, SD3), (FLOW, {**SD3, "shift": 1.0}), (FLOW, {**SD3, "shift_terminal": 0.1}), (FLOW, {**SD3, "stochastic_sampling": True})]
OTHERS += [(FLOW, {**SD3, "use_karras_sigmas": True}), (FLOW, {**SD3, "use_exponential_sigmas": True})]
OTHERS += [(name, {**BETAS, "skip_prk_steps": True}) for name in CLASSES]


def fake_noise(call: int, n: int) -> torch.Tensor:
    """Of -1 the noise from which a sample starts."""
    k = np.arange(1, n + 1, dtype=np.float64)
    return torch.from_numpy((1.4 * np.sin(12.9898 * (call + 2) + 78.233 * k)).astype(np.float32))


def fake_model(x: torch.Tensor, t: float, n: int) -> torch.Tensor:
    """n numbers, which repeat x if there are more of them."""
    k = np.arange(n, dtype=np.float64)
    x = np.resize(x.numpy().astype(np.float64), n)
    return torch.from_numpy((0.7 * np.sin(1.3 * x + 0.002 * t + 0.5 * k) + 0.3 * np.sin(0.1 * x)).astype(np.float32))


calls = 0


def given_noise(shape, **_):
    return fake_noise(calls, N).reshape(shape)


for module in (scheduling_ddpm, scheduling_dpmsolver_multistep, scheduling_euler_ancestral_discrete, scheduling_flow_match_euler_discrete):
    module.randn_tensor = given_noise


def short(numbers) -> list:
    return [float(f"{x:.9g}") for x in np.asarray(numbers, dtype=np.float32).reshape(-1).tolist()]


def run(name: str, config: dict, n_steps: int) -> dict:
    global calls
    scheduler = getattr(diffusers, name).from_config(config)
    learned = scheduler.config.get("variance_type") == "learned_range" and name == "DDPMScheduler"
    scheduler.set_timesteps(n_steps)
    if hasattr(scheduler, "set_begin_index"):  # where the first timestep comes twice, it would begin at the second
        scheduler.set_begin_index(0)
    first = float(getattr(scheduler, "init_noise_sigma", 1))
    sample = (fake_noise(-1, N) * first).reshape(1, N, 1, 1).float()
    samples = []
    for calls, t in enumerate(scheduler.timesteps):
        x = scheduler.scale_model_input(sample, t) if hasattr(scheduler, "scale_model_input") else sample
        n = 2 * N if learned else N
        prediction = fake_model(x.reshape(-1), float(t), n).reshape(1, n, 1, 1)
        sample = scheduler.step(prediction, t, sample).prev_sample
        samples.append(short(sample))
        assert torch.isfinite(sample).all(), (name, config)
    return {"sampler": name, "steps": n_steps, "learned_variance": learned, "config": config, "timesteps": short(scheduler.timesteps),
            "init_noise_sigma": first, "samples": samples}


def weight(scheduler, t: torch.Tensor) -> float:
    """As diffusers' train_text_to_image.py."""
    snr = compute_snr(scheduler, t)
    least = torch.stack([snr, GAMMA * torch.ones_like(t)], dim=1).min(dim=1)[0]
    kind = scheduler.config.prediction_type
    return (least / snr if kind == "epsilon" else least / (snr + 1)).item()


def diffusion_at(scheduler, t: int) -> dict:
    sample, noise, at = fake_noise(-1, N)[None], fake_noise(0, N)[None], torch.tensor([t])
    kind = scheduler.config.prediction_type
    target = {"epsilon": noise, "sample": sample, "v_prediction": scheduler.get_velocity(sample, noise, at)}[kind]
    out = {"t": t, "timestep": float(t), "alpha_bar": float(scheduler.alphas_cumprod[t]), "snr": compute_snr(scheduler, at).item(),
           "noised": short(scheduler.add_noise(sample, noise, at)), "target": short(target)}
    if kind != "sample":
        out["weight"] = weight(scheduler, at)
    return out


def flow_at(scheduler, t: int) -> dict:
    sample, noise = fake_noise(-1, N), fake_noise(0, N)
    index = len(scheduler.sigmas) - 1 - t  # its first is the largest
    timestep = scheduler.timesteps[index]
    noised = scheduler.scale_noise(sample[None], timestep[None], noise[None])
    return {"t": t, "timestep": float(timestep), "noised": short(noised), "target": short(noise - sample)}


def schedule(config: dict) -> dict:
    flow = config["_class_name"] == FLOW
    scheduler = (getattr(diffusers, FLOW) if flow else diffusers.DDPMScheduler).from_config(config)
    n = scheduler.config.num_train_timesteps
    at = sorted({0, 1, n // 10, n // 3, n // 2, 3 * n // 4, n - 2, n - 1})
    rows = [flow_at(scheduler, t) if flow else diffusion_at(scheduler, t) for t in at]
    return {"config": config, "gamma": GAMMA, "at": rows}


def write(name: str, cases: list) -> None:
    with open(os.path.join(HERE, name), "w", encoding="utf-8") as file:
        for case in cases:
            file.write(json.dumps(case) + "\n")


def main():
    diffusers.utils.logging.set_verbosity_error()
    write("schedules.jsonl", [schedule(c) for c in (*BASES.values(), SD3, {**SD3, "shift": 1.0}, COSINE, BETAS)])
    cases = []
    for key, base in BASES.items():
        for name in CLASSES:
            if key == "zero_snr" and name == "PNDMScheduler":  # does not know it
                continue
            config = {"skip_prk_steps": True, **base}
            cases += [run(name, config, n_steps) for n_steps in (10, 25)]
    cases += [run(FLOW, SD3, 25)]
    cases += [run(name, config, 10) for name, config in OTHERS]
    cases += [run(name, {"_class_name": "PNDMScheduler", **SD, "skip_prk_steps": True}, n) for name in CLASSES for n in (1, 2)]
    write("samplers.jsonl", cases)


if __name__ == "__main__":
    main()
