"""The schedule is a pure function from nimg to the phase in force."""

from dataclasses import replace

import pytest

from mri_gan.config import Stage, TrainConfig
from mri_gan.schedule import (
    Phase,
    phase_at,
    settings_used,
    stages,
    stages_reached,
    starts,
    step_number,
    total_images,
)

CONFIG = TrainConfig(init_size=8, max_size=32, phase=1000, batch=10, lr=1e-3)


def phases_from(config: TrainConfig, nimg: int) -> list[tuple[int, Phase]]:
    """All (nimg, phase) steps from `nimg` to the end."""
    steps = []
    while nimg < total_images(config):
        phase = phase_at(config, nimg)
        steps.append((nimg, phase))
        nimg += phase.batch
    return steps


def test_levels_double_from_the_first_to_the_last_size() -> None:
    assert [stage.size for stage in stages(CONFIG)] == [8, 16, 32]


def test_the_first_level_stays_one_phase_and_others_fade_for_one_and_stay_for_one() -> None:
    assert starts(CONFIG) == (0, 1000, 3000, 5000)
    assert total_images(CONFIG) == 5000


@pytest.mark.parametrize(
    ("nimg", "resolution", "alpha"),
    [
        (0, 8, 1.0),
        (999, 8, 1.0),
        (1000, 16, 0.0),
        (1500, 16, 0.5),
        (2000, 16, 1.0),
        (2999, 16, 1.0),
        (3250, 32, 0.25),
        (4000, 32, 1.0),
        (10**9, 32, 1.0),
    ],
)
def test_a_level_fades_in_linearly(nimg: int, resolution: int, alpha: float) -> None:
    assert phase_at(CONFIG, nimg) == Phase(resolution, alpha, 10, 1e-3)


def test_the_fade_is_as_long_as_its_own_stage_says() -> None:
    levels = (Stage(8, 0, 1000, 10), Stage(16, 400, 1600, 10))
    config = TrainConfig(init_size=8, max_size=16, schedule=levels)
    assert [phase_at(config, nimg).alpha for nimg in (1000, 1100, 1400, 2000)] == [0, 0.25, 1, 1]


def test_an_architecture_that_does_not_grow_sees_as_many_images_as_one_that_does() -> None:
    """8 px stay for one phase, 16 and 32 px fade in for one and stay for one: five."""
    for arch in ("dcgan", "stylegan2", "fastgan", "stylegan"):
        assert total_images(TrainConfig(arch=arch, max_size=32, phase=1000)) == 5000


def test_the_settings_used_say_what_a_level_decides_where_all_levels_agree() -> None:
    used = settings_used(TrainConfig(max_size=16, phase=1000))
    assert (used["kimg"], used["batch"], used["lr"]) == (3.0, 16, 1e-3)
    by_level = settings_used(TrainConfig(max_size=1024, phase=1000, sched=True))
    assert (by_level["batch"], by_level["lr"]) == (None, None)


def test_the_settings_used_name_the_weight_of_r1_by_size_and_batch() -> None:
    """Karras 2020b, appendix C: 0.0002 * 256^2 / 32."""
    gamma = TrainConfig(loss="r1", gp_weight=None, arch="stylegan2", batch=32)
    assert settings_used(gamma)["gp_weight"] == pytest.approx(0.4096)
    without = TrainConfig(loss="wgan-gp", gp_weight=None, arch="dcgan")
    assert settings_used(without)["gp_weight"] == 0
    grown = replace(gamma, arch="stylegan")  # another one at each level
    assert settings_used(grown)["gp_weight"] is None


@pytest.mark.parametrize(
    ("kimg", "levels"),
    [
        (None, [(8, 0, 600), (16, 600, 600)]),
        (0.5, [(8, 0, 500)]),
        (0.9, [(8, 0, 600), (16, 300, 0)]),
        (1.5, [(8, 0, 600), (16, 600, 300)]),
        (9.0, [(8, 0, 600), (16, 600, 7800)]),
    ],
)
def test_the_levels_of_a_run_end_where_it_does(
    kimg: float | None, levels: list[tuple[int, int, int]]
) -> None:
    config = TrainConfig(init_size=8, max_size=16, phase=600, kimg=kimg)
    reached = list(stages_reached(config))
    assert [(stage.size, stage.fade, stage.stay) for stage in reached] == levels
    assert sum(stage.fade + stage.stay for stage in reached) == total_images(config)


def test_kimg_sets_the_end() -> None:
    assert total_images(TrainConfig(kimg=0.5)) == 500


def test_sched_takes_batch_and_learning_rate_from_the_level() -> None:
    config = TrainConfig(max_size=1024, phase=100, sched=True)
    early, late = phase_at(config, 0), phase_at(config, 10**6)
    assert (early.batch, early.lr) == (256, 1e-3)
    assert (late.batch, late.lr) == (8, 3e-3)


def test_sched_is_that_of_the_paper_and_its_ports() -> None:
    """Learning rates: Karras et al. 2019, appendix C; batches: the usual PyTorch ones."""
    config = TrainConfig(max_size=1024, phase=100, sched=True)
    rates = {128: 1.5e-3, 256: 2e-3, 512: 3e-3, 1024: 3e-3}
    batches = {8: 256, 16: 128, 32: 64, 64: 32, 128: 32, 256: 32, 512: 16, 1024: 8}
    for stage in stages(config):
        assert (stage.lr, stage.batch) == (rates.get(stage.size, 1e-3), batches[stage.size])


def test_explicit_batch_and_learning_rate_win_over_sched() -> None:
    phase = phase_at(TrainConfig(max_size=1024, sched=True, batch=5, lr=7e-4), 0)
    assert (phase.batch, phase.lr) == (5, 7e-4)


def test_a_run_entered_in_the_middle_takes_the_same_steps() -> None:
    config = TrainConfig(max_size=32, phase=300, sched=True)
    steps = phases_from(config, 0)
    for nimg, _ in steps[:: len(steps) // 7]:
        assert phases_from(config, nimg) == [step for step in steps if step[0] >= nimg]


def test_a_run_that_starts_at_its_last_size_never_fades() -> None:
    config = TrainConfig(init_size=64, max_size=64, phase=100)
    assert {phase.alpha for _, phase in phases_from(config, 0)} == {1.0}


@pytest.mark.parametrize("batch", [None, 7, 16, 300])
@pytest.mark.parametrize("kimg", [None, 0.9, 5.0])
def test_steps_are_numbered_without_gaps_whatever_the_batches(
    batch: int | None, kimg: float | None
) -> None:
    config = TrainConfig(max_size=32, phase=300, sched=True, batch=batch, kimg=kimg)
    steps = phases_from(config, 0)
    assert [step_number(config, nimg) for nimg, _ in steps] == list(range(len(steps)))


def test_a_kimg_beyond_the_schedule_lets_the_largest_level_stay() -> None:
    config = TrainConfig(max_size=16, phase=100, kimg=9)
    assert phase_at(config, 8999) == Phase(16, 1.0, 16, 1e-3)
    assert total_images(config) == 9000
