"""Figures of what a generator has learned: truncation, mixing, paths, noise, neighbours."""

from __future__ import annotations

import os
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor

from mri_gan.config import CONFIG, require
from mri_gan.nets.build import DrawSettings, draw_images, noise_for, styles_of_seeds
from mri_gan.nets.layers import broadcast_styles, mix_styles
from mri_gan.pictures import build_grid, read_edges, say_channels, to_grey
from mri_gan.store.reader import StoreReader
from mri_gan.synth.sample import Trained, condition_rows, describe_rows

# Pictures that show what a generator has learned: truncation, mixing, paths, noise, neighbours

PSIS = (0.0, 0.25, 0.5, 0.7, 1.0, 1.25)
NOISE_DRAWS = 32  # per image, for its standard deviation
BANDS = ("coarse", "middle", "fine")
# What changes along the rows of a sheet
TRUNCATION = (
    "psi rises from left to right: 0 is the mean image of all seeds, 1 is without truncation"
)
INTERPOLATION = "from one seed to another in equal steps of {}"
SAME_NOISE = "; noise stays that of the first"
NOISE = f"sd: standard deviation over {NOISE_DRAWS} draws; white is that many grey levels of 255"
NEAREST = "rms: root mean square difference in grey levels of 255; a first look, not an audit"


@dataclass(frozen=True)
class Drawing:
    """A trained generator, how to draw with it, and its conditions."""

    trained: Trained
    look: DrawSettings
    condition: str | None = None  # None draws one for each seed, where there are any

    def conditions(self, seeds: Sequence[int]) -> Tensor | None:
        """What the network is asked for with each seed [N, K]; None for one without conditions."""
        return condition_rows(self.trained.conditions, self.condition, seeds)

    def w(self, seeds: Sequence[int], psi: float | None = None) -> Tensor:
        """Truncated w of each seed [N, D]."""
        psi = self.look.psi if psi is None else psi
        return styles_of_seeds(self.trained.generator, seeds, psi, self.conditions(seeds))

    def layered(self, w: Tensor) -> Tensor:
        """One style for all layers: [N, D] -> [N, L, D]."""
        return broadcast_styles(w, self.trained.generator.num_layers(self.look.px))

    def images(self, w: Tensor, noise_seeds: Sequence[int], noise: float | None = None) -> Tensor:
        """Images [N, C, size, size] of styles [N, D] or [N, L, D]."""
        look = self.look if noise is None else replace(self.look, noise=noise)
        ws = w if w.ndim == 3 else self.layered(w)
        return draw_images(self.trained.generator, ws, noise_seeds, look)

    def words(self, seeds: Sequence[int]) -> list[str]:
        """The condition of each seed, for captions."""
        return describe_rows(self.trained.conditions, self.conditions(seeds), len(seeds))

    def how(self, psi: bool = True) -> str:
        """What its pictures have in common, for a note below them; `psi` where it is one."""
        net, look = self.trained.generator, self.look
        said = [f"psi {look.psi:g}"] if psi and net.has_styles else []
        said += [f"noise {look.noise:g}"] if self.has_noise and look.noise != 1 else []
        if self.trained.conditions:
            labels = self.condition or "labels of each seed as in training"
            said.append(labels.replace(",", ", "))
        return ", ".join(said)

    def sheet(
        self,
        images: Tensor | NDArray[np.uint8],
        columns: int,
        labels: Sequence[str] = (),
        notes: Sequence[str] = (),
    ) -> Image.Image:
        """Images [N, C, H, W] of -1..1 or grey as one picture, row by row, with notes below."""
        labels, names = labels if any(labels) else (), self.trained.channel_names
        return build_grid(np.asarray(images), columns, labels, notes, names, self.edges)

    def table(
        self,
        head: Sequence[str],
        tops: Tensor,
        rows: Iterable[tuple[str, Tensor, Tensor]],
        notes: Sequence[str] = (),
    ) -> Image.Image:
        """A sheet of rows of pictures, each behind one of its own, below a row of `tops`.

        `head` are the labels of the first row, whose corner is black; a row is a label, the picture
        on the left, and those beside it.
        """
        cells, labels = [torch.full_like(tops[:1], -1), tops], [*head]
        for label, side, row in rows:
            cells += [side[None], row]
            labels += [label, *("" for _ in row)]
        return self.sheet(torch.cat(cells), len(tops) + 1, labels, notes)

    @property
    def edges(self) -> tuple[str, ...]:
        """The sides of the body at the left and right edge of its images, where they are known."""
        return read_edges(self.trained.path.parent / CONFIG)

    @property
    def has_noise(self) -> bool:
        """Whether noise changes this network's images."""
        return bool(noise_for(self.trained.generator, [0], DrawSettings(self.look.px)))


def sample_sheet(drawing: Drawing, seeds: Sequence[int], columns: int) -> Image.Image:
    """One picture for each seed, row by row."""
    words = drawing.words(seeds)
    pairs = zip(seeds, words, strict=True)
    labels = [f"seed {seed}, {word}" if word else f"seed {seed}" for seed, word in pairs]
    images = drawing.images(drawing.w(seeds), seeds)
    return drawing.sheet(images, columns, labels, [drawing.how()])


def default_crossover(layers: int) -> int:
    """Three quarters of the layers are structure, the last quarter contrast and detail."""
    return max(1, 3 * layers // 4)


def mixed_images(
    drawing: Drawing,
    coarse_seeds: Sequence[int],
    fine_seeds: Sequence[int],
    crossover: int | None = None,
) -> Tensor:
    """All pairs: coarse styles of one seed, fine styles of another.

    [R * C, channels, size, size], row by row: rows are fine seeds, columns coarse seeds. Layers
    before `crossover` are coarse.  Karras et al. 2019, section 3.1, figure 3.
    """
    layers = drawing.trained.generator.num_layers(drawing.look.px)
    crossover = default_crossover(layers) if crossover is None else crossover
    coarse = drawing.w(coarse_seeds).repeat(len(fine_seeds), 1)
    fine = drawing.w(fine_seeds).repeat_interleave(len(coarse_seeds), 0)
    ws = mix_styles(coarse, fine, crossover, layers)
    return drawing.images(ws, list(coarse_seeds) * len(fine_seeds))


def mixing_sheet(
    drawing: Drawing,
    coarse_seeds: Sequence[int],
    fine_seeds: Sequence[int],
    crossover: int | None = None,
) -> Image.Image:
    """A table of pictures: coarse styles from the top row, fine styles from the left column."""
    coarse, fine = (drawing.images(drawing.w(s), s) for s in (coarse_seeds, fine_seeds))
    mixed = mixed_images(drawing, coarse_seeds, fine_seeds, crossover)
    head = ["fine | coarse", *(f"coarse: seed {seed}" for seed in coarse_seeds)]
    names = [f"fine: seed {seed}" for seed in fine_seeds]
    rows = zip(names, fine, torch.split(mixed, len(coarse_seeds)), strict=True)
    return drawing.table(head, coarse, rows, [drawing.how()])


def truncation_sweep(drawing: Drawing, seeds: Sequence[int]) -> Image.Image:
    """Rows are seeds, columns psi from 0 (the mean image) up.  Karras et al. 2019, figure 8."""
    w, mean = drawing.w(seeds, psi=1.0), drawing.trained.generator.w_avg
    psi = torch.tensor(PSIS, device=w.device)[:, None]
    ws = torch.cat([torch.lerp(mean, row, psi) for row in w])
    images = drawing.images(ws, np.repeat(seeds, len(PSIS)).tolist())
    labels = [f"seed {seed}, psi {value:g}" for seed in seeds for value in PSIS]
    return drawing.sheet(images, len(PSIS), labels, [TRUNCATION, drawing.how(psi=False)])


def bands_of(layers: int) -> list[slice]:
    """The layers that are coarse, middle and fine: those of 4-8 px, 16-32 px and above.

    Where there are none above, a third each.  Karras et al. 2019, section 3.1.
    """
    first, second = (4, 8) if layers > 8 else (max(1, layers // 3), max(2, 2 * layers // 3))
    return [slice(0, first), slice(first, second), slice(second, layers)]


def mixing_matrix(
    drawing: Drawing,
    sources: Sequence[int],  # seeds of the columns
    donors: Sequence[int],  # seeds of the rows
) -> Image.Image:
    """Three tables: column images with the coarse, middle or fine styles of the row's image.

    Karras et al. 2019, section 3.1 and figure 3.
    """
    a, b = (drawing.layered(drawing.w(seeds)) for seeds in (sources, donors))
    tops, sides = drawing.images(a, sources), drawing.images(b, donors)
    rows = []
    for name, band in zip(BANDS, bands_of(a.shape[1]), strict=True):
        for seed, donor, side in zip(donors, b, sides, strict=True):
            ws = a.clone()
            ws[:, band] = donor[band]
            rows.append((f"{name}: seed {seed}", side, drawing.images(ws, sources)))
    head = ["donor | source", *(f"seed {seed}" for seed in sources)]
    return drawing.table(head, tops, rows, [drawing.how()])


def interpolation_strip(
    drawing: Drawing, pairs: Sequence[tuple[int, int]], steps: int
) -> Image.Image:
    """One row for each pair of seeds: the straight way from one w to the other."""
    part = torch.linspace(0, 1, steps, device=drawing.trained.generator.w_avg.device)[:, None]
    ends = [drawing.w(pair) for pair in pairs]
    ws = torch.cat([torch.lerp(w[0], w[1], part) for w in ends])
    images = drawing.images(ws, np.repeat([p[0] for p in pairs], steps).tolist())
    between = [f"{float(p):.0%}" for p in part[1:-1]]
    labels = [text for a, b in pairs for text in (f"seed {a}", *between, f"seed {b}")]
    said = INTERPOLATION.format("w" if drawing.trained.generator.has_styles else "z")
    said += SAME_NOISE * drawing.has_noise
    return drawing.sheet(images, steps, labels, [said, drawing.how()])


def noise_effect(drawing: Drawing, seeds: Sequence[int]) -> Image.Image:
    """Rows are seeds; columns: without noise, two draws of it, and its standard deviation.

    The map is over 32 draws and scaled to its own maximum over all rows, which its label gives in
    grey levels of 255.  Karras et al. 2019, section 3.2 and figure 4.
    """
    w = drawing.w(seeds)
    tiles, labels = [], []
    for row, seed in enumerate(seeds):
        noise_seeds = [seed + 1 + i for i in range(NOISE_DRAWS)]
        draws = drawing.images(w[row : row + 1].expand(NOISE_DRAWS, -1), noise_seeds)
        off = drawing.images(w[row : row + 1], [seed], noise=0.0)
        tiles.append([off[0], draws[0], draws[1], draws.std(dim=0)])
    highest = max(float(row[3].max()) for row in tiles) or 1.0
    for seed, row_tiles in zip(seeds, tiles, strict=True):
        row_tiles[3] = row_tiles[3] / highest * 2 - 1
        white = f"sd, white {highest * 127.5:.1f}"
        labels += [f"seed {seed}, no noise", "noise 1", "noise 2", white]
    images = torch.stack([t for row_tiles in tiles for t in row_tiles])
    return drawing.sheet(images, 4, labels, [NOISE, drawing.how()])


def nearest_slices(
    drawing: Drawing, seeds: Sequence[int], store: StoreReader, columns: int = 4
) -> Image.Image:
    """Each sample beside the training slice with the least mean square difference, and that.

    The number is the root of it in grey levels of 255. Where a network draws grey in colours, or
    the store has more channels than it, the first channels are compared. Raises UsageError for a
    network of several contrasts and a store of others.
    """
    names = drawing.trained.channel_names
    alike = store.channels == len(names)
    require(
        alike or not say_channels(names),
        f"{os.fspath(store)}: holds {', '.join(store.channel_names)}, not {', '.join(names)}",
        "give the store of the training",
    )
    samples = to_grey(drawing.images(drawing.w(seeds), seeds).numpy())
    samples = samples if alike else samples[:, :1]
    best, distance = find_nearest(samples, store, drawing.look.size)
    reals = to_grey(store.read(drawing.look.size, best))[:, : samples.shape[1]]
    tiles = np.stack([samples, reals], axis=1).reshape(-1, *samples.shape[1:])
    labels = [
        text
        for seed, far in zip(seeds, distance, strict=True)
        for text in (f"synthetic, seed {seed}", f"real, rms {far:.3g} of 255")
    ]
    return drawing.sheet(tiles, columns, labels, [NEAREST, drawing.how()])


def find_nearest(
    samples: NDArray[np.uint8], store: StoreReader, size: int
) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
    """For each sample [N, C, H, W] the nearest training slice's index, and the distance."""
    rows = samples.reshape(len(samples), -1).astype(np.float32)
    best = np.zeros(len(rows), np.int64)
    least = np.full(len(rows), np.inf, np.float32)
    indices = store.indices("train")
    for start in range(0, len(indices), 256):
        some = indices[start : start + 256]
        reals = to_grey(store.read(size, some))[:, : samples.shape[1]]
        reals = reals.reshape(len(some), -1).astype(np.float32)
        squares = (rows**2).sum(1)[:, None] - 2 * rows @ reals.T + (reals**2).sum(1)
        closest = squares.argmin(1)
        value = squares[np.arange(len(rows)), closest]
        best = np.where(value < least, some[closest], best)
        least = np.minimum(value, least)
    return best, np.sqrt(np.maximum(least, 0) / rows.shape[1])
