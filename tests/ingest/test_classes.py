"""Folders as labels: plain image sets such as MNIST, and scans sorted by diagnosis."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import phantoms
import pytest

from mri_gan.errors import UsageError
from mri_gan.ingest.options import PrepareConfig
from mri_gan.ingest.plan.plan import build_plan
from mri_gan.store.reader import StoreReader

Prepare = Callable[..., Path]


def named(folder: Path, names: list[str], **choices: Any) -> list[tuple[Any, str, str]]:
    """(class, subject, split) of every file."""
    top = phantoms.write_folder(folder / "set", dict.fromkeys(names, b""))
    plan = build_plan([top], PrepareConfig(**choices))
    return [((s.labels or {}).get("class"), s.naming.subject, s.naming.split) for s in plan.sources]


def test_mnist_digits_are_classes_and_every_image_is_alone(tmp_path: Path) -> None:
    names = ["training/0/1.png", "training/7/21.png", "training/7/9.png", "testing/7/9.png"]
    found = named(tmp_path, names, classes=True)
    assert [(label, split) for label, _, split in found] == [
        ("7", "test"),
        ("0", "train"),
        ("7", "train"),
        ("7", "train"),
    ]
    assert len({subject for _, subject, _ in found}) == 4


@pytest.mark.parametrize("word", ["img_", "image-", "slice", ""])
def test_a_word_and_a_number_is_no_person(tmp_path: Path, word: str) -> None:
    names = [f"{label}/{word}{n}.png" for label in ("cat", "dog") for n in (1, 2)]
    found = named(tmp_path, names, classes=True)
    assert len({subject for _, subject, _ in found}) == 4


# As collections on Kaggle name them, whose pictures say of nobody whose they are.
NAMELESS = {
    "four stages": [
        "NonDemented/nonDem{}",
        "VeryMildDemented/verymildDem{}",
        "MildDemented/26 ({})",
    ],
    "tumours, shortened": [
        "glioma/Tr-gl_{:04}",
        "glioma/Te-gl_{:04}",
        "glioma/Tr-glTr_{:04}",
        "glioma/Te-glTr_{:04}",
        "notumor/Tr-no_{:04}",
    ],
    "tumours, numbered": [
        "meningioma_tumor/m ({})",
        "meningioma_tumor/m1({})",
        "meningioma_tumor/m2 ({})",
        "no_tumor/image({})",
        "no_tumor/{}",
        "glioma_tumor/gg ({})",
    ],
    "yes and no": ["yes/Y{}", "no/N{}", "no/{} no"],
}


@pytest.mark.parametrize("forms", NAMELESS.values(), ids=NAMELESS)
def test_short_names_of_classes_are_nobody_and_that_is_warned_about(
    tmp_path: Path, forms: list[str]
) -> None:
    names = [f"{form.format(n)}.jpg" for form in forms for n in range(12)]
    top = phantoms.write_folder(tmp_path / "set", dict.fromkeys(names, b""))
    plan = build_plan([top], PrepareConfig(classes=True))
    assert len({s.naming.subject for s in plan.sources}) == len(names)
    assert any(f"each of the {len(names)} images" in doubt for doubt in plan.doubts)


@pytest.mark.parametrize("who", ["sub{:02}", "00{}_S_1234"])
def test_folders_of_people_within_those_of_classes_are_people(tmp_path: Path, who: str) -> None:
    people = {who.format(n): ("AD", "CN")[n % 2] for n in range(6)}
    names = [f"{label}/{name}/{z}.png" for name, label in people.items() for z in (1, 2)]
    found = named(tmp_path, names, classes=True)
    assert {subject: label for label, subject, _ in found} == people


PEOPLE = {"gesund": ["Müller_Änne", "Weiß_Ida"], "krank": ["Groß_Jörg", "Kurz_Bernd"]}


def test_folders_called_as_people_are_no_classes(tmp_path: Path) -> None:
    names = [
        f"{group}/{who}/Schicht_{n:02}.png"
        for group, people in PEOPLE.items()
        for who in people
        for n in (1, 2)
    ]
    top = phantoms.write_folder(tmp_path / "set", dict.fromkeys(names, b""))
    plan = build_plan([top], PrepareConfig(classes=True, ids="pseudonym"))
    assert {s.naming.label for s in plan.sources} == {"gesund", "krank"}
    assert len({s.naming.subject for s in plan.sources}) == 4
    assert plan.conclusion.endswith("; classes by the folders above those of people: gesund, krank")


@pytest.mark.parametrize(
    ("labels", "images"),
    [
        (["Weiß_Ida", "Kurz_Bernd"], ["img_1", "img_2"]),  # called as people are
        (["anna", "bert", "carl"], ["x1_1", "x1_2"]),  # one person each
    ],
)
def test_a_class_that_tells_a_person_is_refused_beside_pseudonyms(
    tmp_path: Path, labels: list[str], images: list[str]
) -> None:
    names = [f"{one}/{image}.png" for one in labels for image in images]
    names = [name.replace("x1", f"p{labels.index(name.split('/')[0])}") for name in names]
    with pytest.raises(UsageError, match="may tell who somebody is") as raised:
        named(tmp_path, names, classes=True, ids="pseudonym")
    assert min(labels) in raised.value.message
    assert named(tmp_path / "kept", names, classes=True, ids="keep")


def test_single_names_within_folders_of_groups_are_no_classes_beside_pseudonyms(
    tmp_path: Path,
) -> None:
    people = {"gesund": ["Müller", "Weiß"], "krank": ["Groß", "Kurz"]}
    names = [f"{g}/{who}/{n}.png" for g, both in people.items() for who in both for n in (1, 2)]
    with pytest.raises(UsageError, match="may tell who somebody is"):
        named(tmp_path, names, classes=True, ids="pseudonym")
    known = [f"{part}/{kind}/{n}.png" for part in "ab" for kind in ("ad", "cn") for n in (1, 2)]
    assert named(tmp_path / "known", known, classes=True, ids="pseudonym")


def test_a_class_that_holds_the_name_of_its_person_is_refused_beside_pseudonyms(
    tmp_path: Path,
) -> None:
    names = [f"{label}/p07_{n}.png" for label in ("of p07", "sick") for n in (1, 2)]
    names += [f"sick/p{who}_1.png" for who in range(10, 20)]
    pattern = r"(?P<class>[^/]+)/(?P<subject>p\d+)_(?P<slice>\d+)\.png"
    with pytest.raises(UsageError, match="the class of p07 may tell"):
        named(tmp_path, names, naming=pattern, ids="pseudonym")


def test_classes_that_many_people_share_are_kept_beside_pseudonyms(tmp_path: Path) -> None:
    names = [f"{label}/p{who}_1.png" for label in ("sick", "well") for who in range(10, 20)]
    names = [n.replace("/p", "/q") if n.startswith("well") else n for n in names]
    found = named(tmp_path, names, classes=True, ids="pseudonym")
    assert {label for label, _, _ in found} == {"sick", "well"}


def test_people_within_classes_may_have_folders_of_contrasts(tmp_path: Path) -> None:
    people = {f"{n:05}": ("0", "1")[n % 2] for n in range(6)}
    names = [
        f"train/{label}/{who}/{contrast}/Image-{z}.png"
        for who, label in people.items()
        for contrast in ("FLAIR", "T1wCE")
        for z in (1, 2)
    ]
    found = named(tmp_path, names, classes=True)
    assert {subject: label for label, subject, _ in found} == people


@pytest.mark.parametrize("form", ["{}/{}_{}_12.png", "{}/{}_{}.nii.gz"])
def test_the_contrasts_of_a_person_in_a_class_are_one_person(tmp_path: Path, form: str) -> None:
    people = {"p01": "AD", "p02": "CN", "p03": "AD", "p04": "CN"}
    names = [form.format(label, who, c) for who, label in people.items() for c in ("t1", "flair")]
    found = named(tmp_path, names, classes=True)
    assert {subject: label for label, subject, _ in found} == people


def test_dicom_series_have_the_class_of_their_folder(tmp_path: Path) -> None:
    pytest.importorskip("pydicom")
    brain = np.floor(phantoms.brain_volume()).astype(np.float32)
    files = {
        f"{n % 2}/{n:05}/T1w/{name}": data
        for n in range(6)
        for name, data in phantoms.dicom_files(brain + n, patient=f"id{n}", uid=f"1.2.{n}").items()
    }
    top = phantoms.write_folder(tmp_path / "set", files)
    plan = build_plan([top], PrepareConfig(classes=True))
    assert sorted((s.labels or {})["class"] for s in plan.sources) == ["0"] * 3 + ["1"] * 3


def test_the_same_classes_in_two_folders_are_classes(tmp_path: Path) -> None:
    names = [f"{view}/KL{n}/{k}.png" for view in ("axial", "sag") for n in (0, 1) for k in (1, 2)]
    found = named(tmp_path, names, classes=True)
    assert {label for label, _, _ in found} == {"KL0", "KL1"}


def test_a_few_people_among_images_of_nobody_do_not_hide_the_warning(tmp_path: Path) -> None:
    names = [f"{label}/{n}.png" for label in ("yes", "no") for n in range(9)]
    names += ["yes/p07_1.png", "yes/p07_2.png"]
    top = phantoms.write_folder(tmp_path / "set", dict.fromkeys(names, b""))
    plan = build_plan([top], PrepareConfig(classes=True))
    assert any("each of 18 of the 20 images" in doubt for doubt in plan.doubts)


def test_a_person_of_two_classes_stays_one_person(tmp_path: Path) -> None:
    names = ["AD/p07_1.png", "CN/p07_2.png", "CN/p08_1.png"]
    found = named(tmp_path, names, classes=True)
    assert [(label, subject) for label, subject, _ in found] == [
        ("AD", "p07"),
        ("CN", "p07"),
        ("CN", "p08"),
    ]
    splits = {subject: split for _, subject, split in found}
    assert len(splits) == 2


def test_a_person_whose_classes_lie_in_two_splits_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="subject p07 is in two splits"):
        named(tmp_path, ["train/AD/p07_1.png", "test/CN/p07_2.png"], classes=True)


def test_images_in_one_folder_have_no_classes(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="all images are in folders named set"):
        named(tmp_path, ["1.png", "2.png"], classes=True)


def test_without_the_option_a_folder_is_a_person(tmp_path: Path) -> None:
    found = named(tmp_path, ["0/1.png", "0/2.png", "1/1.png"])
    assert [(label, subject) for label, subject, _ in found] == [
        (None, "0"),
        (None, "0"),
        (None, "1"),
    ]


def test_a_naming_of_ones_own_may_say_the_class(tmp_path: Path) -> None:
    naming = r"(?P<class>AD|CN)-(?P<subject>p\d)-(?P<slice>\d)"
    assert named(tmp_path, ["AD-p1-3.png", "CN-p2-4.png"], naming=naming, split=(100, 0, 0)) == [
        ("AD", "p1", "train"),
        ("CN", "p2", "train"),
    ]


def test_classes_reach_the_slice_records(tmp_path: Path, prepare: Prepare) -> None:
    files = {
        f"mnist_png/training/{label}/{n}.png": phantoms.png_bytes(phantoms.slice_pixels(28, 28, n))
        for label in "01"
        for n in range(3)
    }
    archive = phantoms.write_zip(tmp_path / "mnist.zip", files)
    with StoreReader(prepare(tmp_path / "s", archive, classes=True)) as store:
        assert [record.labels for record in store.records] == [{"class": "0"}] * 3 + [
            {"class": "1"}
        ] * 3
        assert store.summary["native"] == {"32": 6}


@pytest.mark.parametrize("choice", [{"layout": "akoa"}, {"naming": r"(?P<subject>\d)"}])
def test_classes_go_with_no_other_naming(choice: Any) -> None:
    with pytest.raises(UsageError, match="--classes"):
        PrepareConfig(classes=True, **choice)
