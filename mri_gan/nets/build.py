"""From a ModelConfig to untrained networks, and from seeds to the images of a generator."""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from mri_gan.config import FEATURE_CRITIC, ModelConfig
from mri_gan.errors import UsageError
from mri_gan.nets import dcgan, fastgan, feature_critic, progan, stylegan, stylegan2
from mri_gan.nets.feature_critic import JointCritic
from mri_gan.nets.layers import CriticNet, GeneratorNet, broadcast_styles, draw_noise
from mri_gan.pretrained import load_pretrained

Kinds = Mapping[str, tuple[Callable[..., Any], tuple[str, ...]]]

# Each network, and the settings of the model that it takes besides those that all take.
LATENTS = ("capacity", "latent_dim")
STYLES = (*LATENTS, "mapping_depth")
WIDTHS = ("channel_base", "channel_max", "clamp")
GENERATORS: Kinds = {
    "dcgan": (dcgan.Generator, LATENTS),
    "progan": (progan.Generator, LATENTS),
    "stylegan": (stylegan.Generator, (*STYLES, "blur_bias")),
    "stylegan2": (stylegan2.Generator, (*STYLES, *WIDTHS)),
    "fastgan": (fastgan.Generator, LATENTS),
}
CRITICS: Kinds = {
    "dcgan": (dcgan.Critic, ("capacity", "critic_norm")),
    "progan": (functools.partial(stylegan.Critic, blur=False), ("capacity",)),
    "stylegan": (stylegan.Critic, ("capacity",)),
    "stylegan2": (stylegan2.Critic, ("capacity", *WIDTHS)),
    "fastgan": (feature_critic.PixelCritic, ("wavelets",)),
}


def build_generator(model: ModelConfig) -> GeneratorNet:
    """An untrained generator of this shape."""
    generator: GeneratorNet = _build(*GENERATORS[model.arch], model)
    return generator


def build_critic(model: ModelConfig) -> CriticNet:
    """An untrained critic of this shape.

    Raises UsageError when it sees features of a network that is not installed, or that has other
    weights than the model was trained with.
    """
    own = functools.partial(_build, *CRITICS[model.arch], model)
    if model.critic == "own":
        critic: CriticNet = own()
        return critic
    frozen = load_pretrained(FEATURE_CRITIC, model.features_digest)
    by_features = _build(functools.partial(feature_critic.Critic, frozen), (), model)
    return by_features if model.critic == "features" else JointCritic(own(), by_features)


def _build(kind: Callable[..., Any], settings: tuple[str, ...], model: ModelConfig) -> Any:
    return kind(
        max_resolution=model.max_size,
        image_channels=model.channels,
        condition_dim=model.condition_dim,
        **{name: getattr(model, name) for name in settings},
    )


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


# Images of a generator, each a function of its own seed and nothing else
#
# Convolutions and matrix products round differently with the number of rows in a batch, not with
# what the other rows hold. So the networks always run on full batches of one fixed length for a
# size, the last one filled up, and a seed gives the same bits in whatever company it is drawn (on
# one machine, device and number of threads).

BATCH = 16  # images at once up to 128 px, fewer above
NOISE_SALT = 0x6E6F697365  # "noise"


def noise_from_seeds(
    seeds: Sequence[int],
    shapes: Sequence[tuple[int, ...]],  # of one image: `GeneratorNet.noise_shapes(1, ..)`
    device: torch.device | str = "cpu",
) -> list[Tensor]:
    """Repeatable noise, one image for each seed: [len(seeds), 1, r, r] for each layer.

    It depends on nothing else: not on batch mates, device or final resolution.  One seed gives
    [1, 1, r, r], which any batch shares.  Karras et al. 2019, section 3.2.
    """
    # Salted: z of the same seed is drawn unsalted, and its numbers must not come again as noise.
    rngs = [torch.Generator().manual_seed((seed ^ NOISE_SALT) % 2**63) for seed in seeds]
    single = [draw_noise(shapes, rng) for rng in rngs]
    return [torch.cat(layer).to(device) for layer in zip(*single, strict=True)]


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
def styles_of_latents(
    generator: GeneratorNet,
    z: Tensor,  # [N, latent_dim]
    psi: float,
    condition: Tensor | None = None,  # [N, K], or [K] for all
) -> Tensor:
    """Truncated w of latents [N, D], mapped in full batches."""
    if condition is not None:
        condition = condition.to(z.device).expand(len(z), -1)
    ws = [
        generator.map(z[rows], None if condition is None else condition[rows])
        for rows in full_batches(len(z), BATCH)
    ]
    return generator.truncate(torch.cat(ws)[: len(z)], psi)


def styles_of_seeds(
    generator: GeneratorNet,
    seeds: Sequence[int],
    psi: float,
    condition: Tensor | None = None,  # [N, K], or [K] for all
) -> Tensor:
    """Truncated w for each seed [N, D]."""
    z = latents(seeds, generator.latent_dim, generator.w_avg.device)
    return styles_of_latents(generator, z, psi, condition)


@dataclass(frozen=True)
class DrawSettings:
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
    look: DrawSettings,
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
    look: DrawSettings,
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


def noise_for(
    generator: GeneratorNet, seeds: Sequence[int], look: DrawSettings
) -> list[Tensor] | None:
    """The noise images of each seed in the look's strength, or None for none."""
    if not look.noise:
        return None
    shapes = generator.noise_shapes(1, look.px)
    noise = noise_from_seeds(seeds, shapes, device=generator.w_avg.device)
    return noise if look.noise == 1 else [look.noise * layer for layer in noise]


def draw_seeds(
    generator: GeneratorNet,
    seeds: Sequence[int],
    look: DrawSettings,
    condition: Tensor | None = None,  # [N, K], or [K] for all
) -> Tensor:
    """One image for each seed [N, C, size, size]."""
    w = styles_of_seeds(generator, seeds, look.psi, condition)
    return draw_images(generator, broadcast_styles(w, generator.num_layers(look.px)), seeds, look)
