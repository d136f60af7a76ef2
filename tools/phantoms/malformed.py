"""Inputs that are broken: every file here must be refused in one line, and never be believed.

`malformed()` gives (what is wrong, files); all files of a case lie beside each other.
"""

from __future__ import annotations

import gzip
import io
import struct
import tarfile
import zipfile
import zlib
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
from PIL import Image

from phantoms.formats import Files, analyze_bytes, dicom_files, mgh_bytes, nifti_bytes
from phantoms.images import image_bytes, png_bytes, slice_pixels
from phantoms.volumes import brain_volume, oriented
from phantoms.writing import flipped, truncated

Case = tuple[str, Files]

SHAPE = (12, 14, 10)
HTML = b"<!DOCTYPE html><html><body>404 Not Found</body></html>\n"


def malformed() -> list[Case]:
    """All cases, in a fixed order."""
    kinds = (_nifti, _analyze, _mgh, _dicom, _png, _other_images, _archives)
    return [case for kind in kinds for case in kind()]


def patched(data: bytes, offset: int, format: str, *values: Any) -> bytes:
    """The bytes with values packed over them at an offset."""
    changed = bytearray(data)
    struct.pack_into(format, changed, offset, *values)
    return bytes(changed)


NIFTI_FIELDS: Mapping[str, tuple[int, str, tuple[Any, ...]]] = {
    "header size 0": (0, "<i", (0,)),
    "header size huge": (0, "<i", (1 << 30,)),
    "no dimensions": (40, "<h", (0,)),
    "nine dimensions": (40, "<h", (9,)),
    "negative dimensions": (40, "<h", (-3,)),
    "one dimension": (40, "<h", (1,)),
    "empty axis": (42, "<h", (0,)),
    "negative axis": (44, "<h", (-7,)),
    "huge axes": (42, "<3h", (32767, 32767, 32767)),
    "longer axis": (46, "<h", (11,)),
    "no voxel type": (70, "<h", (0,)),
    "voxel type bit": (70, "<h", (1,)),
    "voxel type complex": (70, "<h", (32,)),
    "voxel type colour": (70, "<h", (128,)),
    "voxel type unknown": (70, "<h", (1234,)),
    "voxel type longer": (70, "<h", (64,)),
    "offset huge": (108, "<f", (1e9,)),
    "offset negative": (108, "<f", (-400.0,)),
    "offset no number": (108, "<f", (float("nan"),)),
    "offset infinite": (108, "<f", (float("inf"),)),
    "slope huge": (112, "<2f", (1e38, 0.0)),
    "intercept huge": (112, "<2f", (1.0, 1e38)),
    "affine no number": (280, "<f", (float("nan"),)),
    "affine infinite": (296, "<f", (float("inf"),)),
    "affine of zeros": (280, "<12f", (0.0,) * 12),
    "voxels of a light year": (280, "<f", (1e16,)),
    "voxels of an atom": (280, "<12f", (1e-9, 0, 0, 0, 0, 1e-9, 0, 0, 0, 0, 1e-9, 0)),
}


def _nifti() -> Iterator[Case]:
    volume = brain_volume(SHAPE)
    good = nifti_bytes(volume)
    for name, (offset, format, values) in NIFTI_FIELDS.items():
        yield f"nifti {name}", {"bad.nii": patched(good, offset, format, *values)}
    for length in (0, 1, 40, 347, 348, 352, 353, len(good) // 2, len(good) - 1):
        yield f"nifti of {length} bytes", {"bad.nii": good[:length]}
    yield "nifti all NaN", {"bad.nii": nifti_bytes(np.full(SHAPE, np.nan))}
    yield "nifti all infinite", {"bad.nii": nifti_bytes(np.full(SHAPE, np.inf))}
    yield "nifti huge values", {"bad.nii": nifti_bytes(volume * 1e35)}
    packed = nifti_bytes(volume, gzip=True)
    for share in (0.0, 0.001, 0.02, 0.3, 0.7, 0.99):
        yield f"nii.gz cut at {share}", {"bad.nii.gz": truncated(packed, share)}
    yield "nii.gz wrong sum", {"bad.nii.gz": flipped(packed, 8 * (len(packed) - 6))}
    yield "nii.gz wrong length", {"bad.nii.gz": flipped(packed, 8 * (len(packed) - 2))}
    yield "nii.gz with a tail", {"bad.nii.gz": packed + b"tail of another file"}
    yield "nii.gz of text", {"bad.nii.gz": gzip.compress(HTML)}
    yield "nii.gz of nothing", {"bad.nii.gz": gzip.compress(b"")}
    yield "nii.gz packed twice", {"bad.nii.gz": gzip.compress(packed)}
    yield "nii.gz is a page", {"bad.nii.gz": HTML}
    yield "nifti is a page", {"bad.nii": HTML * 20}
    yield "nifti is a picture", {"bad.nii": png_bytes(slice_pixels())}
    yield "nifti of zeros", {"bad.nii": bytes(len(good))}


ANALYZE_FIELDS: Mapping[str, tuple[int, str, tuple[Any, ...]]] = {
    "header size": (0, ">i", (7,)),
    "no dimensions": (40, ">h", (0,)),
    "negative axis": (42, ">h", (-1,)),
    "empty axis": (44, ">h", (0,)),
    "huge axes": (42, ">3h", (32767, 32767, 32767)),
    "longer axis": (46, ">h", (200,)),
    "one dimension": (40, ">h", (1,)),
    "no voxel type": (70, ">h", (0,)),
    "voxel type colour": (70, ">h", (128,)),
    "voxel type complex": (70, ">h", (32,)),
    "no size": (80, ">3f", (0.0, 0.0, 0.0)),
    "size no number": (80, ">f", (float("nan"),)),
    "size infinite": (84, ">f", (float("inf"),)),
    "offset huge": (108, ">f", (1e9,)),
    "offset negative": (108, ">f", (-100.0,)),
}


def _analyze() -> Iterator[Case]:
    header, voxels = analyze_bytes(oriented(brain_volume(SHAPE), "LAS")[0])
    for name, (offset, format, values) in ANALYZE_FIELDS.items():
        changed = patched(header, offset, format, *values)
        yield f"analyze {name}", {"bad.hdr": changed, "bad.img": voxels}
    for length in (0, 40, 347):
        yield f"analyze header of {length}", {"bad.hdr": header[:length], "bad.img": voxels}
    for length in (0, 1, len(voxels) - 1):
        yield f"analyze voxels of {length}", {"bad.hdr": header, "bad.img": voxels[:length]}
    yield "analyze without voxels", {"bad.hdr": header}
    yield "analyze without header", {"bad.img": voxels}
    yield "analyze halves changed", {"bad.hdr": voxels, "bad.img": header}
    packed = gzip.compress(voxels)
    yield "analyze packed, cut", {"bad.hdr": header, "bad.img.gz": packed[:-9]}
    yield "analyze packed, wrong", {"bad.hdr": header, "bad.img.gz": flipped(packed, 8 * 200)}
    yield "analyze header is a page", {"bad.hdr": HTML * 20, "bad.img": voxels}


def _mgh() -> Iterator[Case]:
    good = mgh_bytes(brain_volume(SHAPE))
    for name, offset, value in (
        ("version", 0, 9),
        ("axis 0", 4, 0),
        ("axis negative", 8, -5),
        ("axis huge", 12, 1 << 30),
        ("frames", 16, 3),
        ("no frames", 16, 0),
        ("type unknown", 20, 2),
        ("type negative", 20, -1),
    ):
        yield f"mgh {name}", {"bad.mgh": patched(good, offset, ">i", value)}
    yield "mgh size no number", {"bad.mgh": patched(good, 30, ">f", float("nan"))}
    yield "mgh size 0", {"bad.mgh": patched(good, 30, ">3f", 0.0, 0.0, 0.0)}
    for length in (0, 3, 283, 284, len(good) // 2):
        yield f"mgh of {length} bytes", {"bad.mgh": good[:length]}
    packed = mgh_bytes(brain_volume(SHAPE), gzip=True)
    yield "mgz cut", {"bad.mgz": packed[:-20]}
    yield "mgz wrong sum", {"bad.mgz": flipped(packed, 8 * (len(packed) - 6))}
    yield "mgz is a page", {"bad.mgz": HTML}


def _dicom() -> Iterator[Case]:
    volume = brain_volume(SHAPE)

    def series(**fields: Any) -> Files:
        named = dicom_files(volume, patient="bad", **fields)
        return {name.replace("scan/bad", "bad"): data for name, data in named.items()}

    good = series()
    first = next(iter(good))
    for length in (0, 60, 131, 200, 500):
        yield f"dicom of {length} bytes", {"bad.dcm": good[first][:length]}
    yield "dicom is a page", {"bad.dcm": HTML * 9}
    yield "dicom of zeros", {"bad.dcm": bytes(5000)}
    yield "dicom cut in the pixels", good | {first: good[first][:-50]}
    for name, fields in (
        ("rows too many", {"Rows": 500}),
        ("columns too many", {"Columns": 60000}),
        ("no columns", {"Columns": None}),
        ("frames", {"NumberOfFrames": 4}),
        ("no spacing", {"PixelSpacing": None}),
        ("spacing 0", {"PixelSpacing": [0, 0]}),
        ("spacing huge", {"PixelSpacing": [1e9, 1e9]}),
        ("no pixels", {"PixelData": None}),
        ("no bits", {"BitsAllocated": None}),
        ("odd bits", {"BitsAllocated": 7}),
        ("colour", {"SamplesPerPixel": 3}),
        ("orientation short", {"ImageOrientationPatient": [1, 0, 0]}),
        ("orientation of zeros", {"ImageOrientationPatient": [0, 0, 0, 0, 0, 0]}),
        ("orientation not at right angles", {"ImageOrientationPatient": [1, 0, 0, 1, 0, 0]}),
        ("slope huge", {"RescaleSlope": "1e38", "RescaleIntercept": "0"}),
    ):
        yield f"dicom {name}", series(**fields)
    names = sorted(good)
    yield "dicom with a gap", {name: good[name] for name in names if name not in names[3:5]}


def _png() -> Iterator[Case]:
    good = png_bytes(slice_pixels())
    for share in (0.0, 0.001, 0.005, 0.01, 0.05, 0.3, 0.6, 0.95):
        yield f"png cut at {share}", {"bad.png": truncated(good, share)}
    for byte in (1, 13, 18, 25, 30, 45, 500, len(good) - 20):
        yield f"png with byte {byte} changed", {"bad.png": flipped(good, 8 * byte + 2)}
    yield "png enormous", {"bad.png": _png_of(100_000, 100_000)}
    yield "png wide", {"bad.png": _png_of(2**31 - 1, 1)}
    yield "png of no rows", {"bad.png": _png_of(64, 0)}
    yield "png of an unknown kind", {"bad.png": _png_of(64, 64, colour=5)}
    yield "png of odd depth", {"bad.png": _png_of(64, 64, depth=3)}
    yield "png without pixels", {"bad.png": _png_of(64, 64)}
    yield "png animated", {"bad.png": _pages("PNG")}
    wide = image_bytes(slice_pixels().astype(np.uint16) * 200)
    yield "png of 16 bit, cut", {"bad.png": truncated(wide)}
    for name, data in _strangers().items():
        yield f"png is {name}", {"bad.png": data}


def _png_of(width: int, height: int, depth: int = 8, colour: int = 0) -> bytes:
    """A PNG with whole checksums that announces a size, and holds no pixels."""

    def chunk(name: bytes, data: bytes) -> bytes:
        return (
            struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))
        )

    head = struct.pack(">IIBBBBB", width, height, depth, colour, 0, 0, 0)
    body = chunk(b"IDAT", zlib.compress(b"")) + chunk(b"IEND", b"")
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + body


def _pages(format: str) -> bytes:
    pages = [Image.fromarray(slice_pixels(seed=seed)) for seed in range(2)]
    stream = io.BytesIO()
    pages[0].save(stream, format, save_all=True, append_images=pages[1:])
    return stream.getvalue()


def _strangers() -> Files:
    return {
        "a page": HTML,
        "a GIF": image_bytes(slice_pixels(), format="GIF"),
        "a PDF": image_bytes(slice_pixels(), format="PDF"),
        "PostScript": image_bytes(slice_pixels(), format="EPS"),
        "a program": b"\x7fELF" + bytes(200),
        "a volume": nifti_bytes(brain_volume(SHAPE)),
        "noise": np.random.default_rng(0).bytes(3000),
    }


def _other_images() -> Iterator[Case]:
    pixels = slice_pixels()
    jpeg = image_bytes(pixels, format="JPEG")
    for share in (0.0, 0.01, 0.2, 0.5):
        yield f"jpeg cut at {share}", {"bad.jpg": truncated(jpeg, share)}
    yield "jpeg of another magic", {"bad.jpg": flipped(jpeg, 8)}
    yield "jpeg without end of header", {"bad.jpg": jpeg[:20] + bytes(400)}
    bmp = image_bytes(pixels, format="BMP")
    for share in (0.0, 0.005, 0.3, 0.9):
        yield f"bmp cut at {share}", {"bad.bmp": truncated(bmp, share)}
    yield "bmp enormous", {"bad.bmp": patched(bmp, 18, "<2i", 90_000, 90_000)}
    yield "bmp of odd depth", {"bad.bmp": patched(bmp, 28, "<H", 13)}
    tiff = image_bytes(pixels, format="TIFF")
    for share in (0.0, 0.001, 0.3, 0.9):
        yield f"tiff cut at {share}", {"bad.tif": truncated(tiff, share)}
    yield (
        "tiff of NaN",
        {"bad.tif": image_bytes(np.full((8, 8), np.nan, np.float32), format="TIFF")},
    )
    negative = image_bytes(np.full((8, 8), -5, np.int32), format="TIFF")
    yield "tiff of negative numbers", {"bad.tif": negative}
    yield "tiff that leads nowhere", {"bad.tif": patched(tiff, 4, "<I", 1 << 30)}
    yield "tiff that leads to itself", {"bad.tif": patched(tiff, 4, "<I", 0)}


def _archives() -> Iterator[Case]:
    good = _zip({"bad/slice_1.png": png_bytes(slice_pixels())})
    for share in (0.0, 0.1, 0.5, 0.99):
        yield f"zip cut at {share}", {"bad.zip": truncated(good, share)}
    yield "zip is a page", {"bad.zip": HTML}
    yield "zip without its directory", {"bad.zip": good[: good.rfind(b"PK\1\2")] + bytes(50)}
    yield "zip member damaged", {"bad.zip": flipped(good, 8 * 900)}
    yield "zip member encrypted", {"bad.zip": _flagged(good, 1)}
    yield "zip member of an unknown method", {"bad.zip": _method(good, 77)}
    yield "zip member larger than said", {"bad.zip": _announced(good, 100)}
    yield "zip bomb", {"bad.zip": _zip({"bad/bomb_1.png": bytes(30 << 20)})}
    tar = _tar({"bad/slice_1.png": png_bytes(slice_pixels())})
    for length in (300, 700):
        yield f"tar of {length} bytes", {"bad.tar": tar[:length]}
    yield "tar with a damaged header", {"bad.tar": flipped(tar, 8 * 20)}
    yield "tar is a page", {"bad.tar": HTML * 20}
    packed = gzip.compress(tar)
    for share in (0.1, 0.9):
        yield f"tar.gz cut at {share}", {"bad.tar.gz": truncated(packed, share)}
    yield "tar.gz damaged", {"bad.tar.gz": flipped(packed, 8 * (len(packed) // 2))}
    yield "tar.gz wrong sum", {"bad.tar.gz": flipped(packed, 8 * (len(packed) - 6))}
    yield "tar.gz is a page", {"bad.tar.gz": HTML}


def _zip(files: Files) -> bytes:
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in files.items():
            archive.writestr(zipfile.ZipInfo(name), data, zipfile.ZIP_DEFLATED)
    return stream.getvalue()


def _tar(files: Files) -> bytes:
    stream = io.BytesIO()
    with tarfile.open(fileobj=stream, mode="w") as archive:
        for name, data in files.items():
            info = tarfile.TarInfo(name)
            info.size = len(data)
            archive.addfile(info, io.BytesIO(data))
    return stream.getvalue()


def _flagged(data: bytes, flag: int) -> bytes:
    directory = data.rfind(b"PK\1\2")
    return patched(patched(data, 6, "<H", flag), directory + 8, "<H", flag)


def _method(data: bytes, method: int) -> bytes:
    directory = data.rfind(b"PK\1\2")
    return patched(patched(data, 8, "<H", method), directory + 10, "<H", method)


def _announced(data: bytes, size: int) -> bytes:
    directory = data.rfind(b"PK\1\2")
    return patched(patched(data, 22, "<I", size), directory + 24, "<I", size)
