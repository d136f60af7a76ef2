"""`--layout` and `--naming` decide how names are read; what does not fit is said in one line."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import phantoms
import pytest

from mri_gan.errors import UsageError
from mri_gan.ingest.options import LAYOUTS, PrepareConfig
from mri_gan.ingest.plan.filenames import EXAMPLES, identify_all
from mri_gan.ingest.plan.plan import build_plan
from mri_gan.ingest.source import Naming

OWN = (
    r"(?P<split>\w+)/(?P<subject>p\d+)-(?P<session>\w)_(?P<side>[LR])_(?P<slice>\d+)"
    r"(?P<mask>_seg)?\.png"
)


def named(name: str, **choices: Any) -> Naming:
    return identify_all([name], PrepareConfig(**choices))[0]


def test_a_pattern_names_everything() -> None:
    assert named("set/val/p7-b_L_012.png", naming=OWN) == Naming(
        "naming", "p7", "b", "validate", "l", "", 12
    )
    assert named("set/val/p7-b_L_012_seg.png", naming=OWN).mask


def test_a_subject_alone_is_enough_and_is_searched_in_the_path() -> None:
    found = named("hospital/anna/scan.nii.gz", naming=r"hospital/(?P<subject>\w+)/")
    assert found == Naming("naming", "anna")


@pytest.mark.parametrize(
    ("pattern", "message"),
    [
        ("(", "not a valid regular expression"),
        (r"(\d+)", "no group named subject"),
        (r"(?P<subject>\d+)(?P<eye>.)", "unknown groups eye"),
    ],
)
def test_bad_patterns_are_refused(pattern: str, message: str) -> None:
    with pytest.raises(UsageError, match=message) as caught:
        PrepareConfig(naming=pattern)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("name", "pattern", "message"),
    [
        ("a/x.png", r"(?P<subject>\d+)", r"a/x\.png.*finds no subject.*example: --naming"),
        ("a/1.png", r"(?P<split>a)/(?P<subject>\d)", "finds the split a"),
        ("a/1b.png", r"(?P<subject>\d)(?P<slice>b)", "finds the slice b"),
    ],
)
def test_names_that_do_not_fit_are_said(name: str, pattern: str, message: str) -> None:
    with pytest.raises(UsageError, match=message):
        named(name, naming=pattern)


def test_layout_and_naming_exclude_each_other() -> None:
    with pytest.raises(UsageError, match="give one of them"):
        PrepareConfig(layout="akoa", naming="(?P<subject>x)")


@pytest.mark.parametrize("layout", [name for name in LAYOUTS if name in EXAMPLES])
def test_the_example_of_each_layout_fits_it_and_others_do_not(layout: str) -> None:
    assert named(EXAMPLES[layout], layout=layout).layout == layout
    with pytest.raises(UsageError, match=rf"anna\.nii: does not match --layout {layout}"):
        named("anna.nii", layout=layout)


def test_every_layout_is_known() -> None:
    assert set(LAYOUTS) == set(EXAMPLES) | {"auto", "images"}


def test_images_fits_everything_even_an_akoa_name() -> None:
    assert named(EXAMPLES["akoa"], layout="images").layout == "images"


def test_the_choice_reaches_the_plan(tmp_path: Path) -> None:
    folder = phantoms.write_folder(
        tmp_path / "s", {f"{k}_{who}.png": b"" for who in ("ann", "bob") for k in range(3)}
    )
    config = PrepareConfig(naming=r"(?P<slice>\d)_(?P<subject>\w+)\.png")
    plan = build_plan([folder], config)
    assert {s.naming.subject for s in plan.sources} == {"ann", "bob"}
    assert plan.digest != build_plan([folder], PrepareConfig()).digest
