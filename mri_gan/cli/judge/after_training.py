"""What a run of some minutes ends with: `mrigan evaluate` and `audit` at modest sizes."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from mri_gan.cli import options

COUNT, RESAMPLES = 500, 50
# Seconds of one core (AMD EPYC) at 64 px, for each image of either set.
EVALUATE_S, AUDIT_S = 0.05, 0.035
QUERIES = 1500  # training slices and planted copies that an audit compares besides the samples


def announce_judging(store: Path) -> str:
    """What follows the minutes and how long it takes, or why it does not follow."""
    counts = count_slices(store)
    if not counts["held out"]:
        return (
            "the store has no people held out, so the run ends without evaluate and audit: "
            "those compare with people of the splits validate and test"
        )
    evaluated = 2 * min(COUNT, counts["train"])
    audited = COUNT + min(QUERIES, counts["train"] + 512) + counts["held out"]
    seconds = EVALUATE_S * evaluated + AUDIT_S * audited
    return (
        f"after the minutes, evaluate and audit take very roughly {options.human_seconds(seconds)} "
        "more; --no-judge leaves them out"
    )


def count_slices(store: Path) -> dict[str, int]:
    """How many slices are trained on, and how many are of other people."""
    from mri_gan.store.reader import StoreReader

    with StoreReader(store) as opened:
        train, *others = (len(opened.indices(s)) for s in ("train", "validate", "test"))
    return {"train": train, "held out": sum(others)}


def judge_run(run: Path, store: Path, device: str, warn: Callable[[str], None]) -> list[str]:
    """Evaluate and audit a run's newest checkpoint into its folder; what they say, a line each.

    What goes wrong is a warning: the training itself has ended well. Empty where nobody is held
    out.
    """
    from mri_gan.cli.judge import audit, evaluate
    from mri_gan.errors import MriganError
    from mri_gan.report.facts import read_run
    from mri_gan.report.judging import copies_answer, quality_answer

    if not count_slices(store)["held out"]:
        return []
    words = (str(run), "--data", str(store), "--device", device, "--count", str(COUNT), "--quiet")
    judges = (
        (evaluate.command, (*words, "--resamples", str(RESAMPLES)), quality_answer),
        (audit.command, words, copies_answer),
    )
    said = []
    for command, given, answer in judges:
        try:
            command.main(list(given), standalone_mode=False)
        except MriganError as error:
            warn(f"{command.name} left out: {error.message}")
            continue
        found = answer(read_run(run))
        said.append(f"{found.question} {found.text}")
    return said
