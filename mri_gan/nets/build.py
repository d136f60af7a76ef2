"""From a ModelConfig to untrained networks."""

from __future__ import annotations

from mri_gan.config import ModelConfig
from mri_gan.nets.stylegan import Critic, Generator


def build_generator(model: ModelConfig) -> Generator:
    """An untrained generator of this shape."""
    return Generator(
        max_resolution=model.max_size,
        image_channels=model.channels,
        capacity=model.capacity,
        latent_dim=model.latent_dim,
        mapping_depth=model.mapping_depth,
    )


def build_critic(model: ModelConfig) -> Critic:
    """An untrained critic of this shape."""
    return Critic(
        max_resolution=model.max_size, image_channels=model.channels, capacity=model.capacity
    )
