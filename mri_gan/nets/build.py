"""From a ModelConfig to untrained networks."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

from mri_gan.config import ModelConfig
from mri_gan.errors import UsageError
from mri_gan.nets import stylegan, stylegan2, stylegan2_critic
from mri_gan.nets.protocol import CriticNet, GeneratorNet

T = TypeVar("T")
Builders = dict[str, Callable[[ModelConfig], T]]


def build_generator(model: ModelConfig) -> GeneratorNet:
    """An untrained generator of this shape."""
    return _pick(GENERATORS, model)(model)


def build_critic(model: ModelConfig) -> CriticNet:
    """An untrained critic of this shape."""
    return _pick(CRITICS, model)(model)


def _pick(builders: Builders[T], model: ModelConfig) -> Callable[[ModelConfig], T]:
    if model.arch not in builders:
        raise UsageError(f"--arch {model.arch}", f"choose one of {tuple(builders)}")
    return builders[model.arch]


def _stylegan_generator(model: ModelConfig) -> GeneratorNet:
    return stylegan.Generator(
        max_resolution=model.max_size,
        image_channels=model.channels,
        capacity=model.capacity,
        latent_dim=model.latent_dim,
        mapping_depth=model.mapping_depth,
        condition_dim=model.condition_dim,
    )


def _stylegan_critic(model: ModelConfig) -> CriticNet:
    return stylegan.Critic(
        max_resolution=model.max_size,
        image_channels=model.channels,
        capacity=model.capacity,
        condition_dim=model.condition_dim,
    )


def _stylegan2_generator(model: ModelConfig) -> GeneratorNet:
    return stylegan2.Generator(
        max_resolution=model.max_size,
        image_channels=model.channels,
        capacity=model.capacity,
        channel_base=model.channel_base or stylegan2.CHANNEL_BASE,
        channel_max=model.channel_max,
        latent_dim=model.latent_dim,
        mapping_depth=model.mapping_depth,
        condition_dim=model.condition_dim,
        clamp=model.clamp,
    )


def _stylegan2_critic(model: ModelConfig) -> CriticNet:
    return stylegan2_critic.Critic(
        max_resolution=model.max_size,
        image_channels=model.channels,
        capacity=model.capacity,
        channel_base=model.channel_base or stylegan2.CHANNEL_BASE,
        channel_max=model.channel_max,
        condition_dim=model.condition_dim,
        clamp=model.clamp,
    )


GENERATORS: Builders[GeneratorNet] = {
    "stylegan": _stylegan_generator,
    "stylegan2": _stylegan2_generator,
}
CRITICS: Builders[CriticNet] = {"stylegan": _stylegan_critic, "stylegan2": _stylegan2_critic}
