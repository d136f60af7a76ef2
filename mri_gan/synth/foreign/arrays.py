"""numpy's numbers and arrays in a pickle, from their bytes.

The reductions are those that numpy's pickles are made of since version 1: a dtype by its code and
byte order, and bytes.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

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
