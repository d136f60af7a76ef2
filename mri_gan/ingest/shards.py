"""One plan cut into parts, so that the jobs of an array each write a store that `merge` joins."""

from __future__ import annotations

import hashlib
import itertools
from bisect import bisect_left
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from mri_gan.errors import UsageError
from mri_gan.store.schema import dump

if TYPE_CHECKING:
    from mri_gan.ingest.plan import Plan


@dataclass(frozen=True)
class Shard:
    """Part `number` (from 1) of `count`."""

    number: int
    count: int

    def __str__(self) -> str:
        return f"{self.number}/{self.count}"


def parse_shard(text: str) -> Shard:
    """`3/8` as a Shard; raises UsageError where it is none."""
    number, _, count = text.partition("/")
    if number.isdecimal() and count.isdecimal() and 1 <= int(number) <= int(count):
        return Shard(int(number), int(count))
    raise UsageError(f"--shard {text}: is no part", "give I/N with I from 1 to N, such as 3/8")


def take_shard(plan: Plan, shard: Shard) -> Plan:
    """The part of a plan that one job writes: a run of its sources of about equal size in bytes.

    Splits, pseudonyms and what is learned of all sources are those of the whole plan, so that the
    parts merged in order are the store that one `prepare` would have written. What belongs to no
    source (masks, files that could not be listed) is counted by the first part. Raises UsageError
    when there are fewer sources than parts.
    """
    from mri_gan.ingest.plan import layouts_of

    if len(plan.sources) < shard.count:
        raise UsageError(
            f"--shard {shard}: there are only {len(plan.sources)} sources", "use fewer parts"
        )
    start, stop = bounds_of(
        [sum(m.size for m in (source.member, *source.others)) for source in plan.sources], shard
    )
    part = replace(
        plan,
        sources=plan.sources[start:stop],
        layouts=layouts_of(plan.sources[start:stop]),
        digest=hashlib.blake2b(dump([plan.digest, str(shard)]), digest_size=16).hexdigest(),
        learn_from=plan.sources,
        part={"number": shard.number, "count": shard.count, "plan": plan.digest},
    )
    if shard.number > 1:
        part = replace(part, masks=0, derivatives=0, deselected=0, ignored=0, bad=())
    return part


def bounds_of(sizes: list[int], shard: Shard) -> tuple[int, int]:
    """First index and end of a part; every part holds at least one item."""
    totals = list(itertools.accumulate(sizes))
    ends = [0]
    for number in range(1, shard.count):
        fair = bisect_left(totals, totals[-1] * number / shard.count) + 1
        least, most = ends[-1] + 1, len(sizes) - (shard.count - number)
        ends.append(max(least, min(fair, most)))
    ends.append(len(sizes))
    return ends[shard.number - 1], ends[shard.number]
