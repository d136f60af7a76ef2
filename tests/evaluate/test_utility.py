"""Training on copies of the reals is worth as much as on reals, training on noise nothing."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from sklearn.metrics import f1_score
from torch import Tensor

from mri_gan.errors import DataError
from mri_gan.evaluate.utility import (
    Examples,
    Utility,
    compare_training,
    draw_blobs,
    mask_task,
    mean_dice,
    to_json,
    train_network,
)

SIZE, STEPS = 16, 40


def discs(count: int, seed: int) -> tuple[Tensor, Tensor, Tensor]:
    """Slices [N, 1, 16, 16] through a ball, where each lies, and its mask [N, 16, 16]."""
    rng = np.random.default_rng(seed)
    place = rng.random(count)
    y, x = np.mgrid[-1 : 1 : SIZE * 1j, -1 : 1 : SIZE * 1j]
    inside = (x**2 + y**2)[None] < (0.2 + 0.7 * place[:, None, None]) ** 2
    images = 0.6 * inside + 0.05 * rng.normal(size=inside.shape)
    return (
        torch.from_numpy(images.astype(np.float32)).unsqueeze(1),
        torch.from_numpy(place.astype(np.float32)),
        torch.from_numpy(inside.astype(np.int64)),
    )


def examples(count: int, seed: int, task: str) -> Examples:
    images, places, masks = discs(count, seed)
    return Examples(images, masks if task == "mask" else places, np.arange(count) // 8)


def noise(count: int, task: str) -> Examples:
    rng = torch.Generator().manual_seed(0)
    given = examples(count, 9, task)
    return Examples(torch.rand(given.images.shape, generator=rng), given.targets, given.groups)


def run(task: str, synthetic: Examples, labels: str = "conditions", seed: int = 0) -> Utility:
    real, test = examples(128, 1, task), examples(64, 2, task)
    return compare_training(task, real, synthetic, labels, test, seed=seed, steps=STEPS)


@pytest.mark.parametrize("task", ["position", "mask"])
def test_other_slices_of_the_same_kind_teach_as_much(task: str) -> None:
    result = run(task, examples(128, 3, task))
    assert result.real.value > result.guess + 0.1
    assert result.kept > 0.9
    assert result.real.low < result.real.value < result.real.high


@pytest.mark.parametrize("task", ["position", "mask"])
def test_noise_teaches_little(task: str) -> None:
    assert run(task, noise(128, task)).kept < 0.4


def test_slices_without_labels_get_them_from_the_network_trained_on_reals() -> None:
    bare = Examples(examples(128, 3, "position").images, torch.zeros(0), np.arange(128))
    result = run("position", bare, labels="network trained on reals")
    assert np.isnan(result.kept)  # blobs would "keep" half of it, too
    assert to_json(result)["kept"] is None
    assert result.labels == "network trained on reals"


def test_blobs_have_the_greys_and_the_tissues_of_real_slices_but_not_their_shapes() -> None:
    real = examples(32, 1, "mask")
    blobs = draw_blobs(real, seed=0)
    for made, given in ((blobs.images, real.images), (blobs.targets, real.targets)):
        assert torch.equal(made.flatten(1).sort(1).values, given.flatten(1).sort(1).values)
    dark = blobs.images[:, 0][blobs.targets == 0]
    assert dark.max() <= blobs.images[:, 0][blobs.targets == 1].max()
    assert abs(np.corrcoef(blobs.images.flatten(), real.images.flatten())[0, 1]) < 0.3


def test_synthetic_slices_are_compared_with_real_ones_in_pairs() -> None:
    """The difference is known better than either score, as both are of the same people."""
    result = run("mask", examples(128, 3, "mask"))
    assert result.apart.value == pytest.approx(result.synthetic.value - result.real.value)
    assert result.apart.low <= 0 <= result.apart.high or abs(result.apart.value) < 0.05
    noisy = run("mask", noise(128, "mask"))
    assert noisy.apart.high < 0
    beyond = noisy.beyond_blobs
    assert beyond.value == pytest.approx(noisy.synthetic.value - noisy.blobs.value)
    assert to_json(noisy)["synthetic_less_blobs"]["value"] == round(beyond.value, 5)


def test_the_same_seed_gives_the_same_scores() -> None:
    first, second, other = (
        to_json(run("position", examples(128, 3, "position"), seed=seed)) for seed in (0, 0, 5)
    )
    assert first == second
    assert first["train_on_real"]["networks"] != other["train_on_real"]["networks"]


def test_training_leaves_the_global_random_numbers_alone() -> None:
    torch.manual_seed(7)
    expected = torch.rand(1)
    torch.manual_seed(7)
    train_network(mask_task(2), examples(64, 1, "mask"), seed=0, steps=2)
    assert torch.rand(1) == expected


def test_dice_is_scikit_learns_f1() -> None:
    rng = np.random.default_rng(0)
    found, wanted = torch.from_numpy(rng.integers(0, 3, (2, 4, 8, 8)))
    expected = [
        f1_score(w.ravel(), f.ravel(), labels=[1, 2], average="macro")
        for f, w in zip(found.numpy(), wanted.numpy(), strict=True)
    ]
    assert mean_dice(found, wanted, 3).tolist() == pytest.approx(expected, abs=1e-6)
    empty = torch.zeros(1, 8, 8, dtype=torch.int64)
    assert mean_dice(empty, empty, 3).tolist() == [1.0]


def test_too_few_images_are_told() -> None:
    with pytest.raises(DataError, match=r"utility needs 64.*use a larger store \(or"):
        run("position", examples(20, 3, "position"))
