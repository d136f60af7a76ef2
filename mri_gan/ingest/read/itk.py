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
from collections.abc import Callable, Iterator, Sequence
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


# The fields that ITK is given, by what their values are: headers are written anew with nothing
# else, since a damaged one (a number of axes in the millions) would end the process inside ITK.
FLAGS = ("BinaryData", "BinaryDataByteOrderMSB", "ElementByteOrderMSB")
META_VECTORS = ("DimSize", "ElementSpacing", "ElementSize", "Offset", "Position", "Origin")
META_MATRICES = ("TransformMatrix", "Rotation", "Orientation")
NRRD_WORDS = ("type", "encoding", "endian", "space", "kinds", "centerings", "centers")
NRRD_COUNTS = ("dimension", "space dimension", "line skip", "lineskip", "byte skip", "byteskip")
NRRD_ROWS = ("sizes", "spacings", "thicknesses", "axis mins", "axismins", "axis maxs", "axismaxs")
NRRD_VECTORS = ("space directions", "space origin")
MAGIC = re.compile(rb"NRRD000[1-5]\r?\n")


class Header(NamedTuple):
    """What a header says of its voxels."""

    shape: tuple[int, ...]
    voxel_bytes: int
    packed: str  # how; empty where they are not
    is_text: bool
    file: str  # where they are; empty where they follow the header
    start: int  # where they begin in their file, or how far before its end
    plain: bytes  # the header as ITK is to read it, with the voxels unpacked behind it


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
    count = math.prod(header.shape)
    held = memoryview(data if voxels is None else voxels)[header.start :]
    if not header.packed and (
        2 * count - 1 if header.is_text else count * header.voxel_bytes
    ) > len(held):
        raise DataError("shorter than its header announces (truncated?)")
    refuse_bomb(count * header.voxel_bytes, len(held))
    plain = _unpack(held, header.packed, count * header.voxel_bytes) if header.packed else held
    return _build(_read(header.plain, plain, READERS[kind]), labels, chosen)


def _unpack(packed: memoryview, how: str, announced: int) -> bytes:
    """The voxels.

    Done here since ITK, where packed voxels are damaged, takes what it has by then for the voxels.
    Raises DataError.
    """
    stream: Any = bz2.BZ2Decompressor() if how == "bzip2" else zlib.decompressobj(ANY)
    try:
        plain: bytes = stream.decompress(packed, announced + 1)
    except (OSError, zlib.error) as error:
        raise DataError("its packed voxels are damaged", one_line(error)) from error
    if not stream.eof or len(plain) != announced:
        raise DataError("its packed voxels are more or fewer than its header announces")
    return plain


def _read(header: bytes, voxels: bytes | memoryview, reader: str) -> Any:
    try:
        import SimpleITK as Itk
    except ImportError as error:
        raise DataError("needs one more package: pip install 'mrigan[itk]'") from error
    kit: Any = Itk
    kit.ProcessObject.SetGlobalWarningDisplay(False)
    place = MEMORY if MEMORY.is_dir() else None
    with tempfile.TemporaryDirectory(prefix="mrigan", dir=place) as folder:
        path = Path(folder) / ("a.nrrd" if header.startswith(b"NRRD") else "a.mha")
        with path.open("wb") as file:
            file.write(header)
            file.write(voxels)
        try:
            return kit.ReadImage(str(path), imageIO=reader)
        except RuntimeError as error:
            raise DataError(f"damaged ({_reason(str(error))})") from error


ANY = 47  # zlib's number for streams of zlib and of gzip alike


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
    magic = MAGIC.match(data)
    if magic is None:
        raise DataError("does not begin as a NRRD file")
    found = [at.end() for at in re.finditer(rb"\n\r?\n", data[:MAX_HEADER_BYTES])]
    end = found[0] if found else len(data)
    if end > MAX_HEADER_BYTES:
        raise DataError("its header has no end")
    fields = _fields(data[magic.end() : end], ":")
    packed = _packing(fields)
    lines = [f"{name}: {value}" for name, value in _nrrd_fields(fields, bool(packed))]
    return _header(
        fields.get("sizes", ""),
        fields.get("type", ""),
        packed=packed,
        is_text=fields.get("encoding", "").lower() in TEXT,
        file=fields.get("data file", fields.get("datafile", "")),
        end=end,
        plain=magic[0] + "\n".join([*lines, "", ""]).encode(),
    )


TEXT = ("txt", "text", "ascii", "hex")


def _packing(fields: dict[str, str]) -> str:
    """How the voxels of a NRRD file are packed; raises DataError for ways that are not known."""
    encoding = fields.get("encoding", "raw").lower()
    if encoding in ("raw", *TEXT):
        return ""
    if encoding not in ("gz", "gzip", "bz2", "bzip2"):
        raise DataError(f"encoding {encoding[:20]!r} is unknown")
    if {"line skip", "lineskip", "byte skip", "byteskip"} & set(fields):
        raise DataError("its packed voxels begin elsewhere", "save it without line and byte skip")
    return "bzip2" if encoding.startswith("b") else "gzip"


def _nrrd_fields(fields: dict[str, str], packed: bool) -> Iterator[tuple[str, str]]:
    """What ITK is given of a NRRD file; raises DataError for values that cannot be."""
    n_axes = len(fields.get("sizes", "").split())
    checks: dict[str, Callable[[str], bool]] = {
        **dict.fromkeys(NRRD_WORDS, lambda value: bool(re.fullmatch(r"[\w \t?*-]+", value))),
        **dict.fromkeys(NRRD_COUNTS, lambda value: bool(re.fullmatch(r"-1|\d{1,9}", value))),
        **dict.fromkeys(NRRD_ROWS, lambda value: _are_numbers(value.split(), n_axes)),
        **dict.fromkeys(NRRD_VECTORS, _are_vectors),
    }
    if fields.get("dimension", "") != str(n_axes):
        raise DataError("its header gives other numbers of axes in dimension and sizes")
    for name, value in fields.items():  # in their order, which counts
        if name in checks and not checks[name](value):
            raise DataError(f"its header is damaged at {name!r}")
        if name in checks:
            yield name, "raw" if packed and name == "encoding" else value


VECTOR = re.compile(r"none|\([^()]*\)")


def _are_vectors(value: str) -> bool:
    parts = VECTOR.findall(value)
    rows = [part.strip("()").split(",") for part in parts if part != "none"]
    return (
        bool(parts)
        and not VECTOR.sub("", value).strip()
        and all(_are_numbers(row, len(rows[0])) for row in rows)
    )


def _are_numbers(words: Sequence[str], count: int) -> bool:
    """Whether they are so many numbers; "nan" stands for what is not known."""
    try:
        return len(words) == count and not any(math.isinf(float(word)) for word in words)
    except ValueError:
        return False


def _read_meta(data: bytes) -> Header:
    """The header of a MetaImage: lines `Name = value`, of which `ElementDataFile` is the last."""
    last = re.search(rb"^ElementDataFile[ \t]*=[^\n]*\n?", data[:MAX_HEADER_BYTES], re.MULTILINE)
    if last is None:
        raise DataError("its header has no end")
    fields = _fields(data[: last.end()], "=")
    file = fields.get("elementdatafile", "")
    if fields.get("elementnumberofchannels", "1") != "1":
        raise DataError("several values per voxel")
    lines = [f"{name} = {value}" for name, value in _meta_fields(fields)]
    header = _header(
        fields.get("dimsize", ""),
        fields.get("elementtype", ""),
        packed="zlib" if fields.get("compresseddata", "").lower() == "true" else "",
        is_text=fields.get("binarydata", "").lower() == "false",
        file="" if file.upper() == "LOCAL" else file,
        end=last.end(),
        plain="\n".join([*lines, "ElementDataFile = LOCAL", ""]).encode(),
    )
    return header._replace(start=_find_start(header, fields.get("headersize", "0")))


def _find_start(header: Header, skipped: str) -> int:
    """Where the voxels of a MetaImage begin: HeaderSize counts from the start, -1 from the end."""
    if not re.fullmatch(r"-1|\d{1,9}", skipped) or (header.packed and skipped not in ("-1", "0")):
        raise DataError("its header is damaged at 'HeaderSize'")
    if skipped == "-1" and not header.packed:
        return -math.prod(header.shape) * header.voxel_bytes
    return max(header.start, int(skipped))


def _meta_fields(fields: dict[str, str]) -> Iterator[tuple[str, str]]:
    """What ITK is given of a MetaImage; raises DataError for values that cannot be."""
    n_axes = len(fields.get("dimsize", "").split())
    checks: dict[str, Callable[[str], bool]] = {
        **dict.fromkeys(FLAGS, lambda value: value.lower() in ("true", "false")),
        **dict.fromkeys(META_MATRICES, lambda value: _are_numbers(value.split(), n_axes**2)),
        **dict.fromkeys(META_VECTORS, lambda value: _are_numbers(value.split(), n_axes)),
        "ElementType": lambda value: value.lower() in SIZES,
    }
    if fields.get("ndims", "") != str(n_axes):
        raise DataError("its header gives other numbers of axes in NDims and DimSize")
    yield from (("ObjectType", "Image"), ("NDims", str(n_axes)))
    for name, is_good in checks.items():
        value = fields.get(name.lower())
        if value is not None and not is_good(value):
            raise DataError(f"its header is damaged at {name!r}")
        if value is not None:
            yield name, value


def _fields(text: bytes, mark: str) -> dict[str, str]:
    """Values by name in small letters; raises DataError for a name with two values."""
    lines = (line.partition(mark) for line in text.decode("latin-1").splitlines())
    fields: dict[str, str] = {}
    for name, _, value in lines:
        if not value or value.startswith("=") or name.startswith("#"):
            continue  # "name:=value" and "# ..." are remarks in NRRD
        if fields.setdefault(name.strip().lower(), value.strip()) != value.strip():
            raise DataError(f"its header gives {name.strip()[:30]!r} twice")
    return fields


def _header(
    sizes: str, kind: str, *, packed: str, is_text: bool, file: str, end: int, plain: bytes
) -> Header:
    shape: Sequence[int] = ()
    with contextlib.suppress(ValueError):
        shape = [int(size) for size in sizes.split()]
    if not 2 <= len(shape) <= 5 or min(shape, default=0) < 1:
        raise DataError("its header does not say how large it is")
    if kind.lower() not in SIZES:
        raise DataError(f"voxel type {kind[:20]!r} is not a plain number")
    if file and (Path(file).name != file or not re.fullmatch(r"[^%\s]+", file)):
        raise DataError("its voxels are in another folder or in many files", "save it as one file")
    start = 0 if file else end
    return Header(tuple(shape), SIZES[kind.lower()], packed, is_text, file, start, plain)
