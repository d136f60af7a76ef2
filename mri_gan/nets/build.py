"""From a ModelConfig to untrained networks."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

import torch

from mri_gan.config import FEATURE_CRITIC, ModelConfig
from mri_gan.errors import UsageError
from mri_gan.nets import dcgan, fastgan, feature_critic, progan, stylegan, stylegan2
from mri_gan.nets.protocol import CriticNet, GeneratorNet
from mri_gan.pretrained import load_pretrained

T = TypeVar("T")
Builders = dict[str, Callable[[ModelConfig], T]]


def build_generator(model: ModelConfig) -> GeneratorNet:
    """An untrained generator of this shape."""
    return GENERATORS[model.arch](model)


def build_critic(model: ModelConfig) -> CriticNet:
    """An untrained critic of this shape.

    Raises UsageError when it sees features of a network that is not installed, or that has other
    weights than the model was trained with.
    """
    if model.critic == "own":
        return CRITICS[model.arch](model)
    by_features = _feature_critic(model)
    if model.critic == "features":
        return by_features
    return feature_critic.JointCritic(CRITICS[model.arch](model), by_features)


def _feature_critic(model: ModelConfig) -> feature_critic.Critic:
    return feature_critic.Critic(
        load_pretrained(FEATURE_CRITIC, model.features_digest),
        max_resolution=model.max_size,
        image_channels=model.channels,
        condition_dim=model.condition_dim,
    )


def _common(model: ModelConfig) -> dict[str, Any]:
    """What every network is built from."""
    return {
        "max_resolution": model.max_size,
        "image_channels": model.channels,
        "capacity": model.capacity,
        "condition_dim": model.condition_dim,
    }


def _widths(model: ModelConfig) -> dict[str, Any]:
    """What both networks of StyleGAN2 take besides."""
    return {
        "channel_base": model.channel_base or stylegan2.CHANNEL_BASE,
        "channel_max": model.channel_max,
        "clamp": model.clamp,
    }


def _dcgan_generator(model: ModelConfig) -> GeneratorNet:
    return dcgan.Generator(**_common(model), latent_dim=model.latent_dim)


def _dcgan_critic(model: ModelConfig) -> CriticNet:
    return dcgan.Critic(**_common(model), norm=model.critic_norm)


def _progan_generator(model: ModelConfig) -> GeneratorNet:
    return progan.Generator(**_common(model), latent_dim=model.latent_dim)


def _progressive_critic(model: ModelConfig) -> CriticNet:
    return stylegan.Critic(**_common(model), blur=model.arch == "stylegan")


def _stylegan_generator(model: ModelConfig) -> GeneratorNet:
    return stylegan.Generator(
        **_common(model),
        latent_dim=model.latent_dim,
        mapping_depth=model.mapping_depth,
        blur_bias=model.blur_bias,
    )


def _stylegan2_generator(model: ModelConfig) -> GeneratorNet:
    return stylegan2.Generator(
        **_common(model),
        **_widths(model),
        latent_dim=model.latent_dim,
        mapping_depth=model.mapping_depth,
    )


def _fastgan_generator(model: ModelConfig) -> GeneratorNet:
    return fastgan.Generator(**_common(model), latent_dim=model.latent_dim)


def _pixel_critic(model: ModelConfig) -> CriticNet:
    return feature_critic.PixelCritic(
        max_resolution=model.max_size,
        image_channels=model.channels,
        condition_dim=model.condition_dim,
        wavelets=model.wavelets,
    )


def _stylegan2_critic(model: ModelConfig) -> CriticNet:
    return stylegan2.Critic(**_common(model), **_widths(model))


GENERATORS: Builders[GeneratorNet] = {
    "dcgan": _dcgan_generator,
    "progan": _progan_generator,
    "stylegan": _stylegan_generator,
    "stylegan2": _stylegan2_generator,
    "fastgan": _fastgan_generator,
}
CRITICS: Builders[CriticNet] = {
    "dcgan": _dcgan_critic,
    "progan": _progressive_critic,
    "stylegan": _progressive_critic,
    "stylegan2": _stylegan2_critic,
    "fastgan": _pixel_critic,
}


def pick_device(name: str, gpu: str = "0") -> str:
    """The torch device of a name; `auto` is GPU number `gpu` where there is one.

    Raises UsageError where this machine has no such device.
    """
    if name in ("auto", "cuda"):
        name = f"cuda:{gpu}" if name == "cuda" or torch.cuda.is_available() else "cpu"
    try:
        torch.empty(0, device=name)
    except (RuntimeError, AssertionError, NotImplementedError) as error:
        raise UsageError(f"--device {name} is not available here", "try --device cpu") from error
    return name


def pick_precision(name: str | None, device: str) -> str:
    """The precision of a name; `auto` is bf16 where the device is quick with it.

    None is `auto` on a GPU and float32 elsewhere.
    """
    on_gpu = device.startswith("cuda")
    name = name or ("auto" if on_gpu else "fp32")
    if name != "auto":
        return name
    if on_gpu:
        return "bf16" if torch.cuda.is_bf16_supported() else "fp32"
    asks = ("_is_avx512_bf16_supported", "_is_amx_tile_supported")  # not in every torch version
    fast = any(getattr(torch.cpu, ask, lambda: False)() for ask in asks)
    return "bf16" if fast else "fp32"
