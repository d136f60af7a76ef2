"""What goes wrong in training, told while there is time to act."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor

COLLAPSED_BELOW = 0.4  # diversity of fakes as a share of that of reals
STARVED_ABOVE = 0.05  # share of the time spent waiting for data
NOTICEABLE_S = 1.0  # a shorter tick is mostly noise
YOUNG = 0.2  # share of a run in which samples may still be all alike
SATURATED_ABOVE = 50.0  # gap between the mean scores of reals and fakes


def diversity(images: Tensor) -> float:
    """Mean absolute difference of pictures [N, C, H, W] that follow each other, N at least 2."""
    return float((images[1:] - images[:-1]).abs().mean())


@dataclass
class Health:
    """What has been seen of a run so far: each problem is told when it begins."""

    told: set[str] = field(default_factory=set)
    best: float = 0.0  # highest diversity of fakes as a share of that of reals

    def look(self, metrics: dict[str, Any], fakes: float, reals: float, done: float) -> list[str]:
        """The problems that were not there at the last look; `done` is the share of the run."""
        share = fakes / reals if reals > 0 else 1.0
        fell = share < self.best / 2
        self.best = max(self.best, share)
        problems = find_problems(metrics, share if fell or done > YOUNG else 1.0)
        new = [text for name, text in problems.items() if name not in self.told]
        self.told = set(problems)
        return new


def find_problems(metrics: dict[str, Any], share: float) -> dict[str, str]:
    """Problems by name, each as one line with a remedy; empty when all is well.

    `metrics` is a line of metrics.jsonl; `share` the diversity of fakes by that of reals.
    """
    problems = {}
    if share < COLLAPSED_BELOW:
        problems["collapse"] = (
            f"samples differ from each other only {share:.0%} as much as real slices do: "
            "mode collapse? Try a lower --lr, a larger --batch or more data"
        )
    gap = (metrics.get("real_score") or 0.0) - (metrics.get("fake_score") or 0.0)
    if abs(gap) > SATURATED_ABOVE:
        problems["saturation"] = (
            f"the critic's scores of real and synthetic slices are {gap:.0f} apart: it has won, "
            "and the generator learns little. Try a lower --lr or a larger --gp-weight"
        )
    if metrics.get("data_wait", 0.0) > STARVED_ABOVE and metrics["seconds"] > NOTICEABLE_S:
        problems["starvation"] = (
            f"{metrics['data_wait']:.0%} of the time goes into waiting for data: put the store on "
            "a local disk or raise --ahead"
        )
    return problems


def real_diversity(images: Any) -> float:
    """The diversity of stored slices uint8 or uint16 [N, C, H, W], on the scale -1..1."""
    top = 255.0 if images.dtype.itemsize == 1 else 65535.0
    return diversity(torch.from_numpy(images).float() * (2 / top))
