"""NRRD and MetaImage, read by SimpleITK after their headers were looked at.

SimpleITK reads files only: the bytes are in a temporary folder for that long, in memory where the
system has such a place.
"""

from __future__ import annotations

import bz2
import contextlib
import math
import re
import tempfile
import zlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import nibabel as nib
import numpy as np

from mri_gan.errors import DataError
from mri_gan.files import one_line
from mri_gan.ingest.read.inflate import refuse_bomb
from mri_gan.ingest.read.volume import Volume, build_volume, check_shape, is_narrow

MEMORY = Path("/dev/shm")
MAX_HEADER_BYTES = 1 << 16
READERS = {"nrrd": "NrrdImageIO", "meta": "MetaImageIO"}
# Bytes of a voxel by the name of its type, in either format.
SIZES = {
    **dict.fromkeys(("signed char", "int8", "int8_t", "unsigned char", "uchar", "uint8"), 1),
    **dict.fromkeys(("uint8_t", "met_char", "met_uchar"), 1),
    **dict.fromkeys(("short", "short int", "signed short", "int16", "int16_t", "ushort"), 2),
    **dict.fromkeys(("unsigned short", "uint16", "uint16_t", "met_short", "met_ushort"), 2),
    **dict.fromkeys(("int", "signed int", "int32", "int32_t", "uint", "unsigned int", "uint32"), 4),
    **dict.fromkeys(("uint32_t", "float", "met_int", "met_uint", "met_float"), 4),
    **dict.fromkeys(("double", "met_double", "met_long", "met_ulong", "met_long_long"), 8),
    **dict.fromkeys(("long long", "int64", "int64_t", "uint64", "uint64_t", "longlong"), 8),
}


class Header(NamedTuple):
    """What a header says of its voxels."""

    shape: tuple[int, ...]
    voxel_bytes: int
    packed: str  # how; empty where they are not
    file: str  # where they are; empty where they follow the header
    length: int  # of the header in bytes


def read_itk(
    data: bytes, suffix: str, voxels: bytes | None, labels: bool, chosen: int | None = None
) -> Volume:
    """A volume in place; `voxels` are those of a header that is apart from them.

    Raises DataError where header and voxels disagree.
    """
    kind = "nrrd" if suffix in (".nrrd", ".nhdr") else "meta"
    header = _read_nrrd(data) if kind == "nrrd" else _read_meta(data)
    if bool(header.file) != (voxels is not None):
        raise DataError("its voxels are not where its header says")
    check_shape(header.shape, chosen)
    announced = math.prod(header.shape) * header.voxel_bytes
    held = len(data) - header.length if voxels is None else len(voxels)
    if not header.packed and announced > held:
        raise DataError("shorter than its header announces (truncated?)")
    refuse_bomb(announced, held)
    if header.packed:
        data, voxels = _unpack(data, voxels, header, announced)
    return _build(_read(data, f"a{suffix}", READERS[kind], header.file, voxels), labels, chosen)


def _unpack(
    data: bytes, voxels: bytes | None, header: Header, announced: int
) -> tuple[bytes, bytes | None]:
    """Header and voxels as an unpacked file has them.

    Done here since ITK, where packed voxels are damaged, takes what it has by then for the voxels.
    Raises DataError.
    """
    packed = memoryview(data)[header.length :] if voxels is None else memoryview(voxels)
    stream: Any = bz2.BZ2Decompressor() if header.packed == "bzip2" else zlib.decompressobj(ANY)
    try:
        plain = stream.decompress(packed, announced + 1)
    except (OSError, zlib.error) as error:
        raise DataError("its packed voxels are damaged", one_line(error)) from error
    if not stream.eof or len(plain) != announced:
        raise DataError("its packed voxels are more or fewer than its header announces")
    head = PACKED.sub(lambda found: UNPACKED[found[1].lower()], data[: header.length])
    return (head + plain, None) if voxels is None else (head, plain)


ANY = 47  # zlib's number for streams of zlib and of gzip alike
PACKED = re.compile(
    rb"^[ \t]*(encoding|CompressedData|CompressedDataSize)[ \t]*[:=][^\r\n]*\r?\n", re.M | re.I
)
UNPACKED = {
    b"encoding": b"encoding: raw\n",
    b"compresseddata": b"CompressedData = False\n",
    b"compresseddatasize": b"",
}


def _read(data: bytes, name: str, reader: str, beside: str, voxels: bytes | None) -> Any:
    try:
        import SimpleITK as Itk
    except ImportError as error:
        raise DataError("needs one more package: pip install mrigan[itk]") from error
    kit: Any = Itk
    kit.ProcessObject.SetGlobalWarningDisplay(False)
    place = MEMORY if MEMORY.is_dir() else None
    with tempfile.TemporaryDirectory(prefix="mrigan", dir=place) as folder:
        (Path(folder) / name).write_bytes(data)
        if voxels is not None:
            (Path(folder) / beside).write_bytes(voxels)
        try:
            return kit.ReadImage(str(Path(folder) / name), imageIO=reader)
        except RuntimeError as error:
            raise DataError(f"damaged ({_reason(str(error))})") from error


def _reason(text: str) -> str:
    """The last line of ITK's message, without the temporary file's name."""
    lines = [line for line in text.splitlines() if line.strip()]
    return re.sub(r"\S*/mrigan\S*", "it", lines[-1].strip()) if lines else "ITK cannot read it"


def _build(image: Any, labels: bool, chosen: int | None) -> Volume:
    import SimpleITK as Itk

    if image.GetNumberOfComponentsPerPixel() != 1:
        raise DataError("several values per voxel")
    array = Itk.GetArrayFromImage(image).transpose()  # [X, Y, Z, ...]
    if array.dtype.kind not in "uif":
        raise DataError(f"voxel type {array.dtype} is not a plain number")
    for _ in range(array.ndim - 3):
        array = array[..., chosen or 0] if array.shape[-1] > 1 else array[..., 0]
    if array.ndim == 2:
        array = array[..., None]
    dtype = array.dtype if is_narrow(array.dtype) else np.float32
    return build_volume(nib.Nifti1Image(array.astype(dtype), _affine(image)), labels)


def _affine(image: Any) -> Any:
    """Voxel -> RAS+ mm [4, 4]; ITK counts from left, posterior, superior."""
    n_axes = image.GetDimension()
    turned = np.reshape(image.GetDirection(), (n_axes, n_axes)) * image.GetSpacing()
    lps = np.eye(4)
    axes = min(n_axes, 3)
    lps[:axes, :axes] = turned[:axes, :axes]
    lps[:axes, 3] = image.GetOrigin()[:axes]
    return np.diag([-1.0, -1.0, 1.0, 1.0]) @ lps


def _read_nrrd(data: bytes) -> Header:
    """The header of a NRRD file: lines `name: value` up to an empty one."""
    if not data.startswith(b"NRRD"):
        raise DataError("does not begin as a NRRD file")
    ends = [data.find(end, 0, MAX_HEADER_BYTES) + len(end) for end in (b"\n\n", b"\r\n\r\n")]
    found = [end for end, mark in zip(ends, (2, 4), strict=True) if end >= mark]
    end = min(found) if found else len(data)
    if end > MAX_HEADER_BYTES:
        raise DataError("its header has no end")
    fields = _fields(data[:end], ":")
    file = fields.get("data file", fields.get("datafile", ""))
    return _header(fields.get("sizes", ""), fields.get("type", ""), _packing(fields), file, end)


def _packing(fields: dict[str, str]) -> str:
    """How the voxels of a NRRD file are packed; raises DataError for ways that are not known."""
    encoding = fields.get("encoding", "raw").lower()
    if encoding in ("raw", "txt", "text", "ascii", "hex"):
        return ""
    if encoding not in ("gz", "gzip", "bz2", "bzip2"):
        raise DataError(f"encoding {encoding[:20]!r} is unknown")
    if {"line skip", "lineskip", "byte skip", "byteskip"} & set(fields):
        raise DataError("its packed voxels begin elsewhere", "save it without line and byte skip")
    return "bzip2" if encoding.startswith("b") else "gzip"


def _read_meta(data: bytes) -> Header:
    """The header of a MetaImage: lines `Name = value`, of which `ElementDataFile` is the last."""
    last = re.search(rb"^ElementDataFile[ \t]*=[^\n]*\n?", data[:MAX_HEADER_BYTES], re.MULTILINE)
    if last is None:
        raise DataError("its header has no end")
    fields = _fields(data[: last.end()], "=")
    file = fields.get("elementdatafile", "")
    if int(fields.get("elementnumberofchannels", "1")) != 1:
        raise DataError("several values per voxel")
    return _header(
        fields.get("dimsize", ""),
        fields.get("elementtype", ""),
        "zlib" if fields.get("compresseddata", "").lower() == "true" else "",
        "" if file.upper() == "LOCAL" else file,
        last.end(),
    )


def _fields(text: bytes, mark: str) -> dict[str, str]:
    lines = (line.partition(mark) for line in text.decode("latin-1").splitlines())
    return {name.strip().lower(): value.strip() for name, _, value in lines if value}


def _header(sizes: str, kind: str, packed: str, file: str, length: int) -> Header:
    shape: Sequence[int] = ()
    with contextlib.suppress(ValueError):
        shape = [int(size) for size in sizes.split()]
    if not 2 <= len(shape) <= 5 or min(shape, default=0) < 1:
        raise DataError("its header does not say how large it is")
    if kind.lower() not in SIZES:
        raise DataError(f"voxel type {kind[:20]!r} is not a plain number")
    if file and (Path(file).name != file or not re.fullmatch(r"[^%\s]+", file)):
        raise DataError("its voxels are in another folder or in many files", "save it as one file")
    return Header(tuple(shape), SIZES[kind.lower()], packed, file, length)
