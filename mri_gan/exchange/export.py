"""A store in somebody else's format: choose slices, encode them, put them in place."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import lmdb

from mri_gan.config import LEVELS, require, require_level
from mri_gan.errors import DataError, Stopped
from mri_gan.exchange import encoding, packs
from mri_gan.exchange.channels import Channels, Pixels
from mri_gan.exchange.selection import Selection, select
from mri_gan.exchange.target import temporary_target, write_marker
from mri_gan.files import StopSignal, one_line
from mri_gan.store.reader import StoreReader

FORMATS = ("png", "png16", "nifti", "stylegan-zip", "stylegan-lmdb", "webdataset")


@dataclass(frozen=True)
class ExportConfig:
    """What to write: `level` None means all levels for an LMDB, else the largest native one."""

    format: str
    level: int | None = None
    split: str | None = None
    anonymous: bool = False
    overwrite: bool = False

    def __post_init__(self) -> None:
        require(self.format in FORMATS, f"--format {self.format}", f"choose one of {FORMATS}")
        if self.level is not None:
            require_level("--level", self.level)
            require(self.format != "nifti", "--level with nifti", "volumes have the native level")


def count_images(store: StoreReader, config: ExportConfig) -> int:
    """How many images an export will hold."""
    slices = len(store.indices(config.split))
    return slices * len(levels_of(store, config))


def levels_of(store: StoreReader, config: ExportConfig) -> list[int]:
    """The levels to write, smallest first."""
    if config.level is not None:
        return [config.level]
    if config.format == "stylegan-lmdb":
        return [level for level in LEVELS if level <= store.max_native]
    return [store.max_native]


def export(
    store: StoreReader,
    config: ExportConfig,
    out: Path,
    workers: int,
    stop: StopSignal,
    on_progress: Callable[[int], object] = lambda _: None,
) -> None:
    """Write the slices of a store to `out`, which appears when it is whole.

    Raises UsageError when `out` is in the way, Stopped after a signal (nothing is left behind).
    """
    selection = select(store, config.split, anonymous=config.anonymous)
    done = 0

    def tell() -> None:
        nonlocal done
        done += 1
        on_progress(done)
        if stop:
            raise Stopped(
                f"{out}: stopped after {done} images", "nothing was left", stop.signum or 2
            )

    try:
        with temporary_target(out, overwrite=config.overwrite) as target:
            _write(store, config, selection, target, workers, tell)
            if target.is_dir():
                write_marker(target, _facts(store, config, done))
    except lmdb.Error as error:
        raise DataError(f"{out}: {one_line(error)}", "check the free space of the disk") from error


def _write(
    store: StoreReader,
    config: ExportConfig,
    selection: Selection,
    target: Path,
    workers: int,
    tell: packs.Tell,
) -> None:
    if config.format == "nifti":
        from mri_gan.exchange.volumes import write_volumes  # nibabel, which no other format needs

        write_volumes(store, selection, target, tell)
        return
    encode = _encoder(store, config.format)
    levels = [
        (level, encoding.encode_slices(store, level, selection.indices, encode, workers))
        for level in levels_of(store, config)
    ]
    if config.format == "stylegan-lmdb":
        packs.write_lmdb([(level, _pictures(files)) for level, files in levels], target, tell)
    elif config.format == "stylegan-zip":
        packs.write_zip(_pictures(levels[0][1]), target, tell)
    elif config.format == "webdataset":
        packs.write_shards(store, selection, levels[0][1], target, tell)
    else:
        packs.write_folder(store, selection, levels[0][1], target, tell)


def _encoder(store: StoreReader, name: str) -> Callable[[Pixels], dict[str, bytes]]:
    """A function from an image [C, H, W] to its files; StyleGAN has no place for masks."""
    channels = Channels(store)
    shades = {"png16": encoding.png16, "stylegan-lmdb": encoding.png_rgb}.get(name, encoding.png8)
    with_masks = not name.startswith("stylegan")

    def encode(image: Pixels) -> dict[str, bytes]:
        parts = channels.split(image)
        files = {"": shades(parts.pop(""))}
        return files | {k: encoding.png_labels(v) for k, v in parts.items() if with_masks}

    return encode


def _pictures(files: packs.EncodedFiles) -> packs.Encoded:
    return ((index, named[""]) for index, named in files)


def _facts(store: StoreReader, config: ExportConfig, images: int) -> dict[str, object]:
    return {
        "format": config.format,
        "levels": levels_of(store, config),
        "split": config.split,
        "images": images,
        "digest": store.digest,
    }
