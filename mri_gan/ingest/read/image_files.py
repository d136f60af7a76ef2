"""Image files to grey pixels, their bit depth kept, and what else they hold.

What is transparent is black, as the air around a scan is. A TIFF of several pages is a stack of
slices; of a camera's JPEG with several pictures the first one counts.
"""

from __future__ import annotations

import io
import itertools
import os
import struct
import warnings
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any, BinaryIO, TypeVar

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageOps

from mri_gan.errors import DataError
from mri_gan.files import crc32, explain_os_error, one_line
from mri_gan.ingest.read.inflate import require_bytes
from mri_gan.pictures import to_unit

# An allow-list: Pillow would hand an EPS file to Ghostscript.
FORMATS = ("PNG", "JPEG", "TIFF", "BMP")
PNG_MAGIC = b"\x89PNG\r\n\x1a\n"
PNG_EXIF = "eXIf"
JPEG_MAGIC = b"\xff\xd8"
EXIF_ORIENTATION = 0x0112
BITS_PER_SAMPLE, NEW_SUBFILE_TYPE = 258, 254  # tags of TIFF
PHOTOMETRIC, WHITE_IS_ZERO = 262, 0
TIFF_MAGIC = (b"II", b"MM")
NO_SLICE = 1 | 4  # subfile types: a reduced copy, a transparency mask
MAX_STACK_PIXELS = 1 << 28
TINGE = 16  # of 255: how far the channels of a grey picture may differ, as those of a JPEG do
Read = TypeVar("Read")


def read_image(data: bytes, verify: bool = True) -> NDArray[Any]:
    """Grey pixels [H, W], uint8 or uint16, of a PNG, JPEG, TIFF or BMP file.

    `verify` checks a PNG's checksums, which its decoder does not; a zip has its own.

    Colour images with equal channels give that channel exactly, others their luma (ITU-R 601).
    Raises DataError for damaged, huge or unknown files, and for several pages.
    """
    return only_page(read_shades(data, verify)[0])


def only_page(pages: list[NDArray[Any]]) -> NDArray[Any]:
    """The page of a file that has one; raises DataError for several."""
    if len(pages) != 1:
        raise DataError(f"{len(pages)} pages where one is needed", "save each as a file of its own")
    return pages[0]


def read_grey_file(path: Path) -> NDArray[np.float32]:
    """Grey pixels [H, W] of an image file as 0..1, white being the white of its bit depth.

    The one reader for single pictures: what `prepare` takes from a file, the other commands take.
    Raises DataError naming the file.
    """
    try:
        pixels = read_image(path.read_bytes())
    except OSError as error:
        raise explain_os_error(error, path) from error
    except DataError as error:
        raise DataError(f"{path}: {error.message}", error.hint) from error
    return to_unit(pixels)


def read_shades(data: bytes, verify: bool = True) -> tuple[list[NDArray[Any]], bool]:
    """What `read_image` gives, of every page of a file, and whether there was colour in it."""
    plain = read_plain_png(data)
    if plain is not None:
        return [plain], False
    found = _read(data, verify, _shades)
    return [grey for grey, _ in found], any(in_colour for _, in_colour in found)


def read_label_pages(data: bytes) -> list[NDArray[Any]]:
    """Labels [H, W] of every page of a mask: grey levels as they are, or entries of a palette.

    Raises DataError for damaged files and JPEG, which blurs labels.
    """
    if data[:2] == JPEG_MAGIC:
        raise DataError("its mask is a JPEG, which blurs labels", "save masks as PNG")
    try:
        return _read(data, True, _labels)
    except DataError as error:
        raise DataError(f"its mask: {error.message}", error.hint) from error


def count_pages(data: bytes) -> int:
    """How many slices a file holds; 0 where it cannot be read."""
    try:
        return sum(1 for _ in _pages(data))
    except Exception:  # its slices would be missed later, and explained then
        return 0


def _read(data: bytes, verify: bool, convert: Callable[[Image.Image], Read]) -> list[Read]:
    require_bytes(len(data))
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # what matters is checked here
            if verify and data[:4] == PNG_MAGIC[:4]:
                Image.open(io.BytesIO(data), formats=("PNG",)).verify()
            turned = data[:4] != PNG_MAGIC[:4] or PNG_EXIF in png_chunks(data)
            return [convert(_upright(page) if turned else page) for page in _pages(data)]
    except DataError:
        raise
    except Exception as error:  # Pillow's decoders raise many types, and not only OSError
        raise DataError(f"unreadable image ({_plain(error)})", "copy it again") from error


def _pages(data: bytes) -> Iterator[Image.Image]:
    """The image at each of its pages that is a slice; raises DataError before they are too many."""
    if data[:2] in TIFF_MAGIC:
        yield from _tiff_pages(data)
        return
    with Image.open(io.BytesIO(data), formats=FORMATS) as image:
        _require_few(image.width * image.height, MAX_PIXELS, image)
        if image.format == "PNG" and getattr(image, "n_frames", 1) > 1:
            raise DataError("an animated image", "save each frame as a file of its own")
        yield image


def _tiff_pages(data: bytes) -> Iterator[Image.Image]:
    """Each page as a file of its own, which takes the same time for each.

    libtiff goes through all directories whenever it opens a file, and Pillow opens it for every
    page. So the header points to one page after the other, and no page to another.
    """
    found = list(walk_directories(data))
    total = 0
    with _writable(data) as stream:
        for directory in found or [()]:
            for at, value in directory:
                stream.seek(at)
                stream.write(value)
            stream.seek(0)
            with Image.open(stream, formats=("TIFF",)) as image:
                tags: Any = getattr(image, "tag_v2", {})
                if len(found) > 1 and tags.get(NEW_SUBFILE_TYPE, 0) & NO_SLICE:
                    continue
                total += image.width * image.height
                _require_few(image.width * image.height, MAX_PIXELS, image)
                _require_few(total, MAX_STACK_PIXELS, image, len(found))
                yield image


def walk_directories(data: bytes) -> Iterator[tuple[tuple[int, bytes], ...]]:
    """What makes each page of a TIFF in order the only one: (position, bytes) to be written.

    By TIFF 6.0 section 2, and BigTIFF; ends where the file does.
    """
    order = "<" if data[:2] == b"II" else ">"
    big = data[2:4] in (b"\x2b\0", b"\0\x2b")
    head, offset, count, entry = (8, "Q", "Q", 20) if big else (4, "I", "H", 12)
    pointer, counter = struct.Struct(order + offset), struct.Struct(order + count)
    seen: set[int] = set()
    at = head
    while at + pointer.size <= len(data):
        start = pointer.unpack_from(data, at)[0]
        if start in seen or not 0 < start <= len(data) - counter.size:
            return
        seen.add(start)
        at = start + counter.size + entry * counter.unpack_from(data, start)[0]
        yield (head, pointer.pack(start)), (at, bytes(pointer.size))


def _writable(data: bytes) -> BinaryIO:
    """A copy of a file that may be changed; libtiff reads it faster through a descriptor."""
    if not hasattr(os, "memfd_create"):
        return io.BytesIO(data)
    stream = open(os.memfd_create("mrigan"), "w+b")  # noqa: PTH123, SIM115 - a descriptor
    stream.write(data)
    return stream


def _require_few(pixels: int, limit: int, image: Image.Image, pages: int = 1) -> None:
    if pixels > limit:
        many = f"{pages} pages of " if pages > 1 else ""
        raise DataError(f"{many}{image.width} x {image.height} pixels are too many")


def _upright(image: Image.Image) -> Image.Image:
    if image.getexif().get(EXIF_ORIENTATION, 1) == 1:
        return image
    return ImageOps.exif_transpose(image)


def _plain(error: Exception) -> str:
    # Pillow's own words for "not an image" name a memory address; nobody can use that.
    text = one_line(error)
    return "not a PNG, JPEG, TIFF or BMP" if "BytesIO" in text else text


def _labels(image: Image.Image) -> NDArray[Any]:
    return np.asarray(image).astype(np.uint8) if image.mode in ("P", "1") else _shades(image)[0]


def _shades(image: Image.Image) -> tuple[NDArray[Any], bool]:
    """Its grey levels, and whether it is in colour."""
    see_through = image.has_transparency_data
    if image.mode == "L" and not see_through:
        return np.asarray(image), False
    if image.mode.startswith("I;16"):
        return _sixteen_bits(image), False
    if image.mode in ("I", "F"):
        values = _wide(np.asarray(image))
        return ~values if _is_negative(image) else values, False
    image = _on_black(image) if see_through else image.convert("RGB")
    pixels = np.asarray(image)
    channel = common_channel(pixels)
    if channel is not None:
        return channel, False
    return np.asarray(image.convert("L")), bool((np.ptp(pixels, axis=-1) > TINGE).any())


def _on_black(image: Image.Image) -> Image.Image:
    ground = Image.new("RGBA", image.size, (0, 0, 0, 255))
    ground.alpha_composite(image.convert("RGBA"))
    return ground.convert("RGB")


def _sixteen_bits(image: Image.Image) -> NDArray[np.uint16]:
    """Grey levels of 16 bits; those of 12-bit TIFFs reach white as well."""
    values = np.asarray(image).astype(np.uint16)
    tags: Any = getattr(image, "tag_v2", {})
    if tags.get(BITS_PER_SAMPLE) == (12,):
        values = ((values.astype(np.uint32) * 65535 + 2047) // 4095).astype(np.uint16)
    return ~values if _is_negative(image) else values


def _is_negative(image: Image.Image) -> bool:
    """Whether 0 is white, which Pillow turns round in pictures of 8 bits only.

    A TIFF that does not say it is read so by Pillow and tifffile.
    """
    tags: Any = getattr(image, "tag_v2", None)
    return tags is not None and tags.get(PHOTOMETRIC, WHITE_IS_ZERO) == WHITE_IS_ZERO


def _wide(values: NDArray[Any]) -> NDArray[np.uint16]:
    """32-bit pixels that are really 16-bit ones, or shares of white; others have no known white."""
    low, high = values.min(), values.max()
    if values.dtype.kind == "f" and low >= 0 and high <= 1:
        return np.floor(values * 65535.0 + 0.5).astype(np.uint16)
    if not (low >= 0 and high <= 65535) or (values != np.round(values)).any():
        raise DataError("32-bit pixels outside 0..65535 or 0..1", "save it as 8- or 16-bit grey")
    return values.astype(np.uint16)


# Plain PNGs by a decoder that takes a quarter of Pillow's time; all others are left to Pillow.
# Plain is what scanners' exports and both OASIS and AKOA archives hold: grey or equal colour
# channels, no transparency, no interlacing, no text, nothing damaged.

MAX_PIXELS = 8192 * 8192
HEADER = struct.Struct(">IIBBBBB")  # width, height, bits, kind, compression, filter, interlacing
GREY, RGB = 0, 2
# What says nothing about grey levels that Pillow would heed, by the only length that it has.
IDLE_CHUNKS = {b"gAMA": 4, b"sRGB": 1, b"cHRM": 32, b"pHYs": 9, b"tIME": 7}


def _find_decoders() -> Any:
    try:
        from kornia_rs import io
    except ImportError:  # a platform without its wheel: slower, and all the same otherwise
        return None
    return io


DECODERS = _find_decoders()


def read_plain_png(data: bytes) -> NDArray[Any] | None:
    """Grey pixels [H, W], uint8 or uint16, of a plain PNG; None for everything else.

    None says nothing about a file but that Pillow should look at it.
    """
    found = read_plain_header(data) if DECODERS is not None else None
    if found is None:
        return None
    shape, bits, kind = found
    decode = DECODERS.decode_image_png_u16 if bits == 16 else DECODERS.decode_image_png_u8
    try:
        # It compares the CRC-32 of every chunk, and refuses too few pixels.
        pixels: NDArray[Any] = decode(data, shape, "mono" if kind == GREY else "rgb")
    except (KeyboardInterrupt, SystemExit):
        raise
    except BaseException:  # a panic of the Rust side is not an Exception
        return None
    return common_channel(pixels)


def common_channel(pixels: NDArray[Any]) -> NDArray[Any] | None:
    """The channel [H, W] that all channels of [H, W, C] are equal to, or None."""
    first = pixels[..., 0]
    if any((first != pixels[..., i]).any() for i in range(1, pixels.shape[-1])):
        return None
    return np.ascontiguousarray(first)


def read_plain_header(data: bytes) -> tuple[tuple[int, int], int, int] | None:
    """((height, width), bits, kind) of a PNG that is plain as far as its chunks show."""
    header = _header_of_plain_chunks(data)
    if header is None:
        return None
    width, height, bits, kind, *ways = header
    if (bits, kind) not in ((8, GREY), (16, GREY), (8, RGB)) or any(ways):
        return None
    return ((height, width), bits, kind) if 0 < width * height <= MAX_PIXELS else None


def _header_of_plain_chunks(data: bytes) -> tuple[int, ...] | None:
    """The fields of the header of a PNG that holds no chunk but plain ones, in a plain order."""
    if not data.startswith(PNG_MAGIC + b"\0\0\0\x0dIHDR"):
        return None
    for name, start, end in itertools.islice(walk_png(data), 1, None):
        if name == b"IEND":
            return HEADER.unpack_from(data, len(PNG_MAGIC) + 8) if end == len(data) else None
        if name == b"IDAT":
            continue
        if IDLE_CHUNKS.get(name) != end - start - 12 or not _is_whole(data[start:end]):
            return None
    return None


def _is_whole(chunk: bytes) -> bool:
    return crc32(chunk[4:-4]) == int.from_bytes(chunk[-4:], "big")


# What a file holds beside its picture, by the names of fields, to report what was left out

_PNG_PICTURE = """
    IHDR PLTE IDAT IEND tRNS gAMA cHRM sRGB sBIT bKGD pHYs hIST acTL fcTL fdAT sTER cICP
"""
PNG_PICTURE = frozenset(_PNG_PICTURE.split())
JPEG_NAMES = {0xE1: "APP1 (Exif, XMP)", 0xED: "APP13 (IPTC)", 0xFE: "comment"}
TIFF_NAMES = {
    270: "ImageDescription",
    271: "Make",
    272: "Model",
    305: "Software",
    306: "DateTime",
    315: "Artist",
    316: "HostComputer",
    700: "XMP",
    33432: "Copyright",
    33723: "IPTC",
    34665: "Exif",
    42112: "GDAL metadata",
}


def walk_png(data: bytes) -> Iterator[tuple[bytes, int, int]]:
    """(name, start, end) of a PNG's chunks in order, length and checksum included.

    Ends after IEND, or where the data does; nothing for other files.
    """
    at = len(PNG_MAGIC) if data.startswith(PNG_MAGIC) else len(data)
    while at + 8 <= len(data):
        length, name = struct.unpack_from(">I4s", data, at)
        end = at + 12 + length
        yield name, at, end
        if name == b"IEND":
            return
        at = end


def png_chunks(data: bytes) -> list[str]:
    """The names of a PNG's chunks in order; empty for other files."""
    return [name.decode("latin-1") for name, _, _ in walk_png(data)]


def image_fields(data: bytes) -> tuple[str, ...]:
    """What an image file holds beside its picture."""
    if data.startswith(PNG_MAGIC):
        return _distinct(f"PNG {name}" for name in png_chunks(data) if name not in PNG_PICTURE)
    if data[:2] == JPEG_MAGIC:
        return _distinct(_jpeg_fields(data))
    return _distinct(_tiff_fields(data)) if data[:2] in TIFF_MAGIC else ()


def _jpeg_fields(data: bytes) -> Iterable[str]:
    at = 2
    while at + 4 <= len(data) and data[at] == 0xFF and data[at + 1] != 0xDA:
        if data[at + 1] in JPEG_NAMES:
            yield f"JPEG {JPEG_NAMES[data[at + 1]]}"
        at += 2 + int.from_bytes(data[at + 2 : at + 4], "big")


def _tiff_fields(data: bytes) -> Iterable[str]:
    order = "<" if data[:2] == b"II" else ">"
    if len(data) < 8 or struct.unpack_from(f"{order}H", data, 2)[0] != 42:
        return
    at = struct.unpack_from(f"{order}I", data, 4)[0]
    if at + 2 > len(data):
        return
    for i in range(struct.unpack_from(f"{order}H", data, at)[0]):
        if at + 4 + 12 * i <= len(data):
            tag = struct.unpack_from(f"{order}H", data, at + 2 + 12 * i)[0]
            if tag in TIFF_NAMES:
                yield f"TIFF {TIFF_NAMES[tag]}"


def _distinct(names: Iterable[str]) -> tuple[str, ...]:
    return tuple(sorted(set(names)))
