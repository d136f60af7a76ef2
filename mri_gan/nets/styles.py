"""What goes into the synthesis network besides its weights: styles per layer, and noise.

Pure functions.  Noise comes from an explicit generator or from seeds, never from the global one.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

NOISE_SALT = 0x6E6F697365  # "noise"


def broadcast_styles(w: Tensor, layers: int) -> Tensor:
    """Give every layer the same style: w [N, D] -> ws [N, layers, D], without a copy.

    Karras et al. 2019, section 2 and figure 1b.
    """
    return w[:, None].expand(-1, layers, -1)


def mix_styles(w_a: Tensor, w_b: Tensor, crossover: int | Tensor, layers: int) -> Tensor:
    """Give the layers before `crossover` style a, the others style b: two [N, D] -> [N, layers, D].

    `crossover` is one number for all images or an integer tensor [N] with one for each; 0 is all
    b, `layers` all a.  Karras et al. 2019, section 3.1.
    """
    layer = torch.arange(layers, device=w_a.device)[:, None]  # [L, 1]
    first_b = crossover[:, None, None] if isinstance(crossover, Tensor) else crossover
    return torch.where(layer < first_b, w_a[:, None], w_b[:, None])


def truncate(w: Tensor, w_avg: Tensor, psi: float) -> Tensor:
    """Pull w towards its mean: w_avg + psi * (w - w_avg); psi 0 is the mean, 1 leaves w alone.

    w [N, D] or [N, L, D], w_avg [D] -> the shape of w.  Karras et al. 2019, appendix B.
    """
    return torch.lerp(w_avg, w, psi)


def draw_noise(
    shapes: Sequence[tuple[int, ...]],  # of each layer: `GeneratorNet.noise_shapes`
    generator: torch.Generator,
    *,
    device: torch.device | str | None = None,  # the generator's own by default
    dtype: torch.dtype = torch.float32,
) -> list[Tensor]:
    """Draw fresh N(0, 1) noise for each layer.

    The numbers are drawn where the generator lives, low resolutions first: the list for 8 px is
    the beginning of that for 16 px.  Karras et al. 2019, section 2.
    """
    drawn = [torch.randn(s, generator=generator, device=generator.device) for s in shapes]
    return [noise.to(device or generator.device, dtype) for noise in drawn]


def noise_from_seeds(
    seeds: Sequence[int],
    shapes: Sequence[tuple[int, ...]],  # of one image: `GeneratorNet.noise_shapes(1, ..)`
    *,
    device: torch.device | str = "cpu",
    dtype: torch.dtype = torch.float32,
) -> list[Tensor]:
    """Make repeatable noise, one image for each seed: [len(seeds), 1, r, r] for each layer.

    What a seed gives depends on nothing else: not on its batch mates, the device or the final
    resolution.  One seed gives [1, 1, r, r], which any batch shares.  Karras et al. 2019,
    section 3.2.
    """
    # Salted: z of the same seed is drawn unsalted, and its numbers must not come again as noise.
    rngs = [torch.Generator().manual_seed((seed ^ NOISE_SALT) % 2**63) for seed in seeds]
    single = [draw_noise(shapes, rng) for rng in rngs]
    return [torch.cat(layer).to(device, dtype) for layer in zip(*single, strict=True)]
