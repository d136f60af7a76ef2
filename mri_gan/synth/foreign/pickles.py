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
CONSTANTS: dict[str, Callable[[], Any]] = {
    "NONE": lambda: None,
    "NEWTRUE": lambda: True,
    "NEWFALSE": lambda: False,
    "EMPTY_LIST": list,
    "EMPTY_DICT": dict,
    "EMPTY_TUPLE": tuple,
    "EMPTY_SET": list,
}
SKIPPED = {"PROTO", "FRAME"}
PLAIN_NAMES = str | int | float | bytes | None


def _take_steps(reader: _Reader, data: bytes | memoryview) -> int:
    """Have a reader follow a pickle to its end, and return where that is."""
    end = 0
    for count, (opcode, arg, at) in enumerate(pickletools.genops(bytes(data))):
        if count > MOST_OPCODES:
            raise ValueError("too many opcodes")
        end = (at or 0) + 1
        if opcode.name == "STOP":
            break
        reader.step(opcode.name, arg)
    return end


def read_pickle(data: bytes | memoryview, what: str) -> tuple[Any, int]:
    """The first pickle of some bytes as plain values, Names and Calls, and where it ends.

    Raises DataError, naming `what`, for bad or unknown opcodes.
    """
    reader = _Reader()
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # pickletools passes on warnings of odd escapes
            end = _take_steps(reader, data)
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

    def result(self) -> Any:
        """What is on the stack at the end."""
        if len(self.stack) != 1:
            raise ValueError("the stack does not hold one value at the end")
        return self.stack[0]

    def step(self, name: str, arg: Any) -> None:
        """One opcode."""
        if name in PUSHED:
            self.stack.append(arg)
        elif name in CONSTANTS:
            self.stack.append(CONSTANTS[name]())
        elif name not in SKIPPED:
            method: Callable[[Any], None] | None = getattr(self, f"op_{name.lower()}", None)
            if method is None:
                raise ValueError(f"opcode {name} is not accepted")
            method(arg)

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

    def op_mark(self, _: Any) -> None:
        self.stack.append(MARK)

    def op_pop(self, _: Any) -> None:
        self.stack.pop()

    def op_pop_mark(self, _: Any) -> None:
        self.pop_run()

    def op_dup(self, _: Any) -> None:
        self.stack.append(self.stack[-1])

    def op_put(self, arg: int) -> None:
        self.memo[int(arg)] = self.stack[-1]

    op_binput = op_long_binput = op_put

    def op_memoize(self, _: Any) -> None:
        self.memo[len(self.memo)] = self.stack[-1]

    def op_get(self, arg: int) -> None:
        self.stack.append(self.memo[int(arg)])

    op_binget = op_long_binget = op_get

    def op_tuple(self, _: Any) -> None:
        self.stack.append(tuple(self.pop_run()))

    def op_tuple1(self, _: Any) -> None:
        self._tuple(1)

    def op_tuple2(self, _: Any) -> None:
        self._tuple(2)

    def op_tuple3(self, _: Any) -> None:
        self._tuple(3)

    def _tuple(self, count: int) -> None:
        self.stack.append(tuple([self.pop() for _ in range(count)][::-1]))

    def op_list(self, _: Any) -> None:
        self.stack.append(self.pop_run())

    op_frozenset = op_list

    def op_dict(self, _: Any) -> None:
        run = self.pop_run()
        self.stack.append(_pairs(run))

    def op_append(self, _: Any) -> None:
        self._extend([self.pop()])

    def op_appends(self, _: Any) -> None:
        self._extend(self.pop_run())

    op_additems = op_appends

    def _extend(self, values: list[Any]) -> None:
        target = self.stack[-1]
        if isinstance(target, Call):
            target.items = [] if target.items is None else target.items
            target = target.items
        if not isinstance(target, list):
            raise ValueError("items added to something that is not a list")
        target += values

    def op_setitem(self, _: Any) -> None:
        value, key = self.pop(), self.pop()
        self._set([key, value])

    def op_setitems(self, _: Any) -> None:
        self._set(self.pop_run())

    def _set(self, run: list[Any]) -> None:
        target = self.stack[-1]
        if isinstance(target, Call):
            target.items = {} if target.items is None else target.items
            target = target.items
        if not isinstance(target, dict):
            raise ValueError("names set in something that is not a dictionary")
        target.update(_pairs(run))

    def op_global(self, arg: str) -> None:
        module, _, name = arg.partition(" ")
        self.stack.append(Name(module, name))

    def op_stack_global(self, _: Any) -> None:
        name, module = self.pop(), self.pop()
        if not isinstance(name, str) or not isinstance(module, str):
            raise ValueError("a global whose name is not text")
        self.stack.append(Name(module, name))

    def op_reduce(self, _: Any) -> None:
        args, function = self.pop(), self.pop()
        self.stack.append(Call(function, args))

    op_newobj = op_reduce

    def op_newobj_ex(self, _: Any) -> None:
        kwargs, args, function = self.pop(), self.pop(), self.pop()
        if kwargs:
            raise ValueError("an object made with named arguments is not accepted")
        self.stack.append(Call(function, args))

    def op_build(self, _: Any) -> None:
        state, target = self.pop(), self.stack[-1]
        if not isinstance(target, Call):
            # A plain value with attributes, such as the `_metadata` of an OrderedDict.
            return
        target.state = state

    def op_persid(self, arg: Any) -> None:
        self.stack.append(Stored(arg))

    def op_binpersid(self, _: Any) -> None:
        self.stack.append(Stored(self.pop()))


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
