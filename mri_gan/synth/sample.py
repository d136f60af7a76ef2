"""Images from a trained generator, each a function of its own seed and nothing else.

Convolutions and matrix products round differently with the number of rows in a batch, not with
what the other rows hold. So the networks always run on full batches of one fixed length for a
size, the last one filled up, and a seed gives the same bits in whatever company it is drawn (on
one machine, device and number of threads).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from mri_gan.checkpoint import digest, find_checkpoint, load_checkpoint
from mri_gan.conditions import Conditions
from mri_gan.config import LEVELS, TrainConfig
from mri_gan.errors import DataError, UsageError
from mri_gan.nets.build import build_generator
from mri_gan.nets.protocol import GeneratorNet
from mri_gan.nets.styles import broadcast_styles, noise_from_seeds, truncate

BATCH = 16  # images at once up to 128 px, fewer above


@dataclass(frozen=True)
class Trained:
    """A generator ready to draw, and how far its training had come."""

    generator: GeneratorNet
    config: TrainConfig
    nimg: int
    size: int  # px, the largest resolution that has been trained
    alpha: float  # fade-in weight at that resolution
    path: Path
    digest: str  # of the generator's weights
    channel_names: tuple[str, ...]  # what each channel of an image holds
    conditions: Conditions  # what the generator takes besides z
    pixel_mm: float | None = None  # of the training slices at the largest trained size, if known

    @property
    def has_mask(self) -> bool:
        """Whether the last channel is a mask of the others."""
        return self.channel_names[-1] == "mask"


def load_trained(path: Path, device: torch.device | str = "cpu") -> Trained:
    """The EMA generator of a checkpoint file, or of the newest one in a run folder.

    Raises DataError when there is none or its weights do not fit its configuration.
    """
    path = find_checkpoint(path)
    checkpoint = load_checkpoint(path, device)
    config = checkpoint.config
    generator = build_generator(config.model).to(device)
    try:
        generator.load_state_dict(checkpoint.state["g_ema"])
    except (KeyError, RuntimeError) as error:
        raise DataError(f"{path}: holds no generator of its own shape", "use another") from error
    generator.requires_grad_(False).eval()
    return Trained(
        generator,
        config,
        checkpoint.nimg,
        checkpoint.resolution,
        checkpoint.alpha,
        path,
        digest(checkpoint.state["g_ema"]),
        config.channel_names or ("image",) * config.channels,
        config.conditions,
        pixel_mm_at(config, checkpoint.resolution),
    )


def pixel_mm_at(config: TrainConfig, size: int) -> float | None:
    """The edge of a pixel of the training slices at a size in px; None where it is not known."""
    return config.pixel_mm and config.pixel_mm * config.max_size / size


def alpha_for(trained: Trained, size: int) -> float:
    """The fade-in weight to draw a size with: in force for the newest, full for lower ones.

    Raises UsageError, naming the sizes there are, for one that has not been trained.
    """
    smallest = min(trained.config.init_size, trained.size)
    drawable = [size for size in trained.generator.resolutions if size in LEVELS]
    reached = [level for level in drawable if smallest <= level <= trained.size]
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


def batch_for(size: int) -> int:
    """How many images are always drawn at once at a size in px: 16, and 2 at 1024 px."""
    return max(1, min(BATCH, BATCH * 128 // size))


def full_batches(count: int, batch: int) -> Iterator[list[int]]:
    """The rows of `count` items in runs of exactly `batch`; the last row fills the last run up."""
    for start in range(0, count, batch):
        yield [min(start + i, count - 1) for i in range(batch)]


@torch.no_grad()
def styles(
    generator: GeneratorNet,
    seeds: Sequence[int],
    psi: float,
    condition: Tensor | None = None,  # [N, K], or [K] for all
) -> Tensor:
    """Truncated w for each seed [N, D]."""
    device = generator.w_avg.device
    z = latents(seeds, generator.latent_dim, device)
    if condition is not None:
        condition = condition.to(device).expand(len(seeds), -1)
    ws = [
        generator.map(z[rows], None if condition is None else condition[rows])
        for rows in full_batches(len(seeds), BATCH)
    ]
    return truncate(torch.cat(ws)[: len(seeds)], generator.w_avg, psi)


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
    drawn = [
        generator.synthesis(
            ws[rows],
            resolution=look.size,
            alpha=look.alpha,
            noise=noise_for(generator, [noise_seeds[row] for row in rows], look),
        ).cpu()
        for rows in full_batches(len(ws), batch_for(look.size))
    ]
    return torch.cat(drawn)[: len(ws)]


def noise_for(generator: GeneratorNet, seeds: Sequence[int], look: Look) -> list[Tensor] | None:
    """The noise images of each seed in the look's strength, or None for none."""
    if not look.noise:
        return None
    shapes = generator.noise_shapes(1, look.size)
    noise = noise_from_seeds(seeds, shapes, device=generator.w_avg.device)
    return noise if look.noise == 1 else [look.noise * layer for layer in noise]


def draw_seeds(
    generator: GeneratorNet,
    seeds: Sequence[int],
    look: Look,
    condition: Tensor | None = None,  # [N, K], or [K] for all
) -> Tensor:
    """One image for each seed [N, C, size, size]."""
    w = styles(generator, seeds, look.psi, condition)
    return draw(generator, broadcast_styles(w, generator.num_layers(look.size)), seeds, look)
