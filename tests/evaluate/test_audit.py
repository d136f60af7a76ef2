"""An audit finds what is planted, and lets pass what is as new as a new person."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter
from scipy.stats import mannwhitneyu
from torch import Tensor

from mri_gan.config import ModelConfig
from mri_gan.errors import DataError
from mri_gan.evaluate.audit import (
    KINDS,
    NOBODY,
    Audit,
    align_nearest,
    audit,
    equalise,
    plant,
    shrink_all,
)
from mri_gan.evaluate.features import Features, fit_cnn
from mri_gan.evaluate.images import ImageSet
from mri_gan.evaluate.membership import area_under_curve, infer_membership, score_images
from mri_gan.evaluate.verdict import say_verdict, to_json, worst_pairs
from mri_gan.nets.build import build_critic

Images = NDArray[np.float32]
SIZE, SLICES = 32, 6


def draw_people(count: int, seed: int) -> Images:
    """Neighbouring slices of people resemble each other more than those of two people do."""
    rng = np.random.default_rng(seed)
    people = gaussian_filter(rng.normal(size=(count, SIZE, SIZE)), (0, 3, 3))
    change = gaussian_filter(rng.normal(size=(count, SLICES, SIZE, SIZE)), (0, 0, 3, 3))
    images = (people[:, None] + 0.4 * change).reshape(-1, SIZE, SIZE)
    return np.asarray(np.clip(0.5 + images / images.std() * 0.15, 0, 1), np.float32)


def as_set(images: Images, first_person: int = 0) -> ImageSet:
    groups = first_person + np.arange(len(images)) // SLICES
    return ImageSet("given", SIZE, groups, lambda a, b: images[a:b])


TRAIN = draw_people(20, seed=1)
HELD_OUT = draw_people(8, seed=2)
NEW = draw_people(20, seed=3)


@pytest.fixture(scope="module")
def features() -> Features:
    return fit_cnn(equalise(TRAIN))


def run(samples: Images, features: Features, held_out: Images | None = HELD_OUT) -> Audit:
    held = None if held_out is None else as_set(held_out, 100)
    return audit(as_set(samples), as_set(TRAIN), held, features)


def test_new_people_pass(features: Features) -> None:
    result = run(NEW, features)
    assert result.verdict == "pass"
    pixels = result.views[0]
    assert pixels.is_trusted
    assert pixels.near <= pixels.near_limit
    assert pixels.copies == 0
    assert "pass" in say_verdict(result)


@pytest.mark.parametrize("kind", KINDS)
def test_one_copy_of_any_kind_among_new_people_fails(features: Features, kind: str) -> None:
    samples = NEW.copy()
    samples[17] = plant(TRAIN[40:41], seed=5)[kind][0]
    result = run(samples, features)
    assert result.verdict == "fail"
    pixels = result.views[0]
    assert pixels.copies == 1
    nearest = pixels.samples
    assert int(np.argmin(nearest.distance)) == 17
    assert nearest.row[17] == 40
    assert say_verdict(result).startswith("fail: 1 of 120 samples")


def test_blends_of_training_slices_and_noise_are_near(features: Features) -> None:
    rng = np.random.default_rng(0)
    blends = TRAIN + 0.1 * gaussian_filter(rng.normal(size=TRAIN.shape), (0, 2, 2)).astype(
        np.float32
    )
    assert run(np.clip(blends, 0, 1).astype(np.float32), features).verdict == "fail"


def test_recall_is_told_for_every_kind(features: Features) -> None:
    recall = run(NEW, features).views[0].recall
    assert set(recall) == set(KINDS)
    assert min(recall.values()) == 1.0


def test_a_persons_own_slices_do_not_count_as_near(features: Features) -> None:
    """Neighbouring slices of one person are alike: counted, they would hide every copy."""
    pixels = run(NEW, features).views[0]
    small, groups = shrink_all(TRAIN), np.arange(len(TRAIN)) // SLICES
    own = align_nearest(small, small, np.full(len(TRAIN), NOBODY), groups)
    assert own.distance.max() < 1e-3
    within = align_nearest(
        small[1:2], np.delete(small, 1, 0), np.array([NOBODY]), np.zeros(119, int)
    )
    assert within.distance[0] < pixels.threshold


def test_training_people_stand_in_where_nobody_is_held_out(features: Features) -> None:
    result = run(NEW, features, held_out=None)
    assert (result.held_out, result.verdict) == (0, "pass")
    assert len(result.views[0].people) == len(TRAIN)


def test_a_store_where_one_person_has_two_names_is_undecided(features: Features) -> None:
    """Then real people come as near as copies do, and a pass would mean nothing."""
    twice = np.concatenate([HELD_OUT, TRAIN[: 3 * SLICES]])
    result = run(NEW, features, twice)
    assert result.verdict == "undecided"
    assert "undecided" in say_verdict(result)


def test_the_expected_share_is_of_people_left_out_in_turn(features: Features) -> None:
    for view in run(NEW, features).views:
        assert 0 < view.false_positives.mean() < 0.05
        assert 0.01 <= view.near_limit < 0.1


def test_too_few_people_or_samples_are_told(features: Features) -> None:
    with pytest.raises(DataError, match="an audit needs 50"):
        run(NEW[:20], features)
    with pytest.raises(DataError, match="an audit needs 4"):
        audit(as_set(NEW), as_set(TRAIN[: 2 * SLICES]), None, features)


def test_results_are_plain_values_and_pairs_a_picture(features: Features) -> None:
    import json

    result = run(NEW, features)
    facts = to_json(result, None, "no critic")
    assert json.loads(json.dumps(facts)) == facts
    sheet = worst_pairs(result.views[0], as_set(NEW), as_set(TRAIN), count=4)
    assert sheet.size[0] == 6 * (128 + 2) + 2


def test_alignment_finds_shifts_brightness_and_mirroring() -> None:
    base = shrink_all(TRAIN)
    for dy, dx in ((2, -2), (0, 1), (-1, 0)):
        moved = np.roll(base[33:34, :, ::-1], (dy, dx), (1, 2)) * np.float32(0.5) + np.float32(0.2)
        found = align_nearest(moved, base, np.array([NOBODY]), np.zeros(len(base), int))
        assert found.row[0] == 33
        assert found.distance[0] < 0.01


@pytest.mark.parametrize("size", [64, 128])
def test_shifts_by_a_part_of_a_working_pixel_are_found(size: int) -> None:
    """At 64 px an odd shift is half a pixel of 32 px: enough to hide a copy of a sharp picture."""
    rng = np.random.default_rng(0)
    images = np.repeat(
        np.repeat(rng.random((30, 64, 64), np.float32), size // 64, 1), size // 64, 2
    )
    base, groups = shrink_all(images), np.zeros(30, int)
    for dy, dx in ((3, -1), (1, 2)):
        moved = shrink_all(np.roll(images[7:8], (dy * size // 64, dx * size // 64), (1, 2)))
        found = align_nearest(moved, base, np.array([NOBODY]), groups)
        assert found.row[0] == 7
        assert found.distance[0] < 0.01


@pytest.mark.parametrize("kind", KINDS)
def test_copies_are_changed_as_their_kind_says(kind: str) -> None:
    copies = plant(TRAIN[:10])[kind]
    assert copies.shape == TRAIN[:10].shape
    assert copies.dtype == np.float32
    assert 0 <= copies.min() <= copies.max() <= 1
    assert (kind == "exact") == np.array_equal(copies, TRAIN[:10])
    assert np.array_equal(copies, plant(TRAIN[:10])[kind])


def test_the_area_is_that_of_mann_and_whitney() -> None:
    rng = np.random.default_rng(0)
    a, b = rng.integers(0, 9, 50).astype(float), rng.integers(0, 7, 70).astype(float)
    expected = mannwhitneyu(a, b).statistic / (50 * 70)
    assert area_under_curve(a, b) == pytest.approx(expected)


def test_intervals_of_the_area_are_wider_for_people_than_for_slices() -> None:
    rng = np.random.default_rng(0)
    people = rng.normal(size=20).repeat(30)
    a, b = (people[:300] + 0.1 * rng.normal(size=300)), people[300:]
    groups = np.arange(300) // 30
    by_person = infer_membership(a, b, groups, groups)
    by_slice = infer_membership(a, b, np.arange(300), np.arange(300))
    assert by_person.low < by_person.auc < by_person.high
    assert by_person.high - by_person.low > 2 * (by_slice.high - by_slice.low)
    assert (by_person.members, by_person.others) == (10, 10)


def test_a_score_does_not_depend_on_its_companions() -> None:
    torch.manual_seed(0)
    critic = build_critic(ModelConfig(max_size=16, capacity=1 / 32)).eval()
    images = torch.rand(6, 1, 16, 16) * 2 - 1

    def scores(rows: Tensor) -> NDArray[np.float64]:
        return score_images(critic, iter([(rows, None)]), 1.0)

    assert scores(images)[2] == pytest.approx(scores(images[2:3])[0], rel=1e-4)
