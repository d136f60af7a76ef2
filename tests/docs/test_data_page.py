"""Every command on the page about data runs as it is written, on made-up archives."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import phantoms
import pytest
from click.testing import CliRunner
from naming_schemes import COLLECTIONS

from mri_gan.cli.main import cli
from mri_gan.store.reader import StoreReader

PAGE = Path(__file__).parents[2] / "docs" / "data.md"
COMMANDS = [
    line.strip()
    for line in PAGE.read_text(encoding="utf-8").splitlines()
    if line.startswith("    mrigan ") and "SOURCE" not in line
]
LANDMARKS = "mrigan prepare OASIS3/ --out A --intensity nyul"  # another command takes them from A
STORES = {  # that are exported
    "STORE": "mrigan prepare scans/ --out STORE",
    "OASIS_PRE": "mrigan prepare keras_png_slices_data.zip --out OASIS_PRE",
}
BRAIN = phantoms.brain_volume()
SCAN = phantoms.nifti_bytes(BRAIN, "LPS", gzip=True)
TISSUES = phantoms.nifti_bytes(np.digitize(BRAIN, (100, 400)), "LPS", dtype="uint8", gzip=True)


@pytest.fixture(scope="module")
def archives(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with all that the page names."""
    top = tmp_path_factory.mktemp("page")
    phantoms.oasis_course_zip(top / "keras_png_slices_data.zip")
    phantoms.akoa_zip(top / "AKOA_Analysis.zip", people=3)
    for number in (1, 2):
        disc = phantoms.oasis_disc_files(sessions=[f"OAS1_000{number}_MR1"])
        phantoms.write_tar(top / f"oasis_cross-sectional_disc{number}.tar.gz", disc)
    header, voxels = phantoms.analyze_bytes(BRAIN)
    scans = {"p01.hdr": header, "p01.img": voxels, "p02.nii.gz": SCAN}
    phantoms.write_folder(top / "scans", scans)
    (top / "splits.tsv").write_text("subject\tsplit\np01\ttrain\np02\ttest\n")
    phantoms.write_folder(top / "more_scans", {"0042.nii.gz": SCAN})
    people = {f"sub-OAS3000{i}/ses-d0/sub-OAS3000{i}_ses-d0_T1w.nii.gz": SCAN for i in range(3)}
    phantoms.write_folder(top / "OASIS3", people)
    kinds = {"orig": SCAN, "norm": SCAN, "aligned_norm": SCAN, "seg4": TISSUES}
    neurite = {f"OASIS_OAS1_0001_MR1/{kind}.nii.gz": data for kind, data in kinds.items()}
    phantoms.write_tar(top / "neurite-oasis.v1.0.tar", neurite)
    pair = {"imagesTr/OASIS_0001_0000.nii.gz": SCAN, "labelsTr/OASIS_0001_0000.nii.gz": TISSUES}
    phantoms.write_zip(top / "Learn2Reg_OASIS.zip", pair)
    brats = {
        f"BraTS2021/BraTS2021_0000{n}/BraTS2021_0000{n}_{contrast}.nii.gz": SCAN
        for n in range(2)
        for contrast in ("t1", "t1ce", "t2", "flair")
    }
    phantoms.write_folder(top, brats)
    (top / "people.tsv").write_text("file\tperson\np01.hdr\tanna\np02.nii.gz\tbert\n")
    head = phantoms.mgh_bytes(BRAIN)
    subjects = {
        f"subjects/{who}/mri/{kind}.mgz": head
        for who in ("bert", "eva")
        for kind in ("norm", "brainmask")
    }
    phantoms.write_folder(top, subjects)
    phantoms.write_folder(top / "knee_dicom", phantoms.dicom_files(BRAIN))
    digit = phantoms.png_bytes(phantoms.slice_pixels(28, 28))
    digits = {f"{part}/{n}/1.png": digit for part in ("training", "testing") for n in (0, 7)}
    phantoms.write_folder(top / "mnist_png", digits)
    phantoms.write_zip(top / "slices.zip", phantoms.slice_files(people=2, slices=2))
    rows = "".join(f"{k},{k % 2},s{k // 4}\n" for k in range(BRAIN.shape[2]))
    stack = {"Real22x26.nii.gz": SCAN, "labels.csv": f"ID,Label,Subject_ID\n{rows}".encode()}
    phantoms.write_folder(top / "data" / "ADNI" / "ADNI_train", stack)
    mine = {f"p{n}_{k}{mask}.png": digit for n in (1, 2) for k in (1, 2) for mask in ("", "_seg")}
    phantoms.write_zip(top / "mine.zip", mine)
    return top


def words_of(command: str) -> Iterator[str]:
    """The words that a shell would hand over, in this folder."""
    for word in shlex.split(command)[1:]:
        if word.startswith("~/"):
            word = str(Path.cwd() / word[2:])
        found = sorted(map(str, Path().glob(word))) if "*" in word and "?" not in word else []
        yield from found or [word]


def run(command: str) -> str:
    words = [*words_of(command), "--workers", "1" if "export" in command else "0"]
    if words[0] in ("prepare", "export"):
        words.append("--overwrite")
    result = CliRunner().invoke(cli, words, catch_exceptions=False)
    assert result.exit_code == 0, command
    # The made-up archives hold a few people only, and that is warned about.
    assert all(line.startswith("warning: ") for line in result.stderr.splitlines()), command
    return result.stdout


@pytest.mark.parametrize("command", COMMANDS)
def test_a_command_runs_as_it_is_written(
    archives: Path, monkeypatch: pytest.MonkeyPatch, command: str
) -> None:
    monkeypatch.chdir(archives)
    if "--landmarks A" in command and not Path("A").exists():
        run(LANDMARKS)
    for name, make in STORES.items():
        if f"export {name} " in command:
            run(make)
    said = run(command)
    written = re.search(r"--out (\S+)", command)
    if written is None:
        assert "as prepare would read it" in said
    elif "export" in command:
        assert Path(written[1]).exists()
        assert f"{written[1]}: " in said
    else:
        with StoreReader(Path(written[1])) as store:
            assert len(store) > 0
            assert store.summary["skipped"].keys() <= {
                "derivative",
                "unmasked",
                "another contrast",
                "left out by name",
            }


def test_the_page_links_to_the_collections_that_are_known() -> None:
    links = set(re.findall(r"\]\((http[^)]+)\)", PAGE.read_text(encoding="utf-8")))
    assert [c.name for c in COLLECTIONS if c.source not in links] == []


def test_the_page_has_commands() -> None:
    assert len(COMMANDS) >= 25
    assert LANDMARKS in COMMANDS


@pytest.mark.parametrize("name", re.findall(r"\]\(#([\w-]+)\)", PAGE.read_text(encoding="utf-8")))
def test_links_within_the_page_lead_somewhere(name: str) -> None:
    headings = re.findall(r"^## (.+)$", PAGE.read_text(encoding="utf-8"), re.MULTILINE)
    assert name in {re.sub(r"[^\w -]", "", h.lower()).replace(" ", "-") for h in headings}
