"""Files of weights: torch's zip form, its older form of joined pickles, and plain pickles."""

from __future__ import annotations

import io
import struct
import zipfile
import zlib
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch

from mri_gan.errors import DataError, UsageError
from mri_gan.files import explain_os_error, one_line
from mri_gan.synth.foreign.pickles import BETTER, Name, Stored, read_pickle
from mri_gan.synth.foreign.tensors import DTYPES, Realiser, Storage, class_of

LEGACY_MAGIC = 0x1950A86A20F9469CFC6C
LEGACY_PROTOCOL = 1001
DEEPEST_FILES = 3
LARGEST_BYTES = 16 << 30
# What zipfile raises for damaged archives: names that are no text, places before the file, ...
DAMAGED = (
    *(zipfile.BadZipFile, zlib.error, struct.error, OSError, EOFError),
    *(KeyError, ValueError, RuntimeError, NotImplementedError, OverflowError),
)
TAR_MARK, TAR_MARK_AT = b"ustar", 257
OTHER_FILES = {  # how files begin that are taken for weights, and what to do
    b"\x89HDF": ("is HDF5, as Keras writes it", "give a checkpoint of PyTorch"),
    b"<": ("is a web page", "download the file itself"),
    b"version https://git-lfs": ("is a pointer of Git LFS", "fetch the file with git lfs pull"),
    b"\x1f\x8b": ("is packed by gzip", "unpack it first"),
    b"\x93NUMPY": ("is an array of numpy", "give a checkpoint of PyTorch"),
    b"\x08": ("looks like ONNX", "give the checkpoint that it was made from"),
}


def read_weights(path: Path) -> Any:
    """Everything in a file as tensors, dictionaries, lists, texts and numbers, Shells and Unknowns.

    Nothing in the file is called, imported or run. Raises DataError with one line for anything
    that is not a such file.
    """
    try:
        if path.stat().st_size > LARGEST_BYTES:
            raise DataError(f"{path}: is larger than any weights", BETTER)
        data = path.read_bytes()
    except OSError as error:
        raise explain_os_error(error, path) from error
    return load_bytes(data, str(path), 0)


def load_bytes(data: bytes, what: str, depth: int) -> Any:
    """The content of a file that is in memory; `depth` counts files inside files."""
    if depth > DEEPEST_FILES:
        raise DataError(f"{what}: holds files nested too deeply", BETTER)
    if data[:4] == b"PK\x03\x04":
        return _load_zip(data, what, depth)
    if data[TAR_MARK_AT : TAR_MARK_AT + len(TAR_MARK)] == TAR_MARK:
        raise DataError(f"{what}: is a tar, as torch wrote before version 0.2", "save it again")
    if not data:
        raise DataError(f"{what}: is empty", "download or copy it again")
    if data[8:9] == b"{" and int.from_bytes(data[:8], "little") < len(data):
        return _load_safetensors(data, what)
    for start, (words, advice) in OTHER_FILES.items():
        if data.startswith(start):
            raise DataError(f"{what}: {words}", advice)
    first, end = read_pickle(data, what)
    if first == LEGACY_MAGIC:
        return _load_legacy(data, end, what, depth)
    return Realiser(what, _Storages(what), load_bytes, depth).value(first)


def _load_safetensors(data: bytes, what: str) -> Any:
    """Named tensors and nothing else: the length of a header in JSON, the header, the numbers."""
    try:
        import safetensors.torch
    except ImportError as error:
        raise UsageError(
            f"{what}: safetensors needs a package more", "pip install 'mrigan[export]'"
        ) from error
    try:
        return safetensors.torch.load(data)
    except (safetensors.SafetensorError, ValueError, KeyError, RuntimeError) as error:
        raise DataError(f"{what}: damaged ({one_line(error)})", BETTER) from error


def _describe(pid: Any, what: str) -> tuple[torch.dtype, str, int]:
    """dtype, key and number of elements of a persistent id."""
    try:
        kind, storage_type, key, _location, numel = pid[:5]
        if kind != "storage" or not isinstance(storage_type, Name):
            raise ValueError
        if storage_type.module not in ("torch", "torch.cuda", "torch.storage"):
            raise ValueError
        return DTYPES[storage_type.name], str(key), int(numel)
    except (ValueError, TypeError, KeyError) as error:
        raise DataError(f"{what}: has numbers of an unknown kind", BETTER) from error


def _as_storage(data: bytes | memoryview, dtype: torch.dtype, numel: int, what: str) -> Storage:
    if numel < 0 or numel * dtype.itemsize != len(data):
        raise DataError(f"{what}: a storage is not of the size it claims", BETTER)
    if numel == 0:
        return Storage(torch.empty(0, dtype=dtype))
    return Storage(torch.frombuffer(bytearray(data), dtype=dtype))


@dataclass
class _Storages:
    """Storages by their key, each read once; without `read`, those that are known."""

    what: str
    read: Callable[[str], bytes] | None = None
    known: dict[str, Storage] = field(default_factory=dict)

    def __call__(self, pid: Any) -> Storage:
        dtype, key, numel = _describe(pid, self.what)
        if key not in self.known:
            if self.read is None:
                raise DataError(f"{self.what}: refers to numbers that it does not hold", BETTER)
            self.known[key] = _as_storage(self.read(key), dtype, numel, self.what)
        found = self.known[key]
        if found.values.dtype != dtype:
            raise DataError(f"{self.what}: one storage of two kinds", BETTER)
        return found


def _load_zip(data: bytes, what: str, depth: int) -> Any:
    """The form since torch 1.6: `NAME/data.pkl`, `NAME/data/0`, ..., all of them stored."""
    try:
        archive = zipfile.ZipFile(io.BytesIO(data))
        names = {info.filename: info for info in archive.infolist()}
        pickles = [name for name in names if name.endswith("/data.pkl") and name.count("/") == 1]
        if names and all(name.endswith(".npy") for name in names):
            raise DataError(f"{what}: is an npz of numpy", "save the arrays with torch.save")
        if len(pickles) != 1:
            raise DataError(f"{what}: is a zip without weights", "unpack it and give one file")
        root = pickles[0].removesuffix("data.pkl")
        if f"{root}constants.pkl" in names or f"{root}code" in names:
            raise DataError(f"{what}: is a TorchScript program", "give a checkpoint of weights")
        if any(info.compress_type != zipfile.ZIP_STORED for info in names.values()):
            raise DataError(f"{what}: is a compressed zip, which torch does not write", BETTER)
        order = archive.read(f"{root}byteorder") if f"{root}byteorder" in names else b"little"
        if order != b"little":
            raise DataError(f"{what}: was written on a big-endian machine", "save it again")
        item, _ = read_pickle(archive.read(pickles[0]), what)
        storages = _Storages(what, lambda key: archive.read(f"{root}data/{key}"))
        return Realiser(what, storages, load_bytes, depth).value(item)
    except DAMAGED as error:
        raise DataError(f"{what}: damaged ({one_line(error)})", BETTER) from error


def _load_legacy(data: bytes, at: int, what: str, depth: int) -> Any:
    """The form before: magic, protocol, system, content, keys, then the storages in turn."""
    view = memoryview(data)
    heads: list[Any] = []
    for _ in range(4):
        value, length = read_pickle(view[at:], what)
        heads.append(value)
        at += length
    protocol, system, item, keys = heads
    if protocol != LEGACY_PROTOCOL or not isinstance(system, dict) or not isinstance(keys, list):
        raise DataError(f"{what}: not a torch file of a known form", BETTER)
    if system.get("little_endian") is not True:
        raise DataError(f"{what}: was written on a big-endian machine", "save it again")
    wanted = {key: (dtype, numel) for dtype, key, numel in _all_storages(item, what)}
    storages: dict[str, Storage] = {}
    for key in keys:
        dtype, numel = wanted.get(str(key), (None, 0))
        if dtype is None or at + 8 > len(view):
            raise DataError(f"{what}: its list of storages does not fit", BETTER)
        (claimed,) = struct.unpack_from("<q", view, at)
        stop = at + 8 + numel * dtype.itemsize
        if claimed != numel or numel < 0 or stop > len(view):
            raise DataError(f"{what}: a storage is not of the size it claims", BETTER)
        storages[str(key)] = _as_storage(view[at + 8 : stop], dtype, numel, what)
        at = stop
    return Realiser(what, _Storages(what, known=storages), load_bytes, depth).value(item)


def _all_storages(item: Any, what: str) -> list[tuple[torch.dtype, str, int]]:
    """Every storage that a description mentions."""
    found, waiting, seen = [], [item], set[int]()
    while waiting:
        value = waiting.pop()
        if id(value) in seen:
            continue
        seen.add(id(value))
        if isinstance(value, Stored) and class_of(value) is value:
            found.append(_describe(value.pid, what))
        elif isinstance(value, dict):
            waiting += value.values()
        elif isinstance(value, list | tuple):
            waiting += value
        elif hasattr(value, "args"):
            waiting += [value.args, value.state, value.items]
    return found
