"""How near `prepare` comes to reading volumes and nothing else, side by side in one run.

The floor is what any program must do that reads a `.nii.gz` and wants to know that it is whole:
nibabel's reading, and one pass of gzip to the trailer.
"""

from __future__ import annotations

import shutil
import tempfile
import zlib
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from statistics import median

import click
import nibabel as nib
import numpy as np
from bench_store import run_prepare, timed
from numpy.typing import NDArray

from mri_gan.store.reader import StoreReader

SHAPE = (176, 208, 176)  # the T88 volumes of OASIS-1


@click.command()
@click.option("--count", default=12, show_default=True, help="Volumes.")
@click.option("--workers", default=2, show_default=True)
@click.option("--repeats", default=3, show_default=True)
@click.argument("folder", type=click.Path(path_type=Path, exists=True), required=False)
def main(count: int, workers: int, repeats: int, folder: Path | None) -> None:
    """Measure prepare on generated volumes, or on the `.nii.gz` files of FOLDER."""
    with tempfile.TemporaryDirectory(prefix="mrigan-bench-") as scratch:
        scans, store = folder or Path(scratch, "scans"), Path(scratch, "store")
        if folder is None:
            write_volumes(scans, count)
        files = sorted(scans.glob("*.nii.gz"))
        floor_s, prepare_s, inner_s = [], [], []
        for _ in range(repeats):
            shutil.rmtree(store, ignore_errors=True)
            floor_s.append(timed(lambda: read_all(files, workers)))
            prepare_s.append(run_prepare(scans, store, workers)[0])
            with StoreReader(store) as opened:
                inner_s.append(float(opened.summary["seconds"]))
                slices = len(opened)
    floor, whole, inner = (len(files) / median(s) for s in (floor_s, prepare_s, inner_s))
    click.echo(
        f"prepare {len(files)} volumes, {workers} workers: {whole:.1f} volumes/s   floor: nibabel "
        f"and one pass of gzip {floor:.1f} volumes/s   share {whole / floor:.0%}   without "
        f"start-up {inner:.1f} volumes/s ({inner / floor:.0%}), {slices} slices"
    )


def write_volumes(folder: Path, count: int) -> None:
    """Heads of 16 bits in noisy air; the same arguments give the same voxels."""
    folder.mkdir()
    for i in range(count):
        image = nib.Nifti1Image(draw_head(np.random.default_rng(i)), np.diag((-1, -1, 1, 1)))
        nib.save(image, folder / f"sub-{i:02d}_T1w.nii.gz")


def draw_head(rng: np.random.Generator) -> NDArray[np.int16]:
    """An ellipsoid of textured tissue: it compresses about as a real scan."""
    x, y, z = np.ogrid[tuple(slice(-1, 1, size * 1j) for size in SHAPE)]
    inside = (x / 0.75) ** 2 + (y / 0.85) ** 2 + (z / 0.8) ** 2 < 1
    waves = sum(np.cos(12 * (a * x + b * y + c * z)) for a, b, c in rng.normal(0, 1, (4, 3)))
    tissue = 900 + 150 * waves + rng.normal(0, 20, SHAPE)
    return np.where(inside, tissue, np.abs(rng.normal(0, 12, SHAPE))).astype(np.int16)


def read_all(files: list[Path], workers: int) -> None:
    """Read every volume in worker processes that send nothing back."""
    with ProcessPoolExecutor(workers) as pool:
        assert sum(pool.map(read_one, files)) > 0


def read_one(file: Path) -> int:
    """One volume by nibabel, and its gzip stream to the end."""
    voxels = np.asarray(nib.load(file).dataobj, np.float32)  # type: ignore[attr-defined]
    stream = zlib.decompressobj(wbits=31)
    stream.decompress(file.read_bytes())
    assert stream.eof
    return int(voxels.size)


if __name__ == "__main__":
    main()
