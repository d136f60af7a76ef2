"""Figures of an evaluation beside their floors, as a picture."""

from __future__ import annotations

import io
from collections.abc import Sequence
from pathlib import Path

from mri_gan.evaluate.evaluation import Figure
from mri_gan.files import write_bytes

FAKES, REALS = "#b2432f", "#2f6db2"  # told apart by the colour-blind, too


def save_figures(path: Path, figures: Sequence[Figure]) -> None:
    """One row per figure: fakes against half of the people, and people against people.

    Each row has its own scale, from 0 to the larger of the two; the bar is the 95 % interval of
    the figure, scaled alike.
    """
    # The object interface, not pyplot: no display, no global state, safe in any thread.
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure as Canvas

    shown = [f for f in figures if f.floor == f.floor and f.at_floor == f.at_floor]  # no NaN
    canvas = Canvas(figsize=(8, 0.9 + 0.32 * len(shown)), layout="constrained")
    axes = canvas.subplots()
    for row, figure in enumerate(shown):
        scale = max(abs(figure.at_floor), abs(figure.floor)) or 1.0
        half = (figure.high - figure.low) / 2 / scale
        axes.errorbar(abs(figure.at_floor) / scale, row, xerr=half, fmt="o", color=FAKES, capsize=3)
        axes.plot(abs(figure.floor) / scale, row, "s", color=REALS)
        text = f"{figure.at_floor:.3g} / {figure.floor:.3g} {figure.unit}"
        axes.text(1.02, row, text, transform=axes.get_yaxis_transform(), va="center", fontsize=8)
    axes.set_yticks(range(len(shown)), [f"{f.name}  ({ARROWS[f.better]})" for f in shown])
    axes.invert_yaxis()
    axes.set_xlim(left=0)
    axes.set_xlabel("share of the larger of the two")
    axes.plot([], [], "o", color=FAKES, label="fakes against half of the people")
    axes.plot([], [], "s", color=REALS, label="people against people")
    axes.legend(loc="lower center", bbox_to_anchor=(0.5, 1.0), ncols=2, frameon=False)
    axes.grid(axis="x", alpha=0.3)
    stream = io.BytesIO()
    FigureCanvasAgg(canvas)
    canvas.savefig(stream, format="png", dpi=110)
    write_bytes(path, stream.getvalue())


ARROWS = {
    "lower": "lower is better",
    "higher": "higher is better",
    "zero": "0 is best",
    "told": "to compare",
}
