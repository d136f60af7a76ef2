"""What a page calls the settings of a run and the facts of its machine: words of the field."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

# Each field of a training configuration, with its unit
SETTINGS: Mapping[str, str] = {
    "arch": "architecture",
    "init_size": "first level, px",
    "max_size": "largest level, px",
    "phase": "fade-in of each level, images",
    "kimg": "length of training, kimg",
    "batch": "batch, images per step",
    "lr": "learning rate",
    "sched": "learning rate and batch by level",
    "mixing": "style mixing",
    "flip": "random left-right flips",
    "capacity": "width of the networks, times the paper's",
    "latent_dim": "size of z and w",
    "mapping_depth": "layers from z to w",
    "channel_base": "channels times resolution (stylegan2)",
    "channel_max": "largest number of channels (stylegan2)",
    "clamp": "limit of activations in float32 (0: none)",
    "blur_bias": "bias before the blur",
    "wavelets": "critic sees wavelet bands (fastgan)",
    "channels": "channels of an image",
    "critic": "critic",
    "critic_features": "critic's feature network",
    "features_digest": "SHA-256 of the feature network's weights",
    "features_licence": "licence of the feature network's weights",
    "loss": "loss",
    "n_critic": "critic steps per generator step",
    "share_fakes": "one batch of fakes for both networks",
    "gp_weight": "weight (gamma) of the gradient penalty",
    "freeze_critic": "frozen levels of the critic",
    "penalty_every": "steps per gradient penalty",
    "drift": "weight of the drift term (wgan-gp)",
    "clip": "limit of the critic's weights (wgan-clip)",
    "path_weight": "weight of the path length penalty",
    "path_every": "generator steps per path length penalty",
    "augment": "augmentation before the critic",
    "augment_p": "probability of augmentation (ada: at the start)",
    "augment_kinds": "kinds of augmentation",
    "ada_target": "ada's target, mean sign of real scores",
    "ada_kimg": "ada's shortest way from 0 to 1, kimg",
    "ema_kimg": "half-life of the EMA, kimg",
    "precision": "precision",
    "layout": "memory layout on a CPU",
    "seed": "seed",
    "schedule": "schedule from a file",
    "conditions": "conditions",
    "missing": "slices that lack a label",
    "channel_names": "names of the channels",
    "pixel_mm": "pixel at the largest level, mm",
    "scan_mm": "first to last slice of a scan, mm",
}

# What else a run records of itself
MACHINE: Mapping[str, str] = {
    "levels": "levels",
    "data_digest": "digest of the training slices and their labels",
    "store_digest": "digest of the store",
    "processes": "processes",
    "threads": "CPU threads of each process",
    "mrigan": "mrigan",
    "torch": "PyTorch",
    "python": "Python",
    "system": "system",
    "device": "device",
    "cpu_capability": "vector instructions of the CPU",
    "cuda": "CUDA",
    "gpu": "GPU",
    "gpu_memory": "memory of the GPU, bytes",
}


def say_name(name: str) -> str:
    """A setting or fact as the field calls it; one of another version by its own name."""
    return SETTINGS.get(name) or MACHINE.get(name) or words(name)


def words(name: str) -> str:
    """A file's or key's name as people read it: 'real_score' -> 'real score'."""
    return name.replace("-", " ").replace("_", " ")


def flatten(facts: Mapping[str, Any]) -> dict[str, Any]:
    """Facts without the one level of nesting that `environment` has."""
    inner = facts.get("environment")
    flat = {name: value for name, value in facts.items() if name != "environment"}
    return flat | (inner if isinstance(inner, dict) else {})
