"""A schedule of the user's own: one line for each level, checked with the line that is wrong."""

import json
from dataclasses import replace
from pathlib import Path

import pytest

from mri_gan.config import Stage, TrainConfig
from mri_gan.errors import UsageError
from mri_gan.schedule import phase_at, read_schedule, starts, total_images

TABLE = """# for a small scanner study
size\tfade\tstay\tbatch\tlr
8\t0\t1e3\t32\t0.001
16\t500\t2000\t16\t0.0015
32\t800\t0\t8\t
"""
STAGES = (Stage(8, 0, 1000, 32, 1e-3), Stage(16, 500, 2000, 16, 1.5e-3), Stage(32, 800, 0, 8))


def test_a_table_and_json_say_the_same(tmp_path: Path) -> None:
    (tmp_path / "s.tsv").write_text(TABLE)
    rows = [{"size": s.size, "fade": s.fade, "stay": s.stay, "batch": s.batch, "lr": s.lr}
            for s in STAGES]  # fmt: skip
    (tmp_path / "s.json").write_text(json.dumps(rows))
    assert read_schedule(tmp_path / "s.tsv") == read_schedule(tmp_path / "s.json") == STAGES


def test_it_decides_sizes_batches_rates_and_the_end() -> None:
    config = TrainConfig(max_size=32, schedule=STAGES)
    assert starts(config)[:-1] == (0, 1000, 3500)
    assert total_images(config) == 4300
    assert (phase_at(config, 999).batch, phase_at(config, 1250).alpha) == (32, 0.5)
    assert phase_at(config, 3900).alpha == 0.5
    assert phase_at(config, 2000).lr == 1.5e-3


def test_it_is_part_of_the_settings_and_survives_json() -> None:
    config = TrainConfig(max_size=32, schedule=STAGES)
    assert TrainConfig.from_dict(json.loads(json.dumps(config.to_dict()))) == config
    assert config.to_dict() != TrainConfig(max_size=32).to_dict()


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("", "has no levels"),
        ("size\tfade\n8\t0\n", "level 2 lacks stay, batch"),
        ("size\tfade\tstay\tbatch\tcolour\n8\t0\t9\t9\tred\n", "has colour"),
        ("size\tfade\tstay\tbatch\n8\t0\tmany\t9\n", "stay many is not a number"),
        ("size\tfade\tstay\tbatch\n8\t0\t9.5\t9\n", "whole number"),
        ("size\tfade\tstay\tbatch\n8\t0\tinf\t9\n", "is not a number"),
        ("size\tfade\tstay\tbatch\n12\t0\t9\t9\n", "12 is not a level"),
        ("size\tfade\tstay\tbatch\n8\t9\t9\t9\n", "nothing to fade in from"),
        ("size\tfade\tstay\tbatch\n8\t0\t9\t9\n32\t9\t9\t9\n", "32 px follows 8 px"),
        ("size\tfade\tstay\tbatch\n8\t0\t9\t0\n", "batch 0"),
        ("size\tfade\tstay\tbatch\n8\t0\t0\t4\n", "gets no images"),
        ("size\tfade\tstay\tbatch\tlr\n8\t0\t9\t4\t-1\n", "lr -1"),
    ],
)
def test_a_mistake_is_named_with_its_file(tmp_path: Path, text: str, says: str) -> None:
    path = tmp_path / "mine.tsv"
    path.write_text(text)
    with pytest.raises(UsageError, match=says) as error:
        read_schedule(path)
    assert "mine.tsv" in str(error.value)


@pytest.mark.parametrize("text", ["{", '{"size": 8}', "[8]"])
def test_json_that_is_no_list_of_levels_is_named(tmp_path: Path, text: str) -> None:
    (tmp_path / "mine.json").write_text(text)
    with pytest.raises(UsageError, match=r"mine\.json"):
        read_schedule(tmp_path / "mine.json")


def test_a_schedule_beside_options_that_it_replaces_is_refused() -> None:
    config = TrainConfig(max_size=32, schedule=STAGES)
    for change in ({"batch": 4}, {"sched": True}, {"max_size": 64}):
        with pytest.raises(UsageError, match="--schedule"):
            replace(config, **change)
