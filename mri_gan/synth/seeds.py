"""Seeds as a person writes them: `0-999,2000`."""

from __future__ import annotations

import re
from collections.abc import Sequence

from mri_gan.errors import UsageError

MOST = 10_000_000
LARGEST = 2**63 - 1
EXAMPLE = "write numbers and ranges: 0-999,2000"


def parse_seeds(text: str) -> list[int]:
    """The seeds in the order written, each once.

    Raises UsageError for anything but whole numbers and rising ranges, or more than ten million.
    """
    seeds: dict[int, None] = {}
    for part in text.split(","):
        first, last = _range(part.strip())
        if last - first + len(seeds) >= MOST:
            raise UsageError(f"--seeds {text}: more than {MOST:,} seeds", "give fewer at a time")
        seeds.update(dict.fromkeys(range(first, last + 1)))
    return list(seeds)


def _range(part: str) -> tuple[int, int]:
    match = re.fullmatch(r"([0-9]{1,19})(?:\s*-\s*([0-9]{1,19}))?", part)
    if match is None:
        raise UsageError(f"--seeds: {part or 'nothing'} is no seed or range", EXAMPLE)
    first = int(match[1])
    last = int(match[2] or match[1])
    if last < first:
        raise UsageError(f"--seeds: {part} runs backwards", EXAMPLE)
    if last > LARGEST:
        raise UsageError(f"--seeds: {last} is too large", f"the largest is {LARGEST}")
    return first, last


def describe_seeds(seeds: Sequence[int]) -> str:
    """The seeds in short: `0-999,2000`."""
    runs: list[list[int]] = []
    for seed in seeds:
        if runs and seed == runs[-1][1] + 1:
            runs[-1][1] = seed
        else:
            runs.append([seed, seed])
    return ",".join(str(a) if a == b else f"{a}-{b}" for a, b in runs)
