"""Shades of grey, and PNG files that record what they show: sheets of slices, for people.

The one place that knows what white is.
"""

from __future__ import annotations

import io
import json
from collections.abc import Mapping, Sequence
from enum import Enum
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont, PngImagePlugin

from mri_gan.files import write_bytes

if TYPE_CHECKING:
    from torch import Tensor


Pixels = NDArray[np.float32]


def white_of(images: Any) -> int:
    """The white of uint8 or uint16 pixels, an array's or a tensor's: 255 or 65535."""
    return int((1 << 8 * images.itemsize) - 1)


def to_unit(images: NDArray[Any]) -> Pixels:
    """uint8 or uint16 as 0..1."""
    return np.asarray(images, np.float32) / np.float32(white_of(images))


def to_stored(images: NDArray[Any], depth: int = 8) -> NDArray[Any]:
    """-1..1 as grey levels of 8 or 16 bits, rounded half up; what is beyond is cut off."""
    levels = np.floor((np.clip(images, -1, 1) + 1) * (((1 << depth) - 1) / 2) + 0.5)
    return np.asarray(levels, np.uint8 if depth == 8 else np.uint16)


def to_grey(images: NDArray[Any]) -> NDArray[np.uint8]:
    """Pictures of uint8, uint16 or float -1..1 as 8-bit grey."""
    if images.dtype == np.uint8:
        return images
    if images.dtype == np.uint16:
        return (images >> 8).astype(np.uint8)
    return to_stored(images)


def to_signed(images: Tensor) -> Tensor:
    """Stored uint8 or uint16 as a float32 tensor of -1..1: black to white."""
    return images.float().mul_(2 / white_of(images)).sub_(1)


# Arrays to PNG files that record what they show: sheets of slices with labels, for people

GAP = 2
COMPRESS_LEVEL = 2  # a fifth of the time of Pillow's default for a tenth more bytes
INK, PAPER = 235, 0
MARKED_PX = 48  # in narrower pictures the letters would hide too much
COMMENT = "Comment"  # the text chunk of a PNG that holds the mark; Pillow calls a GIF's "comment"


class Shows(Enum):
    """What a picture shows. The value is the mark that the file carries, its first word decides."""

    SYNTHETIC = "SYNTHETIC: drawn by a generative network, not a scan of a person"
    REAL = "REAL: scans of people, as confidential as the data"
    BOTH = "BOTH: scans of people beside synthetic images, as confidential as the data"
    LIKENESS = "LIKENESS: drawn by a generative network to equal a given image, perhaps of a person"
    CHART = "CHART: drawn from numbers, without any image"

    @property
    def shows_people(self) -> bool:
        """Whether it is as confidential as the scans of the people in it."""
        return self in (Shows.REAL, Shows.BOTH, Shows.LIKENESS)


def read_mark(path: Path) -> Shows | None:
    """What a PNG or GIF says that it shows; None without a mark, or where it cannot be read."""
    try:
        with Image.open(path, formats=("PNG", "GIF")) as picture:
            text = picture.info.get(COMMENT) or picture.info.get("comment") or ""
    except (OSError, ValueError, SyntaxError):
        return None
    word = (text.decode("latin-1") if isinstance(text, bytes) else str(text)).partition(":")[0]
    return next((mark for mark in Shows if mark.name == word), None)


def png_text(shows: Shows, facts: Mapping[str, str] = {}) -> PngImagePlugin.PngInfo:
    """The text chunks of a PNG: the mark, and further facts."""
    text = PngImagePlugin.PngInfo()
    for name, value in {COMMENT: shows.value, **facts}.items():
        text.add_itxt(name, value)
    return text


def read_edges(config: Path) -> tuple[str, ...]:
    """`edges_of` a run by its config.json; empty where that cannot be read."""
    try:
        return edges_of(json.loads(config.read_text(encoding="utf-8")))
    except (OSError, ValueError):
        return ()


def edges_of(facts: Any) -> tuple[str, ...]:
    """The sides of the body at the left and right edge of a run's pictures: ("R", "L").

    Empty where it is not recorded, differs among slices, or training mirrored them.
    """
    try:
        flipped, edges = facts["settings"].get("flip"), tuple(facts["data"]["image_edges"])
    except (LookupError, TypeError, AttributeError):
        return ()
    return edges if sorted(map(str, edges)) == ["L", "R"] and not flipped else ()


def build_sheet(
    images: NDArray[Any],
    columns: int,
    labels: Sequence[str] = (),
    scale: int = 1,
    edges: Sequence[str] = (),
) -> Image.Image:
    """A contact sheet of [N, H, W] grey or [N, 3, H, W] colour images, row by row.

    Labels are written under the pictures, `edges` (R and L) into the upper corners of the first
    one; `scale` repeats pixels so that small levels can be seen. Empty cells stay black.
    """
    tiles = [build_tile(image, scale) for image in to_grey(images)]
    width, height = tiles[0].size
    text = 14 if labels else 0
    rows = -(-len(tiles) // columns)
    size = (columns * (width + GAP) + GAP, rows * (height + text + GAP) + GAP)
    sheet = Image.new(tiles[0].mode, size, PAPER)
    draw = ImageDraw.Draw(sheet)
    for i, tile in enumerate(tiles):
        x, y = GAP + i % columns * (width + GAP), GAP + i // columns * (height + text + GAP)
        sheet.paste(tile, (x, y))
        if labels:
            draw.text((x, y + height + 1), _fit(labels[i], width), INK, ImageFont.load_default(10))
    if edges and width >= MARKED_PX:
        mark_edges(draw, width, edges)
    return sheet


def mark_edges(draw: ImageDraw.ImageDraw, width: int, edges: Sequence[str]) -> None:
    """R and L in the upper corners of the first picture, with a dark rim."""
    font = ImageFont.load_default(10)
    for letter, x, anchor in zip(edges, (GAP + 2, GAP + width - 2), ("la", "ra"), strict=True):
        draw.text((x, GAP + 1), letter, INK, font, anchor, stroke_width=1, stroke_fill=PAPER)


SHOWN_PX = 128  # smaller pictures are magnified to about this size


def magnification(size: int) -> int:
    """How many screen pixels to show each pixel with."""
    return max(1, SHOWN_PX // size)


def shown(images: NDArray[np.float32]) -> NDArray[np.uint8]:
    """[N, C, H, W] -1..1 to what a sheet takes: grey from the first channel, or three as RGB.

    More than three are contrasts of one head, and stand beside each other.
    """
    grey = to_grey(images)
    if grey.shape[1] > 3:
        return np.concatenate(list(grey.swapaxes(0, 1)), axis=-1)
    return grey if grey.shape[1] == 3 else grey[:, 0]


def build_tile(image: NDArray[np.uint8], scale: int) -> Image.Image:
    if image.ndim == 3:
        image = image[0] if image.shape[0] != 3 else image.transpose(1, 2, 0)
    tile = Image.fromarray(np.ascontiguousarray(image))
    if scale == 1:
        return tile
    return tile.resize((tile.width * scale, tile.height * scale), Image.Resampling.NEAREST)


def _fit(label: str, width: int) -> str:
    longest = max(1, width // 6)
    return label if len(label) <= longest else label[: longest - 1] + "…"


def save_png(path: Path, image: Image.Image, shows: Shows) -> None:
    """Write a PNG, marked with what it shows, atomically."""
    stream = io.BytesIO()
    image.save(stream, "PNG", pnginfo=png_text(shows), compress_level=COMPRESS_LEVEL)
    write_bytes(path, stream.getvalue())


SPIKE = 20.0  # a largest value this many times the usual ones hides all else on a linear axis


def find_spike(values: Sequence[float]) -> float | None:
    """Where an axis should turn from linear to logarithmic, or None: there is no spike."""
    sizes = np.abs(np.array(values, dtype=np.float64))
    usual = float(np.percentile(sizes, 90)) if len(sizes) else 0.0
    return usual if usual > 0 and sizes.max() > SPIKE * usual else None
