"""Images from a trained generator, each a function of its own seed and nothing else.

Convolutions and matrix products round differently with the number of rows in a batch, not with
what the other rows hold. So the networks always run on full batches of one fixed length for a
size, the last one filled up, and a seed gives the same bits in whatever company it is drawn (on
one machine, device and number of threads).
"""

from __future__ import annotations

import random
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor

from mri_gan.checkpoint import digest, find_checkpoint, load_checkpoint
from mri_gan.conditions import Column, Conditions, describe, encode, parse
from mri_gan.config import LEVELS, TrainConfig
from mri_gan.errors import DataError, UsageError
from mri_gan.nets.build import build_critic, build_generator
from mri_gan.nets.protocol import CriticNet, GeneratorNet, broadcast_styles, noise_from_seeds
from mri_gan.store.schema import label_channels

# Seeds as a person writes them: `0-999,2000`

MOST = 10_000_000
LARGEST = 2**63 - 1
EXAMPLE = "write numbers and ranges: 0-999,2000"


def parse_seeds(text: str) -> list[int]:
    """The seeds in the order written, each once.

    Raises UsageError for anything but whole numbers and rising ranges, or more than ten million.
    """
    seeds: dict[int, None] = {}
    for part in text.split(","):
        first, last = _range(part.strip())
        if last - first + len(seeds) >= MOST:
            raise UsageError(f"--seeds {text}: more than {MOST:,} seeds", "give fewer at a time")
        seeds.update(dict.fromkeys(range(first, last + 1)))
    return list(seeds)


def _range(part: str) -> tuple[int, int]:
    match = re.fullmatch(r"([0-9]{1,19})(?:\s*-\s*([0-9]{1,19}))?", part)
    if match is None:
        raise UsageError(f"--seeds: {part or 'nothing'} is not a seed or range", EXAMPLE)
    first = int(match[1])
    last = int(match[2] or match[1])
    if last < first:
        raise UsageError(f"--seeds: {part} runs backwards", EXAMPLE)
    if last > LARGEST:
        raise UsageError(f"--seeds: {last} is too large", f"the largest is {LARGEST}")
    return first, last


def describe_seeds(seeds: Sequence[int]) -> str:
    """The seeds in short: `0-999,2000`."""
    runs: list[list[int]] = []
    for seed in seeds:
        if runs and seed == runs[-1][1] + 1:
            runs[-1][1] = seed
        else:
            runs.append([seed, seed])
    return ",".join(str(a) if a == b else f"{a}-{b}" for a, b in runs)


# What a trained network is given for each image it draws


def draw_labels(spec: Conditions, seed: int) -> dict[str, str | float]:
    """Labels for one seed: classes evenly, numbers normal as in training and within its range."""
    rng = random.Random(seed)
    return {column.name: _draw(column, rng) for column in spec.columns}


def _draw(column: Column, rng: random.Random) -> str | float:
    if column.is_class:
        return rng.choice(column.values)
    return min(max(rng.gauss(column.mean, column.scale), column.low), column.high)


def condition_rows(spec: Conditions, text: str | None, seeds: Sequence[int]) -> Tensor | None:
    """The condition of each seed [N, K]: what `text` says for all, or drawn for each.

    None for a network without conditions. Raises UsageError for a text that does not fit it.
    """
    if text is not None:
        rows = torch.from_numpy(parse(spec, text)).expand(len(seeds), -1)
    elif spec:
        vectors = [torch.from_numpy(encode(spec, draw_labels(spec, seed))) for seed in seeds]
        rows = torch.stack(vectors) if vectors else torch.zeros(0, spec.dim)
    return rows if spec else None


def describe_rows(spec: Conditions, rows: Tensor | None, count: int) -> list[str]:
    """Each condition as a person would write it; empty for a network without."""
    if rows is None:
        return [""] * count
    return [describe(spec, row.tolist()) for row in rows]


# Images from a trained generator, each a function of its own seed and nothing else

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
        return len(self.channel_names) - 1 in label_channels(self.channel_names)


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
        unfit = "its generator does not fit its settings"
        why = "holds no generator" if "g_ema" not in checkpoint.state else unfit
        raise DataError(f"{path}: {why}", "use another") from error
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


def load_critic(trained: Trained, device: torch.device | str = "cpu") -> CriticNet | None:
    """The critic in a generator's checkpoint, or None where it was left out of the file."""
    checkpoint = load_checkpoint(trained.path, device)
    critic = build_critic(trained.config.model).to(device)
    try:
        critic.load_state_dict(checkpoint.state["d"])
    except (KeyError, RuntimeError):
        return None
    return critic.requires_grad_(False).eval()


def pixel_mm_at(config: TrainConfig, size: int) -> float | None:
    """The edge of a pixel of the training slices at a size in px; None where it is not known."""
    return config.pixel_mm and config.pixel_mm * config.max_size / size


def alpha_for(trained: Trained, size: int) -> float:
    """The fade-in weight at a size: in force for the newest, full for lower ones."""
    return trained.alpha if size == trained.size else 1.0


def look_at(
    trained: Trained, size: int | None = None, psi: float = 0.7, noise: float = 1.0
) -> Look:
    """How to draw a size in px, by default the largest trained.

    Smaller ones are drawn at that size and shrunk: their own image layers were last trained long
    ago.
    Raises UsageError, naming the sizes there are, for one that has not been trained.
    """
    size = trained.size if size is None else size
    reached = [level for level in LEVELS if level <= trained.size]
    if size not in reached:
        raise UsageError(
            f"{trained.path}: has not been trained at {size} px",
            f"choose --size from {', '.join(map(str, reached))}, or train on",
        )
    drawn_px = trained.size if size < trained.size else 0
    return Look(size, trained.alpha, psi, noise, drawn_px)


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
def styles_of_seeds(
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
    return generator.truncate(torch.cat(ws)[: len(seeds)], psi)


@dataclass(frozen=True)
class Look:
    """How to draw: resolution in px, fade-in weight, truncation, and strength of the noise.

    The network draws at `drawn_px`, 0 for `size`; larger drawings are shrunk to `size`.
    `noise` 1 is as trained, 0 none: a young network draws grain with its noise before it has
    learned texture, and shows its anatomy better without.
    """

    size: int
    alpha: float = 1.0
    psi: float = 0.7
    noise: float = 1.0
    drawn_px: int = 0

    @property
    def px(self) -> int:
        """The resolution at which the network draws."""
        return self.drawn_px or self.size


def synthesise(
    generator: GeneratorNet,
    ws: Tensor,  # [N, L, D]
    noise: Sequence[Tensor] | None,
    look: Look,
) -> Tensor:
    """Images [N, C, size, size] where the generator is; may be differentiated.

    Smaller ones than drawn are the means of whole blocks of pixels, as the store's levels are.
    """
    images = generator.synthesis(ws, resolution=look.px, alpha=look.alpha, noise=noise)
    return images if look.px == look.size else F.avg_pool2d(images, look.px // look.size)


@torch.no_grad()
def draw_images(
    generator: GeneratorNet,
    ws: Tensor,
    noise_seeds: Sequence[int],
    look: Look,
    batch: int | None = None,
) -> Tensor:
    """Images [N, C, size, size], about -1..1, on the CPU; ws [N, L, D], one noise seed each.

    `batch` images at once; another number than by default changes the last bits.
    """
    drawn = [
        synthesise(
            generator,
            ws[rows],
            noise_for(generator, [noise_seeds[row] for row in rows], look),
            look,
        ).cpu()
        for rows in full_batches(len(ws), batch or batch_for(look.px))
    ]
    return torch.cat(drawn)[: len(ws)]


def noise_for(generator: GeneratorNet, seeds: Sequence[int], look: Look) -> list[Tensor] | None:
    """The noise images of each seed in the look's strength, or None for none."""
    if not look.noise:
        return None
    shapes = generator.noise_shapes(1, look.px)
    noise = noise_from_seeds(seeds, shapes, device=generator.w_avg.device)
    return noise if look.noise == 1 else [look.noise * layer for layer in noise]


def draw_seeds(
    generator: GeneratorNet,
    seeds: Sequence[int],
    look: Look,
    condition: Tensor | None = None,  # [N, K], or [K] for all
) -> Tensor:
    """One image for each seed [N, C, size, size]."""
    w = styles_of_seeds(generator, seeds, look.psi, condition)
    return draw_images(generator, broadcast_styles(w, generator.num_layers(look.px)), seeds, look)
