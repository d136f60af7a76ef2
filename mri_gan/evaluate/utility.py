"""Is a network trained on synthetic slices as good on real people as one trained on real slices?

Train on synthetic, test on real: Esteban et al. 2017, section 4; as a measure of image models:
Ravuri and Vinyals 2019, "Classification accuracy score".
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch.nn.functional as F
from numpy.typing import NDArray

from mri_gan.errors import DataError
from mri_gan.evaluate.resample import bootstrap, interval
from mri_gan.evaluate.tasks import (
    STEPS,
    Examples,
    Task,
    apply,
    mask_task,
    position_task,
    train_network,
)

NETWORKS = 3  # of each kind, from different seeds
FEWEST = 64  # images to train on
FEWEST_PEOPLE = 2  # to test on


@dataclass(frozen=True)
class Score:
    """The mean score on real people held out, with a 95 % interval over them and by network."""

    value: float
    low: float
    high: float
    networks: list[float]


@dataclass(frozen=True)
class Utility:
    """Both scores, that of guessing, and where the labels of the synthetic slices came from."""

    task: str
    measure: str
    real: Score
    synthetic: Score
    guess: float
    labels: str  # "conditions", "drawn masks" or "network trained on reals"
    train_images: int
    test_images: int
    test_people: int

    @property
    def kept(self) -> float:
        """The share of what real slices teach beyond guessing that synthetic ones teach, too."""
        gained = self.real.value - self.guess
        return (self.synthetic.value - self.guess) / gained if gained > 0 else float("nan")


def compare_training(
    task_name: str,
    real: Examples,
    synthetic: Examples,
    labels: str,
    test: Examples,
    classes: int = 2,
    seed: int = 0,
    steps: int = STEPS,
    tell: Callable[[int], None] = lambda _: None,
) -> Utility:
    """Train the same small network on each, as long and on as many images, and test on people.

    Without labels of their own, synthetic slices get them from the first network trained on
    reals: then the figure tells whether the slices cover what people look like, not whether a
    label would be right. Raises DataError for too few images or people.
    """
    count = min(len(real), len(synthetic))
    people = len(np.unique(test.groups))
    if count < FEWEST or people < FEWEST_PEOPLE:
        raise DataError(
            f"{count} images to train on and {people} people to test on: utility needs {FEWEST} "
            f"and {FEWEST_PEOPLE}",
            "use a larger store, or raise --count",
        )
    task = mask_task(classes) if task_name == "mask" else position_task()
    real, synthetic = _first(real, count), _first(synthetic, count)
    networks = [train_network(task, real, seed + i, steps, tell) for i in range(NETWORKS)]
    if labels.startswith("network"):
        taught = apply(networks[0], synthetic.images).squeeze(1).clamp(0, 1)
        synthetic = Examples(synthetic.images, taught, synthetic.groups)
    others = [train_network(task, synthetic, seed + i, steps, tell) for i in range(NETWORKS)]
    scores = [[_score(task, n, test) for n in some] for some in (networks, others)]
    return Utility(
        task.name,
        task.measure,
        _summarise(scores[0], test.groups, seed),
        _summarise(scores[1], test.groups, seed),
        _guess(task, real, test, classes),
        labels,
        count,
        len(test),
        people,
    )


def _first(examples: Examples, count: int) -> Examples:
    return Examples(examples.images[:count], examples.targets[:count], examples.groups[:count])


def _score(task: Task, network: Any, test: Examples) -> NDArray[np.float64]:
    return np.asarray(task.score(apply(network, test.images), test.targets).double().numpy())


def _summarise(scores: list[NDArray[np.float64]], groups: NDArray[np.int64], seed: int) -> Score:
    each = np.mean(scores, 0)
    draws = np.array([each[rows].mean() for rows in bootstrap(groups, 200, seed)])
    low, high = interval(float(each.mean()), draws)
    return Score(float(each.mean()), low, high, [float(s.mean()) for s in scores])


def _guess(task: Task, real: Examples, test: Examples, classes: int) -> float:
    """The score of saying the same of every image: the mean place, or each pixel's usual class."""
    if task.name == "position":
        outputs = real.targets.mean().expand(len(test), 1)
    else:
        shares = F.one_hot(real.targets, classes).double().mean(0).permute(2, 0, 1)
        outputs = shares.expand(len(test), -1, -1, -1)
    return float(task.score(outputs, test.targets).double().mean())


def to_json(result: Utility) -> dict[str, Any]:
    """The part of the JSON file that this gives; see docs/evaluation.md."""
    return {
        "task": result.task,
        "measure": result.measure,
        "train_on_real": _plain(result.real),
        "train_on_synthetic": _plain(result.synthetic),
        "guess": round(result.guess, 5),
        "kept": round(result.kept, 4) if np.isfinite(result.kept) else None,
        "labels": result.labels,
        "counts": {
            "train_images": result.train_images,
            "test_images": result.test_images,
            "test_people": result.test_people,
        },
    }


def _plain(score: Score) -> dict[str, Any]:
    return {
        "value": round(score.value, 5),
        "low": round(score.low, 5),
        "high": round(score.high, 5),
        "networks": [round(v, 5) for v in score.networks],
    }
