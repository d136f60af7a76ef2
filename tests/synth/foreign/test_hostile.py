"""Files that would run code, or exhaust the machine: none does, each ends in one line."""

from __future__ import annotations

import io
import pickle
import struct
import tarfile
import warnings
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from phantoms import ada_pickles, foreign

from mri_gan.errors import DataError
from mri_gan.synth.foreign.bring import read_foreign
from mri_gan.synth.foreign.containers import load_bytes
from mri_gan.synth.foreign.pickles import read_pickle
from mri_gan.synth.foreign.tensors import BUILDERS, RENAMED

FUNCTIONS = {  # what a pickle may ask for, and with which arguments; {0} is the canary
    "os.system": ("posix", "system", ("touch {0}",)),
    "os.popen": ("os", "popen", ("touch {0}",)),
    "subprocess.call": ("subprocess", "call", (["touch", "{0}"],)),
    "subprocess.Popen": ("subprocess", "Popen", (["touch", "{0}"],)),
    "eval": ("builtins", "eval", ("open('{0}', 'w')",)),
    "exec": ("builtins", "exec", ("open('{0}', 'w')",)),
    "python 2 eval": ("__builtin__", "eval", ("open('{0}', 'w')",)),
    "open": ("builtins", "open", ("{0}", "w")),
    "io.open": ("_io", "open", ("{0}", "w")),
    "os.mkdir": ("posix", "mkdir", ("{0}",)),
    "import": ("builtins", "__import__", ("antigravity",)),
    "runpy": ("runpy", "run_path", ("{0}",)),
    "timeit": ("timeit", "timeit", ("open('{0}', 'w')",)),
    "pathlib": ("pathlib", "Path", ("{0}",)),
    "getattr": ("builtins", "getattr", ("x", "format")),
    "pickle.loads": ("_pickle", "loads", (b"cposix\nsystem\n(S'touch {0}'\ntR.",)),
    "torch.load": ("torch.serialization", "load", ("{0}",)),
    "torch.hub": ("torch.hub", "load", ("{0}", "x")),
    "functools.partial": ("functools", "partial", ("x",)),
    "a class of a library": ("torch.nn.modules.linear", "Linear", (1, 1)),
}


def text(value: Any, canary: str) -> Any:
    if isinstance(value, str):
        return value.format(canary)
    if isinstance(value, bytes):
        return value.replace(b"{0}", canary.encode())
    return type(value)(text(part, canary) for part in value) if isinstance(value, list) else value


def call(module: str, name: str, args: tuple[Any, ...]) -> bytes:
    """Opcodes that leave the result of a call on the stack, without the end."""
    body = pickle.dumps(args, protocol=3)[2:-1]
    return f"c{module}\n{name}\n".encode() + body + b"R"


def bomb(canary: str) -> bytes:
    return call("posix", "system", (f"touch {canary}",))


def zipped(data: bytes, extra: dict[str, bytes] | None = None, **options: Any) -> bytes:
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w", **options) as archive:
        for name, content in {
            "a/data.pkl": data,
            "a/byteorder": b"little",
            **(extra or {}),
        }.items():
            archive.writestr(name, content)
    return stream.getvalue()


def legacy(main: bytes, keys: list[str] | None = None, rest: bytes = b"") -> bytes:
    system = {"protocol_version": 1001, "little_endian": True, "type_sizes": {}}
    heads = [pickle.dumps(v, protocol=2) for v in (0x1950A86A20F9469CFC6C, 1001, system)]
    return b"".join([*heads, main, pickle.dumps(keys or [], protocol=2), rest])


def storage(numel: int, kind: str = "FloatStorage") -> bytes:
    """Opcodes of a persistent id."""
    count = pickle.dumps(numel, protocol=2)[2:-1]
    return (
        b"(X\x07\x00\x00\x00storagectorch\n"
        + kind.encode()
        + b"\nX\x01\x00\x00\x000X\x03\x00\x00\x00cpu"
        + count
        + b"tQ"
    )


def tensor(numel: int, offset: int, size: tuple[int, ...], stride: tuple[int, ...]) -> bytes:
    rest = pickle.dumps((offset, size, stride), protocol=2)[2:-2]
    return (
        b"\x80\x02ctorch._utils\n_rebuild_tensor_v2\n("
        + storage(numel)
        + rest[0:0]
        + b"".join(pickle.dumps(v, protocol=2)[2:-1] for v in (offset, size, stride))
        + b"\x89NtR."
    )


def many(data: bytes, count: int) -> bytes:
    """A list of what one pickle holds, so many times."""
    return b"\x80\x02](" + data[2:-1] * count + b"e."


def tarred(data: bytes) -> bytes:
    stream = io.BytesIO()
    with tarfile.open(fileobj=stream, mode="w") as archive:
        for name in ("pickle", "../../escape"):
            info = tarfile.TarInfo(name)
            info.size = len(data)
            archive.addfile(info, io.BytesIO(data))
    return stream.getvalue()


def nested(canary: str) -> bytes:
    return b"\x80\x02" + call(
        "torch.storage", "_load_from_bytes", (b"\x80\x02" + bomb(canary) + b".",)
    )


def doll(depth: int) -> bytes:
    data = b"\x80\x02N."
    for _ in range(depth):
        data = b"\x80\x02" + call("torch.storage", "_load_from_bytes", (data,)) + b"."
    return data


def persistent(canary: str) -> bytes:
    """NVIDIA's class, with code in its source and a call in its state."""
    meta = {"type": "class", "module_src": f"open('{canary}', 'w')", "class_name": "Generator"}
    opened = pickle.dumps(meta, protocol=2)[2:-1] + b"X\x05\x00\x00\x00state" + bomb(canary) + b"s"
    return (
        b"\x80\x02}X\x05\x00\x00\x00G_emactorch_utils.persistence\n_reconstruct_persistent_obj\n("
        + opened
        + b"tRs."
    )


SHAPES: dict[str, Callable[[str], bytes]] = {
    "a call in torch's zip": lambda c: zipped(b"\x80\x02" + bomb(c) + b"."),
    "a call in torch's old form": lambda c: legacy(b"\x80\x02" + bomb(c) + b"."),
    "a call in the magic number": lambda c: b"\x80\x02" + bomb(c) + b"." + legacy(b"\x80\x02N."),
    "a call in the list of storages": lambda c: (
        legacy(b"\x80\x02N.")[:-4] + b"\x80\x02" + bomb(c) + b"."
    ),
    "a pickle in a tensor's bytes": lambda c: nested(c) + b".",
    "files in files": lambda c: doll(9),
    "a persistent class": persistent,
    "a call as a dictionary's name": lambda c: b"\x80\x02}" + bomb(c) + b"Ns.",
    "a call in a persistent id": lambda c: zipped(b"\x80\x02" + bomb(c) + b"Q."),
    "a call below another value": lambda c: b"\x80\x02" + bomb(c) + b"0]" + bomb(c) + b"a.",
    "a global by its parts": lambda c: (
        b"\x80\x04\x8c\x05posix\x8c\x06system\x93"
        + pickle.dumps((f"touch {c}",), protocol=2)[2:-1]
        + b"R."
    ),
    "a new object": lambda c: b"\x80\x02" + bomb(c)[:-1] + b"\x81.",
    "a new object with names": lambda c: b"\x80\x04" + bomb(c)[:-1] + b"}\x92.",
    "an old instance": lambda c: f"(S'touch {c}'\niposix\nsystem\n.".encode(),
    "an old object": lambda c: f"(cposix\nsystem\nS'touch {c}'\no.".encode(),
    "a state that is a call": lambda c: b"\x80\x02ccollections\nOrderedDict\n)R" + bomb(c) + b"b.",
    "a state for a function": lambda c: (
        b"\x80\x02ctorch._utils\n_rebuild_tensor_v2\n}b" + bomb(c) + b"0."
    ),
    "an extension code": lambda c: b"\x80\x02\x82\x01.",
    "a buffer from outside": lambda c: b"\x80\x05\x97.",
    "a nested reduce": lambda c: (
        b"\x80\x02cbuiltins\ngetattr\n(cbuiltins\n__import__\n(X\x02\x00\x00\x00ostRX\x06\x00\x00\x00systemtR(X"
        + struct.pack("<I", len(f"touch {c}"))
        + f"touch {c}".encode()
        + b"tR."
    ),
    "a call behind the weights": lambda c: zipped(
        b"\x80\x02}X\x05\x00\x00\x00g_ema}sX\x01\x00\x00\x00z" + bomb(c) + b"s."
    ),
    "bad opcodes": lambda c: b"\x80\x02\xff\xfe\xfd.",
    "no end": lambda c: b"\x80\x02]",
    "an empty stack": lambda c: b"\x80\x020.",
    "no mark": lambda c: b"\x80\x02t.",
    "a long length": lambda c: b"\x80\x02B\xff\xff\xff\x7fabc.",
    "a number of 4 GB": lambda c: b"\x80\x02\x8b\xff\xff\xff\x7f1.",
    "lists in lists": lambda c: b"\x80\x02" + b"]" * 100_000 + b"a" * 99_999 + b".",
    "a list that holds itself": lambda c: b"\x80\x02]q\x00h\x00a.",
    "doubled tuples as a name": lambda c: b"\x80\x02}N\x85" + b"2\x86" * 60 + b"Ns.",
    "a storage of a terabyte": lambda c: zipped(
        tensor(1 << 40, 0, (1,), (1,)), {"a/data/0": b"\0" * 16}
    ),
    "a storage of less than nothing": lambda c: zipped(
        tensor(-4, 0, (1,), (1,)), {"a/data/0": b"\0" * 16}
    ),
    "an old storage beyond the file": lambda c: legacy(
        tensor(1 << 40, 0, (1,), (1,)), ["0"], struct.pack("<q", 1 << 40)
    ),
    "a tensor beyond its storage": lambda c: zipped(
        tensor(4, 2, (4,), (1,)), {"a/data/0": b"\0" * 16}
    ),
    "a tensor of repeated numbers": lambda c: zipped(
        tensor(4, 0, (1 << 40,), (0,)), {"a/data/0": b"\0" * 16}
    ),
    "many tensors of repeated numbers": lambda c: zipped(
        many(tensor(4, 0, (1 << 20,), (0,)), 1000), {"a/data/0": b"\0" * 16}
    ),
    "a storage of an unknown kind": lambda c: zipped(
        b"\x80\x02" + storage(4, "EvilStorage") + b".", {"a/data/0": b"\0" * 16}
    ),
    "a storage that is not there": lambda c: zipped(tensor(4, 0, (4,), (1,))),
    "a compressed zip": lambda c: zipped(
        b"\x80\x02N.", {"a/data/0": bytes(10_000_000)}, compression=zipfile.ZIP_DEFLATED
    ),
    "two pickles in a zip": lambda c: zipped(
        b"\x80\x02N.", {"b/data.pkl": b"\x80\x02" + bomb(c) + b"."}
    ),
    "paths that lead out of a zip": lambda c: zipped(
        b"\x80\x02" + bomb(c) + b".", {"../../x": b"x"}
    ),
    "a program in a zip": lambda c: zipped(b"\x80\x02N.", {"a/constants.pkl": b"\x80\x02N."}),
    "a torn zip": lambda c: zipped(b"\x80\x02N.")[:-30],
    "a tar of pickles": lambda c: tarred(b"\x80\x02" + bomb(c) + b"."),
    "text": lambda c: f"import os; os.system('touch {c}')\n".encode(),
    "nothing": lambda c: b"",
}


def one_call(module: str, name: str, args: tuple[Any, ...]) -> Callable[[str], bytes]:
    """A pickle that is a single call."""
    return lambda c: b"\x80\x02" + call(module, name, tuple(text(a, c) for a in args)) + b"."


CALLS = {f"calls {name}": one_call(*found) for name, found in FUNCTIONS.items()}
VARIANTS: dict[str, Callable[[str], bytes]] = {**CALLS, **SHAPES}


def test_there_are_at_least_forty_variants() -> None:
    assert len(VARIANTS) >= 40
    assert len({make("/tmp/canary") for make in VARIANTS.values()}) == len(VARIANTS)


@pytest.mark.parametrize(
    "name", ["calls os.system", "calls eval", "a nested reduce", "an old object"]
)
def test_the_variants_are_live_in_pythons_own_reader(tmp_path: Path, name: str) -> None:
    canary = tmp_path / "canary"
    with pytest.warns(ResourceWarning) if name == "calls eval" else _nothing():
        pickle.loads(VARIANTS[name](str(canary)))
    assert canary.exists()


class _nothing:  # noqa: N801 - a context
    def __enter__(self) -> None: ...

    def __exit__(self, *_: object) -> None: ...


@pytest.mark.parametrize("name", VARIANTS)
def test_nothing_is_run_and_one_line_tells(tmp_path: Path, name: str) -> None:
    canary, path = tmp_path / "canary", tmp_path / "file.pkl"
    path.write_bytes(VARIANTS[name](str(canary)))
    with pytest.raises(DataError) as caught:
        read_foreign(path)
    assert str(path) in str(caught.value)
    assert "\n" not in str(caught.value)
    assert sorted(p.name for p in tmp_path.iterdir()) == ["file.pkl"]
    assert not canary.exists()


def test_source_code_inside_a_good_file_is_not_run(tmp_path: Path) -> None:
    canary = tmp_path / "canary"
    ada_pickles.save_ada_pickle(tmp_path / "net.pkl", source=f"open({str(canary)!r}, 'w')")
    assert str(canary).encode() in (tmp_path / "net.pkl").read_bytes()
    assert read_foreign(tmp_path / "net.pkl").model.max_size == 16
    assert not canary.exists()


def test_weights_that_are_not_finite_are_told(tmp_path: Path) -> None:
    state = foreign.port2_generator(1)
    state["conv1.conv.weight"][0, 0, 0, 0, 0] = torch.nan
    torch.save({"g_ema": state}, tmp_path / "a.pt")
    with pytest.raises(DataError, match=r"conv1.conv.weight is not finite"):
        read_foreign(tmp_path / "a.pt")


ODD: tuple[Any, ...] = (
    None,
    1,
    -1,
    1.5,
    "a",
    b"a",
    (),
    [],
    {},
    (1, 2),
    [[]],
    {"type": "class"},
    1e999,
)


@pytest.mark.filterwarnings("error")
def test_odd_escapes_in_a_text_are_no_warning_of_ours() -> None:
    data = rb"S'a\z'" + b"\n."
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        expected = pickle.loads(data)
    assert read_pickle(data, "it")[0] == expected == r"a\z"


def test_calls_with_other_arguments_than_they_take_are_read_or_one_line() -> None:
    """Every function that is known, with up to five arguments of every odd kind."""
    refused = 0
    older = {
        (old, name) for old, new in RENAMED.items() for module, name in BUILDERS if new == module
    }
    for module, name in {*BUILDERS, *older}:
        for count in (0, 1, 2, 3, 5):
            for odd in ODD:
                data = b"\x80\x03" + call(module, name, (odd,) * count) + b"."
                try:
                    load_bytes(data, "a.pkl", 0)
                except DataError as error:
                    refused += "a.pkl" in str(error)
    assert refused > 1500
