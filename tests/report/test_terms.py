"""Every setting and fact of a run has a term of the field."""

from __future__ import annotations

import dataclasses
import re
from pathlib import Path
from typing import Any

import pytest
from phantoms.runs import make_run

from mri_gan.cli.training.train import command
from mri_gan.config import Stage, TrainConfig
from mri_gan.report.facts import read_run
from mri_gan.report.page import build_report
from mri_gan.report.sections import say_setting
from mri_gan.report.terms import MACHINE, SETTINGS, flatten, say_name
from mri_gan.train.run_folder import describe_environment

FIELDS = {field.name for field in dataclasses.fields(TrainConfig)}
# Options of train that arrive in a field of another name
RENAMED = {"schedule_file": "schedule", "condition_names": "conditions"}


def test_every_setting_has_a_term_of_its_own() -> None:
    assert set(SETTINGS) == FIELDS
    assert len({*SETTINGS.values()}) == len(SETTINGS)
    assert not [term for term in SETTINGS.values() if "_" in term]


def test_every_option_of_train_that_a_report_shows_has_a_term() -> None:
    names = {RENAMED.get(str(param.name), str(param.name)) for param in command.params}
    shown = names & FIELDS
    assert len(shown) > 30
    assert shown <= set(SETTINGS)


def test_every_fact_of_the_machine_has_a_term() -> None:
    assert set(describe_environment("cpu")) <= set(MACHINE)
    assert flatten({"torch": "2", "environment": {"device": "cpu"}}) == {
        "torch": "2",
        "device": "cpu",
    }


def test_a_report_has_terms_and_no_names_of_the_program(tmp_path: Path) -> None:
    page = build_report(read_run(make_run(tmp_path / "R")))
    rows = dict(re.findall(r'<th scope="row">([^<]*)</th><td[^>]*>([^<]*)</td>', page))
    assert rows["critic steps per generator step"] == "1"
    assert rows["PyTorch"] == "2.13.0"
    assert not set(rows) & {"n critic", "gp weight", "lr", "torch", "data digest"}


@pytest.mark.parametrize(
    ("settings", "has_first"),
    [
        ({"arch": "stylegan", "init_size": 8}, True),
        ({"arch": "stylegan2", "init_size": 8}, False),
        ({"arch": "stylegan", "init_size": 16}, False),
    ],
)
def test_a_first_level_is_told_where_there_are_several(
    tmp_path: Path, settings: Any, has_first: bool
) -> None:
    page = build_report(read_run(make_run(tmp_path / "R", max_size=16, **settings)))
    assert "largest level, px" in page
    assert ("first level, px" in page) == has_first


def test_a_setting_of_another_version_is_shown_by_its_own_name() -> None:
    assert say_name("odd_one") == "odd one"


@pytest.mark.parametrize(
    ("value", "said"),
    [
        (
            [dataclasses.asdict(Stage(8, 0, 480, 32)), dataclasses.asdict(Stage(16, 48, 96, 8))],
            "8 px: 480 images, batch 32, learning rate 0.001; "
            "16 px: fade-in 48, then 96 images, batch 8, learning rate 0.001",
        ),
        ([{"size": 8}], "size: 8"),
    ],
)
def test_levels_are_told_one_after_the_other(value: object, said: str) -> None:
    assert say_setting(value) == said
