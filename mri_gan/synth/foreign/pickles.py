"""Pickles as data: a reader that has no way to call, import or set anything.

A pickle is a small program. Python's own reader runs it and can at best be given the functions
it may call. This one interprets the same opcodes (Python's `pickletools` cuts the bytes into
them), but builds descriptions: a name stays a `Name`, a call stays a `Call`, and only the caller
decides which of them it understands. What it does not understand is an error.
"""

from __future__ import annotations

import pickletools
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from mri_gan.errors import DataError
from mri_gan.files import one_line

MOST_OPCODES = 5_000_000


@dataclass(frozen=True)
class Name:
    """A global that the pickle mentions; never looked up."""

    module: str
    name: str

    def __str__(self) -> str:
        return f"{self.module}.{self.name}"


@dataclass(eq=False)
class Call:
    """What the pickle would have built by calling `function`; `state` is what it would have set."""

    function: Any
    args: Any
    state: Any = None
    items: Any = None  # what would have been added to it, as a list or a dict


@dataclass(eq=False)
class Stored:
    """A reference to bytes that are outside of the pickle."""

    pid: Any


class _Mark:
    """Where a run of items begins on the stack."""


MARK = _Mark()
PUSHED = {  # opcodes that push their own argument
    *("INT", "BININT", "BININT1", "BININT2", "LONG", "LONG1", "LONG4", "FLOAT", "BINFLOAT"),
    *("STRING", "BINSTRING", "SHORT_BINSTRING", "UNICODE", "SHORT_BINUNICODE", "BINUNICODE"),
    *("BINUNICODE8", "BINBYTES", "SHORT_BINBYTES", "BINBYTES8", "BYTEARRAY8"),
}
SKIPPED = {"PROTO", "FRAME"}
PLAIN_NAMES = str | int | float | bytes | None


def read_pickle(data: bytes | memoryview, what: str) -> tuple[Any, int]:
    """The first pickle of some bytes as plain values, Names and Calls, and where it ends.

    Raises DataError, naming `what`, for bad or unknown opcodes.
    """
    reader = _Reader()
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # pickletools passes on warnings of odd escapes
            end = reader.run(bytes(data))
        return reader.result(), end
    except DataError:
        raise
    # Whatever a made-up stream does to the stack, it is the file's fault and not a crash.
    except (ValueError, IndexError, TypeError, KeyError, AttributeError, OverflowError) as error:
        raise DataError(f"{what}: not a readable pickle ({one_line(error)})", BETTER) from error
    except (RecursionError, MemoryError) as error:
        raise DataError(f"{what}: is too large or nested too deeply", BETTER) from error


BETTER = "give a file as its program wrote it"


class _Reader:
    """Stack and memo of the pickle machine, for values only."""

    def __init__(self) -> None:
        self.stack: list[Any] = []
        self.memo: dict[int, Any] = {}

    def run(self, data: bytes) -> int:
        """Follow a pickle to its end, and return where that is."""
        end = 0
        for count, (opcode, arg, at) in enumerate(pickletools.genops(data)):
            if count > MOST_OPCODES:
                raise ValueError("too many opcodes")
            end = (at or 0) + 1
            if opcode.name == "STOP":
                break
            self.step(opcode.name, arg)
        return end

    def result(self) -> Any:
        """What is on the stack at the end."""
        if len(self.stack) != 1:
            raise ValueError("the stack does not hold one value at the end")
        return self.stack[0]

    def step(self, name: str, arg: Any) -> None:
        """One opcode."""
        if name in PUSHED:
            self.stack.append(arg)
        elif name not in SKIPPED:
            do = STEPS.get(name)
            if do is None:
                raise ValueError(f"opcode {name} is not accepted")
            do(self, arg)

    def pop(self) -> Any:
        """The top of the stack; a mark is not a value."""
        value = self.stack.pop()
        if value is MARK:
            raise ValueError("a mark where a value should be")
        return value

    def pop_run(self) -> list[Any]:
        """Everything above the last mark."""
        at = len(self.stack) - 1
        while self.stack[at] is not MARK:
            at -= 1
            if at < 0:
                raise ValueError("no mark")
        run = self.stack[at + 1 :]
        del self.stack[at:]
        return run

    def keep(self, place: Any) -> None:
        """Remember the top of the stack."""
        self.memo[int(place)] = self.stack[-1]

    def recall(self, place: Any) -> None:
        """What was remembered, once more."""
        self.stack.append(self.memo[int(place)])

    def added_to(self, kind: type[Any]) -> Any:
        """The list or dictionary to add to, which is the top of the stack or belongs to a call."""
        target = self.stack[-1]
        if isinstance(target, Call):
            target.items = kind() if target.items is None else target.items
            target = target.items
        if not isinstance(target, kind):
            raise ValueError(f"items added to something that is not a {kind.__name__}")
        return target

    def extend(self, values: list[Any]) -> None:
        """Add values to a list."""
        self.added_to(list).extend(values)

    def set_items(self, run: list[Any]) -> None:
        """Set names and values in turn."""
        self.added_to(dict).update(_pairs(run))

    def name(self, module: Any, name: Any) -> None:
        """A global, never looked up."""
        if not isinstance(name, str) or not isinstance(module, str):
            raise ValueError("a global whose name is not text")
        self.stack.append(Name(module, name))

    def call(self, function: Any, args: Any, kwargs: Any = None) -> None:
        """A call, never made."""
        if kwargs:
            raise ValueError("an object made with named arguments is not accepted")
        self.stack.append(Call(function, args))

    def build(self, state: Any) -> None:
        """The state of a call; plain values may have one, too: `_metadata` of an OrderedDict."""
        if isinstance(self.stack[-1], Call):
            self.stack[-1].state = state

    def pop_several(self, count: int) -> list[Any]:
        """The last values, in their order."""
        return [self.pop() for _ in range(count)][::-1]


# What each opcode does with the stack and its own argument
STEPS: dict[str, Callable[[_Reader, Any], Any]] = {
    "NONE": lambda reader, _: reader.stack.append(None),
    "NEWTRUE": lambda reader, _: reader.stack.append(True),
    "NEWFALSE": lambda reader, _: reader.stack.append(False),
    "EMPTY_LIST": lambda reader, _: reader.stack.append([]),
    "EMPTY_SET": lambda reader, _: reader.stack.append([]),
    "EMPTY_DICT": lambda reader, _: reader.stack.append({}),
    "EMPTY_TUPLE": lambda reader, _: reader.stack.append(()),
    "MARK": lambda reader, _: reader.stack.append(MARK),
    "POP": lambda reader, _: reader.stack.pop(),
    "POP_MARK": lambda reader, _: reader.pop_run(),
    "DUP": lambda reader, _: reader.stack.append(reader.stack[-1]),
    **dict.fromkeys(("PUT", "BINPUT", "LONG_BINPUT"), _Reader.keep),
    "MEMOIZE": lambda reader, _: reader.keep(len(reader.memo)),
    **dict.fromkeys(("GET", "BINGET", "LONG_BINGET"), _Reader.recall),
    "TUPLE": lambda reader, _: reader.stack.append(tuple(reader.pop_run())),
    "TUPLE1": lambda reader, _: reader.stack.append(tuple(reader.pop_several(1))),
    "TUPLE2": lambda reader, _: reader.stack.append(tuple(reader.pop_several(2))),
    "TUPLE3": lambda reader, _: reader.stack.append(tuple(reader.pop_several(3))),
    "LIST": lambda reader, _: reader.stack.append(reader.pop_run()),
    "FROZENSET": lambda reader, _: reader.stack.append(reader.pop_run()),
    "DICT": lambda reader, _: reader.stack.append(_pairs(reader.pop_run())),
    "APPEND": lambda reader, _: reader.extend(reader.pop_several(1)),
    "APPENDS": lambda reader, _: reader.extend(reader.pop_run()),
    "ADDITEMS": lambda reader, _: reader.extend(reader.pop_run()),
    "SETITEM": lambda reader, _: reader.set_items(reader.pop_several(2)),
    "SETITEMS": lambda reader, _: reader.set_items(reader.pop_run()),
    "GLOBAL": lambda reader, arg: reader.name(*arg.partition(" ")[::2]),
    "STACK_GLOBAL": lambda reader, _: reader.name(*reader.pop_several(2)),
    "REDUCE": lambda reader, _: reader.call(*reader.pop_several(2)),
    "NEWOBJ": lambda reader, _: reader.call(*reader.pop_several(2)),
    "NEWOBJ_EX": lambda reader, _: reader.call(*reader.pop_several(3)),
    "BUILD": lambda reader, _: reader.build(reader.pop()),
    "PERSID": lambda reader, arg: reader.stack.append(Stored(arg)),
    "BINPERSID": lambda reader, _: reader.stack.append(Stored(reader.pop())),
}


def _pairs(run: list[Any]) -> dict[Any, Any]:
    """Names and values in turn; classes and tuples as names become numbers in words.

    To hash a made-up name could take for ever.
    """
    if not all(isinstance(name, PLAIN_NAMES | tuple | Name | Stored) for name in run[::2]):
        raise ValueError("a dictionary whose names are not plain values")
    return {
        name if isinstance(name, PLAIN_NAMES) else f"entry {number}": value
        for number, (name, value) in enumerate(zip(run[::2], run[1::2], strict=True))
    }
