"""Real file names and what they say; masks are told from images; the rest follows plain rules."""

from __future__ import annotations

import random
from collections.abc import Sequence

import phantoms
import pytest

from mri_gan.ingest.options import PrepareConfig
from mri_gan.ingest.plan.filenames import identify_all, is_mask, split_of
from mri_gan.ingest.source import Naming

COURSE = "keras_png_slices_data/"
AKOA = "AKOA_Analysis/OAI9000798_BaseLine_"
OASIS_1 = "disc1/OAS1_0001_MR1/"
T88 = "PROCESSED/MPRAGE/T88_111/OAS1_0001_MR1_mpr_n4_anon_111_t88"


def identify(*names: str) -> Naming:
    """What the first of several paths says."""
    return identify_all(names, PrepareConfig())[0]


def course(subject: str, split: str, position: int, mask: bool = False) -> Naming:
    return Naming("oasis-course", subject, "", split, "", "axial", position, mask)


def akoa(session: str, side: str, position: int) -> Naming:
    return Naming("akoa", "OAI9000798", session, "", side, "sagittal", position)


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        (
            f"{COURSE}keras_png_slices_train/case_001_slice_0.nii.png",
            course("001", "train", 0),
        ),
        (
            f"{COURSE}keras_png_slices_validate/case_402_slice_31.nii.png",
            course("402", "validate", 31),
        ),
        (
            f"{COURSE}{COURSE}keras_png_slices_test/case_441_slice_9.nii.png",
            course("441", "test", 9),
        ),
        (
            f"{COURSE}keras_png_slices_test/slices/case_441_slice_9.nii.png",
            course("441", "test", 9),
        ),
        (
            f"{COURSE}keras_png_slices_seg_train/seg_001_slice_0.nii.png",
            course("001", "train", 0, mask=True),
        ),
        (f"{AKOA}3_de3d1_SAG_3D_DESS_WE_LEFT.nii.gz_0.png", akoa("3", "left", 0)),
        (f"{AKOA}3de3d1_SAG_3D_DESS_WE_Left.nii.gz_39.png", akoa("3", "left", 39)),
        (f"{AKOA}4_de3d1_SAG_3D_DESS_WE_left.nii.gz_7.png", akoa("4", "left", 7)),
        (f"{AKOA}100_de3d1_SAG_3D_DESS_WE_L_E_F_T.nii.gz_7.png", akoa("100", "left", 7)),
        (f"{AKOA}101de3d1_SAG_3D_DESS_WE_RIGHT.nii.gz_7.png", akoa("101", "right", 7)),
        (f"{AKOA}4_de3d1_SAG_3D_DESS_WE_Right.nii.gz_7.png", akoa("4", "right", 7)),
        (f"{AKOA}4_de3d1_SAG_3D_DESS_WE_right.nii.gz_7.png", akoa("4", "right", 7)),
        (f"{AKOA}4_de3d1_SAG_3D_DESS_WE_R_I_G_H_T.nii.gz_7.png", akoa("4", "right", 7)),
        (
            f"{OASIS_1}{T88}_masked_gfc.nii.gz",
            Naming("oasis1", "OAS1_0001", "1", contrast="t1"),
        ),
        (
            "disc2/OAS1_0061_MR2/RAW/OAS1_0061_MR2_mpr-1_anon.nii",
            Naming("oasis1", "OAS1_0061", "2", contrast="t1"),
        ),
        (
            f"{OASIS_1}FSL_SEG/OAS1_0001_MR1_mpr_n4_anon_111_t88_masked_gfc_fseg.nii",
            Naming("oasis1", "OAS1_0001", "1", mask=True, contrast="t1"),
        ),
        (
            "sub-OAS30001_ses-d0129_run-02_T1w.nii.gz",
            Naming("bids", "OAS30001", "d0129", contrast="t1", run="02"),
        ),
        (
            "bids/sub-OAS30001/ses-d0129/anat/sub-OAS30001_sess-d0129_acq-TSE_T1w.nii.gz",
            Naming("bids", "OAS30001", "d0129", contrast="t1"),
        ),
        ("sub-01_T1w.nii.gz", Naming("bids", "01", contrast="t1")),
        (
            "Learn2Reg/imagesTr/OASIS_0001_0000.nii.gz",
            Naming("learn2reg", "OASIS_0001"),
        ),
        (
            "Learn2Reg/labelsTr/OASIS_0001_0000.nii.gz",
            Naming("learn2reg", "OASIS_0001", mask=True),
        ),
        (
            "neurite/OASIS_OAS1_0001_MR1/norm.nii.gz",
            Naming("neurite", "OAS1_0001", "1", contrast="t1"),
        ),
        (
            "neurite/OASIS_OAS1_0001_MR1/orig.nii.gz",
            Naming("neurite", "OAS1_0001", "1", contrast="t1"),
        ),
        (
            "neurite/OASIS_OAS1_0001_MR1/seg4.nii.gz",
            Naming("neurite", "OAS1_0001", "1", mask=True, contrast="t1"),
        ),
        (
            "neurite/OASIS_OAS1_0001_MR1/aligned_seg35.nii.gz",
            Naming("neurite", "OAS1_0001", "1", mask=True, contrast="t1"),
        ),
        ("scans/0042_t1.nii.gz", Naming("volumes", "0042", contrast="t1")),
        ("scans/anna.nii", Naming("volumes", "anna")),
        ("scans/val/anna.nii", Naming("volumes", "anna", split="validate")),
    ],
)
def test_real_names(name: str, expected: Naming) -> None:
    assert identify(name) == expected


@pytest.mark.parametrize(
    ("name", "subject", "split", "position"),
    [
        ("set/p1/slice_007.png", "p1", "", 7),
        ("set/p1/007.png", "p1", "", 7),
        ("set/anna_12.png", "anna", "", 12),
        ("set/anna-slice12.jpg", "anna", "", 12),
        ("set/anna.png", "anna", "", -1),
        ("set/train/anna_3.png", "anna", "train", 3),
        ("set/Testing/anna_3.tif", "anna", "test", 3),
        ("set/12.png", "all", "", 12),
    ],
)
def test_other_images_are_named_by_folder_and_number(
    name: str, subject: str, split: str, position: int
) -> None:
    found = identify(name, "set/another/bert_4.png")
    assert (found.layout, found.subject) == ("images", subject)
    assert (found.split, found.position) == (split, position)


def test_slices_of_one_folder_belong_to_one_subject() -> None:
    names = [f"set/{p}/img{i:03d}.png" for p in ("p1", "p2") for i in range(12)]
    found = identify_all(names, PrepareConfig())
    assert [naming.subject for naming in found] == ["p1"] * 12 + ["p2"] * 12


@pytest.mark.parametrize(
    "name",
    [
        "a/labelsTr/x.nii",
        "masks/x.png",
        "x_seg.nii.gz",
        "x_mask.png",
        "brain_labels.nii",
        "aseg.nii",
        "x_brainmask.nii.gz",
        "x-seg4.nii",
        "mask.png",
    ],
)
def test_masks(name: str) -> None:
    assert is_mask(name)


@pytest.mark.parametrize(
    "name",
    [
        "a/imagesTr/x.nii",
        "damasked.png",
        "x_t88_masked_gfc.nii",  # a scan without its skull, no mask
        "segovia_1.png",
        "maskell/anna_1.png",
        "label1.png/x.png",
    ],
)
def test_images_that_only_sound_like_masks(name: str) -> None:
    assert not is_mask(name)


@pytest.mark.parametrize(
    ("name", "split"),
    [
        ("a/train/x.png", "train"),
        ("a/VAL/b/x.png", "validate"),
        ("a/validation/x.png", "validate"),
        ("train/a/test/x.png", "test"),
        ("a/trainees/x.png", ""),
        ("train.png", ""),
    ],
)
def test_splits_come_from_folders(name: str, split: str) -> None:
    assert split_of(name) == split


@pytest.mark.parametrize("spelling", ["OAS1_0001_MR1", "oas1_0001_mr1"])
def test_one_person_is_one_subject_however_the_name_is_spelled(spelling: str) -> None:
    assert identify(f"{spelling}/norm.nii").subject == "OAS1_0001"


def test_a_whole_akoa_archive_is_read_as_such() -> None:
    found = identify_all(list(phantoms.akoa_files(people=8)), PrepareConfig())
    assert {naming.layout for naming in found} == {"akoa"}
    assert {naming.side for naming in found} == {"left", "right"}
    assert {naming.session for naming in found} == {"3", "4", "100", "101"}
    assert len({naming.subject for naming in found}) == 8


def test_a_whole_course_archive_is_read_as_such() -> None:
    found = identify_all(list(phantoms.oasis_course_files(slices=1)), PrepareConfig())
    assert {naming.layout for naming in found} == {"oasis-course"}
    assert sum(naming.mask for naming in found) == len(found) // 2


@pytest.mark.parametrize(
    ("paths", "people"),
    [
        (["p1/p1.nii", "p2/p2.nii", "p2/p3.nii"], ["p1", "p2", "p3"]),
        (["p1/p1.nii", "p2/p2.nii", "p2/t1.nii"], ["p1", "p2", "p2"]),  # another kind of name
        (["p1/p1.nii", "p1/p2.nii", "p2/p1.nii", "p2/p2.nii"], ["p1", "p1", "p2", "p2"]),
    ],
)
def test_files_named_as_folders_are_beside_another_of_that_kind(
    paths: list[str], people: list[str]
) -> None:
    found = [naming.subject for naming in identify_all(paths, PrepareConfig())]
    assert [name.rpartition("/")[2] for name in found] == people


def people_of(names: Sequence[str]) -> list[str]:
    return [naming.subject for naming in identify_all(names, PrepareConfig())]


SLICES_FIRST = (
    "{k:03}-P{p:02}.png",
    "{k:03}_sub-{p:02}.png",
    "{k:03}_sub{p:02}_T1.png",
    "{k:03}_ses-1_sub-{p:02}.png",
    "{k}_patient_{p}.png",
    "slice_{k}_patient_{p}.png",
    "set/slice_{k:03}/S{p:03}.png",
    "set/{k:03}/patient {p}.png",
    "{k:03}_S{p:04}.png",
)


@pytest.mark.parametrize("form", SLICES_FIRST)
def test_a_slice_s_number_may_stand_before_the_person(form: str) -> None:
    pairs = [(p, k) for p in range(1, 13) for k in range(3, 20)]
    found = people_of([form.format(p=p, k=k) for p, k in pairs])
    assert len({(p, who) for (p, _), who in zip(pairs, found, strict=True)}) == 12
    assert len(set(found)) == 12


def test_the_number_that_leaves_gaps_is_the_person() -> None:
    """`010_S001`: all people have slices without gaps, but none begins with the same one."""
    pairs = [(p, k) for p in range(1, 13) for k in range(10 + p % 4, 30 - p % 3)]
    found = people_of([f"{k:03}_S{p:03}.png" for p, k in pairs])
    assert len({(p, who) for (p, _), who in zip(pairs, found, strict=True)}) == 12
    assert len(set(found)) == 12


def test_the_number_that_no_two_splits_share_is_the_person() -> None:
    pairs = [(p, k) for p in range(1, 13) for k in range(1, 20)]
    names = [f"{'train' if p < 9 else 'test'}/{k:03}_S{p:03}.png" for p, k in pairs]
    found = people_of(names)
    assert len({(p, who) for (p, _), who in zip(pairs, found, strict=True)}) == 12
    assert len(set(found)) == 12


@pytest.mark.parametrize("form", ["{p:03}_S{k:03}.png", "set/{p:03}/S{k:03}.png"])
@pytest.mark.parametrize("missing", [0, 1, 5, 25])
def test_people_before_their_slices_stay_people(form: str, missing: int) -> None:
    chance = random.Random(1)
    pairs = [(p, k) for p in range(1, 13) for k in range(1, 21)]
    kept = [pair for pair in pairs if 100 * chance.random() >= missing and pair != (1, missing)]
    found = people_of([form.format(p=p, k=k) for p, k in kept])
    assert len({(p, who) for (p, _), who in zip(kept, found, strict=True)}) == 12
    assert len(set(found)) == 12


LONI = (
    "ADNI/002_S_{who}/{scan}/{day}/S1/ADNI_002_S_{who}_MR_MPR__N3__Scaled_Br_{stamp}_S1_I2.nii",
    "PPMI/{who}/{scan}/{day}/I2/PPMI_{who}_MR_MPRAGE_br_raw_{stamp}_1_S1_I2.nii",
    "NIFD/1_S_{who}/{scan}/{day}/I2/NIFD_1_S_{who}_MR_MPRAGE_br_raw_{stamp}.nii",  # of no scheme
    "AD/{who}/{scan}/{day}/I2/AIBL_{who}_MR_MPRAGE_br_raw_{stamp}_1_S1_I2_80.png",
)


@pytest.mark.parametrize("form", LONI)
def test_a_visit_of_loni_is_its_folder_s_day_and_not_the_stamp_of_the_file(form: str) -> None:
    """Two visits were processed on one day, and of the first a repeat on another one."""
    scans = (
        ("MPR", "2006-04-18_08_20_30.0", "20070319110000123"),
        ("MPR", "2006-11-02_08_16_44.0", "20070319110001"),
        ("MPR-R", "2006-04-18_08_20_30.0", "20081001114556321"),
    )
    names = [
        form.format(who=who, scan=scan, day=day, stamp=stamp)
        for who in ("0295", "0413", "0619")
        for scan, day, stamp in scans
    ]
    found = identify_all(names, PrepareConfig(classes=form.startswith("AD/")))
    assert [naming.session for naming in found] == ["20060418", "20061102", "20060418"] * 3
    assert len({naming.subject for naming in found}) == 3
