"""Many synthetic images as files: each a function of its seed, whole or absent, and marked."""

from __future__ import annotations

import dataclasses
import gzip
import shutil
import zipfile
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from numpy.typing import NDArray

from mri_gan import __version__, files
from mri_gan.config import require, require_one_of
from mri_gan.errors import DataError, Stopped, UsageError
from mri_gan.files import parse_json
from mri_gan.nets.build import DrawSettings, batch_for, draw_seeds
from mri_gan.pictures import (
    COMPRESS_LEVEL,
    SEED,
    Shows,
    check_png,
    mark_header,
    name_channels,
    png_bytes,
    to_stored,
)
from mri_gan.store.labels import one_cell
from mri_gan.synth.sample import Trained, condition_rows, describe_rows


def nifti_bytes(
    pixels: NDArray[Any],
    pixel_mm: float | None,
    facts: Mapping[str, str],
    channel_names: Sequence[str] = (),
) -> bytes:
    """A gzipped NIfTI of [C, H, W]: columns, rows from below, one slice, channels.

    The pixel size is in the header where it is known. There is no orientation, since a synthetic
    slice has no place in a scanner (both codes are 0).
    """
    import nibabel

    array = pixels[:, ::-1].transpose(2, 1, 0)[:, :, None, :]  # [W, H, 1, C]
    image = nibabel.Nifti1Image(array if len(pixels) > 1 else array[..., 0], None)
    header = image.header
    size_mm = pixel_mm or 1.0
    header.set_zooms((size_mm, size_mm, 1.0, 1.0)[: header["dim"][0]])
    header.set_xyzt_units("mm" if pixel_mm else "unknown")
    mark_header(header, facts.get(SEED, "?"))
    name_channels(header, channel_names)
    return gzip.compress(image.to_bytes(), compresslevel=COMPRESS_LEVEL, mtime=0)


# Many synthetic images as files: each is a function of its seed, whole or absent, and marked

FORMATS = ("png", "zip", "nifti")
MANIFEST, TABLE = "manifest.json", "manifest.tsv"
MASKS = "masks"
WRITERS = 4  # threads; waiting for the disk is most of their work
ZIP_TIME = (1980, 1, 1, 0, 0, 0)  # the zip format's first day: equal images are equal files


@dataclass(frozen=True)
class GenerateConfig:
    """What decides the bytes of an image besides its seed and the checkpoint."""

    look: DrawSettings
    condition: str | None = None  # None draws one for each seed, where there are any
    format: str = "png"
    depth: int = 8  # bits
    pixel_mm: float | None = None

    def __post_init__(self) -> None:
        require_one_of("--format", self.format, FORMATS)
        require(self.depth in (8, 16), f"--depth {self.depth}", "choose 8 or 16")
        positive = self.pixel_mm is None or 0 < self.pixel_mm < 1000
        require(positive, f"--pixel-mm {self.pixel_mm}", "give millimetres above 0")


def generate(
    trained: Trained,
    config: GenerateConfig,
    seeds: Sequence[int],
    out: Path,
    stop: files.StopSignal,
    on_done: Callable[[int], object] = lambda done: None,
) -> int:
    """Write one file per seed (two with masks) and a manifest; returns how many were new.

    `out` is a folder, or a file for zip. What an earlier call wrote stays, so that an interrupted
    call is continued and a finished one extended. Raises UsageError when `out` holds images of
    other settings, Stopped after a signal.
    """
    folder = out.with_name(f".{out.name}.parts") if config.format == "zip" else out
    if config.format == "zip" and out.exists():
        raise UsageError(f"{out}: exists", "name another file, or delete it first")
    # Both report what does not fit before anything is written.
    condition_rows(trained.conditions, config.condition, [])
    if config.format != "nifti":
        shades = len(trained.channel_names) - trained.has_mask
        check_png(shades, config.depth)
    files.make_folder(folder / MASKS if trained.has_mask else folder)
    with files.FolderLock(folder):
        check_manifest(folder, manifest(trained, config))
        missing = [
            s for s in seeds if not all(p.exists() for p in seed_paths(folder, s, trained, config))
        ]
        files.write_json(folder / MANIFEST, manifest(trained, config))
        draw_files(trained, config, missing, folder, stop, on_done, len(seeds) - len(missing))
        rows = build_table(
            trained, config, seeds if config.format == "zip" else seeds_present(folder, seeds)
        )
        files.write_text(folder / TABLE, rows)
    if config.format == "zip":
        pack_zip(folder, out)
    return len(missing)


def manifest(trained: Trained, config: GenerateConfig) -> dict[str, Any]:
    """Where the images come from and how they were drawn: equal for equal images."""
    return {
        "synthetic": Shows.SYNTHETIC.value,
        "checkpoint": trained.path.name,
        "generator_digest": trained.digest,
        "arch": trained.config.model.arch,
        "nimg": trained.nimg,
        "channel_names": list(trained.channel_names),
        **dataclasses.asdict(config.look),
        **{name: value for name, value in vars(config).items() if name != "look"},
        "mrigan": __version__,
        "torch": torch.__version__,
        "device": trained.generator.w_avg.device.type,
        "threads": torch.get_num_threads(),
    }


# May differ between two calls that fill one folder: they do not change what a picture shows.
MAY_DIFFER = ("checkpoint", "mrigan", "torch", "device", "threads")


def check_manifest(folder: Path, now: dict[str, Any]) -> None:
    """Raise UsageError, naming what differs, when the folder holds images of other settings."""
    path = folder / MANIFEST
    if not path.exists():
        return
    try:
        before = parse_json(path.read_text(encoding="utf-8"))
        changed = [k for k in now if k not in MAY_DIFFER and before.get(k) != now[k]]
    except (OSError, ValueError, AttributeError) as error:
        raise DataError(f"{path}: cannot be read", "give an empty folder to --out") from error
    if changed:
        changes = "; ".join(f"{k} was {before.get(k)}, now {now[k]}" for k in changed)
        raise UsageError(
            f"{folder}: holds images of other settings ({changes})", "use another --out"
        )


def seed_name(seed: int) -> str:
    """The name of a seed's files, without the ending; names sort as numbers up to a million."""
    return f"seed{seed:06d}"


def seed_paths(folder: Path, seed: int, trained: Trained, config: GenerateConfig) -> list[Path]:
    """The files of one seed: the image, and its mask where there is one."""
    name = seed_name(seed) + (".nii.gz" if config.format == "nifti" else ".png")
    return [folder / name] + ([folder / MASKS / name] if trained.has_mask else [])


def seeds_present(folder: Path, seeds: Sequence[int]) -> list[int]:
    """The seeds requested and those of earlier calls, in order."""
    earlier = (path.name.partition(".")[0].removeprefix("seed") for path in folder.glob("seed*.*"))
    return sorted({*seeds, *(int(name) for name in earlier if name.isdecimal())})


def draw_files(
    trained: Trained,
    config: GenerateConfig,
    seeds: Sequence[int],
    folder: Path,
    stop: files.StopSignal,
    on_done: Callable[[int], object],
    done: int,
) -> None:
    """Draw in full batches while threads encode and write the ones before."""
    waiting: deque[Future[None]] = deque()
    look = {"psi": f"{config.look.psi:g}", "noise": f"{config.look.noise:g}"}
    with ThreadPoolExecutor(WRITERS, "mrigan-write") as pool:
        for some, images, words in drawn_batches(trained, config, seeds):
            for seed, image, word in zip(some, images, words, strict=True):
                targets = seed_paths(folder, seed, trained, config)
                facts = {SEED: str(seed), "condition": word, "generator": trained.digest, **look}
                waiting.append(pool.submit(write_image, targets, image, facts, trained, config))
            while len(waiting) > 4 * batch_for(config.look.px):
                waiting.popleft().result()
            done += len(some)
            on_done(done)
            if stop:
                break
        for future in waiting:
            future.result()
    files.sync_folder(folder)
    if stop:
        raise Stopped(f"{folder}: stopped", "run the same command again", stop.signum or 15)


def drawn_batches(
    trained: Trained, config: GenerateConfig, seeds: Sequence[int]
) -> Iterator[tuple[Sequence[int], NDArray[Any], list[str]]]:
    """Seeds, images [N, C, H, W] in the file's depth, and conditions in words."""
    batch = batch_for(config.look.px)
    for start in range(0, len(seeds), batch):
        some = seeds[start : start + batch]
        rows = condition_rows(trained.conditions, config.condition, some)
        images = draw_seeds(trained.generator, some, config.look, rows).numpy()
        words = describe_rows(trained.conditions, rows, len(some))
        yield some, to_stored(images, config.depth), words


def write_image(
    targets: Sequence[Path],
    image: NDArray[Any],  # [C, H, W]
    facts: dict[str, str],
    trained: Trained,
    config: GenerateConfig,
) -> None:
    """Encode and write the files of one seed, the image last: where it is, all is."""
    parts = [image[:-1], image[-1:]] if trained.has_mask else [image]
    for path, pixels in reversed(list(zip(targets, parts, strict=True))):
        if config.format == "nifti":
            names = trained.channel_names[: len(pixels)]
            files.write_bytes(path, nifti_bytes(pixels, config.pixel_mm, facts, names))
        else:
            files.write_bytes(path, png_bytes(pixels, facts))


def build_table(trained: Trained, config: GenerateConfig, seeds: Sequence[int]) -> str:
    """`manifest.tsv`: one line per seed."""
    rows = condition_rows(trained.conditions, config.condition, seeds)
    words = describe_rows(trained.conditions, rows, len(seeds))
    lines = ["file\tmask\tseed\tcondition\tgenerator_digest"]
    for seed, word in zip(seeds, words, strict=True):
        image, *mask = (p.as_posix() for p in seed_paths(Path(), seed, trained, config))
        cells = [image, *(mask or [""]), str(seed), word, trained.digest]
        lines.append("\t".join(map(one_cell, cells)))
    return "\n".join(lines) + "\n"


def pack_zip(folder: Path, out: Path) -> None:
    """All files of a folder as one zip, written at once; then the folder goes."""
    members = sorted(p for p in folder.rglob("*") if p.is_file() and not p.name.startswith("."))

    def write(stream: Any) -> None:
        with zipfile.ZipFile(stream, "w", zipfile.ZIP_STORED) as archive:
            for path in members:
                info = zipfile.ZipInfo(path.relative_to(folder).as_posix(), ZIP_TIME)
                archive.writestr(info, path.read_bytes())

    files.write_atomic(out, write)
    shutil.rmtree(folder)
