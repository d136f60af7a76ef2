"""Two tasks that a small network learns in minutes: where a slice lies, what tissue is where."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor, nn

STEPS = 400
BATCH = 32
RATE = 2e-3
LARGEST_PX = 64
WIDTH = 16


@dataclass(frozen=True)
class Examples:
    """Images [N, 1, S, S] of 0..1 and what is to be told of them, and whose they are.

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
        "1 - |error|, in lengths of the scan",
        lambda: nn.Sequential(*_encoder(), nn.AdaptiveAvgPool2d(4), nn.Flatten(), *_head()),
        lambda outputs, targets: F.mse_loss(outputs.squeeze(1), targets),
        lambda outputs, targets: 1 - (outputs.squeeze(1) - targets).abs(),
    )


def _encoder() -> list[nn.Module]:
    layers: list[nn.Module] = []
    for inputs, outputs in ((1, WIDTH), (WIDTH, 2 * WIDTH), (2 * WIDTH, 4 * WIDTH)):
        layers += [nn.Conv2d(inputs, outputs, 3, 2, 1), nn.GroupNorm(4, outputs), nn.ReLU()]
    return layers


def _head() -> list[nn.Module]:
    return [nn.Linear(4 * WIDTH * 16, 64), nn.ReLU(), nn.Linear(64, 1)]


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
        rows = torch.from_numpy(rng.integers(0, len(examples), BATCH))
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
