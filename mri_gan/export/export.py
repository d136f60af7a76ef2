"""Export a store for another program: choose slices, encode them, rename the result into place."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import lmdb

from mri_gan.config import LEVELS, require, require_level, require_one_of
from mri_gan.errors import DataError, Stopped, UsageError
from mri_gan.export import formats
from mri_gan.export.formats import Channels, Pixels, Selection, find_classes, select
from mri_gan.files import StopSignal, one_line, parse_json, replacing, write_json
from mri_gan.pictures import Shows, png_bytes
from mri_gan.store.reader import StoreReader
from mri_gan.store.schema import MASK

MARKER = "export.json"  # marks a folder that was exported


def require_free(out: Path, *, overwrite: bool) -> None:
    """Raise UsageError when `out` is in the way; only what an export wrote is ever replaced."""
    if not out.exists() and not out.is_symlink():
        return
    if not overwrite:
        raise UsageError(f"{out}: already exists", "give another --out, or --overwrite")
    if out.is_dir() and any(out.iterdir()) and not _is_export(out):
        raise UsageError(
            f"{out}: holds files that no export wrote",
            "give another --out, or move those files away",
        )


def _is_export(folder: Path) -> bool:
    try:
        holds = parse_json((folder / MARKER).read_text(encoding="utf-8"))["holds"]
    except (OSError, ValueError, KeyError, TypeError):
        return False
    return {path.name for path in folder.iterdir()} <= {*holds, MARKER, "lock.mdb"}


def write_marker(folder: Path, facts: dict[str, Any]) -> None:
    """Say in the folder what was exported, and which entries of it the export owns."""
    holds = sorted(path.name for path in folder.iterdir())
    write_json(folder / MARKER, {**facts, "holds": holds})


# A store in somebody else's format: choose slices, encode them, put them in place

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
        require_one_of("--format", self.format, FORMATS)
        if self.level is not None:
            require_level("--level", self.level)
            require(self.format != "nifti", "--level with nifti", "volumes have the native level")


def count_images(store: StoreReader, config: ExportConfig) -> int:
    """How many images an export will hold."""
    slices = len(store.indices(config.split))
    return slices * len(levels_of(store, config))


def describe_export(store: StoreReader, config: ExportConfig) -> str:
    """What must be passed to the other program, or nothing."""
    if config.format == "stylegan-zip":
        if config.anonymous:
            return "labels: left out (--anonymous)"
        classes = find_classes(store, store.indices(config.split).tolist())
        return f"labels: {classes.describe()}" if classes else "labels: none"
    if config.format == "stylegan-lmdb":
        sizes = levels_of(store, config)
        return f"sizes: {', '.join(map(str, sizes))} px; give {sizes[-1]} as the largest"
    return ""


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
                f"{out}: stopped after {done} images", "nothing was kept", stop.signum or 2
            )

    try:
        require_free(out, overwrite=config.overwrite)
        with replacing(out) as target:
            _write(store, config, selection, target, workers, tell)
            if target.is_dir():
                facts = {
                    "format": config.format,
                    "levels": levels_of(store, config),
                    "split": config.split,
                    "images": done,
                    "digest": store.digest,
                }
                write_marker(target, facts)
    except lmdb.Error as error:
        raise DataError(f"{out}: {one_line(error)}", "check the free space of the disk") from error


def _write(
    store: StoreReader,
    config: ExportConfig,
    selection: Selection,
    target: Path,
    workers: int,
    tell: formats.Tell,
) -> None:
    if config.format == "nifti":
        from mri_gan.export.volumes import write_volumes  # nibabel, which no other format needs

        write_volumes(store, selection, target, tell)
        return
    encode = _encoder(store, config.format)
    levels = [
        (level, formats.encode_slices(store, level, selection.indices, encode, workers))
        for level in levels_of(store, config)
    ]
    if config.format == "stylegan-lmdb":
        formats.write_lmdb([(level, _pictures(files)) for level, files in levels], target, tell)
    elif config.format == "stylegan-zip":
        classes = None if config.anonymous else find_classes(store, selection.indices)
        formats.write_zip(_pictures(levels[0][1]), classes, target, tell)
    elif config.format == "webdataset":
        formats.write_shards(store, selection, levels[0][1], target, tell)
    else:
        formats.write_folder(store, selection, levels[0][1], target, tell)


def _encoder(store: StoreReader, name: str) -> Callable[[Pixels], dict[str, bytes]]:
    """A function from an image [C, H, W] to its files; StyleGAN has no place for masks."""
    channels = Channels(store)
    shades = {"png16": formats.png16, "stylegan-lmdb": formats.png_rgb}.get(name, formats.png8)
    with_masks = not name.startswith("stylegan")

    def encode(image: Pixels) -> dict[str, bytes]:
        parts = channels.split(image)
        if not with_masks and "" not in parts:
            names = ", ".join(parts)
            raise UsageError(
                f"StyleGAN's formats hold one picture, not {names}",
                "use --format nifti or png, or prepare one with --contrast",
            )
        labels = parts.pop(MASK, None) if with_masks else None
        files = {name: shades(part) for name, part in parts.items() if name != MASK}
        return files if labels is None else files | {MASK: png_bytes(labels, shows=Shows.REAL)}

    return encode


def _pictures(files: formats.EncodedFiles) -> formats.Encoded:
    return ((index, named[""]) for index, named in files)
