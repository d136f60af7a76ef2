"""Slices to PNG bytes, encoded by threads and handed back in order."""

from __future__ import annotations

import io
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from mri_gan.errors import UsageError
from mri_gan.store.reader import StoreReader

READ_AHEAD = 32  # slices per read
COMPRESS_LEVEL = 3  # half the time of Pillow's default for two per cent more bytes

Item = TypeVar("Item")
Result = TypeVar("Result")


def encode_slices(
    store: StoreReader,
    level: int,
    indices: Sequence[int],
    encode: Callable[[NDArray[Any]], Result],
    workers: int,
) -> Iterator[tuple[int, Result]]:
    """Pairs of slice index and what `encode` makes of its image, in the order of the indices."""
    with ThreadPoolExecutor(workers, "mrigan-encode") as pool:
        encoded = map_ordered(pool, encode, _images(store, level, indices), 4 * workers)
        yield from zip(indices, encoded, strict=True)


def _images(store: StoreReader, level: int, indices: Sequence[int]) -> Iterator[NDArray[Any]]:
    for start in range(0, len(indices), READ_AHEAD):
        yield from store.read(level, indices[start : start + READ_AHEAD])


def map_ordered(
    pool: ThreadPoolExecutor,
    function: Callable[[Item], Result],
    items: Iterable[Item],
    window: int,
) -> Iterator[Result]:
    """`map` with at most `window` items in flight, so that memory stays bounded."""
    waiting: deque[Future[Result]] = deque()
    for item in items:
        waiting.append(pool.submit(function, item))
        if len(waiting) >= window:
            yield waiting.popleft().result()
    while waiting:
        yield waiting.popleft().result()


def png8(image: NDArray[Any]) -> bytes:
    """An 8-bit PNG of pixels [C, H, W]; 16-bit pixels are rounded."""
    if image.dtype == np.uint16:
        image = ((image.astype(np.uint32) + 128) // 257).astype(np.uint8)
    return _png(image)


def png16(image: NDArray[Any]) -> bytes:
    """A 16-bit grey PNG of pixels [1, H, W]; 8-bit white becomes 16-bit white."""
    if len(image) != 1:
        raise UsageError("16-bit PNGs hold one channel", "use --format png")
    return _png(image.astype(np.uint16) * np.uint16(257) if image.dtype == np.uint8 else image)


def png_labels(labels: NDArray[Any]) -> bytes:
    """A PNG whose pixels [1, H, W] are labels and not shades: they stay as they are."""
    return _png(labels)


def png_rgb(image: NDArray[Any]) -> bytes:
    """An 8-bit PNG of three channels, equal ones for grey pixels."""
    return png8(np.repeat(image, 3, axis=0) if len(image) == 1 else image)


def _png(image: NDArray[Any]) -> bytes:
    if len(image) not in (1, 3):
        raise UsageError(f"a PNG holds 1 or 3 channels, not {len(image)}", "use --format nifti")
    pixels = image[0] if len(image) == 1 else image.transpose(1, 2, 0)
    stream = io.BytesIO()
    picture = Image.fromarray(np.ascontiguousarray(pixels))
    picture.save(stream, "PNG", compress_level=COMPRESS_LEVEL)
    return stream.getvalue()
