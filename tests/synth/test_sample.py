"""Samples depend on their own seed and nothing else; mixing takes each half from its source."""

import math
from dataclasses import replace
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np
import pytest
import torch
from phantoms.models import SMALL, save_untrained

import mri_gan as mg
from mri_gan.checkpoint import Checkpoint, checkpoint_path, save_checkpoint
from mri_gan.conditions import Column, Conditions, build_conditions
from mri_gan.config import ModelConfig
from mri_gan.errors import DataError, UsageError
from mri_gan.nets.build import (
    DrawSettings,
    batch_for,
    build_generator,
    draw_seeds,
    full_batches,
    styles_of_seeds,
)
from mri_gan.synth.sample import (
    Trained,
    alpha_for,
    condition_rows,
    draw_labels,
    load_critic,
    load_trained,
    settings_to_draw,
)
from mri_gan.train.state import build_state


@pytest.fixture
def trained(tmp_path: Path) -> Trained:
    save_untrained(tmp_path)
    return load_trained(tmp_path)


def test_a_run_folder_or_a_file_can_be_loaded(tmp_path: Path) -> None:
    path = save_untrained(tmp_path)
    assert load_trained(tmp_path).path == load_trained(path).path == path


def test_a_sample_is_the_same_bits_in_any_company(trained: Trained) -> None:
    many = draw_seeds(trained.generator, range(40), DrawSettings(16, 0.5))
    for seed in (0, 17, 39):
        alone = draw_seeds(trained.generator, [seed], DrawSettings(16, 0.5))
        assert torch.equal(many[seed], alone[0])


def test_a_level_that_fades_in_is_mixed_with_the_one_below_it(trained: Trained) -> None:
    """Karras 2018, figure 2: (1 - alpha) of the enlarged coarse image, alpha of the fine one."""
    looks = [DrawSettings(16, alpha) for alpha in (0.0, 1.0, 0.25)]
    coarse, fine, mixed = (draw_seeds(trained.generator, [3], look) for look in looks)
    assert not torch.allclose(coarse, fine, atol=1e-3)
    torch.testing.assert_close(mixed, 0.75 * coarse + 0.25 * fine, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("arch", ["dcgan", "progan", "fastgan"])
def test_a_network_without_styles_is_drawn_and_recorded_without_truncation(
    tmp_path: Path, arch: str
) -> None:
    save_untrained(tmp_path, replace(SMALL, arch=arch))
    trained = load_trained(tmp_path)
    assert settings_to_draw(trained, psi=0.3).psi == 1
    model = mg.Model(trained)
    assert repr(model) == f"Model({str(trained.path)!r}): {arch}, 16 px, 1 kimg"
    assert repr(trained) == f"Trained{repr(model).removeprefix('Model')}"


def test_a_truncation_that_changes_nothing_is_warned_of(tmp_path: Path) -> None:
    save_untrained(tmp_path, replace(SMALL, arch="progan"))
    model = mg.load_model(tmp_path, "cpu")
    assert len(model.draw([0])) == len(model.draw([0], psi=1)) == 1  # as is usual, or true
    with pytest.warns(UserWarning, match=r"psi 0\.5 changes nothing: only stylegan") as told:
        model.draw([0], psi=0.5)
    assert told[0].filename == __file__


@pytest.mark.parametrize(
    "odd", [{"psi": -2.1}, {"psi": 9.0}, {"psi": math.nan}, {"noise": -1.0}, {"noise": 2.5}]
)
def test_truncation_and_noise_far_from_any_use_are_refused(
    trained: Trained, odd: dict[str, float]
) -> None:
    """By whatever draws: pictures of psi 9 are of nothing, and figures about them mislead."""
    with pytest.raises(UsageError, match=r"give (-2|0) to 2"):
        settings_to_draw(trained, **odd)  # type: ignore[arg-type]
    assert settings_to_draw(trained, psi=-2.0, noise=2.0).psi == -2


@pytest.mark.parametrize(("size", "batch"), [(8, 16), (128, 16), (256, 8), (1024, 2)])
def test_batches_are_smaller_where_images_are_large(size: int, batch: int) -> None:
    assert batch_for(size) == batch


@pytest.mark.parametrize("count", [1, 15, 16, 17, 32])
def test_every_batch_is_full_and_every_row_is_in_one(count: int) -> None:
    runs = list(full_batches(count, 16))
    assert {len(run) for run in runs} == {16}
    assert [row for run in runs for row in run][:count] == list(range(count))


def test_the_strength_of_the_noise_scales_what_it_adds(trained: Trained) -> None:
    none, half, full = (
        draw_seeds(trained.generator, [1, 2], DrawSettings(16, noise=strength))
        for strength in (0, 0.5, 1)
    )
    assert torch.equal(none, draw_seeds(trained.generator, [1, 2], DrawSettings(16, noise=0)))
    assert 0 < (half - none).square().mean() < (full - none).square().mean()


def test_psi_0_gives_one_and_the_same_style(trained: Trained) -> None:
    w = styles_of_seeds(trained.generator, [1, 2, 3], psi=0.0)
    assert torch.equal(w, trained.generator.w_avg.expand(3, -1))


def test_a_size_not_reached_names_those_that_were(trained: Trained) -> None:
    with pytest.raises(UsageError, match="choose --size from 8, 16"):
        settings_to_draw(trained, 32)
    assert (alpha_for(trained, 16), alpha_for(trained, 8)) == (0.5, 1.0)


def test_smaller_sizes_are_the_trained_size_shrunk(trained: Trained) -> None:
    whole = draw_seeds(trained.generator, [1, 2], settings_to_draw(trained))
    small = draw_seeds(trained.generator, [1, 2], settings_to_draw(trained, 8))
    blocks = whole.reshape(2, 1, 8, 2, 8, 2).mean((3, 5))
    assert torch.allclose(small, blocks, atol=1e-6)
    own = draw_seeds(trained.generator, [1, 2], DrawSettings(8))
    assert not torch.allclose(own, blocks, atol=1e-2)  # of the image layer of 8 px


def test_weights_that_do_not_fit_are_an_error(tmp_path: Path) -> None:
    path = checkpoint_path(tmp_path, 1)
    save_checkpoint(path, Checkpoint(SMALL, 1, 8, 1.0, "digest", {"g_ema": {}}))
    with pytest.raises(DataError, match="generator does not fit its settings"):
        load_trained(path)


def test_the_critic_of_a_checkpoint_scores_as_it_did_in_training(trained: Trained) -> None:
    images = torch.rand(4, 1, 16, 16, generator=torch.Generator().manual_seed(0))
    trainer = build_state(SMALL, torch.device("cpu")).d  # initial weights follow from the seed
    loaded = load_critic(trained)
    assert loaded is not None
    assert torch.equal(loaded(images, alpha=0.5), trainer(images, alpha=0.5))


def test_a_file_without_a_critic_has_none(trained: Trained) -> None:
    parts = {"g_ema": trained.generator.state_dict()}
    save_checkpoint(trained.path, Checkpoint(SMALL, 1000, 16, 0.5, "digest", parts))
    assert load_critic(trained) is None


STUDY: list[
    dict[str, Any]
] = [  # 300 slices of CN, 60 of AD, 40 of two unknown people; AD are older
    *({"group": "CN", "age": 40.0 + i % 20} for i in range(300)),
    *({"group": "AD", "age": 70.0 + i % 10} for i in range(60)),
    *({"age": 55.0} for _ in range(40)),
]
PEOPLE = [*(f"c{i % 20}" for i in range(300)), *(f"a{i % 10}" for i in range(60)), *["u", "v"] * 20]


def test_labels_are_as_frequent_as_in_training_and_go_together_as_there() -> None:
    spec = build_conditions(["group", "age"], STUDY, PEOPLE)
    drawn = [draw_labels(spec, seed) for seed in range(4000)]
    share = {name: sum(d["group"] == name for d in drawn) / 4000 for name in ("CN", "AD", None)}
    assert share == pytest.approx({"CN": 0.75, "AD": 0.15, None: 0.1}, abs=0.02)
    old = [float(d["age"] or 0) for d in drawn if d["group"] == "AD"]
    young = [float(d["age"] or 0) for d in drawn if d["group"] == "CN"]
    assert (min(old), max(old)) == pytest.approx((70, 79), abs=0.1)
    assert (min(young), max(young)) == pytest.approx((40, 59), abs=0.1)
    assert np.quantile(young, [0.25, 0.5, 0.75]) == pytest.approx([44.75, 49.5, 54.25], abs=0.6)
    assert draw_labels(spec, 7) == drawn[7]


def test_a_stratum_of_few_people_has_the_numbers_of_all() -> None:
    spec = build_conditions(["group", "age"], STUDY, PEOPLE)
    unknown = next(stratum for stratum in spec.strata if stratum.classes == (None,))
    assert unknown.quartiles == (
        (40, *np.quantile([r["age"] for r in STUDY], [0.25, 0.5, 0.75]), 79),
    )
    alone = build_conditions(["group", "age"], STUDY)  # each slice is another person
    assert next(s for s in alone.strata if s.classes == (None,)).quartiles == ((55,) * 5,)


def test_what_is_given_decides_what_goes_with_it() -> None:
    spec = build_conditions(["group", "age"], STUDY, PEOPLE)
    rows = condition_rows(spec, "group=AD", range(200))
    assert rows is not None
    age = spec.columns[1]
    years = rows[:, 2] * age.scale + age.mean
    assert (float(years.min()), float(years.max())) == pytest.approx((70, 79), abs=0.2)
    assert rows[:, :2].tolist() == [[1, 0]] * 200


def test_a_number_is_as_often_unknown_as_in_training() -> None:
    spec = build_conditions(["score"], [{"score": 1.0}, {"score": 2.0}, {}, {}])
    drawn = [draw_labels(spec, seed)["score"] for seed in range(1000)]
    assert sum(value is None for value in drawn) / 1000 == pytest.approx(0.5, abs=0.05)


def test_a_network_of_an_earlier_version_draws_the_labels_that_it_did() -> None:
    group = Column("group", values=("AD", "CN"))
    spec = Conditions((group, Column("age", mean=50.0, scale=10.0, low=45.0, high=80.0)))
    drawn = [draw_labels(spec, seed) for seed in range(400)]
    ages = [float(labels["age"] or 0) for labels in drawn]
    assert 160 < sum(labels["group"] == "AD" for labels in drawn) < 240
    assert min(ages) == 45
    assert max(ages) == pytest.approx(75, abs=5)
    assert median(ages) == pytest.approx(50, abs=2)
    assert draw_labels(spec, 7) == drawn[7]


def test_what_is_not_asked_for_is_drawn_for_each_seed_as_if_nothing_were() -> None:
    """An older person is of either sex, as in training, and not of unknown sex."""
    sex = Column("sex", values=("F", "M"), gaps=True)
    spec = Conditions((sex, Column("age", mean=50.0, scale=10.0, low=45.0, high=80.0)))

    def rows(text: str | None) -> torch.Tensor:
        found = condition_rows(spec, text, range(40))
        assert found is not None
        return found

    free, old, blank = rows(None), rows("age=80"), rows("sex=unknown,age=80")
    assert torch.equal(old[:, :2], free[:, :2])
    assert set(old[:, 2].tolist()) == {3.0}
    assert 0 < old[:, 0].sum() < 40
    assert blank.tolist() == [[0, 0, 3]] * 40


def test_networks_without_styles_are_not_truncated() -> None:
    generator = build_generator(ModelConfig(arch="fastgan", max_size=8, capacity=1 / 64)).eval()
    whole = draw_seeds(generator, range(2), DrawSettings(8, psi=1.0))
    assert torch.equal(draw_seeds(generator, range(2), DrawSettings(8, psi=0.5)), whole)
