"""The style that draws an image: projection into w, or one style for each layer (w+).

Karras et al. 2020, "Analyzing and Improving the Image Quality of StyleGAN", section 5 and
appendix D, for the optimiser, its schedule, the noise added to w and the regularisation of the
noise images. Instead of features of a downloaded network the distance is of pixels at several
scales and of the critic's own features.
"""

from __future__ import annotations

import io
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor, nn

from mri_gan.charts import save_figure
from mri_gan.config import require, require_one_of
from mri_gan.errors import DataError, UsageError
from mri_gan.files import explain_os_error, make_folder, one_line, write_bytes
from mri_gan.ingest.read.image_files import read_grey_file
from mri_gan.nets.build import synthesise
from mri_gan.pictures import Shows, png_bytes, say_edges, to_grey, to_stored
from mri_gan.synth.figures import Drawing, default_crossover
from mri_gan.synth.foreign.torchscript import load_torchscript_program
from mri_gan.synth.sample import Trained, load_critic
from mri_gan.synth.walk import list_legs

# A person's image as the target of a projection


def read_target(path: Path, size: int, channels: int) -> Tensor:
    """An image file as [1, channels, size, size] of -1..1, padded to a square with black.

    Read as `prepare` reads it. Raises DataError naming a file that is not an image.
    """
    return fit(torch.from_numpy(read_grey_file(path))[None], size, channels)


def fit(pixels: Tensor, size: int, channels: int) -> Tensor:
    """[C, H, W] of 0..1 -> [1, channels, size, size] of -1..1; the mean makes colour grey."""
    if len(pixels) != channels:
        pixels = pixels.mean(0, keepdim=True).expand(channels, -1, -1)
    height, width = pixels.shape[1:]
    side = max(height, width)
    top, left = (side - height) // 2, (side - width) // 2
    square = F.pad(pixels, (left, side - width - left, top, side - height - top))
    scaled = F.interpolate(square[None], (size, size), mode="area" if side >= size else "bilinear")
    return scaled * 2 - 1


# Find the style that draws an image: projection into w, or one style for each layer (w+)

SPACES = ("w", "w+")
MEAN_OF = 1024  # seeds, for the start and the spread of w
SCALES = (1, 2, 4, 8)  # halvings at which pixels are compared
FEATURE_LAYERS = 4  # of the critic, the finest ones
NOISE_WEIGHT = 1e5  # of the regularisation: appendix D
RAMP_UP, RAMP_DOWN = 0.05, 0.25  # parts of the steps: appendix D
W_NOISE, W_NOISE_PART = 0.05, 0.75  # of the spread of w; part of the steps: appendix D

Features = Callable[[Tensor], list[Tensor]]
OnStep = Callable[[int, float], object]


@dataclass(frozen=True)
class Projection:
    """What was found: styles [1, L, D], noise images, the drawing [C, H, W], the loss per step."""

    ws: Tensor
    noise: list[Tensor]
    image: Tensor
    losses: list[float]


@dataclass(frozen=True)
class Effort:
    """How hard to try: steps, learning rate, space."""

    steps: int = 500
    lr: float = 0.1
    space: str = "w"
    seed: int = 0

    def __post_init__(self) -> None:
        require_one_of("--space", self.space, SPACES)
        require(1 <= self.steps <= 100_000, f"--steps {self.steps}", "give 1 to 100,000")
        require(0 < self.lr <= 10, f"--lr {self.lr}", "give a number above 0, up to 10")


def project(
    drawing: Drawing,
    target: Tensor,  # [1, C, H, W], -1..1
    features: Features | None,
    effort: Effort,
    on_step: OnStep = lambda step, loss: None,
) -> Projection:
    """Optimise style and noise until the drawing comes near the target; a function of its input."""
    net, look = drawing.trained.generator, drawing.look
    rng = torch.Generator().manual_seed(effort.seed)
    mean, spread = statistics(drawing)
    layers = net.num_layers(look.px)
    count = layers if effort.space == "w+" else 1
    w = mean.expand(1, count, -1).clone().requires_grad_(True)
    shapes = net.noise_shapes(1, look.px) if look.noise else []
    noise = [torch.randn(shape, generator=rng).to(mean.device) for shape in shapes]
    noise = [image.requires_grad_(True) for image in noise]
    optimiser = torch.optim.Adam([w, *noise], betas=(0.9, 0.999), lr=effort.lr)
    target = target.to(mean.device)
    wanted = [] if features is None else [part.detach() for part in features(target)]
    losses: list[float] = []
    for step in range(effort.steps):
        set_rate(optimiser, effort, step)
        shaken = w + spread * shake(step, effort.steps) * torch.randn(w.shape, generator=rng).to(w)
        image = draw_styles(drawing, shaken.expand(1, layers, -1), noise)
        near = distance(image, target, features, wanted)
        loss = near + NOISE_WEIGHT * sum(map(correlation, noise))
        optimiser.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        optimiser.step()
        normalise_(noise)
        losses.append(near.item())
        on_step(step + 1, losses[-1])
    ws, found = w.detach().expand(1, layers, -1).clone(), [part.detach() for part in noise]
    return Projection(ws, found, draw_styles(drawing, ws, found)[0].cpu(), losses)


def draw_styles(drawing: Drawing, ws: Tensor, noise: Sequence[Tensor]) -> Tensor:
    """Images of styles [N, L, D] and noise images, which the drawing makes as strong as its own."""
    look = drawing.look
    scaled = [look.noise * part for part in noise] if look.noise else []
    return synthesise(drawing.trained.generator, ws, scaled or None, look)


def statistics(drawing: Drawing) -> tuple[Tensor, Tensor]:
    """Mean [1, 1, D] and spread (one number) of w.  Appendix D."""
    w = drawing.w(range(MEAN_OF), psi=1.0)
    mean = w.mean(dim=0)
    return mean[None, None], (w - mean).square().sum(dim=1).mean().sqrt()


def set_rate(optimiser: torch.optim.Adam, effort: Effort, step: int) -> None:
    """Ramp up over the first part, down by a cosine over the last.  Appendix D."""
    part = step / effort.steps
    down = min(1.0, (1 - part) / RAMP_DOWN)
    rate = (0.5 - 0.5 * math.cos(down * math.pi)) * min(1.0, part / RAMP_UP + 1 / effort.steps)
    for group in optimiser.param_groups:
        group["lr"] = effort.lr * rate


def shake(step: int, steps: int) -> float:
    """Strength of the noise on w, in spreads of w: falls to 0 over three quarters.  Appendix D."""
    return W_NOISE * max(0.0, 1 - step / steps / W_NOISE_PART) ** 2


def distance(
    image: Tensor, target: Tensor, features: Features | None, wanted: list[Tensor]
) -> Tensor:
    """Mean absolute difference of pixels at four scales, and of features of equal weight."""
    parts = [F.l1_loss(*pair) for pair in zip(pyramid(image), pyramid(target), strict=True)]
    total = sum(parts, torch.zeros(())) / len(parts)
    if features is not None:
        near = [relative(a, b) for a, b in zip(features(image), wanted, strict=True)]
        total = total + sum(near) / max(1, len(near))
    return total


def relative(a: Tensor, b: Tensor) -> Tensor:
    """Mean absolute difference in units of the wanted feature's own mean."""
    return F.l1_loss(a, b) / (b.abs().mean() + 1e-6)


def pyramid(image: Tensor) -> list[Tensor]:
    """The image and its means over squares of 2, 4 and 8 pixels, as far as it reaches."""
    return [F.avg_pool2d(image, s) if s > 1 else image for s in SCALES if image.shape[-1] >= s]


def correlation(noise: Tensor) -> Tensor:
    """How much a noise image resembles itself a pixel further, at its own scale and down to 8 px.

    The squared mean products of neighbours: appendix D.
    """
    total = noise.new_zeros(())
    while True:
        for axis in (2, 3):
            total = total + (noise * noise.roll(1, axis)).mean().square()
        if noise.shape[-1] <= 8:
            return total
        noise = F.avg_pool2d(noise, 2) * 2  # the mean of four has half the deviation


@torch.no_grad()
def normalise_(noise: list[Tensor]) -> None:
    """Bring every noise image back to mean 0 and variance 1.  Appendix D."""
    for image in noise:
        image -= image.mean()
        image *= torch.rsqrt(image.square().mean() + 1e-8)


def critic_features(drawing: Drawing, device: torch.device | str) -> Features | None:
    """The outputs of the critic's finest convolutions, or None where the file has no critic."""
    critic = load_critic(drawing.trained, device)
    if critic is None:
        return None
    condition = drawing.conditions([0])
    kept: list[Tensor] = []
    for module in critic.modules():
        if isinstance(module, nn.Conv2d) or type(module).__name__.endswith(("Conv2d", "Conv")):
            module.register_forward_hook(lambda _m, _i, out: kept.append(out))

    def features(image: Tensor) -> list[Tensor]:
        kept.clear()
        look = drawing.look
        alpha = look.alpha if look.px == look.size else 1.0  # shrunk: of a level that is not new
        critic(image, alpha=alpha, condition=None if condition is None else condition.to(device))
        return [*kept[1 : 1 + FEATURE_LAYERS]]

    return features


def network_features(path: Path, device: torch.device | str) -> Features:
    """Features of a TorchScript network that the user gives: a tensor, or several.

    It gets the image as it is, -1..1, grey repeated to three channels if it refuses one.
    Raises DataError for a file that is not TorchScript, may reach files, or draws nothing from an
    image.
    """
    network = load_torchscript_program(path, device)

    def features(image: Tensor) -> list[Tensor]:
        try:
            out = network(image)
        except RuntimeError:
            out = run_on_colour(network, image, path)
        return list(out) if isinstance(out, tuple | list) else [out]

    return features


def run_on_colour(network: Any, image: Tensor, path: Path) -> Any:
    """The network on three equal channels."""
    try:
        return network(image.mean(1, keepdim=True).expand(-1, 3, -1, -1))
    except RuntimeError as error:
        raise DataError(
            f"{path}: does not take images of {image.shape[-1]} px", "give another network"
        ) from error


# What a projection leaves on disk besides its picture


def save_projection(out: Path, found: Projection, trained: Trained) -> None:
    """`result.png`, the drawing, marked as a likeness; `projection.npz`: ws [L, D] and noise."""
    arrays = {f"noise_{i:02d}": image.cpu().numpy()[0, 0] for i, image in enumerate(found.noise)}
    stream = io.BytesIO()
    np.savez(stream, allow_pickle=False, ws=found.ws[0].cpu().numpy(), **arrays)
    write_bytes(out / "projection.npz", stream.getvalue())
    write_likeness(out / "result.png", found.image, trained)


def write_likeness(path: Path, image: Tensor, trained: Trained, depth: int = 8) -> None:
    """A drawing [C, H, W] of -1..1 as a PNG; of channels that are no colours the first one."""
    pixels = to_stored(image.numpy(), depth)
    facts = {"generator": trained.digest, "made by": "projection of a given image"}
    shown = pixels if len(pixels) == 3 else pixels[:1]
    write_bytes(path, png_bytes(shown, facts, Shows.LIKENESS))


# The picture of a projection: target, result, difference and the way there


CORNER: Any = {"color": "w", "va": "top", "weight": "bold", "bbox": {"color": "k", "pad": 1}}


def draw_projection(
    path: Path,
    target: NDArray[np.float32],  # [C, H, W], -1..1
    result: NDArray[np.float32],
    losses: list[float],
    edges: Sequence[str] = (),
) -> None:
    """Four panels as one PNG, written atomically, with what it shows below them.

    `edges` (R and L) stand in the upper corners of the drawing; which side is where in the target,
    nobody has said.
    """
    from matplotlib.figure import Figure

    figure = Figure(figsize=(14, 4), layout="constrained")
    panels = figure.subplots(1, 4)
    for panel, image, title in zip(panels, (target, result), ("target", "synthetic"), strict=False):
        panel.imshow(as_picture(image), cmap="gray", vmin=0, vmax=255)
        panel.set_title(title)
    for letter, x, side in zip(edges, (0.01, 0.99), ("left", "right"), strict=False):
        panels[1].text(x, 0.98, letter, **CORNER, transform=panels[1].transAxes, ha=side)
    difference = (result - target).mean(axis=0) * 127.5
    most = max(1.0, float(np.abs(difference).max()))
    shown = panels[2].imshow(difference, cmap="RdBu_r", vmin=-most, vmax=most)
    panels[2].set_title(f"difference, rms {root_mean_square(target, result):.1f} of 255")
    bar = figure.colorbar(shown, ax=panels[2], location="left")
    bar.set_label("synthetic less target, grey levels of 255")
    for panel in panels[:3]:
        panel.axis("off")
    panels[3].semilogy(losses)
    panels[3].set(title="distance at each step", xlabel="step", ylabel="distance, no unit")
    notes = (Shows.BOTH.value, say_edges(edges, "the synthetic picture"))
    figure.supxlabel("; ".join(filter(None, notes)), fontsize=9)
    save_figure(path, figure, "A given image and its nearest synthetic one", Shows.BOTH, 100)


def as_picture(image: NDArray[np.float32]) -> NDArray[np.uint8]:
    """[C, H, W] of -1..1 as [H, W] or [H, W, 3] of 0..255."""
    grey = to_grey(image)
    return grey.transpose(1, 2, 0) if len(grey) == 3 else grey[0]


def root_mean_square(a: NDArray[np.float32], b: NDArray[np.float32]) -> float:
    """The difference of two images of -1..1 in grey levels of 255."""
    return float(np.sqrt(np.square(a - b).mean()) * 127.5)


# Pictures of styles that `mrigan project` found: drawn again, mixed, and walked between
#
# What is drawn from them looks like the images that were projected, which may be scans of people,
# so every file is marked as a likeness.

HINT = "give a projection.npz that `mrigan project` wrote for this model and --size"


@dataclass(frozen=True)
class Projected:
    """What was found for one image: styles [L, D], and noise images [1, 1, r, r]."""

    ws: Tensor
    noise: tuple[Tensor, ...]


def load_projection(path: Path, drawing: Drawing) -> Projected:
    """The styles and noise of a file.

    Raises DataError for a file that is none, UsageError for one of another model or size.
    """
    try:
        with np.load(path, allow_pickle=False) as arrays:
            names = sorted(name for name in arrays.files if name.startswith("noise_"))
            ws, *noise = (read_numbers(arrays[name]) for name in ("ws", *names))
    except OSError as error:
        raise explain_os_error(error, path) from error
    except Exception as error:  # numpy and zipfile let many types through for damaged files
        raise DataError(f"{path}: not a projection ({one_line(error)})", HINT) from error
    net, look = drawing.trained.generator, drawing.look
    shapes = [shape[2:] for shape in net.noise_shapes(1, look.px)] if noise else []
    fits = tuple(ws.shape) == (net.num_layers(look.px), len(net.w_avg))
    if not fits or [tuple(image.shape) for image in noise] != shapes:
        raise UsageError(f"{path}: does not fit {drawing.trained.path} at {look.size} px", HINT)
    device = net.w_avg.device
    return Projected(ws.to(device), tuple(image[None, None].to(device) for image in noise))


def read_numbers(values: NDArray[Any]) -> Tensor:
    """An array as float32; raises ValueError for one of other things, or with an infinite value."""
    if values.dtype.kind != "f":
        raise ValueError(f"holds {values.dtype}")
    numbers = torch.from_numpy(values.astype(np.float64)).float()
    if not numbers.isfinite().all():
        raise ValueError("holds values that are not finite")
    return numbers


@torch.no_grad()
def draw_projections(drawing: Drawing, found: Sequence[Projected]) -> Tensor:
    """One image each [N, C, size, size], drawn one by one as when they were found."""
    return torch.cat([draw_styles(drawing, one.ws[None], one.noise).cpu() for one in found])


def between(a: Projected, b: Projected, part: float) -> Projected:
    """Styles on the straight line, noise on the circle that keeps its strength; 0 is a, 1 is b."""
    turn = part * math.pi / 2
    pairs = zip(a.noise, b.noise, strict=False)
    noise = tuple(math.cos(turn) * x + math.sin(turn) * y for x, y in pairs)
    return Projected(torch.lerp(a.ws, b.ws, part), noise)


def walk_projections(
    drawing: Drawing, found: Sequence[Projected], steps: int, loop: bool
) -> Tensor:
    """Frames [F, C, size, size] from each to the next, `steps` for each leg, and the last."""
    require(len(found) > 1, "a walk needs two projections or more", "give --styles twice")
    return draw_projections(drawing, [between(*leg) for leg in list_legs(found, steps, loop)])


def mix_projections(
    drawing: Drawing, found: Sequence[Projected], crossover: int | None
) -> Image.Image:
    """A table: coarse styles of the top row, fine styles of the left column, noise of the row."""
    layers = len(found[0].ws)
    first = default_crossover(layers) if crossover is None else crossover
    images = draw_projections(drawing, found)
    rows = []
    for side, fine in zip(images, found, strict=True):
        mixed = [
            Projected(torch.cat([coarse.ws[:first], fine.ws[first:]]), fine.noise)
            for coarse in found
        ]
        rows.append(("", side, draw_projections(drawing, mixed)))
    return drawing.table([], images, rows)


def write_projections(drawing: Drawing, files: Sequence[Path], out: Path, depth: int) -> list[Path]:
    """One PNG for each file, `style000000.png` and on; the names of files may name people."""
    make_folder(out)
    images = draw_projections(drawing, [load_projection(path, drawing) for path in files])
    written = [out / f"style{number:06d}.png" for number in range(len(images))]
    for path, image in zip(written, images, strict=True):
        write_likeness(path, image, drawing.trained, depth)
    return written
