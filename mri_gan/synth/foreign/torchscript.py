"""TorchScript programs that a user gives: the one place where they are read and checked.

TorchScript cannot import Python, but two of its operators read and write files, and parts of a
program run when it is loaded. So the code in the archive is parsed before anything is loaded, the
operators of what was loaded are searched once more, and torch gets the very bytes that were
checked. What remains trusted is torch's own loader, and that the program ends: it may compute for
ever, or fill the memory.
"""

from __future__ import annotations

import ast
import io
import warnings
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch

from mri_gan.errors import DataError
from mri_gan.files import explain_os_error, one_line
from mri_gan.synth.foreign.containers import DAMAGED

REACHING = {"save", "from_file"}  # aten's operators that reach files
NAMESPACES = {"aten", "prim", "prims", "quantized", "torchvision"}  # that may be called
LARGEST_CODE = 64 << 20  # bytes of one source
LARGEST = 8 << 30
SAVED = "give a file that torch.jit.save wrote"


def load_torchscript_program(path: Path, device: torch.device | str = "cpu") -> Any:
    """A checked program, ready to run; raises DataError for one that reaches files, or for none."""
    data = read_archive(path)
    try:
        module = run_archive(data, device)
    except (RuntimeError, OSError, ValueError) as error:
        raise DataError(f"{path}: cannot be loaded ({one_line(error)})", SAVED) from error
    for kind in operators(module):
        namespace, _, name = kind.partition("::")
        if name in REACHING or namespace not in NAMESPACES:
            raise refuse(path, kind)
    return module


def run_archive(data: bytes, device: torch.device | str = "cpu") -> Any:
    """The program in an archive that was checked, or that we made."""
    with warnings.catch_warnings():  # a format that torch would like to see replaced
        for kind in (DeprecationWarning, FutureWarning):
            warnings.simplefilter("ignore", kind)
        return torch.jit.load(io.BytesIO(data), map_location=device).eval()  # type: ignore[no-untyped-call]


def read_archive(path: Path) -> bytes:
    """The archive, packed again from the members that were checked, each name once."""
    stream = io.BytesIO()
    try:
        if path.stat().st_size > LARGEST:
            raise DataError(f"{path}: is larger than any network", SAVED)
        with zipfile.ZipFile(path) as before, zipfile.ZipFile(stream, "w") as after:
            members = before.infolist()
            check_names(path, members)
            for info in members:
                content = before.read(info)
                if info.filename.lower().endswith(".py"):
                    check_source(path, content)
                after.writestr(zipfile.ZipInfo(info.filename), content)
    except FileNotFoundError as error:
        raise DataError(f"{path}: no such file", "check --features-file") from error
    except OSError as error:
        raise explain_os_error(error, path) from error
    except DAMAGED as error:
        raise DataError(f"{path}: not a TorchScript file ({one_line(error)})", SAVED) from error
    return stream.getvalue()


def check_names(path: Path, members: list[zipfile.ZipInfo]) -> None:
    """Raise DataError unless it looks like a program and no two members share a name."""
    names = [info.filename.lower() for info in members]
    if not any("/code/" in name and name.endswith(".py") for name in names):
        raise DataError(f"{path}: not a TorchScript file", SAVED)
    if len(set(names)) < len(names):
        raise DataError(f"{path}: has two members of one name", SAVED)
    if any(i.file_size > LARGEST_CODE for i in members if i.filename.lower().endswith(".py")):
        raise DataError(f"{path}: has too much code", SAVED)
    if sum(info.file_size for info in members) > LARGEST:
        raise DataError(f"{path}: unpacks to more than any network needs", SAVED)


def check_source(path: Path, source: bytes) -> None:
    """Raise DataError for code that names an operator which reaches files, however it is spaced.

    TorchScript's language is part of Python's, so Python's own parser reads it; nothing is run.
    """
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            tree = ast.parse(source.decode())
    except (SyntaxError, ValueError, RecursionError, MemoryError) as error:
        raise DataError(f"{path}: its code cannot be read", SAVED) from error
    for node in ast.walk(tree):
        if isinstance(node, ast.Attribute) and node.attr in REACHING:
            raise refuse(path, node.attr)
        if isinstance(node, ast.Attribute) and is_ops(node.value) and node.attr not in NAMESPACES:
            raise refuse(path, f"ops.{node.attr}")
        if isinstance(node, ast.Call) and getattr(node.func, "id", "") == "getattr":
            check_getattr(path, node)


def is_ops(node: ast.expr) -> bool:
    """Whether this is the name under which operators of other libraries are called."""
    if isinstance(node, ast.Attribute):
        return node.attr == "ops" and getattr(node.value, "id", "") == "torch"
    return getattr(node, "id", "") == "ops"


def check_getattr(path: Path, call: ast.Call) -> None:
    """Raise DataError unless it names a part whose name the language has no other way to write."""
    name = call.args[1] if len(call.args) > 1 else None
    text = name.value if isinstance(name, ast.Constant) else None
    if not isinstance(text, str) or text in REACHING or is_ops(call.args[0]):
        raise refuse(path, "getattr")


def refuse(path: Path, what: str) -> DataError:
    """The error for a program that may reach files."""
    return DataError(f"{path}: its code calls {what[:80]}, which can reach files", "do not use it")


def operators(module: Any) -> Iterator[str]:
    """The kinds of all nodes of a program's methods, as `aten::conv2d`."""
    for part in module.modules():
        for name in part._c._method_names():
            yield from kinds(part._c._get_method(name).inlined_graph)


def kinds(graph: Any) -> Iterator[str]:
    """The kinds of all nodes of a graph and of the blocks inside them."""
    for node in graph.nodes():
        yield node.kind()
        for block in node.blocks():
            yield from kinds(block)
