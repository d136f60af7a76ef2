"""Decode every PNG of a zip with so many workers and do nothing else: the floor of `prepare`."""

from __future__ import annotations

import io
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

import click
import numpy as np
from PIL import Image

from mri_gan.ingest.read.archives import list_source, read_member


@click.command()
@click.argument("source", type=click.Path(path_type=Path))
@click.option("--workers", default=2, show_default=True)
def main(source: Path, workers: int) -> None:
    """Decode by Pillow, as a command of its own."""
    decode_all(source, workers, by_pillow)


def decode_all(source: Path, workers: int, decode: Callable[[bytes], object]) -> None:
    """Read and decode every PNG in worker processes that send nothing back."""
    count = len(list_source(source).members)
    parts = [(source, start, workers, decode) for start in range(workers)]
    with ProcessPoolExecutor(workers) as pool:
        assert sum(pool.map(decode_part, parts)) == count


def decode_part(part: tuple[Path, int, int, Callable[[bytes], object]]) -> int:
    """Every n-th member of the zip."""
    source, start, step, decode = part
    members = list_source(source).members[start::step]
    for member in members:
        decode(read_member(member))
    return len(members)


def by_pillow(data: bytes) -> object:
    """The pixels as most tools get them; no checksums, since the zip's were compared."""
    with Image.open(io.BytesIO(data), formats=("PNG",)) as image:
        return np.asarray(image)


def by_ourselves(data: bytes) -> object:
    """The pixels as `prepare` gets them."""
    from mri_gan.ingest.read.image_files import read_image

    return read_image(data, verify=False)


if __name__ == "__main__":
    main()
