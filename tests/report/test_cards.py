"""The data sheet says what the run recorded; the model card has a header that hubs read."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import yaml
from phantoms.runs import AUDIT, FIGURE, make_run, write_result

from mri_gan.report.cards import data_sheet, model_card, model_card_section
from mri_gan.report.facts import read_run

DATA: dict[str, Any] = {
    "training_subjects": 13,
    "people": {"train": 13, "test": 4},
    "classes": {"diagnosis": {"AD": 4, "CN": 9}},
    "ages": {"people": 12, "least": 33.0, "median": 71.5, "most": 90.0},
    "left_out": {"damaged": 2, "empty_slices": 3},
    "left_out_for_missing_labels": 0,
    "trained_with_missing_labels": 46,
}


def run_with(folder: Path, data: Any) -> Path:
    run = make_run(folder)
    config = json.loads((run / "config.json").read_text())
    (run / "config.json").write_text(json.dumps({**config, "data": data}))
    return run


def rows_of(run: Path) -> dict[str, str]:
    tables = data_sheet(read_run(run)).tables
    return {name: value for table in tables for name, value in table.rows}


def test_the_data_sheet_says_who_how_many_how_old_and_what_was_left_out(tmp_path: Path) -> None:
    rows = rows_of(run_with(tmp_path / "R", DATA))
    assert rows["people trained on"] == "13"
    assert rows["people in each split"] == "train: 13, test: 4"
    assert rows["ages, all splits"] == "33 to 90, median 71.5; known for 12 people"
    assert rows_of(run_with(tmp_path / "1", {"ages": {**DATA["ages"], "people": 1}}))[
        "ages, all splits"
    ].endswith("known for 1 person")
    assert rows["diagnosis, all splits"] == "AD: 4, CN: 9"
    assert rows["slices trained on that lack a label"] == "46"
    assert rows["slices left out that lack a label"] == "0"
    assert rows["left out"] == "damaged: 2, empty slices: 3"
    assert rows["scanners"] == "not recorded"
    assert "to be filled in" in rows["consent, approval by an ethics board"]


def test_a_run_of_an_earlier_version_has_a_sheet_too(tmp_path: Path) -> None:
    assert rows_of(make_run(tmp_path / "R"))["ages, all splits"] == "not recorded"


def test_nothing_left_out_is_not_the_same_as_not_recorded(tmp_path: Path) -> None:
    rows = rows_of(run_with(tmp_path / "R", {"left_out": {}, "sex": {}}))
    assert (rows["left out"], rows["header fields removed"]) == ("none", "not recorded")
    assert rows["sex, all splits"] == "not recorded"


def header_of(card: str) -> Any:
    start, header, _ = card.split("---\n", 2)
    assert start == ""
    return yaml.safe_load(header)


def test_the_header_holds_tags_and_measured_values(tmp_path: Path) -> None:
    run = make_run(tmp_path / "R", arch="stylegan2")
    write_result(run, "evaluation", {"figures": [FIGURE], "store": {"split": "test"}})
    header = header_of(model_card_section(read_run(run)).text)
    assert {"mri", "synthetic", "stylegan2"} <= set(header["tags"])
    (result,) = header["model-index"][0]["results"]
    assert result["dataset"]["split"] == "test"
    assert result["metrics"] == [{"type": "swd 32 px", "name": "swd 32 px", "value": 21.5}]


CHECKPOINT = "image generation, checkpoint after"


@pytest.mark.parametrize(
    ("nimg", "said"),
    [
        (4000, f"{CHECKPOINT} 4,000 real images"),
        (1568, f"{CHECKPOINT} 1,568 real images; the run has a newer one of 4,000"),
        (None, "image generation"),
    ],
)
def test_the_header_says_of_which_checkpoint_its_values_are(
    tmp_path: Path, nimg: int | None, said: str
) -> None:
    run = make_run(tmp_path / "R")
    write_result(run, "evaluation", {"figures": [FIGURE], "model": {"nimg": nimg}})
    (result,) = header_of(model_card_section(read_run(run)).text)["model-index"][0]["results"]
    assert result["task"]["name"] == said


def test_the_card_repeats_the_audit_with_its_limits(tmp_path: Path) -> None:
    run = make_run(tmp_path / "R")
    write_result(run, "audit", AUDIT)
    card = model_card_section(read_run(run)).text
    assert "training set?** Fail: 3 samples are more like" in card
    assert "416 slices of 13 people; 4 people held out" in card


POSITION = {"name": "position", "values": [], "mean": 0.5, "scale": 0.3, "low": 0.0, "high": 1.0}


def test_a_conditional_network_is_called_so_in_text_and_tags(tmp_path: Path) -> None:
    run = make_run(tmp_path / "R")
    plain = model_card_section(read_run(run)).text
    assert header_of(plain)["pipeline_tag"] == "unconditional-image-generation"
    assert "| conditions | none |" in plain
    config = json.loads((run / "config.json").read_text())
    config["settings"]["conditions"] = {"columns": [{**POSITION, "gaps": False}]}
    (run / "config.json").write_text(json.dumps(config))
    write_result(run, "evaluation", {"figures": [FIGURE]})
    card = model_card_section(read_run(run)).text
    header = header_of(card)
    assert {"conditional on position", "16px"} <= set(header["tags"])
    assert "unconditional" not in card
    assert header["model-index"][0]["results"][0]["task"]["type"] == "image-generation"
    for said in ("R, conditional on position.", "| images | 16 px |", "position: numbers 0 to 1"):
        assert said in card


def test_a_card_without_a_run_leaves_open_what_it_cannot_know() -> None:
    card = model_card(None, "A generator", {"architecture": "dcgan, 1 M weights"})
    assert "dcgan" in header_of(card)["tags"]
    assert "Unknown: not audited." in card
    assert "| architecture | dcgan, 1 M weights |" in card
