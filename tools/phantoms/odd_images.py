"""Image files that are odd but valid, each with the greys that its format's rules give."""

from __future__ import annotations

import io
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from PIL import Image

from phantoms import raw_images as raw
from phantoms.raw_images import raw_png, raw_tiff
from phantoms.volumes import Array

SIDE = 32
ROWS, COLUMNS = np.mgrid[0:SIDE, 0:SIDE]
# Not alike when turned or mirrored in any way, and smooth, so that JPEG changes little.
PLANE = np.asarray(10 + 5 * COLUMNS + 2 * ROWS, np.uint8)  # 10..227
WIDE = np.asarray(2000 + 1300 * COLUMNS + 550 * ROWS, np.uint16)  # up to 59350
RED, GREEN, BLUE = PLANE, PLANE[::-1].copy(), np.full_like(PLANE, 60)
COLOUR = np.stack([RED, GREEN, BLUE], axis=-1)
LUMA = COLOUR.astype(float) @ (0.299, 0.587, 0.114)
ALPHA = np.asarray(255 * (COLUMNS > 7) * (1 - (ROWS > 20) * 0.5), np.uint8)
EXIF_ORIENTATION = 0x0112
TURNS: dict[int, Callable[[Array], Array]] = {
    2: lambda a: a[:, ::-1],
    3: lambda a: a[::-1, ::-1],
    4: lambda a: a[::-1],
    5: lambda a: a.T,
    6: lambda a: np.rot90(a, -1),
    7: lambda a: a[::-1, ::-1].T,
    8: lambda a: np.rot90(a),
}


@dataclass(frozen=True)
class OddImage:
    """A file and its greys [H, W] on the scale 0..255."""

    name: str
    file: str
    data: bytes
    greys: Array


def odd_images() -> list[OddImage]:
    """All of them."""
    return [OddImage(*case) for part in (_pngs, _turned, _tiffs, _jpegs, _bmps) for case in part()]


Case = tuple[str, str, bytes, Array]


def _pngs() -> Iterator[Case]:
    for bits in (1, 2, 4):
        top = (1 << bits) - 1
        few = (PLANE.astype(int) * (top + 1) // 256).astype(np.uint8)
        yield f"{bits}-bit grey PNG", "a.png", raw_png(few, bits), few * 255.0 / top
        entries = [(40 + 13 * i) % 256 for i in range(top + 1)]
        palette = (b"PLTE", bytes(v for v in entries for _ in range(3)))
        looked_up = np.array(entries)[few]
        data = raw_png(few, bits, raw.PALETTE, before=[palette])
        yield f"{bits}-bit palette PNG", "a.png", data, looked_up
    rainbow = (b"PLTE", bytes(v for i in range(256) for v in (i, 255 - i, 60)))
    shown = PLANE * 0.299 + (255.0 - PLANE) * 0.587 + 60 * 0.114
    yield "coloured palette PNG", "a.png", raw_png(PLANE, 8, raw.PALETTE, before=[rainbow]), shown
    clear = (b"tRNS", bytes(0 if i < 100 else 255 for i in range(256)))
    data = raw_png(PLANE, 8, raw.PALETTE, before=[rainbow, clear])
    yield "palette PNG with clear entries", "a.png", data, np.where(PLANE < 100, 0, shown)
    yield "16-bit grey PNG", "a.png", raw_png(WIDE, 16), WIDE / 257
    yield "16-bit grey PNG of 12 bits", "a.png", raw_png(WIDE // 16, 16), WIDE // 16 / 257
    wide_colour = COLOUR.astype(np.uint16) * 257
    yield "16-bit RGB PNG", "a.png", raw_png(wide_colour, 16, raw.RGB), LUMA
    with_alpha = np.stack([PLANE, ALPHA], -1)
    on_black = PLANE * (ALPHA / 255)
    yield "grey PNG with alpha", "a.png", raw_png(with_alpha, 8, raw.GREY_ALPHA), on_black
    data = raw_png(with_alpha.astype(np.uint16) * 257, 16, raw.GREY_ALPHA)
    yield "16-bit grey PNG with alpha", "a.png", data, on_black
    see_through = np.concatenate([COLOUR, ALPHA[..., None]], -1)
    yield (
        "RGB PNG with alpha",
        "a.png",
        raw_png(see_through, 8, raw.RGB_ALPHA),
        LUMA * (ALPHA / 255),
    )
    key = (b"tRNS", int(PLANE[5, 5]).to_bytes(2, "big"))
    keyed = np.where(PLANE[5, 5] == PLANE, 0, PLANE)
    yield "grey PNG with one clear grey", "a.png", raw_png(PLANE, before=[key]), keyed
    equal = np.repeat(PLANE[..., None], 3, -1)
    yield "RGB PNG of equal channels", "a.png", raw_png(equal, 8, raw.RGB), PLANE
    yield "coloured PNG", "a.png", raw_png(COLOUR, 8, raw.RGB), LUMA
    yield "interlaced PNG", "a.png", raw_png(PLANE, interlaced=True), PLANE
    yield "interlaced 16-bit PNG", "a.png", raw_png(WIDE, 16, interlaced=True), WIDE / 257
    notes = [(b"gAMA", (45455).to_bytes(4, "big")), (b"tEXt", b"Comment\0left knee")]
    yield "PNG with gamma and text", "a.png", raw_png(PLANE, before=notes), PLANE
    yield "PNG with bytes after its end", "a.png", raw_png(PLANE) + b"\0" * 99, PLANE
    yield "PNG with a name in capitals", "A B ä.PNG", raw_png(PLANE), PLANE
    yield "PNG that is named JPEG", "a.jpg", raw_png(PLANE), PLANE
    exif = Image.Exif()
    exif[EXIF_ORIENTATION] = 6
    chunk = (b"eXIf", exif.tobytes().removeprefix(b"Exif\0\0"))
    yield "PNG turned by Exif", "a.png", raw_png(PLANE, before=[chunk]), TURNS[6](PLANE)
    yield "PNG turned by late Exif", "a.png", raw_png(PLANE, after=[chunk]), TURNS[6](PLANE)


def _turned() -> Iterator[Case]:
    for number, turn in TURNS.items():
        exif = Image.Exif()
        exif[EXIF_ORIENTATION] = number
        data = saved(Image.fromarray(PLANE), "JPEG", quality=100, exif=exif)
        yield f"JPEG with Exif orientation {number}", "a.jpeg", data, turn(PLANE)
    yield "TIFF with orientation 8", "a.tif", raw_tiff(PLANE, tags={274: 8}), TURNS[8](PLANE)


def _tiffs() -> Iterator[Case]:
    for order, name in (("<", "little"), (">", "big")):
        yield f"{name}-endian 16-bit TIFF", "a.tif", raw_tiff(WIDE, 16, order=order), WIDE / 257
    twelve = WIDE // 16
    yield "12-bit TIFF", "a.tif", raw_tiff(twelve, 12), twelve * (255 / 4095)
    few = (PLANE // 16).astype(np.uint8)
    yield "4-bit TIFF", "a.tif", raw_tiff(few, 4), few * 17.0
    yield "TIFF whose white is 0", "a.tif", raw_tiff(PLANE, photometric=0), 255.0 - PLANE
    yield "TIFF in strips", "a.tif", raw_tiff(PLANE, rows_per_strip=5), PLANE
    for packed in ("tiff_lzw", "tiff_adobe_deflate", "packbits"):
        data = saved(Image.fromarray(WIDE), "TIFF", compression=packed)
        yield f"16-bit TIFF packed by {packed}", "a.TIFF", data, WIDE / 257
    shares = (PLANE / 255).astype(np.float32)
    yield "float TIFF of 0..1", "a.tif", saved(Image.fromarray(shares), "TIFF"), PLANE
    whole = WIDE.astype(np.float32)
    yield "float TIFF of whole numbers", "a.tif", saved(Image.fromarray(whole), "TIFF"), WIDE / 257
    yield "int32 TIFF", "a.tif", saved(Image.fromarray(WIDE.astype(np.int32)), "TIFF"), WIDE / 257
    inks = np.stack([255 - PLANE] * 3 + [np.zeros_like(PLANE)], -1)
    yield "CMYK TIFF", "a.tif", saved(Image.fromarray(inks, "CMYK"), "TIFF"), PLANE
    yield "big TIFF", "a.tif", saved(Image.fromarray(PLANE), "TIFF", big_tiff=True), PLANE
    yield "coloured TIFF", "a.tif", saved(Image.fromarray(COLOUR), "TIFF"), LUMA
    yield "one-bit TIFF", "a.tif", saved(Image.fromarray(PLANE > 99), "TIFF"), (PLANE > 99) * 255.0


def _jpegs() -> Iterator[Case]:
    grey = Image.fromarray(PLANE)
    yield "progressive JPEG", "a.jpg", saved(grey, "JPEG", quality=100, progressive=True), PLANE
    three = saved(grey.convert("RGB"), "JPEG", quality=100, subsampling=2)
    yield "JPEG in colour with grey content", "a.jpg", three, PLANE
    inks = np.stack([255 - PLANE] * 3 + [np.zeros_like(PLANE)], -1)
    cmyk = saved(Image.fromarray(inks, "CMYK"), "JPEG", quality=100, subsampling=0)
    yield "CMYK JPEG", "a.jpg", cmyk, PLANE
    both = saved(grey, "MPO", quality=100, save_all=True, append_images=[Image.new("L", (8, 8))])
    yield "JPEG with a second picture", "a.jpg", both, PLANE


def _bmps() -> Iterator[Case]:
    yield "8-bit BMP", "a.bmp", saved(Image.fromarray(PLANE), "BMP"), PLANE
    yield "one-bit BMP", "a.bmp", saved(Image.fromarray(PLANE > 99), "BMP"), (PLANE > 99) * 255.0
    yield "coloured BMP", "a.bmp", saved(Image.fromarray(COLOUR), "BMP"), LUMA


def saved(image: Image.Image, format: str, **choices: Any) -> bytes:
    """The bytes of a file."""
    stream = io.BytesIO()
    image.save(stream, format, **choices)
    return stream.getvalue()
