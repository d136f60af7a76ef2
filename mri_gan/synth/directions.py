"""Directions in w along which images change most, found without any labels."""

from __future__ import annotations

import io
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torch import Tensor, nn

from mri_gan.config import require, require_one_of
from mri_gan.errors import UsageError
from mri_gan.files import write_bytes
from mri_gan.nets.build import BATCH
from mri_gan.nets.layers import GeneratorNet
from mri_gan.synth.figures import Drawing
from mri_gan.synth.sample import only_styled

METHODS = ("sefa", "pca")
SAMPLES = 10_000  # of w
STEPS = 7  # pictures in a strip
ALONG = "in the middle, moved along one direction in each row by standard deviations (sd) of w"


@dataclass(frozen=True)
class Directions:
    """Unit vectors in w, the strongest first, and how far w spreads along each."""

    method: str
    vectors: Tensor  # [K, D], float32, on the CPU
    spread: Tensor  # [K], standard deviation of w
    weight: Tensor  # [K], share of the sum of eigenvalues


def find_directions(drawing: Drawing, method: str, count: int) -> Directions:
    """The first `count` directions; raises UsageError for a network without styles."""
    net = drawing.trained.generator
    require(
        net.has_styles,
        f"{drawing.trained.path}: has no directions",
        only_styled("have styles", drawing.trained),
    )
    require_one_of("--method", method, METHODS)
    dim = net.w_avg.numel()
    require(1 <= count <= dim, f"--count {count}", f"give 1 to {dim}")
    w = drawing.w(range(SAMPLES), psi=1.0).cpu().float()
    w = w - w.mean(dim=0)
    if method == "pca":
        values, vectors = principal(w)
    else:
        values, vectors = factorise(style_weights(net, drawing.look.px))
    vectors = fix_signs(vectors[:count])
    spread = (w @ vectors.T).std(dim=0)
    return Directions(method, vectors, spread, values[:count] / values.sum())


def principal(w: Tensor) -> tuple[Tensor, Tensor]:
    """Variances and components of centred rows: [N, D] -> [D], [D, D], the largest first.

    Härkönen et al. 2020, "GANSpace", section 2.2: principal components of w.
    """
    return factorise(w / max(1, len(w) - 1) ** 0.5)


def factorise(weights: Tensor) -> tuple[Tensor, Tensor]:
    """Eigenvalues and eigenvectors (as rows) of A^T A: [M, D] -> [D], [D, D], the largest first.

    Shen and Zhou 2021, "Closed-Form Factorization of Latent Semantics in GANs", equation 7.
    """
    matrix = weights.double()
    values, vectors = torch.linalg.eigh(matrix.T @ matrix)
    return values.flip(0).clamp(min=0).float(), vectors.T.flip(0).float()


def style_weights(net: GeneratorNet, size: int) -> Tensor:
    """The weights of all style layers up to a size, each row normalised, stacked [M, D].

    Rows of equal length keep one wide layer from outweighing the others.
    """
    found = []
    for name, module in net.named_modules():
        block = re.search(r"blocks\.(\d+)\..*affine$", name)
        if block and int(block[1]) <= size and isinstance(module, nn.Module):
            weight = module.weight
            assert isinstance(weight, Tensor)
            found.append(weight.detach().cpu().float())
    if not found:
        raise UsageError("this network has no style layers", "choose a stylegan or stylegan2")
    stacked = torch.cat(found)
    return torch.nn.functional.normalize(stacked, dim=1)


def fix_signs(vectors: Tensor) -> Tensor:
    """Each vector with its largest entry positive, so that runs agree."""
    largest = vectors.abs().argmax(dim=1, keepdim=True)
    turned: Tensor = vectors * vectors.gather(1, largest).sign()
    return turned


def move_along(drawing: Drawing, found: Directions, index: int, seed: int, parts: Tensor) -> Tensor:
    """w of a seed moved along one direction by parts of its spread: [T] -> [T, D]."""
    w = drawing.w([seed])
    step = found.vectors[index] * found.spread[index]
    return w + (parts[:, None] * step).to(w.device)


def draw_strips(drawing: Drawing, found: Directions, seed: int, reach: float) -> Image.Image:
    """One row for each direction, from `reach` standard deviations before a seed to behind it."""
    parts = torch.linspace(-reach, reach, STEPS)
    ws = torch.cat([move_along(drawing, found, i, seed, parts) for i in range(len(found.vectors))])
    labels = [
        caption_part(found, i, float(part)) for i in range(len(found.vectors)) for part in parts
    ]
    images = drawing.images(ws, [seed] * len(ws))
    return drawing.sheet(images, STEPS, labels, [f"seed {seed} {ALONG}", drawing.how()])


def draw_sweep(
    drawing: Drawing, found: Directions, index: int, seed: int, reach: float
) -> tuple[Tensor, list[str]]:
    """Frames that run along one direction and back, as a loop, and how far along it each is."""
    there = torch.linspace(-reach, reach, BATCH)
    parts = torch.cat([there, there.flip(0)[1:-1]])
    ws = move_along(drawing, found, index, seed, parts)
    captions = [caption_part(found, index, float(part)) for part in parts]
    return drawing.images(ws, [seed] * len(ws)), captions


def caption_part(found: Directions, index: int, part: float) -> str:
    """Which direction, counted from 1, and how far along it: 'sefa 1: +1.0 sd'."""
    return f"{found.method} {index + 1}: {part:+.1f} sd"


def save_directions(path: Path, found: Sequence[Directions]) -> None:
    """Vectors, spreads and weights of each method as one .npz."""
    arrays = {
        f"{one.method}_{name}": getattr(one, name).numpy()
        for one in found
        for name in ("vectors", "spread", "weight")
    }
    stream = io.BytesIO()
    np.savez(stream, allow_pickle=False, **arrays)
    write_bytes(path, stream.getvalue())
