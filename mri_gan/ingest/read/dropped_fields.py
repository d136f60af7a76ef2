"""What a file says beside its pixels, by the names of fields only, to report what was left out.

Nothing of a header reaches a store but the geometry and the scale of its values. These fields
are on the allow-list; all others that hold something are counted by name.
"""

from __future__ import annotations

import struct
from collections.abc import Iterable, Iterator
from typing import Any

import numpy as np

PNG_MAGIC = b"\x89PNG\r\n\x1a\n"
PNG_PICTURE = {  # chunks without which the picture would not be itself
    *(
        "IHDR",
        "PLTE",
        "IDAT",
        "IEND",
        "tRNS",
        "gAMA",
        "cHRM",
        "sRGB",
        "sBIT",
        "bKGD",
        "pHYs",
        "hIST",
    ),
    *("acTL", "fcTL", "fdAT", "sTER", "cICP"),
}
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
NIFTI_PICTURE = {
    *("sizeof_hdr", "dim", "datatype", "bitpix", "pixdim", "vox_offset", "scl_slope", "scl_inter"),
    *("qform_code", "sform_code", "quatern_b", "quatern_c", "quatern_d", "qoffset_x", "qoffset_y"),
    *("qoffset_z", "srow_x", "srow_y", "srow_z", "magic", "xyzt_units", "regular", "extents"),
    *("dim_info", "cal_max", "cal_min", "slice_start", "slice_end", "slice_code", "glmax", "glmin"),
    *("eol_check", "dim_un0", "funused1", "vox_units"),
}
DICOM_PICTURE = {
    *("Rows", "Columns", "PixelData", "PixelSpacing", "SliceThickness", "SamplesPerPixel"),
    *("PhotometricInterpretation", "BitsAllocated", "BitsStored", "HighBit", "PixelRepresentation"),
    *("ImagePositionPatient", "ImageOrientationPatient", "RescaleSlope", "RescaleIntercept"),
    *("SmallestImagePixelValue", "LargestImagePixelValue", "SpacingBetweenSlices", "RescaleType"),
    *("SpecificCharacterSet", "PlanarConfiguration", "PixelPaddingValue"),
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
        return _sorted(f"PNG {name}" for name in png_chunks(data) if name not in PNG_PICTURE)
    if data[:2] == b"\xff\xd8":
        return _sorted(_jpeg_fields(data))
    return _sorted(_tiff_fields(data)) if data[:2] in (b"II", b"MM") else ()


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


def nifti_fields(header: Any) -> tuple[str, ...]:
    """What a NIfTI or Analyze header holds beside geometry and scale."""
    names = [name for name in header if name not in NIFTI_PICTURE and _says(header[name])]
    extensions = ["extensions"] if len(getattr(header, "extensions", ())) else []
    return _sorted([*names, *extensions])


def _says(value: Any) -> bool:
    """Whether a field of a header holds more than zeros and spaces."""
    return bool(np.asarray(value).tobytes().strip(b"\0 "))


def dicom_fields(data_set: Any) -> tuple[str, ...]:
    """What a DICOM file holds beside geometry and scale; private fields count as one."""
    names = (element.keyword or "private fields" for element in data_set if not element.is_empty)
    return _sorted(name for name in names if name not in DICOM_PICTURE)


def _sorted(names: Iterable[str]) -> tuple[str, ...]:
    return tuple(sorted(set(names)))
