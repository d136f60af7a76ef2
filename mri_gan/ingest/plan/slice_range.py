"""Which slices: a part of the foreground's extent, a stretch in millimetres, every n-th."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from mri_gan.errors import UsageError
from mri_gan.ingest.read.archives import read_member
from mri_gan.ingest.source import Source
from mri_gan.preparation import ALL_SLICES, SLICE_RANGE, PrepareConfig


@dataclass(frozen=True)
class SliceRange:
    """From `low` to `high`, both included: shares of an extent, or mm along the slices' axis."""

    low: float
    high: float
    in_mm: bool

    def holds(self, value: float) -> bool:
        """Whether a place is within."""
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
    """The indices of a volume's slices that are selected, filled or not.

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
    """Those positions that are a multiple of `step` after the first one."""
    return [p for p in positions if (p - positions[0]) % step == 0]


def _between(positions: Iterable[int], extent: Sequence[int], wanted: SliceRange) -> list[int]:
    first, length = min(extent), max(max(extent) - min(extent), 1)
    return [p for p in positions if wanted.holds((p - first) / length)]


def choose_pages(count: int, config: PrepareConfig) -> list[int]:
    """The pages of a stack that are selected; shares are those of the whole stack."""
    pages, wanted = range(count), parse_range(config.slices)
    return every_nth(
        list(pages) if wanted is None else _between(pages, pages, wanted), config.every
    )


def choose_images(sources: Sequence[Source], config: PrepareConfig) -> tuple[list[Source], int]:
    """The sources without the image files that are not selected, and how many those were.

    Pages and slices of volumes are chosen later, when they are read.

    Image files of one person, visit, side and folder form a stack, from their lowest number to
    their highest. Raises UsageError where they have no numbers, or none in mm.
    """
    wanted = parse_range(config.slices)
    if wanted is None and config.every == 1:
        return list(sources), 0
    if wanted is not None and wanted.in_mm:
        _require_volumes(sources)
    flat = [s for s in sources if not (s.is_volume or (s.holds_stack and _is_stack(s)))]
    stacks: dict[tuple[str, ...], list[int]] = {}
    for source in flat:
        _require_number(source)
        stacks.setdefault(_stack_of(source), []).append(source.naming.position)
    chosen = {key: _choose(numbers, wanted, config.every) for key, numbers in stacks.items()}
    dropped = {id(s) for s in flat if s.naming.position not in chosen[_stack_of(s)]}
    return [source for source in sources if id(source) not in dropped], len(dropped)


def _is_stack(source: Source) -> bool:
    """Whether a TIFF holds several slices; one that cannot be read is kept and reported later."""
    from mri_gan.ingest.read.image_files import count_pages

    return count_pages(read_member(source.member)) != 1


def _choose(numbers: Sequence[int], wanted: SliceRange | None, step: int) -> set[int]:
    unique = sorted(set(numbers))
    return set(every_nth(unique if wanted is None else _between(unique, unique, wanted), step))


def _stack_of(source: Source) -> tuple[str, ...]:
    said = source.naming
    return said.subject, said.session, said.side, source.member.name.rpartition("/")[0]


def _require_volumes(sources: Sequence[Source]) -> None:
    flat = next((source for source in sources if not source.is_volume), None)
    if flat is not None:
        raise UsageError(
            f"{flat.member.label}: an image file has no millimetres",
            "give --slices in shares, such as 0.2:0.8",
        )


def _require_number(source: Source) -> None:
    if source.naming.position < 0:
        raise UsageError(
            f"{source.member.label}: has no slice number for --slices and --every",
            "name it with --naming (group slice), or leave these options out",
        )
