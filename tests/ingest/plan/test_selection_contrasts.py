"""Which scans of a mixed set are taken: by contrast, by pattern, and never maps or series."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import phantoms
import pytest

from mri_gan.errors import DataError, UsageError
from mri_gan.ingest.plan.plan import Plan, build_plan
from mri_gan.preparation import PrepareConfig

BIDS = (
    *("anat/{}_T1w", "anat/{}_T2w", "anat/{}_FLAIR", "fmap/{}_phasediff", "fmap/{}_magnitude1"),
    *("perf/{}_m0scan", "func/{}_task-rest_bold", "func/{}_task-rest_sbref"),
)
COPIES = (
    "anat/{}_space-MNI152NLin2009cAsym_desc-preproc_T1w",
    *("anat/{}_label-GM_probseg", "anat/{}_desc-brain_mask"),
)


def bids(folder: Path) -> Path:
    who = ("sub-01", "sub-02")
    names = [f"ds/{w}/{name.format(w)}.nii.gz" for w in who for name in BIDS]
    names += [f"ds/derivatives/fmriprep/{w}/{n.format(w)}.nii.gz" for w in who for n in COPIES]
    return phantoms.write_folder(folder, dict.fromkeys(names, b"")) / "ds"


def plan_of(path: Path, **choices: Any) -> Plan:
    return build_plan([path], PrepareConfig(**choices))


def kinds(plan: Plan) -> dict[str, int]:
    found: dict[str, int] = {}
    for source in plan.sources:
        found[source.naming.contrast] = found.get(source.naming.contrast, 0) + 1
    return found


def test_maps_series_and_copies_are_counted_as_what_they_are(tmp_path: Path) -> None:
    plan = plan_of(bids(tmp_path))
    assert kinds(plan) == {"t1": 2, "t2": 2, "flair": 2}
    assert plan.masks == 2
    assert plan.left_out == {
        "phase image": 2,
        "field map": 2,
        "reference image": 4,
        "fMRI": 2,
        "derivative": 2,
        "probability map": 2,
    }


@pytest.mark.parametrize(
    ("contrast", "expected"),
    [
        ("T1w", {"t1": 2}),
        ("t2", {"t2": 2}),
        ("FLAIR,T1w", {"t1": 2, "flair": 2}),
        ("bold", {"bold": 2}),
    ],
)
def test_a_contrast_can_be_chosen(tmp_path: Path, contrast: str, expected: dict[str, int]) -> None:
    plan = plan_of(bids(tmp_path), contrast=tuple(contrast.split(",")))
    assert kinds(plan) == expected
    assert not any("contrasts" in doubt for doubt in plan.doubts)


def test_a_contrast_that_nobody_has_is_refused_with_those_that_are_there(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"--contrast swi: no scan has this.*flair.*t1, t2"):
        plan_of(bids(tmp_path), contrast=("swi",))


def test_copies_alone_are_taken(tmp_path: Path) -> None:
    plan = plan_of(bids(tmp_path) / "derivatives")
    assert kinds(plan) == {"t1": 2}


def test_patterns_choose_files(tmp_path: Path) -> None:
    top = bids(tmp_path)
    plan = plan_of(top, include=("*_T1w.nii.gz",), exclude=("derivatives/*",))
    assert kinds(plan) == {"t1": 2}
    assert plan.left_out["left out by name"] == 22 - 2
    assert kinds(plan_of(top, exclude=("anat/*_t2w*", "*/derivatives/*"))) == {"t1": 2, "flair": 2}
    with pytest.raises(DataError, match="--include and --exclude leave 22 out"):
        plan_of(top, include=("nothing*",))


def test_one_version_of_a_freesurfer_scan_is_taken_and_brainmask_is_no_mask(
    tmp_path: Path,
) -> None:
    versions = ("T1", "orig", "norm", "brainmask", "aseg", "aparc+aseg", "wm")
    names = [f"subjects/{w}/mri/{v}.mgz" for w in ("bert", "ernie") for v in versions]
    top = phantoms.write_folder(tmp_path, dict.fromkeys(names, b"")) / "subjects"
    plan = plan_of(top)
    assert [s.name for s in plan.sources] == ["bert/mri/norm.mgz", "ernie/mri/norm.mgz"]
    assert (plan.masks, plan.left_out) == (6, {"derivative": 6})
    chosen = plan_of(top, scan="brainmask").sources
    assert [s.name for s in chosen] == ["bert/mri/brainmask.mgz", "ernie/mri/brainmask.mgz"]


def test_a_folder_called_masks_is_explained(tmp_path: Path) -> None:
    top = phantoms.write_folder(tmp_path / "masks", {"a/1.png": b"", "a/2.png": b""})
    with pytest.raises(DataError, match="2 masks were left out because they are in a folder"):
        plan_of(top)


@pytest.mark.parametrize("channels", [1, 2])
def test_masks_of_nnunet_belong_to_every_channel(tmp_path: Path, channels: int) -> None:
    names = [f"imagesTr/hippocampus_00{n}_000{c}.nii" for n in (1, 3) for c in range(channels)]
    names += [f"labelsTr/hippocampus_00{n}.nii" for n in (1, 3)]
    top = phantoms.write_folder(tmp_path / "Dataset004", dict.fromkeys(names, b""))
    plan = plan_of(top, masks=True)
    paired = {s.name.split("/")[-1][:15]: s.mask.name for s in plan.sources if s.mask}
    assert len(plan.sources) == 2 * channels
    assert paired == {f"hippocampus_00{n}": f"labelsTr/hippocampus_00{n}.nii" for n in (1, 3)}


def test_loose_slices_of_the_course_are_one_person(tmp_path: Path) -> None:
    names = [f"case_691_slice_{k}.nii.png" for k in range(12)]
    top = phantoms.write_folder(tmp_path / "loose", dict.fromkeys(names, b""))
    for choices in ({}, {"layout": "oasis-course"}):
        plan = plan_of(top, **choices)
        assert {s.naming.subject for s in plan.sources} == {"691"}
        assert len({s.naming.split for s in plan.sources}) == 1
