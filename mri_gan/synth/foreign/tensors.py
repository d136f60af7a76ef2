"""From descriptions in a pickle to tensors, arrays and plain values, and nothing else."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from mri_gan.errors import DataError
from mri_gan.synth.foreign.pickles import BETTER, Call, Name, Stored

# numpy's numbers and arrays in a pickle, from their bytes
#
# The reductions are those that numpy's pickles are made of since version 1: a dtype by its code and
# byte order, and bytes.

KNOWN = re.compile(
    r"[?]|b1|[iu][1248]|f(2|4|8|16)|c(8|16)|[SU][0-9]{1,6}"
)  # no objects, no records
ORDERS: dict[str, Literal["<", ">", "="]] = {"<": "<", ">": ">", "=": "=", "|": "="}


def read_dtype(args: Sequence[Any], state: Any) -> np.dtype[Any]:
    """The dtype of a code such as `f8`, in the byte order that the state names.

    Raises ValueError or KeyError for objects, records and whatever else is not a plain number or
    text.
    """
    code = args[0]
    if not isinstance(code, str) or not KNOWN.fullmatch(code):
        raise ValueError("not a dtype of plain numbers")
    order = ORDERS[state[1] if state is not None else "="]
    return np.dtype(code).newbyteorder(order)


def read_array(
    data: Any, dtype: np.dtype[Any], shape: Sequence[Any], order: str = "C"
) -> NDArray[Any]:
    """An array from its bytes, copied; raises ValueError unless they fill the shape exactly."""
    if not isinstance(dtype, np.dtype) or not isinstance(data, bytes | bytearray):
        raise ValueError("not numbers")
    shape = tuple(map(int, shape))
    if min(shape, default=0) < 0 or order not in ("C", "F"):
        raise ValueError("not a shape")
    return np.frombuffer(data, dtype).reshape(shape, order=order).copy()  # type: ignore[call-overload,no-any-return]


# From descriptions in a pickle to tensors and plain values, and nothing else

DEEPEST = 200
MOST_REPEATED = 1 << 26  # elements of all tensors that use them more often
MOST_TIMES = 4  # that each number of a storage may well be in tensors
DTYPES = {
    "FloatStorage": torch.float32,
    "DoubleStorage": torch.float64,
    "HalfStorage": torch.float16,
    "BFloat16Storage": torch.bfloat16,
    "LongStorage": torch.int64,
    "IntStorage": torch.int32,
    "ShortStorage": torch.int16,
    "CharStorage": torch.int8,
    "ByteStorage": torch.uint8,
    "BoolStorage": torch.bool,
    "ComplexFloatStorage": torch.complex64,
    "ComplexDoubleStorage": torch.complex128,
    "UntypedStorage": torch.uint8,
}


@dataclass(eq=False)
class Storage:
    """The numbers that tensors are views of."""

    values: Tensor  # [numel]
    used: int = 0  # elements of the tensors so far

    def claim(self, numel: int) -> int:
        """How many elements of one more tensor may be there, each a few times."""
        new = min(numel, MOST_TIMES * self.values.numel() - self.used)
        self.used += new
        return new


@dataclass(eq=False)
class Shell:
    """An object of a class that is not known here: the class's name and the attributes."""

    name: str
    attributes: dict[str, Any]


@dataclass(eq=False)
class Unknown:
    """An object, or a class, that is not known here: nothing is kept but its name."""

    name: str


Find = Callable[[Any], Storage]  # from a persistent id
Load = Callable[[bytes, str, int], Any]  # a torch file inside a pickle: bytes, what, depth


@dataclass(eq=False)
class Realiser:
    """Turns descriptions into values; raises DataError at the first one that is not known."""

    what: str  # the file, for messages
    find: Find
    load: Load
    depth: int = 0  # of torch files inside pickles
    room: int = MOST_REPEATED  # elements that tensors may have beyond those of the file

    def __post_init__(self) -> None:
        self._done: dict[int, Any] = {}
        self._keep: list[Any] = []  # what `id` was taken of, so that it is not given twice
        self._busy: set[int] = set()

    def value(self, item: Any, level: int = 0) -> Any:
        """One value, its parts first."""
        if item is None or isinstance(item, str | bytes | bytearray | int | float):
            return item
        if level > DEEPEST:
            raise DataError(f"{self.what}: is nested too deeply", BETTER)
        key = id(item)
        if key in self._done:
            return self._done[key]
        if key in self._busy:
            raise DataError(f"{self.what}: contains itself", BETTER)
        self._busy.add(key)
        made = self._make(item, level + 1)
        self._busy.discard(key)
        self._keep.append(item)
        self._done[key] = made
        return made

    def _make(self, item: Any, level: int) -> Any:
        if isinstance(item, dict):
            return {name: self.value(part, level) for name, part in item.items()}
        if isinstance(item, list | tuple):
            parts = [self.value(part, level) for part in item]
            return tuple(parts) if isinstance(item, tuple) else parts
        item = class_of(item)
        if isinstance(item, Stored):
            return self.find(item.pid)
        if isinstance(item, Name):
            return self._name(item)
        if isinstance(item, Call):
            return self._call(item, level)
        raise DataError(f"{self.what}: holds a value of an unknown kind", BETTER)

    def _name(self, name: Name) -> str | Unknown:
        """A global that is not a call: a dtype, or a class that a call of numpy or torch names."""
        if name.module == "torch" and isinstance(getattr(torch, name.name, None), torch.dtype):
            return name.name
        return str(name) if str(name) in CLASSES else self._unknown(name)

    def _unknown(self, name: Name) -> Unknown:
        """What is left of an unknown object; raises DataError for what reaches out of a file."""
        module = RENAMED.get(name.module, name.module)
        plain = module == "builtins" and name.name in PLAIN
        if module.partition(".")[0] in REACHING and not plain:
            raise DataError(
                f"{self.what}: calls {str(name)[:80]}, which no file of weights needs",
                "nothing of it was run; do not use this file",
            )
        return Unknown(str(name))

    def _call(self, call: Call, level: int) -> Any:
        name = class_of(call.function)
        if not isinstance(name, Name) or not isinstance(call.args, tuple):
            raise DataError(f"{self.what}: calls something that has no name", BETTER)
        builder = find_builder(name)
        unknown = self._unknown(name) if builder is None else None
        args = self.value(call.args, level)
        state = self.value(call.state, level)
        items = self.value(call.items, level)
        if builder is None:
            return module_tensors(state) if is_module(state) else unknown
        try:
            return builder(self, args, state, items)
        except UNREADABLE as error:
            raise DataError(f"{self.what}: a part cannot be read ({name})", BETTER) from error


def find_builder(name: Name) -> Builder | None:
    """What builds a call of that name; copies of those programs live inside other packages."""
    module = RENAMED.get(name.module, name.module)
    copied = [known for known in MOVED.get(name.name, ()) if module.endswith(f".{known}")]
    return BUILDERS.get((copied[0] if copied else module, name.name))


def class_of(item: Any) -> Any:
    """The class that torch's older form refers to with its source code; all else as it is."""
    pid = item.pid if isinstance(item, Stored) else None
    return pid[1] if isinstance(pid, tuple) and pid[:1] == ("module",) and len(pid) > 1 else item


def is_module(state: Any) -> bool:
    """Whether these are the attributes of a network that was saved as a whole."""
    return isinstance(state, dict) and all(
        isinstance(state.get(kind), dict) for kind in ("_parameters", "_buffers", "_modules")
    )


def module_tensors(state: dict[str, Any]) -> dict[str, Any]:
    """The tensors of a network by their path, as `state_dict()` names them."""
    kept, left = state["_parameters"] | state["_buffers"], state.get("_non_persistent_buffers_set")
    found = {n: t for n, t in kept.items() if isinstance(t, Tensor) and n not in (left or ())}
    for name, part in state["_modules"].items():
        if isinstance(part, dict):
            found |= {f"{name}.{inner}": tensor for inner, tensor in part.items()}
    return found


def build_mapping(_: Realiser, args: Any, state: Any, items: Any) -> dict[str, Any]:
    """OrderedDict, EasyDict, Namespace: as a plain dictionary."""
    values = dict(args[0]) if args else {}
    return values | (items or {}) | (state if isinstance(state, dict) else {})


def build_ordered(_: Realiser, args: Any, state: Any, items: Any) -> dict[str, Any]:
    """An OrderedDict; its own attributes (`_metadata`) are not its items."""
    return (dict(args[0]) if args else {}) | (items or {})


def build_list(_: Realiser, args: Any, state: Any, items: Any) -> list[Any]:
    """A set, as a list."""
    return [*(args[0] if args else ()), *(items or ())]


def build_bytes(_: Realiser, args: Any, state: Any, items: Any) -> bytes:
    """Bytes as old protocols write them: nothing, bytes, or text of one character for each."""
    if not args or isinstance(args[0], bytes):
        return bytes(*args)
    if not isinstance(args[0], str):
        raise ValueError("not bytes")
    return args[0].encode("latin1")


def build_tensor(realiser: Realiser, args: Any, state: Any, items: Any) -> Tensor:
    """A view of a storage, copied; it must be within, and be no larger except for small ones."""
    storage, offset, size, stride = args[:4]
    if not isinstance(storage, Storage):
        raise ValueError("not a storage")
    size, stride = tuple(map(int, size)), tuple(map(int, stride))
    if len(size) != len(stride) or min((offset, *size, *stride), default=0) < 0:
        raise ValueError("bad shape")
    numel = math.prod(size)
    last = offset + sum((n - 1) * step for n, step in zip(size, stride, strict=True))
    available = storage.values.numel()
    if numel and last >= available:
        raise ValueError("a tensor beyond its storage")
    realiser.room -= max(0, numel - storage.claim(numel))
    if realiser.room < 0:
        raise ValueError("tensors repeat their storage too often")
    return torch.as_strided(storage.values, size, stride, offset).clone()


def build_first(_: Realiser, args: Any, state: Any, items: Any) -> Any:
    """A parameter: its tensor."""
    if not isinstance(args[0], Tensor):
        raise ValueError("not a tensor")
    return args[0]


def build_typed(realiser: Realiser, args: Any, state: Any, items: Any) -> Tensor:
    """A tensor with attributes of its own: function, class, arguments, attributes."""
    if args[0] not in ("torch._utils._rebuild_tensor_v2", "torch._utils._rebuild_tensor"):
        raise ValueError("not a plain tensor")
    return build_tensor(realiser, args[2], None, None)


def build_tensorflow(_: Realiser, args: Any, state: Any, items: Any) -> Shell:
    """A network of the TensorFlow programs, which is only recognised."""
    return Shell(TENSORFLOW, state if isinstance(state, dict) else {})


def build_nested(realiser: Realiser, args: Any, state: Any, items: Any) -> Any:
    """A torch file inside a pickle, as tensors pickled without torch's own writer have it."""
    return realiser.load(bytes(args[0]), realiser.what, realiser.depth + 1)


def build_persistent(realiser: Realiser, args: Any, state: Any, items: Any) -> Shell:
    """An object of NVIDIA's persistent classes; the source code it carries is dropped unread."""
    meta = args[0]
    if meta["type"] != "class" or not isinstance(meta["state"], dict):
        raise ValueError("not a persistent class")
    return Shell(str(meta["class_name"]), meta["state"])


def build_older(_: Realiser, args: Any, state: Any, items: Any) -> Any:
    """An object as protocols 0 and 1 have it: class, base, and what the base holds of it."""
    kind, _base, held = args
    if is_module(state):
        return module_tensors(state)
    return dict(held) if isinstance(held, dict) else kind


def build_scalar(_: Realiser, args: Any, state: Any, items: Any) -> Any:
    """A numpy number, as a plain one."""
    return read_array(args[1], args[0], ()).item()


def build_array(_: Realiser, args: Any, state: Any, items: Any) -> Any:
    """A numpy array whose content is its state: version, shape, dtype, order, bytes."""
    _version, shape, dtype, is_fortran, data = state
    return read_array(data, dtype, shape, "F" if is_fortran else "C")


PATHS = ("PosixPath", "WindowsPath", "PurePosixPath", "PureWindowsPath")
TENSORFLOW = "dnnlib.tflib.network.Network"
# Modules whose functions act on files, processes or code; only the wording of a refusal depends on
# this list, since nothing outside BUILDERS is ever built.
REACHING = {
    *("_io", "_pickle", "builtins", "code", "ctypes", "importlib", "io", "marshal", "nt", "os"),
    *("pickle", "posix", "pty", "runpy", "shutil", "socket", "subprocess", "sys", "timeit"),
    "webbrowser",
}
# Builtins that settings hold or are made by; none of them is called either.
PLAIN = {
    *("bool", "bytes", "complex", "dict", "float", "frozenset", "int", "list", "long"),
    *("object", "range", "set", "slice", "str", "tuple", "type", "unicode", "xrange"),
}
CLASSES = {
    "numpy.ndarray",
    "torch.Tensor",
    "torch.nn.parameter.Parameter",
    "torch._utils._rebuild_tensor",
    "torch._utils._rebuild_tensor_v2",
}
Builder = Callable[[Realiser, Any, Any, Any], Any]
# What builds a call by the name of its function, from: realiser, arguments, state, items.
BUILDERS: dict[tuple[str, str], Builder] = {
    ("collections", "OrderedDict"): build_ordered,
    ("argparse", "Namespace"): build_mapping,
    ("dnnlib.util", "EasyDict"): build_mapping,
    ("dnnlib", "EasyDict"): build_mapping,
    ("dnnlib.tflib.network", "Network"): build_tensorflow,
    ("builtins", "set"): build_list,
    ("builtins", "frozenset"): build_list,
    ("builtins", "bytes"): build_bytes,
    ("builtins", "bytearray"): build_bytes,
    ("_codecs", "encode"): build_bytes,
    ("copyreg", "_reconstructor"): build_older,
    **{("pathlib", name): lambda _, args, *__: "/".join(map(str, args)) for name in PATHS},
    ("numpy", "dtype"): lambda _, args, state, __: read_dtype(args, state),
    ("numpy.core.multiarray", "scalar"): build_scalar,
    ("numpy.core.multiarray", "_reconstruct"): build_array,
    ("numpy.core.numeric", "_frombuffer"): lambda _, args, *__: read_array(*args[:4]),
    ("torch", "Size"): lambda _, args, *__: tuple(map(int, args[0])),
    ("torch", "device"): lambda _, args, *__: ":".join(map(str, args)),
    ("torch._utils", "_rebuild_tensor"): build_tensor,
    ("torch._utils", "_rebuild_tensor_v2"): build_tensor,
    ("torch._tensor", "_rebuild_from_type_v2"): build_typed,
    ("torch._utils", "_rebuild_parameter"): build_first,
    ("torch._utils", "_rebuild_parameter_with_state"): build_first,
    ("torch.storage", "_load_from_bytes"): build_nested,
    ("torch_utils.persistence", "_reconstruct_persistent_obj"): build_persistent,
}
# Modules that Python 2 or a newer numpy call by another name.
RENAMED = {
    "__builtin__": "builtins",
    "copy_reg": "copyreg",
    "numpy._core.multiarray": "numpy.core.multiarray",
    "numpy._core.numeric": "numpy.core.numeric",
}
# Where a copy of those programs' modules inside another package ends, by the name that it has.
MOVED = {
    "EasyDict": ("dnnlib.util", "dnnlib"),
    "_reconstruct_persistent_obj": ("torch_utils.persistence",),
}
# Whatever a made-up call holds in place of what its builder takes.
UNREADABLE = (
    *(TypeError, ValueError, LookupError, AttributeError),
    *(RuntimeError, OverflowError, MemoryError),
)
