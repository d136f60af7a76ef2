"""Arrays that say nothing of a patient: NumPy files and others, taken as stacks of slices."""

from __future__ import annotations

import io
import math
import zipfile
from collections.abc import Callable, Sequence
from typing import IO, Any, NamedTuple

import nibabel as nib
import numpy as np
from numpy.lib import format as npy
from numpy.typing import NDArray

from mri_gan.errors import DataError
from mri_gan.ingest.read.inflate import UNPACKED_BYTES
from mri_gan.ingest.read.volume import Volume, build_volume, check_shape, is_narrow
from mri_gan.ingest.source import MAX_RATIO

MAX_HEADER_BYTES = 1 << 16
SMALLEST_PX = 8  # the side of a picture
COLOURS = (3, 4)
# Which array of several is the scan: of fastMRI, of the figshare tumours, and the usual words.
SCAN_NAMES = (
    *("reconstruction_rss", "reconstruction_esc", "image", "images", "img", "imgs", "volume"),
    *("vol", "scan", "data", "arr_0", "x"),
)


class Described(NamedTuple):
    """An array as its file announces it."""

    name: str
    shape: tuple[int, ...]
    dtype: np.dtype[Any]

    @property
    def n_bytes(self) -> int:
        """How many bytes its numbers take."""
        return math.prod(self.shape) * self.dtype.itemsize


def choose_array(found: Sequence[Described], n_bytes: int) -> str:
    """The name of the one array that is a scan; raises DataError where none or several could be.

    `n_bytes` is the size of the file, which may not announce much more.
    """
    fitting = [one for one in found if _is_scan(one)]
    if not fitting:
        kinds = ", ".join(f"{one.name} {one.shape} {one.dtype}" for one in found[:3])
        raise DataError(f"holds no slices (it has: {kinds or 'nothing'})")
    if len(fitting) > 1:
        last = {one.name.rpartition("/")[2].lower(): one for one in reversed(fitting)}
        known = [last[name] for name in SCAN_NAMES if name in last]
        if not known:
            names = ", ".join(one.name for one in fitting[:5])
            raise DataError(f"several arrays may be the scan ({names}); keep one")
        fitting = known
    announced = fitting[0].n_bytes
    if announced > max(UNPACKED_BYTES, MAX_RATIO * n_bytes):
        raise DataError("looks like a decompression bomb")
    return fitting[0].name


def _is_scan(one: Described) -> bool:
    plain = one.dtype.kind in "uifb"
    sides = [side for side in one.shape if side != 1]
    return plain and 2 <= len(sides) <= 4 and sorted(sides)[-2] >= SMALLEST_PX


def volume_of_stack(
    array: NDArray[Any], slices_last: bool, labels: bool, chosen: int | None
) -> Volume:
    """A volume whose axial cuts are the array's slices as they are stored, a millimetre per pixel.

    Slices are counted along the first axis, or the last one where a program counts so; three axes
    of which one is much the shortest are counted along that one.
    """
    array = np.squeeze(array) if array.ndim > 2 else array
    if array.dtype.kind == "b":
        array = array.astype(np.uint8)
    if array.ndim == 4:
        array = _one_of_several(array, chosen)
    elif chosen:
        raise DataError(f"has no volume {chosen} (of 1, counted from 0)")
    stack = array[None] if array.ndim == 2 else np.moveaxis(array, _axis(array, slices_last), 0)
    check_shape(stack.shape)
    dtype = stack.dtype.newbyteorder("=") if is_narrow(stack.dtype) else np.float32
    voxels = np.ascontiguousarray(stack.transpose(2, 1, 0)).astype(dtype)
    # Columns run to the patient's left and rows to the back, as pictures are shown.
    return build_volume(nib.Nifti1Image(voxels, np.diag([-1.0, -1.0, 1.0, 1.0])), labels)


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


READERS: dict[str, Callable[[bytes, bool, int | None], Volume]] = {
    ".npy": read_npy,
    ".npz": read_npz,
}
