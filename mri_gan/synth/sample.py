"""Images from a trained generator, each a function of its own seed and nothing else."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from mri_gan.checkpoint import find_checkpoint, load_checkpoint
from mri_gan.config import LEVELS, TrainConfig
from mri_gan.errors import DataError, UsageError
from mri_gan.nets.build import build_generator
from mri_gan.nets.protocol import GeneratorNet
from mri_gan.nets.styles import broadcast_styles, mix_styles, noise_from_seeds, truncate

BATCH = 16


@dataclass(frozen=True)
class Trained:
    """A generator ready to draw, and how far its training had come."""

    generator: GeneratorNet
    config: TrainConfig
    nimg: int
    size: int  # px, the largest resolution that has been trained
    alpha: float  # fade-in weight at that resolution
    path: Path


def load_trained(path: Path, device: torch.device | str = "cpu") -> Trained:
    """The EMA generator of a checkpoint file, or of the newest one in a run folder.

    Raises DataError when there is none or its weights do not fit its configuration.
    """
    path = find_checkpoint(path)
    checkpoint = load_checkpoint(path, device)
    generator = build_generator(checkpoint.config.model).to(device)
    try:
        generator.load_state_dict(checkpoint.state["g_ema"])
    except (KeyError, RuntimeError) as error:
        raise DataError(f"{path}: holds no generator of its own shape", "use another") from error
    generator.requires_grad_(False).eval()
    return Trained(
        generator,
        checkpoint.config,
        checkpoint.nimg,
        checkpoint.resolution,
        checkpoint.alpha,
        path,
    )


def alpha_for(trained: Trained, size: int) -> float:
    """The fade-in weight to draw a size with: in force for the newest, full for lower ones.

    Raises UsageError, naming the sizes there are, for one that has not been trained.
    """
    reached = [level for level in LEVELS if trained.config.init_size <= level <= trained.size]
    if size not in reached:
        raise UsageError(
            f"{trained.path}: has not been trained at {size} px",
            f"choose --size from {', '.join(map(str, reached))}, or train on",
        )
    return trained.alpha if size == trained.size else 1.0


def latents(seeds: Sequence[int], latent_dim: int, device: torch.device | str) -> Tensor:
    """One z for each seed [N, D], independent of the other seeds and of the device."""
    rows = [torch.randn(latent_dim, generator=torch.Generator().manual_seed(s)) for s in seeds]
    return torch.stack(rows).to(device)


@torch.no_grad()
def styles(generator: GeneratorNet, seeds: Sequence[int], psi: float) -> Tensor:
    """Truncated w for each seed [N, D]."""
    z = latents(seeds, generator.latent_dim, generator.w_avg.device)
    return truncate(generator.map(z), generator.w_avg, psi)


@dataclass(frozen=True)
class Look:
    """How to draw: resolution in px, fade-in weight, truncation, and strength of the noise.

    `noise` 1 is as trained, 0 none: a young network draws grain with its noise before it has
    learned texture, and shows its anatomy better without.
    """

    size: int
    alpha: float = 1.0
    psi: float = 0.7
    noise: float = 1.0


@torch.no_grad()
def draw(generator: GeneratorNet, ws: Tensor, noise_seeds: Sequence[int], look: Look) -> Tensor:
    """Images [N, C, size, size], about -1..1, on the CPU; ws [N, L, D], one noise seed each."""
    drawn = []
    shapes = generator.noise_shapes(1, look.size)
    for i in range(0, len(ws), BATCH):
        noise = noise_from_seeds(noise_seeds[i : i + BATCH], shapes, device=ws.device)
        images = generator.synthesis(
            ws[i : i + BATCH],
            resolution=look.size,
            alpha=look.alpha,
            noise=[look.noise * layer for layer in noise] if look.noise else None,
        )
        drawn.append(images.cpu())
    return torch.cat(drawn)


def draw_seeds(generator: GeneratorNet, seeds: Sequence[int], look: Look) -> Tensor:
    """One image for each seed [N, C, size, size]."""
    ws = broadcast_styles(styles(generator, seeds, look.psi), generator.num_layers(look.size))
    return draw(generator, ws, seeds, look)


def default_crossover(layers: int) -> int:
    """Three quarters of the layers are structure, the last quarter contrast and detail."""
    return max(1, 3 * layers // 4)


def draw_mixed(
    generator: GeneratorNet,
    coarse_seeds: Sequence[int],
    fine_seeds: Sequence[int],
    look: Look,
    crossover: int | None = None,
) -> Tensor:
    """All pairs: coarse styles of one seed, fine styles of another.

    [R * C, channels, size, size], row by row: rows are fine seeds, columns coarse seeds. Layers
    before `crossover` are coarse (Karras 2019, section 3.1, figure 3).
    """
    layers = generator.num_layers(look.size)
    crossover = default_crossover(layers) if crossover is None else crossover
    coarse = styles(generator, coarse_seeds, look.psi).repeat(len(fine_seeds), 1)
    fine = styles(generator, fine_seeds, look.psi).repeat_interleave(len(coarse_seeds), 0)
    ws = mix_styles(coarse, fine, crossover, layers)
    return draw(generator, ws, list(coarse_seeds) * len(fine_seeds), look)
