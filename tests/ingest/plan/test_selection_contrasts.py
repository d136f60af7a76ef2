"""Which scans of a mixed set are taken: by contrast, by pattern, and never maps or series."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import phantoms
import pytest

from mri_gan.errors import DataError, UsageError
from mri_gan.ingest.options import PrepareConfig
from mri_gan.ingest.plan.plan import Plan, build_plan
from mri_gan.store.reader import StoreReader

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


# The voxels of each contrast of the tree begin with another grey, so that pixels show which it is.
DARKEST = {"T1w": 0, "T2w": 150}


def plain_bids(folder: Path, *kinds: str) -> Path:
    names = {
        f"sub-{who}/ses-1/anat/sub-{who}_ses-1_{kind}.nii": ramp(DARKEST[kind])
        for who in ("01", "02", "03")
        for kind in kinds
    }
    return phantoms.write_folder(folder, names)


def ramp(darkest: int) -> bytes:
    return phantoms.nifti_bytes((darkest + np.arange(16 * 16 * 3) % 100).reshape(16, 16, 3))


KEEP: dict[str, Any] = {"intensity": "keep", "min_foreground": 0, "fit": "keep"}


@pytest.mark.parametrize("ids", ["keep", "pseudonym"])
def test_slices_of_several_contrasts_say_which_they_are(
    tmp_path: Path, prepare: Any, ids: str
) -> None:
    scans = plain_bids(tmp_path / "ds", "T1w", "T2w")
    folder = prepare(tmp_path / "s", scans, ids=ids, **KEEP)
    with StoreReader(folder) as store:
        darkest = store.read(16, range(len(store))).min(axis=(1, 2, 3))
        expected = [{0: "t1", 150: "t2"}[int(grey)] for grey in darkest]
        assert [record.contrast for record in store.records] == expected
    rows = [line.split("\t") for line in (folder / "manifest.tsv").read_text().splitlines()]
    assert [row[rows[0].index("contrast")] for row in rows[1:]] == expected


@pytest.mark.parametrize(
    ("kinds", "choices"),
    [
        (("T1w",), {}),
        (("T1w", "T2w"), {"contrast": ("t2",)}),
        (("T1w", "T2w"), {"channels": ("t1", "t2")}),
    ],
)
def test_a_store_of_one_kind_of_slices_does_not_name_its_contrast(
    tmp_path: Path, prepare: Any, kinds: tuple[str, ...], choices: dict[str, Any]
) -> None:
    folder = prepare(tmp_path / "s", plain_bids(tmp_path / "ds", *kinds), **KEEP, **choices)
    with StoreReader(folder) as store:
        assert not any(b"contrast" in record.to_json() for record in store.records)
    assert "contrast" not in (folder / "manifest.tsv").read_text().splitlines()[0]


def test_a_store_that_names_contrasts_is_of_another_plan_than_one_that_does_not(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Or a store that an earlier version began would go on with slices of two kinds."""
    scans = plain_bids(tmp_path / "ds", "T1w", "T2w")
    now = plan_of(scans).digest
    monkeypatch.setattr("mri_gan.ingest.plan.plan.tell_contrasts", lambda some, _: list(some))
    assert plan_of(scans).digest != now


def test_under_a_pseudonym_only_known_contrasts_are_named(tmp_path: Path) -> None:
    """What a user calls the channels of nnU-Net may be anything."""
    names = {f"imagesTr/case_{n}_000{c}.nii": b"" for n in (1, 2) for c in (0, 1, 2)}
    table = b'{"channel_names": {"0": "T1", "1": "FLAIR", "2": "Jane Doe"}}'
    top = phantoms.write_folder(tmp_path / "Dataset004", {**names, "dataset.json": table})
    assert {s.contrast for s in plan_of(top).sources} == {"t1", "flair", "jane doe"}
    assert {s.contrast for s in plan_of(top, ids="pseudonym").sources} == {"t1", "flair", ""}


@pytest.mark.parametrize("who", ["1", "2", "A", "t"])
def test_a_person_called_like_a_part_of_a_contrast_has_both(tmp_path: Path, who: str) -> None:
    names = [f"sub-{who}_ses-{who}_{kind}.nii" for kind in ("T1w", "T2w", "FLAIR")]
    plan = plan_of(phantoms.write_folder(tmp_path / "ds", dict.fromkeys(names, b"")))
    assert kinds(plan) == {"t1": 1, "t2": 1, "flair": 1}


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
