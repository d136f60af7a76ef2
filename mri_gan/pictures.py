"""Shades of grey and sheets of slices, in files that record what they show.

The one place that knows what white is.
"""

from __future__ import annotations

import base64
import functools
import io
import re
import textwrap
import unicodedata
from collections.abc import Mapping, Sequence
from enum import Enum
from html import escape
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont, PngImagePlugin

from mri_gan.errors import UsageError, printable
from mri_gan.files import parse_json, write_bytes

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
    """Stored uint8 or uint16 as a float32 tensor of -1..1, black to white."""
    return images.float().mul_(2 / white_of(images)).sub_(1)


def write_signed(images: NDArray[Any], out: NDArray[np.float32]) -> None:
    """What `to_signed` gives, bit for bit, into an array that is there."""
    np.copyto(out, images)
    np.multiply(out, np.float32(2 / white_of(images)), out)
    np.subtract(out, np.float32(1), out)


def write_unit(images: NDArray[Any], out: NDArray[np.float32]) -> None:
    """What `to_unit` gives, bit for bit, into an array that is there."""
    np.copyto(out, images)
    np.divide(out, np.float32(white_of(images)), out)


MARK = b"SYNTHETIC"  # intent_name of a NIfTI header


def mark_header(header: Any, seed: str = "") -> None:
    """Write into a NIfTI header that its picture was drawn, as `is_synthetic` reads it."""
    text = f"SYNTHETIC, no scan; mrigan seed {seed}" if seed else "SYNTHETIC, no scan; mrigan"
    header["descrip"], header["intent_name"] = text[:79].encode(), MARK


def name_channels(header: Any, names: Sequence[str]) -> None:
    """Write into a NIfTI header what each of several channels holds, after what it says."""
    if len(names) > 1:
        said = [header["descrip"].item().decode(), f"channels {', '.join(names)}"]
        header["descrip"] = "; ".join(filter(None, said))[:79].encode(errors="replace")


def is_synthetic(header: Any) -> bool:
    """Whether a header says that its picture was drawn; an Analyze header or none cannot."""
    names = () if header is None else header.keys()
    return "intent_name" in names and header["intent_name"].item() == MARK


# Arrays to PNG files that record what they show: sheets of slices with labels, for people

GAP = 2
SHEET_COMPRESSION = 2  # a fifth of the time of Pillow's default for a tenth more bytes
COMPRESS_LEVEL = 3  # half the time of Pillow's default for two per cent more bytes
INK, PAPER = "#ebebeb", 0
LINE_PX, LETTER_PX = 13, 6  # a line of text below a sheet, and room for one of its letters
LABEL_LINES = 3  # at most, below a picture
SPELLED = str.maketrans(
    {"ä": "ae", "ö": "oe", "ü": "ue", "Ä": "Ae", "Ö": "Oe", "Ü": "Ue", "å": "aa", "Å": "Aa"}
    | {"Æ": "AE", "æ": "ae", "Œ": "OE", "œ": "oe", "ß": "ss", "Ø": "O", "ø": "o"}
    | {"Ł": "L", "ł": "l"}
    | {"Đ": "D", "đ": "d", "ı": "i", "Þ": "Th", "þ": "th", "Ð": "D", "ð": "d", "–": "-", "—": "-"}
)
NOTED_PX = 120  # narrower sheets have no room for sentences
MARKED_PX = 48  # in narrower pictures the letters would hide too much
COMMENT = "Comment"  # the text chunk of a PNG that holds the mark; Pillow calls a GIF's "comment"
SEED = "seed"  # the text chunk of an image that is one drawn slice
LAYOUT, SHEET = "Layout", "sheet"  # that of several slices in one picture
AGE = "nimg"  # that of the real images which the drawing network had been shown


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
    return _mark_of(read_texts(path))


def read_age(path: Path) -> int | None:
    """The real images that the drawing network had been shown; None where it is not recorded."""
    text = str(read_texts(path).get(AGE, ""))
    return int(text) if text.isascii() and text.isdigit() else None


def read_slice_mark(data: bytes) -> tuple[Shows | None, bool]:
    """The mark of a PNG in memory, and whether it can be one slice: no chart, sheet or likeness."""
    texts = read_texts(io.BytesIO(data))
    mark, whole = _mark_of(texts), LAYOUT not in texts
    single = {None: True, Shows.REAL: whole, Shows.SYNTHETIC: whole and SEED in texts}
    return mark, single.get(mark, False)


def read_texts(file: Path | BinaryIO) -> dict[str, Any]:
    """The text chunks of a PNG, or the comment of a GIF; none where it cannot be read."""
    try:
        with Image.open(file, formats=("PNG", "GIF")) as picture:
            return {str(name): text for name, text in picture.info.items()}
    except (OSError, ValueError, SyntaxError):
        return {}


def _mark_of(texts: Mapping[str, Any]) -> Shows | None:
    text = texts.get(COMMENT) or texts.get("comment") or ""
    word = (text.decode("latin-1") if isinstance(text, bytes) else str(text)).partition(":")[0]
    return next((mark for mark in Shows if mark.name == word), None)


def png_text(shows: Shows, facts: Mapping[str, str] = {}) -> PngImagePlugin.PngInfo:
    """The text chunks of a PNG: the mark, and further facts."""
    text = PngImagePlugin.PngInfo()
    for name, value in {COMMENT: shows.value, **facts}.items():
        text.add_itxt(name, value)
    return text


def png_bytes(
    pixels: NDArray[Any], facts: Mapping[str, str] = {}, shows: Shows = Shows.SYNTHETIC
) -> bytes:
    """A PNG of [C, H, W] uint8 or uint16 with text chunks: the mark, and the facts.

    Raises UsageError for what PNG cannot hold: other than 1 or 3 channels, 16-bit colour.
    """
    check_png(len(pixels), 8 * pixels.itemsize)
    array = pixels[0] if len(pixels) == 1 else pixels.transpose(1, 2, 0)
    stream = io.BytesIO()
    picture = Image.fromarray(np.ascontiguousarray(array))
    picture.save(stream, "PNG", pnginfo=png_text(shows, facts), compress_level=COMPRESS_LEVEL)
    return stream.getvalue()


def check_png(channels: int, bits: int) -> None:
    """Raise UsageError for what PNG cannot hold."""
    if channels not in (1, 3) or (channels == 3 and bits == 16):
        raise UsageError(
            f"a PNG does not hold {channels} channels of {bits} bits", "use --format nifti"
        )


def read_edges(config: Path) -> tuple[str, ...]:
    """`edges_of` a run by its config.json; empty where that cannot be read."""
    try:
        return edges_of(parse_json(config.read_text(encoding="utf-8")))
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


def say_edges(edges: Sequence[str], picture: str = "a picture") -> str:
    """Which side of the body is where, for ("R", "L"); empty without."""
    side = {"R": "right", "L": "left"}
    return (
        f"{edges[0]} | {edges[1]}: the left edge of {picture} is the {side[edges[0]]} side of the "
        "body"
        if edges
        else ""
    )


def build_sheet(
    images: NDArray[Any],
    columns: int,
    labels: Sequence[str] = (),
    scale: int = 1,
    edges: Sequence[str] = (),
    notes: Sequence[str] = (),
) -> Image.Image:
    """A contact sheet of [N, H, W] grey or [N, 3, H, W] colour images, row by row.

    Labels are written under the pictures in up to three lines, `edges` (R and L) into the upper
    corners of the first one that is not black, and notes below the whole; `scale` repeats pixels so
    that small levels can be seen. Empty cells stay black.
    """
    tiles = [build_tile(image, scale) for image in to_grey(images)]
    mark_edges(next((tile for tile in tiles if tile.getbbox()), tiles[0]), edges)
    width, height = tiles[0].size
    wrapped = [wrap_label(label, width) for label in labels]
    text = 1 + LINE_PX * max(1, *map(len, wrapped)) if labels else 0
    rows = -(-len(tiles) // columns)
    size = (columns * (width + GAP) + GAP, rows * (height + text + GAP) + GAP)
    sheet = Image.new(tiles[0].mode, size, PAPER)
    draw = ImageDraw.Draw(sheet)
    for i, tile in enumerate(tiles):
        x, y = GAP + i % columns * (width + GAP), GAP + i // columns * (height + text + GAP)
        sheet.paste(tile, (x, y))
        for line, words in enumerate(wrapped[i] if labels else ()):
            place = x, y + height + 1 + line * LINE_PX
            draw.text(place, words, INK, ImageFont.load_default(10))
    return add_notes(sheet, notes)


def add_notes(sheet: Image.Image, notes: Sequence[str]) -> Image.Image:
    """Sentences below the pictures, in as many lines as they take, where there is room."""
    if sheet.width < NOTED_PX:
        return sheet
    letters = (sheet.width - 2 * GAP) // LETTER_PX
    return add_lines(sheet, [line for note in notes for line in textwrap.wrap(note, letters)])


def add_mark(sheet: Image.Image, shows: Shows) -> Image.Image:
    """What a sheet shows, below its pictures for eyes: in full, or in a word, as there is room."""
    texts = () if shows is Shows.CHART else (shows.value, shows.name)
    room = sheet.width - 2 * GAP
    return add_lines(sheet, [text for text in texts if len(text) * LETTER_PX <= room][:1])


def add_lines(sheet: Image.Image, lines: Sequence[str]) -> Image.Image:
    """Lines of text below the pictures and over none of them; each is cut to the width."""
    if not lines:
        return sheet
    taller = Image.new(sheet.mode, (sheet.width, sheet.height + LINE_PX * len(lines)), PAPER)
    taller.paste(sheet)
    draw, font = ImageDraw.Draw(taller), ImageFont.load_default(10)
    for i, line in enumerate(lines):
        place = GAP, sheet.height + i * LINE_PX
        draw.text(place, _fit(to_letters(line), sheet.width - 2 * GAP), INK, font)
    return taller


def wrap_label(label: str, width: int) -> list[str]:
    """A label in lines of `width` px; of more than LABEL_LINES the last one holds its end.

    Lines end behind a comma where there is room: "slice position 0.5" stays together. What stands
    last, such as a split or a number, tells pictures apart whose names begin alike.
    """
    text, letters = to_letters(label), max(1, width // LETTER_PX)
    whole = _wrap_parts(text, letters)
    lines = whole if len(whole) <= LABEL_LINES else textwrap.wrap(text, letters)
    if len(lines) <= LABEL_LINES:
        return lines
    return [*lines[: LABEL_LINES - 1], "…" + text[len(text) - letters + 1 :]]


def _wrap_parts(text: str, letters: int) -> list[str]:
    """A text in lines that keep what stands between commas together, where it fits a line."""
    lines: list[str] = []
    for part in re.split(r"(?<=,) ", text):
        if lines and len(f"{lines[-1]} {part}") <= letters:
            lines[-1] += f" {part}"
        else:
            lines += textwrap.wrap(part, letters)
    return lines


def to_letters(text: str) -> str:
    """Text in letters that Pillow's own font has: `Müller` is `Mueller`, other scripts are `?`.

    A letter that the font lacks would be an empty box.
    """
    composed = unicodedata.normalize("NFC", text)
    bare = "".join(c if _is_drawn(c) else bare_letters(c) for c in composed)
    return "".join(c if _is_drawn(c) else "?" for c in bare)


def bare_letters(letter: str) -> str:
    """A letter without its marks: `ü` is `ue`, `é` is `e`, `ø` is `o`."""
    bare = unicodedata.normalize("NFKD", letter.translate(SPELLED))
    return "".join(c for c in bare if not unicodedata.combining(c))


@functools.cache
def _is_drawn(letter: str) -> bool:
    """Whether the font has it, and not the box that stands for all that it lacks."""
    font = ImageFont.load_default(10)
    return bytes(font.getmask(letter)) != bytes(font.getmask("\uffff"))


def html_row(images: NDArray[Any], caption: str, channels: Sequence[str] = ()) -> str:
    """Images [N, C, H, W] beside each other as HTML, for notebooks."""
    stream, pixels = io.BytesIO(), sheet_pixels(images, channels)
    build_sheet(pixels, len(pixels), scale=magnification(images.shape[-1])).save(stream, "PNG")
    said = "; ".join(filter(None, [caption, say_channels(channels)]))
    data, text = base64.b64encode(stream.getvalue()).decode(), escape(printable(said))
    return f'<p>{text}</p><img alt="{text}" src="data:image/png;base64,{data}">'


def mark_edges(picture: Image.Image, edges: Sequence[str]) -> None:
    """R and L in the upper corners of a picture, with a dark rim, where it has room for them.

    Channels that stand beside each other have them each.
    """
    side = min(picture.size)
    if not edges or side < MARKED_PX:
        return
    draw, font = ImageDraw.Draw(picture), ImageFont.load_default(10)
    for left in range(0, picture.width, side):
        for letter, x, anchor in zip(edges, (2, side - 2), ("la", "ra"), strict=True):
            draw.text((left + x, 1), letter, INK, font, anchor, stroke_width=1, stroke_fill=PAPER)


SHOWN_PX = 128  # smaller pictures are magnified to about this size


def magnification(size: int) -> int:
    """How many screen pixels to show each pixel with."""
    return max(1, SHOWN_PX // size)


def sheet_pixels(images: NDArray[Any], channels: Sequence[str] = ()) -> NDArray[np.uint8]:
    """[N, C, H, W], as `to_grey` takes them, to what a sheet takes, which shows every channel.

    Three without names of their own are RGB. Others, such as contrasts of one head, or an image
    and its mask, stand beside each other.
    """
    grey = to_grey(images)
    if grey.shape[1] == 3 and not say_channels(channels):
        return grey
    return np.concatenate(list(grey.swapaxes(0, 1)), axis=-1)


def build_grid(
    images: NDArray[Any],
    columns: int,
    labels: Sequence[str] = (),
    notes: Sequence[str] = (),
    channels: Sequence[str] = (),
    edges: Sequence[str] = (),
) -> Image.Image:
    """`build_sheet` of [N, C, H, W] of -1..1 or grey, magnified where they are small.

    Below stand the notes, which channel is where, and which side of the body.
    """
    notes = [*notes, say_channels(channels), say_edges(edges)]
    scale = magnification(images.shape[-1])
    return build_sheet(sheet_pixels(images, channels), columns, labels, scale, edges, notes)


def say_channels(names: Sequence[str]) -> str:
    """Which channel is where in a picture of `sheet_pixels`; empty where all are one."""
    return f"each picture, from left to right: {', '.join(names)}" if len(set(names)) > 1 else ""


def build_tile(image: NDArray[np.uint8], scale: int) -> Image.Image:
    if image.ndim == 3:
        image = image[0] if image.shape[0] != 3 else image.transpose(1, 2, 0)
    tile = Image.fromarray(np.ascontiguousarray(image))
    if scale == 1:
        return tile
    return tile.resize((tile.width * scale, tile.height * scale), Image.Resampling.NEAREST)


def _fit(label: str, width: int) -> str:
    longest = max(1, width // LETTER_PX)
    return label if len(label) <= longest else label[: longest - 1] + "…"


def save_png(path: Path, image: Image.Image, shows: Shows, nimg: int | None = None) -> None:
    """Write a PNG of several slices, marked in the file and below the pictures, atomically.

    `nimg` is how many real images the network had been shown that drew them.
    """
    stream = io.BytesIO()
    text = png_text(shows, {LAYOUT: SHEET, **({} if nimg is None else {AGE: str(nimg)})})
    add_mark(image, shows).save(stream, "PNG", pnginfo=text, compress_level=SHEET_COMPRESSION)
    write_bytes(path, stream.getvalue())
