"""Arrays that say nothing of a patient, taken as stacks of slices: NumPy, HDF5 and MATLAB files."""

from __future__ import annotations

import io
import math
import re
import zipfile
import zlib
from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import IO, Any, NamedTuple

import nibabel as nib
import numpy as np
from numpy.lib import format as npy
from numpy.typing import NDArray

from mri_gan.errors import DataError, NoImageError, OwnFileError
from mri_gan.ingest.read.inflate import refuse_bomb
from mri_gan.ingest.read.volume import Volume, build_volume, check_shape, is_narrow

MAX_HEADER_BYTES = 1 << 16
MATLAB_7_3 = b"MATLAB 7.3"
SMALLEST_PX = 8  # the side of a picture
COLOURS = (3, 4)
# Which array of several is the scan: of fastMRI, of the figshare tumours, and the usual words.
SCAN_NAMES = (
    *("reconstruction_rss", "reconstruction_esc", "image", "images", "img", "imgs", "volume"),
    *("vol", "scan", "data", "arr_0", "x"),
)


# The arrays that `mrigan project` and `mrigan directions` write
OURS = re.compile(r"ws|noise_\d\d|\w+_(?:vectors|spread|weight)")


class Described(NamedTuple):
    """An array as its file announces it."""

    name: str
    shape: tuple[int, ...]
    dtype: np.dtype[Any]

    @property
    def n_bytes(self) -> int:
        """How many bytes its numbers take."""
        return math.prod(self.shape) * self.dtype.itemsize


def read_array_file(data: bytes, suffix: str, labels: bool, chosen: int | None) -> Volume:
    """The stack of slices in a file of one of ARRAY_SUFFIXES; raises like `read_volume`."""
    if suffix in (".h5", ".hdf5") or data.startswith(MATLAB_7_3):
        return read_hdf5(data, suffix == ".mat", labels, chosen)
    reader = {".npy": read_npy, ".npz": read_npz, ".mat": read_mat}[suffix]
    return reader(data, labels, chosen)


def choose_array(found: Sequence[Described], n_bytes: int) -> str:
    """The name of the one array that is a scan; raises DataError where several could be.

    `n_bytes` is the size of the file, which may not announce much more. Raises NoImageError where
    none is, as in raw data of a scanner (k-space).
    """
    fitting = [one for one in found if _is_scan(one)]
    if not fitting:
        kinds = ", ".join(f"{one.name} {one.shape} {one.dtype}" for one in found[:3])
        raw = any(one.dtype.kind == "c" for one in found)
        hint = "; complex numbers, such as k-space, are not reconstructed" if raw else ""
        raise NoImageError(f"holds no image (it has: {kinds or 'nothing'}){hint}")
    if len(fitting) > 1:
        last = {one.name.rpartition("/")[2].lower(): one for one in reversed(fitting)}
        known = [last[name] for name in SCAN_NAMES if name in last]
        if not known:
            names = ", ".join(one.name for one in fitting[:5])
            raise DataError(f"several arrays may be the scan ({names}); keep one")
        fitting = known
    refuse_bomb(fitting[0].n_bytes, n_bytes)
    return fitting[0].name


def _is_scan(one: Described) -> bool:
    plain = one.dtype.kind in "uifb"
    sides = [side for side in one.shape if side != 1]
    return plain and 2 <= len(sides) <= 4 and sorted(sides)[-2] >= SMALLEST_PX


def volume_of_stack(
    array: NDArray[Any], slices_last: bool, labels: bool, chosen: int | None
) -> Volume:
    """A volume whose axial cuts are the array's slices as they are stored, without geometry.

    Slices are counted along the first axis, or the last one where a program counts so; three axes
    of which one is much the shortest are counted along that one.
    """
    array = np.squeeze(array) if array.ndim > 2 else array
    if array.dtype.kind == "b":
        array = array.astype(np.uint8)
    if array.ndim == 4:
        array = _one_of_several(array, chosen)
    stack = array[None] if array.ndim == 2 else np.moveaxis(array, _axis(array, slices_last), 0)
    check_shape(stack.shape)
    dtype = stack.dtype.newbyteorder("=") if is_narrow(stack.dtype) else np.float32
    voxels = np.ascontiguousarray(stack.transpose(2, 1, 0)).astype(dtype)
    # Columns run to the patient's left and rows to the back, as pictures are shown.
    volume = build_volume(nib.Nifti1Image(voxels, np.diag([-1.0, -1.0, 1.0, 1.0])), labels)
    return replace(volume, placed=False)


def _one_of_several(array: NDArray[Any], chosen: int | None) -> NDArray[Any]:
    if array.shape[-1] in COLOURS:
        raise DataError("colour images are not scans", "save one channel")
    check_shape((*array.shape[1:], array.shape[0]), chosen)
    return np.asarray(array[chosen or 0])


def _axis(array: NDArray[Any], slices_last: bool) -> int:
    if array.shape[-1] in COLOURS and min(array.shape[:2]) >= 4 * SMALLEST_PX:
        raise DataError("a colour image is not a scan", "save one channel")
    shortest = int(np.argmin(array.shape))
    others = [side for axis, side in enumerate(array.shape) if axis != shortest]
    if 2 * array.shape[shortest] <= min(others):
        return shortest
    return 2 if slices_last else 0


def read_npy(data: bytes, labels: bool = False, chosen: int | None = None) -> Volume:
    """The stack in a `.npy` file; raises DataError for objects, which only a program could read."""
    described = _describe("array", io.BytesIO(data))
    choose_array([described], len(data))
    if described.n_bytes > len(data):
        raise DataError("shorter than its header announces (truncated?)")
    array = np.load(io.BytesIO(data), allow_pickle=False)
    return volume_of_stack(array, False, labels, chosen)


def _describe(name: str, stream: IO[bytes]) -> Described:
    version = npy.read_magic(stream)
    field = 2 if version == (1, 0) else 4
    start = stream.read(field)
    length = int.from_bytes(start, "little")
    if length > MAX_HEADER_BYTES:  # numpy would read it first
        raise DataError("its header is too long")
    read: Any = npy.read_array_header_1_0 if version == (1, 0) else npy.read_array_header_2_0
    shape, _, dtype = read(io.BytesIO(start + stream.read(length)))
    if min(shape, default=0) < 0:
        raise DataError(f"announces the shape {shape}")
    return Described(name, shape, dtype)


def read_npz(data: bytes, labels: bool = False, chosen: int | None = None) -> Volume:
    """The stack in a `.npz` file: its only array, or the one that is named like a scan."""
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        found = []
        for info in archive.infolist():
            if info.filename.endswith(".npy"):
                with archive.open(info) as stream:
                    found.append(_describe(info.filename[: -len(".npy")], stream))
        if all(OURS.fullmatch(one.name) for one in found):
            raise OwnFileError("numbers of a network that mrigan wrote, and no scan")
        name = choose_array(found, len(data))
        described = next(one for one in found if one.name == name)
        info = archive.getinfo(f"{name}.npy")
        announced = described.n_bytes
        if announced > info.file_size:
            raise DataError("shorter than its header announces (truncated?)")
        if info.file_size - announced > MAX_HEADER_BYTES:
            raise DataError("more data than its header announces")
        array = np.load(io.BytesIO(archive.read(info)), allow_pickle=False)
    return volume_of_stack(array, False, labels, chosen)


# HDF5: reconstructions of fastMRI, MATLAB 7.3, and others with one array of slices

MAX_ITEMS = 10_000  # that are looked at


def open_hdf5(data: bytes) -> Any:
    """The file; raises DataError where the package is missing."""
    try:
        import h5py
    except ImportError as error:
        raise DataError("needs one more package: pip install 'mrigan[hdf5]'") from error
    return h5py.File(io.BytesIO(data), "r")


def check_chunks(array: Any, n_bytes: int) -> None:
    """Raise DataError for an array of a file of this many bytes that would fill the memory.

    HDF5 unpacks whole chunks, which may be larger than the array.
    """
    chunk = math.prod(array.chunks or (0,)) * array.dtype.itemsize
    refuse_bomb(max(chunk, array.nbytes), n_bytes)
    if array.chunks and not array.id.get_create_plist().get_nfilters():
        sizes: set[int] = set()
        array.id.chunk_iter(lambda part: sizes.add(part.size))
        if sizes - {chunk}:  # HDF5 would fill up what lacks with whatever the memory held
            raise DataError("its parts are shorter or longer than its header announces")


def read_hdf5(
    data: bytes, matlab: bool = False, labels: bool = False, chosen: int | None = None
) -> Volume:
    """The stack in a file: its only array of slices, or the one that is named like a scan.

    MATLAB writes its axes in reverse and counts slices last. Raises DataError for arrays that are
    in other files, which a file from elsewhere could otherwise have read.
    """
    with open_hdf5(data) as file:
        found: list[Described] = []

        def note(name: str, item: Any) -> Any:
            if hasattr(item, "shape") and item.shape is not None:
                found.append(Described(name, tuple(item.shape), np.dtype(item.dtype)))
            return True if len(found) > MAX_ITEMS else None

        file.visititems(note)  # follows no links
        array = file[choose_array(found, len(data))]
        if array.is_virtual or array.external:
            raise DataError("its pixels are in other files")
        check_chunks(array, len(data))
        values = array[()]
    return volume_of_stack(values.T if matlab else values, matlab, labels, chosen)


# MATLAB 5 to 7, read here since SciPy's reader crashes the interpreter on damaged files.
# Source: MathWorks, MAT-File Format, section "Level 5 MAT-File Format".

HEADER_BYTES, HEAD_BYTES = 128, 1 << 12  # of the file, and at most what lies before an array's data
MATRIX, COMPRESSED = 14, 15
COMPLEX, LOGICAL = 0x800, 0x200
STORED = {1: "i1", 2: "u1", 3: "i2", 4: "u2", 5: "i4", 6: "u4", 7: "f4", 9: "f8"}
STORED |= {12: "i8", 13: "u8"}
CLASSES = {6: "f8", 7: "f4", 8: "i1", 9: "u1", 10: "i2", 11: "u2", 12: "i4", 13: "u4"}
CLASSES |= {14: "i8", 15: "u8"}


class Element(NamedTuple):
    """A part of a file: what it is, its bytes, and where the next one begins."""

    kind: int
    content: memoryview
    end: int


def read_mat(data: bytes, labels: bool = False, chosen: int | None = None) -> Volume:
    """The stack in a MATLAB file up to version 7, where slices are counted last.

    Raises DataError for damaged files, for version 4, and where no array is a scan.
    """
    order = {b"IM": "<", b"MI": ">"}.get(data[126:128])
    if order is None:
        raise DataError("not a MATLAB file of version 5 to 7", "save it again: save(..., '-v7')")
    found: list[Described] = []
    parts: list[Element] = []
    for part in elements(memoryview(data)[HEADER_BYTES:], order):
        one = describe(_inner(part, HEAD_BYTES, order), order)
        if one is not None:
            found.append(one)
            parts.append(part)
    name = choose_array(found, len(data))
    number = next(i for i, one in enumerate(found) if one.name == name)
    whole = _inner(parts[number], found[number].n_bytes + HEAD_BYTES, order, whole=True)
    array = read_array(whole, found[number], order)
    return volume_of_stack(array, True, labels, chosen)


def elements(data: memoryview, order: str) -> Iterator[Element]:
    """The parts of some bytes, one after the other; raises DataError where one is cut short."""
    at = 0
    while at + 8 <= len(data):
        kind, size = (int(n) for n in np.frombuffer(data[at : at + 8], f"{order}u4"))
        start, length = at + 8, size
        if kind >> 16:  # four bytes at most lie in the tag itself
            kind, size, start, length = kind & 0xFFFF, kind >> 16, at + 4, 4
        elif kind != COMPRESSED:
            length = -(-size // 8) * 8
        yield Element(kind, data[start : start + size], start + length)
        at = start + length


def _inner(part: Element, limit: int, order: str, whole: bool = False) -> memoryview:
    """What an array consists of, unpacked up to about `limit` bytes; `whole` checks its end."""
    if part.kind == MATRIX:
        return part.content
    if part.kind != COMPRESSED:
        return memoryview(b"")
    stream = zlib.decompressobj()
    plain = memoryview(stream.decompress(part.content, limit))
    first = next(elements(plain, order), None)
    if whole and not (stream.eof and first and first.end == len(plain)):
        raise DataError("its array is more or less than its header announces")
    return first.content if first is not None and first.kind == MATRIX else memoryview(b"")


def describe(matrix: memoryview, order: str) -> Described | None:
    """The array as its header announces it; None for what is no array of numbers."""
    parts = elements(matrix, order)
    flags, sizes, name = (next(parts, None) for _ in range(3))
    if flags is None or sizes is None or name is None or len(flags.content) != 8:
        return None
    bits = int(np.frombuffer(flags.content[:4], f"{order}u4")[0])
    if bits & 0xFF not in CLASSES:
        return None
    kind = "c16" if bits & COMPLEX else "?" if bits & LOGICAL else CLASSES[bits & 0xFF]
    shape = tuple(int(n) for n in np.frombuffer(sizes.content, f"{order}i4"))
    if min(shape, default=-1) < 0:
        raise DataError(f"announces the shape {shape}")
    return Described(bytes(name.content).decode("latin-1"), shape, np.dtype(kind))


def read_array(matrix: memoryview, described: Described, order: str) -> NDArray[Any]:
    """The numbers of an array; raises DataError unless there are as many as it announces."""
    stored = list(elements(matrix, order))[3:4]
    if not stored or stored[0].kind not in STORED:
        raise DataError("holds an array without numbers")
    values = np.frombuffer(stored[0].content, order + STORED[stored[0].kind])
    if len(values) != math.prod(described.shape):
        raise DataError("an array is shorter or longer than its header announces (truncated?)")
    return values.reshape(described.shape, order="F").astype(described.dtype)
