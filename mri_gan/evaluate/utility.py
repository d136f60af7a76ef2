"""Is a network trained on synthetic slices as good on real people as one trained on real slices?

A small network learns one of two tasks in minutes: the position of a slice, or its tissues.
Train on synthetic, test on real: Esteban et al. 2017, section 4; as a measure of image models:
Ravuri and Vinyals 2019, "Classification accuracy score".
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter
from torch import Tensor, nn

from mri_gan.errors import DataError, UsageError
from mri_gan.evaluate.families import bootstrap, interval
from mri_gan.evaluate.images import BATCH, pick_conditions
from mri_gan.nets.build import DrawSettings, draw_seeds
from mri_gan.pictures import to_stored, to_unit
from mri_gan.store.labels import slice_labels
from mri_gan.store.reader import StoreReader
from mri_gan.synth.sample import Trained

# Two tasks that a small network learns in minutes: where a slice is, what tissue is where

STEPS = 400
TEACHING_BATCH = 32
RATE = 2e-3
LARGEST_PX = 64
WIDTH = 16


@dataclass(frozen=True)
class Examples:
    """Images [N, 1, S, S] of 0..1 and what is to be predicted, and whose they are.

    `targets` are positions [N] of 0..1, or classes of pixels [N, S, S].
    """

    images: Tensor
    targets: Tensor
    groups: NDArray[np.int64]

    def __len__(self) -> int:
        return len(self.images)


@dataclass(frozen=True)
class Task:
    """A task: its network, its loss, and the score of each image (higher is better)."""

    name: str
    measure: str
    build: Callable[[], nn.Module]
    loss: Callable[[Tensor, Tensor], Tensor]
    score: Callable[[Tensor, Tensor], Tensor]  # outputs, targets -> [N]


def position_task() -> Task:
    """Regression of the place within the scan; the score is 1 less the absolute error."""
    return Task(
        "position",
        "1 minus the absolute error, in lengths of the scan",
        _position_network,
        lambda outputs, targets: F.mse_loss(outputs.squeeze(1), targets),
        lambda outputs, targets: 1 - (outputs.squeeze(1) - targets).abs(),
    )


def _position_network() -> nn.Module:
    layers: list[nn.Module] = []
    for inputs, outputs in ((1, WIDTH), (WIDTH, 2 * WIDTH), (2 * WIDTH, 4 * WIDTH)):
        layers += [nn.Conv2d(inputs, outputs, 3, 2, 1), nn.GroupNorm(4, outputs), nn.ReLU()]
    layers += [nn.AdaptiveAvgPool2d(4), nn.Flatten(), nn.Linear(4 * WIDTH * 16, 64), nn.ReLU()]
    return nn.Sequential(*layers, nn.Linear(64, 1))


class SmallUnet(nn.Module):
    """Two levels down and up with skips (Ronneberger et al. 2015), a few thousand weights."""

    def __init__(self, classes: int) -> None:
        super().__init__()
        self.fine = _block(1, WIDTH)
        self.middle = _block(WIDTH, 2 * WIDTH)
        self.coarse = _block(2 * WIDTH, 2 * WIDTH)
        self.up = _block(4 * WIDTH, WIDTH)
        self.last = _block(2 * WIDTH, WIDTH)
        self.out = nn.Conv2d(WIDTH, classes, 1)

    def forward(self, images: Tensor) -> Tensor:
        """Class scores [N, classes, S, S] of images [N, 1, S, S]."""
        fine = self.fine(images)
        middle = self.middle(F.avg_pool2d(fine, 2))
        coarse = self.coarse(F.avg_pool2d(middle, 2))
        x = self.up(torch.cat([F.interpolate(coarse, scale_factor=2.0), middle], 1))
        x = self.last(torch.cat([F.interpolate(x, scale_factor=2.0), fine], 1))
        scores: Tensor = self.out(x)
        return scores


def _block(inputs: int, outputs: int) -> nn.Module:
    return nn.Sequential(
        nn.Conv2d(inputs, outputs, 3, padding=1), nn.GroupNorm(4, outputs), nn.ReLU()
    )


def mask_task(classes: int) -> Task:
    """Segmentation into the values that the store's masks have; the score is the mean Dice."""
    return Task(
        "mask",
        "mean Dice of the classes but background",
        lambda: SmallUnet(classes),
        F.cross_entropy,
        lambda outputs, targets: mean_dice(outputs.argmax(1), targets, classes),
    )


def mean_dice(found: Tensor, wanted: Tensor, classes: int) -> Tensor:
    """Dice of each image [N], mean over the classes above 0 that it has or was given.

    An image without any scores 1 (Dice 1945; Taha and Hanbury 2015, section 2).
    """
    totals, counts = torch.zeros(len(found)), torch.zeros(len(found))
    for label in range(1, classes):
        a, b = (found == label).flatten(1), (wanted == label).flatten(1)
        size = a.sum(1) + b.sum(1)
        totals += torch.where(size > 0, 2 * (a & b).sum(1) / size.clamp(min=1), 0)
        counts += size > 0
    return torch.where(counts > 0, totals / counts.clamp(min=1), 1.0)


def train_network(
    task: Task,
    examples: Examples,
    seed: int,
    steps: int = STEPS,
    tell: Callable[[int], None] = lambda _: None,
) -> nn.Module:
    """A network that learned the examples; the same seed gives the same weights."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        network = task.build()
    optimiser = torch.optim.Adam(network.parameters(), RATE)
    rate = torch.optim.lr_scheduler.CosineAnnealingLR(optimiser, steps)
    rng = np.random.default_rng(seed)
    for _ in range(steps):
        rows = torch.from_numpy(rng.integers(0, len(examples), TEACHING_BATCH))
        loss = task.loss(network(examples.images[rows]), examples.targets[rows])
        optimiser.zero_grad(set_to_none=True)
        loss.backward()  # type: ignore[no-untyped-call]
        optimiser.step()
        rate.step()
        tell(1)
    return network.eval()


@torch.no_grad()
def apply(network: nn.Module, images: Tensor) -> Tensor:
    """Outputs of a network for all images."""
    return torch.cat([network(images[i : i + 256]) for i in range(0, len(images), 256)])


# Slices with what a small network is to predict: real ones, and synthetic ones

HELD_OUT = ("validate", "test")


def pick_task(store: StoreReader, trained: Trained, wanted: str) -> str:
    """The task that store and model carry; raises UsageError where the wanted one is not there."""
    has_mask = trained.has_mask and store.channels == trained.config.channels
    if wanted == "mask" and not has_mask:
        raise UsageError(
            f"{store.folder}: has no tissue masks that the model draws too", "prepare with --masks"
        )
    if wanted == "mask" or (wanted == "auto" and has_mask):
        return "mask"
    if not any("position" in row for row in slice_labels(store.records)):
        raise UsageError(
            f"{store.folder}: has no slice positions", "utility has no task without them"
        )
    return "position"


def read_examples(
    store: StoreReader, splits: tuple[str, ...], size: int, task: str, limit: int, seed: int
) -> Examples:
    """Real slices of some splits with what is to be predicted, at most 64 px.

    Raises DataError where there are none.
    """
    labels = slice_labels(store.records)
    indices = np.concatenate([store.indices(split) for split in splits])
    if task == "position":
        indices = np.array([i for i in indices if "position" in labels[int(i)]], np.int64)
    if not len(indices):
        raise DataError(
            f"{store.folder}: has no slices in {' and '.join(splits)}", "prepare with --split"
        )
    indices = np.random.default_rng(seed).permutation(indices)[:limit]
    subjects = [store.records[int(i)].subject for i in indices]
    groups = np.unique(subjects, return_inverse=True)[1]
    raw = torch.from_numpy(
        np.concatenate(
            [
                to_unit(store.read(size, indices[i : i + BATCH]))
                for i in range(0, len(indices), BATCH)
            ]
        )
    )
    if task == "mask":
        return Examples(*_with_masks(raw, mask_values(store, size)), groups)
    places = torch.tensor([float(labels[int(i)]["position"]) for i in indices])
    return Examples(_small(raw[:, :1]), places, groups)


def mask_values(store: StoreReader, size: int) -> NDArray[np.float32]:
    """The grey levels, 0..1, that the training masks have, from their first 256 slices.

    Raises DataError where they are too many for classes.
    """
    found = np.unique(store.read(size, store.indices("train")[:256])[:, -1])
    if not 2 <= len(found) <= 16:
        raise DataError(f"{store.folder}: masks of {len(found)} values", "give masks of 2 to 16")
    return np.asarray(to_unit(found), np.float32)


def _with_masks(raw: Tensor, values: NDArray[np.float32]) -> tuple[Tensor, Tensor]:
    """Images and classes of [N, C, S, S] whose last channel is a mask: the nearest value each."""
    step = max(1, raw.shape[-1] // LARGEST_PX)
    masks = raw[:, -1, step // 2 :: step, step // 2 :: step]
    borders = torch.from_numpy((values[1:] + values[:-1]) / 2)
    return _small(raw[:, :1]), torch.bucketize(masks.contiguous(), borders)


def _small(images: Tensor) -> Tensor:
    return F.avg_pool2d(images, max(1, images.shape[-1] // LARGEST_PX))


def draw_examples(
    trained: Trained,
    look: DrawSettings,
    seeds: range,
    depth: int,
    conditions: Tensor | None,
    values: NDArray[np.float32] | None,
    tell: Callable[[int], None] = lambda _: None,
) -> tuple[Examples, str]:
    """Synthetic slices with labels where the model gives them, and where these come from.

    Targets are empty where it gives none.
    """
    rows = pick_conditions(trained, seeds, conditions)
    drawn = []
    for i in range(0, len(seeds), BATCH):
        some = None if rows is None else rows[i : i + BATCH]
        batch = draw_seeds(trained.generator, seeds[i : i + BATCH], look, some).numpy()
        drawn.append(torch.from_numpy(to_unit(to_stored(batch, depth))))
        tell(len(batch))
    raw, groups = torch.cat(drawn), np.arange(len(seeds))
    if values is not None:
        return Examples(*_with_masks(raw, values), groups), "drawn masks"
    places = _asked_positions(trained, rows)
    if places is not None:
        return Examples(_small(raw[:, :1]), places, groups), "conditions"
    return Examples(_small(raw[:, :1]), torch.zeros(0), groups), "network trained on reals"


def _asked_positions(trained: Trained, rows: Tensor | None) -> Tensor | None:
    """The positions that a conditional model was given [N], or None where it takes none."""
    start = 0
    for column in trained.conditions.columns:
        if column.name == "position" and not column.is_class and rows is not None:
            return rows[:, start] * column.scale + column.mean
        start += column.width
    return None


# Is a network trained on synthetic slices as good on real people as one trained on real slices?

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
    """All scores, that of guessing, and where the labels of the synthetic slices came from.

    `blobs` is the score of a network trained on smooth noise that has the histograms and labels of
    real slices: synthetic slices that teach no more than that teach nothing of anatomy. `apart` is
    the synthetic score less the real one, with people and networks drawn again in pairs, and
    `beyond_blobs` the same less that of blobs.
    """

    task: str
    measure: str
    real: Score
    synthetic: Score
    blobs: Score
    apart: Score
    beyond_blobs: Score
    guess: float
    labels: str  # "conditions", "drawn masks" or "network trained on reals"
    train_images: int
    test_images: int
    test_people: int

    @property
    def kept(self) -> float:
        """The share of what real slices teach beyond guessing that synthetic ones teach, too.

        Unknown where a network gave the labels: then even smooth blobs "teach" half of it.
        """
        if self.labels.startswith("network"):
            return float("nan")
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

    Without labels of their own, synthetic slices and blobs get them from the first network trained
    on reals: then all scores measure that network, and nothing is reported about what is kept.
    Raises DataError for too few images or people.
    """
    count = min(len(real), len(synthetic))
    people = len(np.unique(test.groups))
    if count < FEWEST or people < FEWEST_PEOPLE:
        raise DataError(
            f"utility needs {FEWEST} images to train on and {FEWEST_PEOPLE} people to test on; "
            f"there are {count} and {people}",
            "use a larger store (or a larger --count, where one was given)",
        )
    task = mask_task(classes) if task_name == "mask" else position_task()
    real, synthetic = _first(real, count), _first(synthetic, count)
    networks = [train_network(task, real, seed + i, steps, tell) for i in range(NETWORKS)]
    others = [synthetic, draw_blobs(real, seed)]
    if labels.startswith("network"):
        others = [_label(networks[0], examples) for examples in others]
    scores = [_scores(task, networks, test)]
    for examples in others:
        trained = (train_network(task, examples, seed + i, steps, tell) for i in range(NETWORKS))
        scores.append(_scores(task, trained, test))
    on_real, on_synthetic, on_blobs = (_summarise(some, test.groups, seed) for some in scores)
    return Utility(
        task.name,
        task.measure,
        on_real,
        on_synthetic,
        on_blobs,
        _summarise(scores[1] - scores[0], test.groups, seed),
        _summarise(scores[1] - scores[2], test.groups, seed),
        _guess(task, real, test, classes),
        labels,
        count,
        len(test),
        people,
    )


def _label(network: Any, examples: Examples) -> Examples:
    taught = apply(network, examples.images).squeeze(1).clamp(0, 1)
    return Examples(examples.images, taught, examples.groups)


def draw_blobs(real: Examples, seed: int) -> Examples:
    """Smooth noise, each picture with the histogram of a real slice and that slice's label.

    The darkest pixels take the lowest classes of a mask, as many as the slice has of each; so the
    tissue follows from the grey alone.
    """
    count, size = len(real), real.images.shape[-1]
    rng = np.random.default_rng((seed, count))
    noise = gaussian_filter(rng.normal(size=(count, size, size)), (0, size / 12, size / 12))
    ranks = torch.from_numpy(noise.reshape(count, -1).argsort(1).argsort(1))
    greys = real.images.reshape(count, -1).sort(1).values.gather(1, ranks)
    images, targets = greys.view_as(real.images), real.targets
    if targets.ndim == 3:
        targets = targets.flatten(1).sort(1).values.gather(1, ranks).view_as(targets)
    return Examples(images, targets, real.groups)


def _first(examples: Examples, count: int) -> Examples:
    return Examples(examples.images[:count], examples.targets[:count], examples.groups[:count])


def _scores(task: Task, networks: Iterable[nn.Module], test: Examples) -> NDArray[np.float64]:
    """The score of each network on each image [n, N]."""
    scored = [task.score(apply(network, test.images), test.targets) for network in networks]
    return np.asarray(torch.stack(scored).double().numpy())


def _summarise(each: NDArray[np.float64], groups: NDArray[np.int64], seed: int) -> Score:
    """The mean over networks and images [n, N]; people and networks are drawn again."""
    rng = np.random.default_rng(seed)
    draws = np.array(
        [
            each[rng.integers(0, len(each), len(each))][:, rows].mean()
            for rows in bootstrap(groups, 200, seed)
        ]
    )
    low, high = interval(float(each.mean()), draws, most=1.0)
    return Score(float(each.mean()), low, high, each.mean(1).tolist())


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
        "train_on_blobs": _plain(result.blobs),
        "synthetic_less_real": _plain(result.apart),
        "synthetic_less_blobs": _plain(result.beyond_blobs),
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
    """Its values, rounded."""
    plain = {name: round(getattr(score, name), 5) for name in ("value", "low", "high")}
    return {**plain, "networks": [round(value, 5) for value in score.networks]}
