"""What a run of some minutes ends with: `mrigan evaluate` and `audit` at modest sizes."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from mri_gan.cli import options
from mri_gan.config import SPLITS

if TYPE_CHECKING:
    from mri_gan.store.reader import StoreReader

COUNT, RESAMPLES = 500, 50
# For each image of either set at 64 px, as many FLOP of a convolution as take that time.
EVALUATE_WORK, AUDIT_WORK = 1e10, 5e9
QUERIES = 1500  # training slices and planted copies that an audit compares besides the samples


def announce_judging(train: int, held_out: int) -> str:
    """What follows the minutes and how long it takes, or why it does not follow."""
    if not held_out:
        return (
            "the store has no people held out, so the run ends without evaluate and audit: "
            "those compare with people of the splits validate and test"
        )
    seconds = sum(estimate_judging(train, held_out))
    return (
        f"after the minutes, evaluate and audit take very roughly {options.human_seconds(seconds)} "
        "more; --no-judge leaves them out"
    )


def estimate_judging(train: int, held_out: int) -> tuple[float, float]:
    """Seconds of evaluate and of audit on this machine as it is now, from the slices of a store."""
    from mri_gan.train.cost import convolution_rate

    rate = convolution_rate("cpu", "fp32")
    audited = COUNT + min(QUERIES, train + 512) + held_out
    return EVALUATE_WORK * 2 * min(COUNT, train) / rate, AUDIT_WORK * audited / rate


def count_for_judging(store: StoreReader) -> tuple[int, int]:
    """How many slices are trained on, and how many are of other people."""
    train, *others = (len(store.indices(split)) for split in SPLITS)
    return train, sum(others)


def judge_run(
    run: Path,
    store: Path,
    device: str,
    counts: tuple[int, int],
    warn: Callable[[str], None],
    tell: Callable[[str], None],
) -> list[str]:
    """Evaluate and audit a run's newest checkpoint into its folder; what they say, a line each.

    `counts` are those of `count_for_judging`; `tell` gets what begins. What goes wrong is a
    warning: the training itself has ended well.
    """
    from mri_gan.cli.judge import audit, evaluate
    from mri_gan.errors import MriganError
    from mri_gan.report.facts import read_run
    from mri_gan.report.judging import copies_answer, quality_answer

    words = (str(run), "--data", str(store), "--device", device, "--count", str(COUNT), "--quiet")
    judges = (
        ("evaluating", evaluate.command, (*words, "--resamples", str(RESAMPLES)), quality_answer),
        ("auditing", audit.command, words, copies_answer),
    )
    said = []
    times = estimate_judging(*counts)
    for (doing, command, given, answer), seconds in zip(judges, times, strict=True):
        tell(f"mrigan: {doing} ... (very roughly {options.human_seconds(seconds)})")
        try:
            command.main(list(given), standalone_mode=False)
        except MriganError as error:
            warn(f"{command.name} left out: {error.message}")
            continue
        found = answer(read_run(run))
        said.append(f"{found.question} {found.text}")
    return said
