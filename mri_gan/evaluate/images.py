"""Images to judge: from a checkpoint, the splits of a store, or a folder of picture files."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image

from mri_gan.config import LEVELS
from mri_gan.errors import DataError, UsageError
from mri_gan.files import one_line, parse_json
from mri_gan.ingest.read.image_files import FORMATS, read_grey_file
from mri_gan.nets.build import DrawSettings, draw_seeds
from mri_gan.pictures import Pixels, to_stored, to_unit
from mri_gan.store.reader import StoreReader
from mri_gan.synth.generate import MANIFEST, MASKS
from mri_gan.synth.sample import Trained, condition_rows

# Where images to judge come from: a checkpoint or the splits of a store, read in batches

BATCH = 64


@dataclass(frozen=True)
class ImageSet:
    """Images of one kind and the group of each: its subject, or itself where there is none.

    `read(start, stop)` gives pixels [n, S, S] in 0..1; nothing is kept between calls.
    """

    size: int  # px
    groups: NDArray[np.int64]  # [N], equal where images are of one person
    read: Callable[[int, int], Pixels]
    indices: NDArray[np.int64] | None = None  # into the store, for reals
    seeds: range | None = None  # that `mrigan generate` draws the images of, for fakes

    def __len__(self) -> int:
        return len(self.groups)

    def select_images(self, chosen: NDArray[np.bool_]) -> ImageSet:
        """Some of the images [N], in the same order."""
        rows = np.flatnonzero(chosen)

        def read(start: int, stop: int) -> Pixels:
            some = rows[start:stop]
            if not len(some):
                return self.read(0, 0)
            span = self.read(int(some[0]), int(some[-1]) + 1)
            return np.asarray(span[some - some[0]])

        indices = None if self.indices is None else self.indices[rows]
        return ImageSet(self.size, self.groups[rows], read, indices)

    def batches(self) -> Iterator[tuple[int, Pixels]]:
        """(index of the first, pixels) of one batch after another."""
        for start in range(0, len(self), BATCH):
            yield start, self.read(start, min(start + BATCH, len(self)))


def fakes_of(
    trained: Trained,
    look: DrawSettings,
    seeds: range,
    depth: int,
    conditions: torch.Tensor | None = None,
) -> ImageSet:
    """The first channel of images from a generator, one for each seed, at the depth of the reals.

    `conditions` [M, K] are those of real slices; see `pick_conditions`.
    """
    rows = pick_conditions(trained, seeds, conditions)

    def read(start: int, stop: int) -> Pixels:
        some = None if rows is None else rows[start:stop]
        drawn = draw_seeds(trained.generator, seeds[start:stop], look, some)[:, 0]
        return to_unit(to_stored(drawn.numpy(), depth))

    return ImageSet(look.size, np.arange(len(seeds)), read, seeds=seeds)


def pick_conditions(
    trained: Trained, seeds: range, conditions: torch.Tensor | None
) -> torch.Tensor | None:
    """What to ask of a conditional network for each seed [N, K]; None without conditions.

    Each takes those of one real slice of `conditions` [M, K], so that labels go together as they
    do in people. Without, they are drawn column by column.
    """
    if conditions is None:
        return condition_rows(trained.conditions, None, seeds)
    rng = np.random.default_rng(seeds.start)
    return conditions[torch.from_numpy(rng.integers(0, len(conditions), len(seeds)))]


def reals_of(
    store: StoreReader, splits: tuple[str, ...], size: int, limit: int, seed: int = 0
) -> ImageSet:
    """The slices of some splits in a random order, at most `limit` of them.

    People have the same number in every split. Raises DataError when there are none.
    """
    indices = np.concatenate([store.indices(split) for split in splits])
    if not len(indices):
        raise DataError(
            f"{store.folder}: has no slices in split {', '.join(splits)}",
            "choose another --split",
        )
    indices = np.random.default_rng(seed).permutation(indices)[:limit]

    def read(start: int, stop: int) -> Pixels:
        return to_unit(store.read(size, indices[start:stop])[:, 0])

    numbers = {name: i for i, name in enumerate(sorted({r.subject for r in store.records}))}
    groups = np.array([numbers[store.records[int(i)].subject] for i in indices], np.int64)
    return ImageSet(size, groups, read, indices)


def check_fit(trained: Trained, store: StoreReader, size: int) -> None:
    """Raise UsageError where a checkpoint and a store cannot be compared at this size."""
    if trained.config.channels != store.channels:
        raise UsageError(
            f"{trained.path}: draws {trained.config.channels} channels, "
            f"{store.folder} holds {store.channels}",
            "give --data the store that it was trained on",
        )
    check_size(store, size)


def check_size(store: StoreReader, size: int) -> None:
    """Raise UsageError where a store has no detail of its own at this size."""
    if size > store.max_native:
        raise UsageError(
            f"{store.folder}: its slices have {store.max_native} px, the images {size} px",
            f"give --size {store.max_native} or below, or a store of larger slices",
        )


def as_tensor(images: Pixels) -> torch.Tensor:
    """[N, S, S] to [N, 1, S, S]."""
    return torch.from_numpy(np.ascontiguousarray(images)).unsqueeze(1)


# Images of other people's models: a folder of picture files of one size

SUFFIXES = {".png", ".jpg", ".jpeg", ".tif", ".tiff", ".bmp"}
RESIZER = "Pillow box"


def images_in(folder: Path, size: int | None, limit: int, seed: int = 0) -> tuple[ImageSet, str]:
    """The pictures of a folder and below as a set, and how they were resized.

    Colours become grey; all must be square and of one size. Raises DataError where there are
    none, where one differs or cannot be read, and UsageError where the size is not a level.
    """
    paths = list_images(folder)
    own = measure(paths)
    if size is None and own not in LEVELS:
        raise UsageError(
            f"{folder}: its images have {own} px, which is not a level",
            f"give --size from {LEVELS}",
        )
    size = size or own
    if size > own:
        raise UsageError(f"{folder}: its images have {own} px", f"give --size {own} or below")
    order = np.random.default_rng(seed).permutation(len(paths))[:limit]
    chosen = [paths[i] for i in order]

    def read(start: int, stop: int) -> Pixels:
        return np.stack([read_image(path, size) for path in chosen[start:stop]])

    resizer = "none" if size == own else f"{RESIZER} from {own} px"
    return ImageSet(size, np.arange(len(chosen)), read), resizer


def read_look(folder: Path) -> dict[str, float]:
    """psi and noise by the manifest of `mrigan generate`; empty where they are not known."""
    try:
        facts = parse_json((folder / MANIFEST).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    known = facts if isinstance(facts, dict) and "generator_digest" in facts else {}
    look = ((name, known.get(name)) for name in ("psi", "noise"))
    return {k: float(v) for k, v in look if isinstance(v, int | float) and abs(v) < 100}


def list_images(folder: Path) -> list[Path]:
    """All picture files in a folder and below but masks beside them, sorted.

    Raises DataError when there are none.
    """
    if not folder.is_dir():
        raise DataError(f"{folder}: no such folder", "check --images")
    found = (p for p in folder.rglob("*") if p.suffix.lower() in SUFFIXES and p.is_file())
    paths = sorted(p for p in found if not _is_mask(p))
    if not paths:
        names = ", ".join(sorted(SUFFIXES))
        raise DataError(f"{folder}: holds no images", f"files must end in {names}")
    return paths


def _is_mask(path: Path) -> bool:
    """Whether `mrigan generate` wrote it as the mask of the image of the same name above."""
    return path.parent.name == MASKS and (path.parent.parent / path.name).is_file()


def measure(paths: list[Path]) -> int:
    """The size in px that all files share, from their headers.

    Raises DataError naming the first file that is not square, or of another size.
    """
    sizes = [_size_of(path) for path in paths]
    width, height = sizes[0]
    if width != height:
        raise DataError(f"{paths[0]}: is {width}x{height} px, not square", "pad or crop it first")
    for path, found in zip(paths, sizes, strict=True):
        if found != sizes[0]:
            raise DataError(
                f"{path}: is {found[0]}x{found[1]} px, but {paths[0].name} is {width}x{height}",
                "all images of a folder must have one size",
            )
    return width


def _size_of(path: Path) -> tuple[int, int]:
    try:
        with Image.open(path, formats=FORMATS) as image:
            return image.size
    except Exception as error:  # Pillow lets many types through for damaged files
        raise DataError(f"{path}: cannot be read ({one_line(error)})", "remove it") from error


def read_image(path: Path, size: int) -> Pixels:
    """One picture as grey [size, size], 0..1, as `prepare` reads it; larger ones are averaged."""
    grey = read_grey_file(path)
    if grey.shape[0] == size:
        return grey
    small = Image.fromarray(grey).resize((size, size), Image.Resampling.BOX)
    return np.asarray(small, np.float32)
