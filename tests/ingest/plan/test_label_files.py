"""StyleGAN data sets: classes become labels, there and back; nobody is taken for somebody else."""

from __future__ import annotations

import io
import json
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import phantoms
import pytest
from click.testing import CliRunner
from PIL import Image

from mri_gan.cli.main import cli
from mri_gan.errors import DataError, UsageError
from mri_gan.ingest.options import PrepareConfig
from mri_gan.ingest.plan.label_files import say_nameless
from mri_gan.ingest.plan.plan import Plan, build_plan
from mri_gan.store.reader import StoreReader

NAMES = [f"00000/img{i:08d}.png" for i in range(6)]


def png(seed: int) -> bytes:
    stream = io.BytesIO()
    pixels = np.random.default_rng(seed).integers(0, 255, (32, 32), np.uint8)
    Image.fromarray(pixels).save(stream, "PNG")
    return stream.getvalue()


def write_zip(path: Path, content: Any, names: list[str] = NAMES) -> Path:
    """A data set as StyleGAN's tool writes it: numbered pictures, then `dataset.json`."""
    with zipfile.ZipFile(path, "w") as archive:
        for i, name in enumerate(names):
            archive.writestr(name, png(i))
        archive.writestr(
            "dataset.json", content if isinstance(content, str) else json.dumps(content)
        )
    return path


def plan_of(*paths: Path, **choices: Any) -> Plan:
    return build_plan(paths, PrepareConfig(**choices))


CLASSES = {"labels": [[name, i % 3] for i, name in enumerate(NAMES)]}


def test_numbers_become_a_class_and_each_picture_a_person(tmp_path: Path) -> None:
    plan = plan_of(write_zip(tmp_path / "a.zip", CLASSES))
    assert [s.labels for s in plan.sources] == [{"class": str(i % 3)} for i in range(6)]
    assert len({s.naming.subject for s in plan.sources}) == 6
    assert plan.layouts == ("stylegan",)
    assert plan.ignored_kinds == {"tables of labels (read)": 1}


def test_pictures_of_nobody_are_told_and_doubted_more_beside_scans(tmp_path: Path) -> None:
    first = write_zip(tmp_path / "a.zip", CLASSES)
    alone = plan_of(first).doubts
    assert alone[0].startswith("6 of the files are from a StyleGAN data set")
    assert "other files" not in alone[0]
    one = [source for source in plan_of(first).sources if source.labels][:1]
    assert say_nameless(one).startswith("1 of the files is from a StyleGAN data set")
    for person in ("sub-01", "sub-02"):
        scan = tmp_path / "scans" / person / f"{person}_T1w_slice3.png"
        scan.parent.mkdir(parents=True)
        scan.write_bytes(png(90))
    assert "StyleGAN" not in " ".join(plan_of(tmp_path / "scans").doubts)
    beside = plan_of(first, tmp_path / "scans").doubts
    assert beside[0].startswith("6 of the files")
    assert "among the other files, too" in beside[0]


@pytest.mark.parametrize(
    ("content", "labels"),
    [
        ({"labels": None}, None),
        ({"labels": []}, None),
        ({"labels": dict.fromkeys(NAMES, 1)}, {"class": "1"}),
        ({"labels": [[n.replace("/", "\\"), 0] for n in NAMES]}, {"class": "0"}),
        ({"labels": [[n, [0.5, 2]] for n in NAMES]}, {"class_0": 0.5, "class_1": 2.0}),
        (
            {
                "labels": [[n, 1] for n in NAMES],
                "class_names": ["AD", "CN"],
                "class_column": "group",
            },
            {"group": "CN"},
        ),
    ],
)
def test_the_forms_that_labels_have(tmp_path: Path, content: Any, labels: Any) -> None:
    plan = plan_of(write_zip(tmp_path / "a.zip", content))
    assert {str(s.labels) for s in plan.sources} == {str(labels)}
    assert len({s.naming.subject for s in plan.sources}) == 6


def test_a_folder_of_the_same_files_is_read_alike(tmp_path: Path) -> None:
    zipfile.ZipFile(write_zip(tmp_path / "a.zip", CLASSES)).extractall(tmp_path / "set")
    plan = plan_of(tmp_path / "set")
    assert [s.labels for s in plan.sources] == [{"class": str(i % 3)} for i in range(6)]


def test_files_with_names_of_their_own_keep_their_people(tmp_path: Path) -> None:
    names = ["anna_1.png", "anna_2.png", "bert_1.png"]
    content = {"labels": [[name, 0] for name in names]}
    plan = plan_of(write_zip(tmp_path / "a.zip", content, names))
    assert len({s.naming.subject for s in plan.sources}) == 2
    assert all(s.labels == {"class": "0"} for s in plan.sources)


def test_another_programs_file_of_this_name_changes_nothing(tmp_path: Path) -> None:
    plan = plan_of(write_zip(tmp_path / "a.zip", {"numTraining": 5}))
    assert all(s.labels is None for s in plan.sources)
    assert "stylegan" not in plan.layouts


@pytest.mark.parametrize("content", ["{", '{"labels": 3}', '{"labels": [["a", "b"]]}'])
def test_labels_that_cannot_be_read_are_one_line(tmp_path: Path, content: str) -> None:
    with pytest.raises(DataError, match=r"a\.zip:dataset\.json") as caught:
        plan_of(write_zip(tmp_path / "a.zip", content))
    assert "\n" not in str(caught.value)


def test_labels_travel_there_and_back_with_their_names(
    prepare: Callable[..., Path], tmp_path: Path
) -> None:
    content = {**CLASSES, "class_names": ["AD", "CN", "MCI"], "class_column": "group"}
    folder = prepare(tmp_path / "s", write_zip(tmp_path / "a.zip", content))
    done = CliRunner().invoke(
        cli, ["export", str(folder), "--format", "stylegan-zip", "--out", str(tmp_path / "b.zip")]
    )
    assert "group (0 AD, 1 CN, 2 MCI)" in done.stdout
    with zipfile.ZipFile(tmp_path / "b.zip") as archive:
        assert json.loads(archive.read("dataset.json")) == content
    again = prepare(tmp_path / "t", tmp_path / "b.zip")
    with StoreReader(folder) as first, StoreReader(again) as second:
        labels = [[r.labels for r in store.records] for store in (first, second)]
    assert labels[0] == labels[1] == [{"group": ("AD", "CN", "MCI")[i % 3]} for i in range(6)]


def test_prepare_warns_that_people_are_not_known(tmp_path: Path) -> None:
    path = write_zip(tmp_path / "a.zip", CLASSES)
    done = CliRunner().invoke(cli, ["prepare", str(path), "--out", str(tmp_path / "s")])
    assert done.exit_code == 0, done.stderr
    assert "each counts as a different person" in done.stderr


NNUNET = {"channel_names": {"0": "T1", "1": "FLAIR"}, "labels": {"background": 0, "all": [1, 2]}}
MSD = {"modality": {"0": "MRI"}, "labels": {"0": "background", "1": "Anterior"}, "numTraining": 2}


def test_channels_of_nnunet_are_called_as_its_table_says(tmp_path: Path) -> None:
    files = [f"imagesTr/BRATS_00{i}_000{c}.png" for i in (1, 2) for c in (0, 1)]
    plan = plan_of(write_zip(tmp_path / "a.zip", NNUNET, files))
    assert [s.naming.contrast for s in plan.sources] == ["t1", "flair"] * 2
    assert all(source.labels is None for source in plan.sources)


@pytest.mark.parametrize("word", ["0001", "FLAIR", "flair", "t2f"])
def test_a_channel_is_chosen_by_its_number_and_by_its_name(tmp_path: Path, word: str) -> None:
    files = [f"imagesTr/BRATS_00{i}_000{c}.png" for i in (1, 2) for c in (0, 1)]
    plan = plan_of(write_zip(tmp_path / "a.zip", NNUNET, files), contrast=(word,))
    assert [s.member.name for s in plan.sources] == files[1::2]


@pytest.mark.parametrize("words", [("0001", "0000"), ("flair", "t1"), ("0001", "T1")])
def test_channels_are_joined_by_their_numbers_and_by_their_names(
    tmp_path: Path, words: tuple[str, ...]
) -> None:
    files = [f"imagesTr/BRATS_00{i}_000{c}.png" for i in (1, 2) for c in (0, 1)]
    plan = plan_of(write_zip(tmp_path / "a.zip", NNUNET, files), channels=words)
    assert [s.member.name for s in plan.sources] == files[1::2]
    assert [s.channels[0].member.name for s in plan.sources] == files[::2]


def test_a_channel_of_a_name_of_its_own_is_chosen_by_it(tmp_path: Path) -> None:
    table = NNUNET | {"channel_names": {"0": "Late Arterial", "1": "Pre"}}
    files = [f"imagesTr/liver_00{i}_000{c}.png" for i in (1, 2) for c in (0, 1)]
    for word in ("0000", "Late Arterial", "late arterial"):
        found = plan_of(write_zip(tmp_path / f"{word}.zip", table, files), contrast=(word,))
        assert [s.member.name for s in found.sources] == files[::2]


def test_a_table_of_the_msd_is_none_of_classes(tmp_path: Path) -> None:
    plan = plan_of(write_zip(tmp_path / "a.zip", MSD, ["imagesTr/a_001.png", "imagesTr/a_002.png"]))
    assert len(plan.sources) == 2
    assert all(source.labels is None for source in plan.sources)


def bids_of_visits(folder: Path, visits: str) -> Path:
    scan = phantoms.nifti_bytes(phantoms.brain_volume())
    names = [f"sub-{who}/ses-{n}/anat/sub-{who}_ses-{n}_T1w.nii" for who in "ab" for n in (1, 2)]
    files = dict.fromkeys(names, scan)
    files["participants.tsv"] = b"participant_id\tage\tsex\nsub-a\t60\tF\nsub-b\t70\tM\n"
    files["sub-a/sub-a_sessions.tsv"] = visits.encode()
    return phantoms.write_folder(folder, files)


def test_a_table_of_visits_says_more_than_that_of_people(tmp_path: Path) -> None:
    visits = "session_id\tage\tsex\nses-1\tn/a\tn/a\nses-2\t62,5\tn/a\n"
    plan = build_plan([bids_of_visits(tmp_path / "in", visits)], PrepareConfig())
    said = {(s.naming.subject, s.naming.session): s.labels for s in plan.sources}
    assert said == {
        ("a", "1"): {"age": 60.0, "sex": "F"},
        ("a", "2"): {"age": 62.5, "sex": "F"},
        ("b", "1"): {"age": 70.0, "sex": "M"},
        ("b", "2"): {"age": 70.0, "sex": "M"},
    }
    assert plan.ignored_kinds == {"tables of labels (read)": 2}
    assert plan.conclusion.endswith("; decimal commas of age are read as points")


def test_a_table_of_visits_that_names_none_is_one_line(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="has no column of visits: name one session_id"):
        build_plan([bids_of_visits(tmp_path / "in", "age\n62\n")], PrepareConfig())


PATIENTS = "file\tperson\tgeburtsdatum\tname\tage\nanna.nii\tA1\t12.03.1958\tAnna\t66\n"


def one_of(folder: Path, layout: str) -> Path:
    """A scan of one person, as DICOM or called `anna.nii`, and `patients.tsv` beside it."""
    scans = folder / "scans"
    files = {"anna.nii": b""}
    if layout == "dicom":
        named = phantoms.dicom_files(phantoms.brain_volume((12, 14, 10)))
        files = {f"anna.nii/{Path(name).name}": data for name, data in named.items()}
    phantoms.write_folder(scans, files)
    (folder / "patients.tsv").write_text(PATIENTS)
    return scans


@pytest.mark.parametrize(("layout", "ids"), [("dicom", "auto"), ("volumes", "pseudonym")])
def test_labels_that_name_people_are_refused_beside_pseudonyms(
    tmp_path: Path, layout: str, ids: Any
) -> None:
    scans, table = one_of(tmp_path, layout), tmp_path / "patients.tsv"
    telling = r"labels may tell who somebody is: geburtsdatum \(by its header\), name"
    with pytest.raises(UsageError, match=telling) as refused:
        build_plan([scans], PrepareConfig(ids=ids), people_file=table)
    assert "take these columns out of the table, or keep" in refused.value.hint
    kept = build_plan([scans], PrepareConfig(ids="keep"), people_file=table)
    assert kept.sources[0].labels == {"geburtsdatum": "12.03.1958", "name": "Anna", "age": 66.0}
    table.write_text("file\tperson\tage\nanna.nii\tA1\t66\n")
    hidden = build_plan([scans], PrepareConfig(ids=ids), people_file=table)
    assert hidden.sources[0].labels == {"age": 66.0}


def test_names_that_are_kept_may_have_any_labels(tmp_path: Path) -> None:
    scans = one_of(tmp_path, "volumes")
    plan = build_plan([scans], PrepareConfig(), people_file=tmp_path / "patients.tsv")
    assert (plan.sources[0].labels or {})["name"] == "Anna"


def test_a_table_beside_an_archive_is_read_as_one_beside_files_is(tmp_path: Path) -> None:
    names = [f"anna/t1_{k}.png" for k in range(2)] + [f"bert/t1_{k}.png" for k in range(2)]
    (tmp_path / "in" / "deep").mkdir(parents=True)
    phantoms.write_zip(tmp_path / "in" / "deep" / "a.zip", dict.fromkeys(names, png(1)))
    table = tmp_path / "in" / "participants.tsv"
    table.write_text("participant_id\tage\nanna\t60\nbert\t70\n")
    plan = plan_of(tmp_path / "in")
    said = {s.naming.subject: s.labels for s in plan.sources}
    assert said == {"anna": {"age": 60.0}, "bert": {"age": 70.0}}
    assert plan.ignored_kinds == {"tables of labels (read)": 1}
    table.write_text("participant_id\tage\nclara\t60\n")
    assert "names none of the people here" in " ".join(plan_of(tmp_path / "in").doubts)
