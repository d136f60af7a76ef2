"""Which slices: a part of the foreground's extent, a stretch in millimetres, every n-th."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from mri_gan.config import ALL_SLICES, SLICE_RANGE, PrepareConfig
from mri_gan.errors import UsageError
from mri_gan.ingest.sources import Source


@dataclass(frozen=True)
class SliceRange:
    """From `low` to `high`, both included: shares of an extent, or mm along the slices' axis."""

    low: float
    high: float
    in_mm: bool

    def holds(self, value: float) -> bool:
        """Whether a place lies within."""
        return self.low - 1e-6 <= value <= self.high + 1e-6


def parse_range(text: str) -> SliceRange | None:
    """The range that `--slices` asks for; None for all slices."""
    if text == ALL_SLICES:
        return None
    found = re.fullmatch(SLICE_RANGE, text)
    assert found is not None, "PrepareConfig has checked it"
    low, high = found["low"], found["high"]
    return SliceRange(
        float(low) if low else float("-inf"), float(high) if high else float("inf"), "mm" in text
    )


def choose_cuts(
    positions_mm: Sequence[float], filled: Sequence[bool], config: PrepareConfig
) -> list[int]:
    """The indices of a volume's slices that are asked for, filled or not.

    Shares are those of the way from the first filled slice to the last one.
    """
    wanted = parse_range(config.slices)
    chosen = list(range(len(positions_mm)))
    if wanted is not None and wanted.in_mm:
        chosen = [i for i in chosen if wanted.holds(positions_mm[i])]
    elif wanted is not None:
        inside = [i for i in chosen if filled[i]]
        chosen = _between(chosen, inside, wanted) if inside else []
    return every_nth(chosen, config.every)


def every_nth(positions: Sequence[int], step: int) -> list[int]:
    """Those positions that lie a multiple of `step` after the first one."""
    return [p for p in positions if (p - positions[0]) % step == 0]


def _between(positions: Iterable[int], extent: Sequence[int], wanted: SliceRange) -> list[int]:
    first, length = min(extent), max(max(extent) - min(extent), 1)
    return [p for p in positions if wanted.holds((p - first) / length)]


def choose_images(sources: Sequence[Source], config: PrepareConfig) -> list[Source]:
    """The sources without the image files that are not asked for; volumes are chosen from later.

    Image files of one person, visit, side and folder form a stack, from their lowest number to
    their highest. Raises UsageError where they have no numbers, or none in mm.
    """
    wanted = parse_range(config.slices)
    if wanted is None and config.every == 1:
        return list(sources)
    stacks: dict[tuple[str, ...], list[int]] = {}
    for source in sources:
        if not source.holds_stack:
            _require_number(source, wanted)
            stacks.setdefault(_stack_of(source), []).append(source.naming.position)
    chosen = {key: _choose(numbers, wanted, config.every) for key, numbers in stacks.items()}
    return [s for s in sources if s.holds_stack or s.naming.position in chosen[_stack_of(s)]]


def _choose(numbers: Sequence[int], wanted: SliceRange | None, step: int) -> set[int]:
    unique = sorted(set(numbers))
    return set(every_nth(unique if wanted is None else _between(unique, unique, wanted), step))


def _stack_of(source: Source) -> tuple[str, ...]:
    said = source.naming
    return said.subject, said.session, said.side, source.member.name.rpartition("/")[0]


def _require_number(source: Source, wanted: SliceRange | None) -> None:
    if wanted is not None and wanted.in_mm:
        raise UsageError(
            f"{source.member.label}: an image file has no millimetres",
            "give --slices in shares, such as 0.2:0.8",
        )
    if source.naming.position < 0:
        raise UsageError(
            f"{source.member.label}: has no slice number for --slices and --every",
            "say where it stands with --naming, or leave these options out",
        )
