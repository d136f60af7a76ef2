"""What the networks are given besides an image: labels as a vector, by a specification.

A specification is made once from the labels of the training slices and kept in the run's
configuration, so that training, sampling and judging encode labels alike. Networks without
conditions have the empty specification, whose vectors have no entries.
"""

from __future__ import annotations

import dataclasses
import json
import math
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Self

from mri_gan.errors import UsageError

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

Labels = Mapping[str, str | float]

UNKNOWN = "unknown"  # the name of a label that was missing in training
SHOWN = 8  # values in a line
MOST_CLASSES = 1000
QUARTILES = (0.0, 0.25, 0.5, 0.75, 1.0)
FEW = 5  # people, of whom a range or a median could be read as that of one


@dataclass(frozen=True)
class Column:
    """One label: a class with `values`, or a number with `mean`, `scale` and range.

    A class is one entry per value, 1 for the one that holds; none is 1 where it is unknown. A
    number is one entry (x - mean) / scale, and where some were missing in training (`gaps`) a
    second one that is 1 for known values and 0 for unknown ones, whose first entry is 0 too.
    """

    name: str
    values: tuple[str, ...] = ()  # sorted; empty for a number
    mean: float = 0.0
    scale: float = 1.0  # standard deviation
    low: float = 0.0  # smallest value in training
    high: float = 0.0  # largest
    gaps: bool = False  # whether some training slices lack it

    @property
    def is_class(self) -> bool:
        """Whether it is one of several values rather than a number."""
        return bool(self.values)

    @property
    def width(self) -> int:
        """How many entries of the vector it takes."""
        return len(self.values) if self.is_class else 1 + self.gaps

    def encode(self, value: str | float | None) -> list[float]:
        """The entries for one value; None is unknown.

        Raises UsageError for a class that training had not, a number that is none, or an unknown
        value where training had none.
        """
        if value is None:
            if not self.gaps:
                raise UsageError(f"{self.name} is missing", f"give {self.choices()}")
            return [0.0] * self.width
        if self.is_class:
            text = as_class(value)
            if text not in self.values:
                raise UsageError(f"{self.name}={text} was not in training", f"{self.choices()}")
            return [float(text == known) for known in self.values]
        number = as_number(value)
        if number is None:
            raise UsageError(f"{self.name}={value} is not a number", f"give {self.choices()}")
        return [(number - self.mean) / self.scale] + [1.0] * self.gaps

    def describe(self) -> str:
        """What it was made from, for a line: `age: numbers 18 to 96; group: classes AD, CN`."""
        some = ", ".join(self.values[:SHOWN]) + ", ..." * (len(self.values) > SHOWN)
        kind = f"classes {some}" if self.is_class else f"numbers {self.low:g} to {self.high:g}"
        return f"{self.name}: {kind}" + ", some unknown" * self.gaps

    def doubts(self) -> Iterator[str]:
        """A line where a typing error made its numbers classes, or where it is one number only."""
        words = [value for value in self.values if as_number(value) is None]
        if 0 < 2 * len(words) < len(self.values):
            yield f"{self.name} counts as classes, since {words[0]!r} is no number"
        if not self.is_class and self.low == self.high:
            yield f"{self.name} is {self.low:g} wherever it is known, so it tells nothing else"

    def choices(self) -> str:
        """What may be given, for messages: `group=AD, CN or MCI`, or `age=18 to 96`."""
        known = list(self.values) if self.is_class else [f"{self.low:g} to {self.high:g}"]
        *others, last = [*known, *([UNKNOWN] if self.gaps else [])]
        return f"{self.name}={', '.join(others)}{' or ' if others else ''}{last}"


@dataclass(frozen=True)
class Stratum:
    """Training slices with the same classes: how many, and how their numbers are spread.

    As the first table of a paper has it: a number by its quartiles, least to greatest. Those of a
    stratum of fewer than FEW people are of all people, so that they tell of nobody.
    """

    classes: tuple[str | None, ...]  # of each column that is a class; None is unknown
    slices: int
    quartiles: tuple[tuple[float, ...], ...] = ()  # of each column that is a number
    known: tuple[float, ...] = ()  # the share of slices that have it

    def number(self, column: int, part: float) -> float:
        """The value of a number column that `part`, 0 to below 1, of its slices are below."""
        whole, rest = divmod(part * (len(QUARTILES) - 1), 1)
        low, high = (self.quartiles[column][int(whole) + step] for step in (0, 1))
        return low + (high - low) * rest


@dataclass(frozen=True)
class Conditions:
    """The columns in the order of the vector; none is an unconditional network.

    `strata` are how labels go together in training; networks of earlier versions have none.
    """

    columns: tuple[Column, ...] = ()
    strata: tuple[Stratum, ...] = dataclasses.field(default=(), compare=False)

    @property
    def dim(self) -> int:
        """Length K of the vector."""
        return sum(column.width for column in self.columns)

    @property
    def entries(self) -> list[str]:
        """What each entry of the vector stands for: `group CN`, `age`."""
        return [
            name
            for column in self.columns
            for name in [f"{column.name} {value}" for value in column.values]
            or [column.name] * column.width
        ]

    def __bool__(self) -> bool:
        return bool(self.columns)

    def to_dict(self) -> dict[str, Any]:
        """Plain JSON values."""
        plain: dict[str, Any] = json.loads(json.dumps(dataclasses.asdict(self)))
        return plain

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Self:
        """What `to_dict` wrote."""
        columns = (Column(**{**c, "values": tuple(c["values"])}) for c in values["columns"])
        return cls(tuple(columns), tuple(map(_read_stratum, values.get("strata", ()))))


def _read_stratum(values: Mapping[str, Any]) -> Stratum:
    quartiles = tuple(map(tuple, values["quartiles"]))
    classes, known = tuple(values["classes"]), tuple(values["known"])
    return Stratum(classes, values["slices"], quartiles, known)


def columns_of(recorded: Any) -> Any:
    """What of recorded conditions decides about a network: all but the strata."""
    return recorded.get("columns", recorded) if isinstance(recorded, dict) else recorded


NO_CONDITIONS = Conditions()


def as_class(value: str | float) -> str:
    """A label as the name of a class: 1.0 and "1" are the same."""
    return f"{value:g}" if isinstance(value, int | float) else value.strip()


def as_number(value: str | float) -> float | None:
    """A label as a finite number, or None where it is none."""
    try:
        number = float(value)
    except ValueError:
        return None
    return number if math.isfinite(number) else None


def build_conditions(
    names: Sequence[str], labels: Sequence[Labels], people: Sequence[str] = ()
) -> Conditions:
    """The specification of these columns for training slices with these labels.

    A column whose values are all numbers is a number, any other a class; `name:class` makes a
    class of numbers. `people` are whose each slice is; without, each is another's. Raises
    UsageError for a column that no slice has, or that is the same for all of them, and returns
    which columns there are.
    """
    if len(set(names)) < len(names):
        raise UsageError(f"--condition {', '.join(names)}: named twice", "name each one once")
    columns = tuple(_build_column(name, labels) for name in names)
    return Conditions(columns, tuple(_build_strata(columns, labels, people)))


def _build_strata(
    columns: Sequence[Column], labels: Sequence[Labels], people: Sequence[str]
) -> Iterator[Stratum]:
    """The most frequent strata first, at most MOST_CLASSES."""
    classes = [column.name for column in columns if column.is_class]
    numbers = [column.name for column in columns if not column.is_class]
    rows: defaultdict[tuple[str | None, ...], list[int]] = defaultdict(list)
    for i, row in enumerate(labels):
        rows[tuple(as_class(row[name]) if name in row else None for name in classes)].append(i)
    pooled = [_quartiles([row[name] for row in labels if name in row]) for name in numbers]
    for key, among in sorted(rows.items(), key=lambda item: -len(item[1]))[:MOST_CLASSES]:
        few = len({people[i] if people else i for i in among}) < FEW
        given = [[labels[i][name] for i in among if name in labels[i]] for name in numbers]
        spread = [
            of_all if few or not own else _quartiles(own)
            for own, of_all in zip(given, pooled, strict=True)
        ]
        known = tuple(len(own) / len(among) for own in given)
        yield Stratum(key, len(among), tuple(spread), known)


def _quartiles(values: Sequence[str | float]) -> tuple[float, ...]:
    import numpy as np

    return tuple(np.quantile([float(value) for value in values], QUARTILES).tolist())


def split_kind(wanted: str) -> tuple[str, str]:
    """The name of a label and how to take it, which "age:class" says; raises UsageError."""
    name, _, kind = wanted.partition(":")
    if kind not in ("", "class"):
        raise UsageError(f"label {wanted}: unknown {kind}", f"write {name} or {name}:class")
    return name, kind


def _build_column(wanted: str, labels: Sequence[Labels]) -> Column:
    name, kind = split_kind(wanted)
    given = [row[name] for row in labels if name in row]
    if not given:
        known = ", ".join(sorted({key for row in labels for key in row})) or "none"
        raise UsageError(
            f"no training slice has the label {name}",
            f"name each by a --condition of its own: {' and '.join(name.split(','))}"
            if "," in name
            else f"known labels: {known}; --labels TABLE adds others",
        )
    gaps = len(given) < len(labels)
    numbers = [as_number(value) for value in given]
    if kind == "class" or None in numbers:
        return _class_column(name, sorted({as_class(value) for value in given}), gaps)
    return _number_column(name, [n for n in numbers if n is not None], gaps)


def _class_column(name: str, values: list[str], gaps: bool) -> Column:
    if len(values) < 2 and not gaps:
        raise UsageError(f"every training slice has {name}={values[0]}", "leave --condition out")
    if len(values) > MOST_CLASSES:
        raise UsageError(f"{name} has {len(values)} values", f"the limit is {MOST_CLASSES}")
    return Column(name, tuple(values), gaps=gaps)


def _number_column(name: str, numbers: list[float], gaps: bool) -> Column:
    mean = math.fsum(numbers) / len(numbers)
    scale = math.sqrt(math.fsum((n - mean) ** 2 for n in numbers) / len(numbers))
    if scale == 0 and not gaps:
        raise UsageError(f"every training slice has {name}={mean:g}", "leave --condition out")
    return Column(name, (), mean, scale or 1.0, min(numbers), max(numbers), gaps)


def encode_labels(
    spec: Conditions, labels: Mapping[str, str | float | None]
) -> NDArray[np.float32]:
    """The vector [K] of one slice's labels; a label that is not there is unknown.

    Raises UsageError as `Column.encode` does.
    """
    import numpy as np

    entries = [entry for c in spec.columns for entry in c.encode(labels.get(c.name))]
    return np.array(entries, np.float32)


def parse_labels(spec: Conditions, text: str) -> dict[str, str | None]:
    """The labels that a person wrote, `group=CN,age=70`, None for one that is to be unknown.

    Raises UsageError for a label named twice, and for names and values that training had not.
    """
    given: dict[str, str] = {}
    for part in filter(None, (part.strip() for part in text.split(","))):
        name, equals, value = (word.strip() for word in part.partition("="))
        if not equals or not value:
            raise UsageError(
                f"condition {part}: has no value", "write NAME=VALUE, with commas between several"
            )
        if given.get(name, value) != value:
            raise UsageError(f"condition {name}={given[name]}, {part}: given twice", "give one")
        given[name] = value
    unknown = sorted(set(given) - {column.name for column in spec.columns})
    if unknown:
        known = "; ".join(column.choices() for column in spec.columns)
        raise UsageError(
            f"the networks were not trained with {', '.join(unknown)}",
            f"they take {known}" if known else "they take no conditions",
        )
    return {c.name: _value_for(c, given[c.name]) for c in spec.columns if c.name in given}


def _value_for(column: Column, value: str) -> str | None:
    """The value requested, within the range of training; None where it is to be unknown."""
    if value == UNKNOWN and column.gaps and UNKNOWN not in column.values:
        return None
    number = None if column.is_class else as_number(value)
    if number is not None and not column.low <= number <= column.high:
        raise UsageError(
            f"{column.name}={value} is outside the training data", f"give {column.choices()}"
        )
    column.encode(value)  # raises for a class that training had not
    return value


def describe_condition(spec: Conditions, vector: Sequence[float]) -> str:
    """A vector as a person would write it, for the captions of pictures: `group CN, age 70`."""
    words, start = [], 0
    for column in spec.columns:
        part = list(vector[start : start + column.width])
        start += column.width
        if not any(part) and column.gaps:
            value = UNKNOWN
        elif column.is_class:
            value = column.values[part.index(max(part))]
        else:
            number = part[0] * column.scale + column.mean
            nothing = abs(number) < 1e-6 * column.scale  # zero but for the rounding of float32
            value = "0" if nothing else f"{number:.3g}"
        words.append(f"{column.name} {value}")
    return ", ".join(words)
