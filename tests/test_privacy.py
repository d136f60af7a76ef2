"""Nothing that can be shared says who was scanned, when, where, or on whose computer.

People, dates, ids, paths and a home folder are planted in sources; then every file that `mrigan`
writes is searched for them, unpacked as far as it can be: zips, tars, gzip, PNG texts, data URIs.
"""

from __future__ import annotations

import base64
import gzip
import io
import json
import re
import shutil
import socket
import sys
import tarfile
import zipfile
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
import phantoms
import pytest
import torch
from click.testing import CliRunner
from phantoms import ada_pickles
from PIL import Image

import mri_gan
from mri_gan.cli.main import cli
from mri_gan.cli.options import command_line
from mri_gan.cli.training.train import FILES
from mri_gan.cli.training.train import command as train_command
from mri_gan.explore.scene import Explorer
from mri_gan.ingest.source import Member
from mri_gan.store.reader import StoreReader
from mri_gan.synth import export_model
from mri_gan.synth.sample import load_trained

NAME, HOME, HOSPITAL = "Mustermannova", "home_of_erika", "Charite-Planted"
PLANTED = [
    *(NAME, HOME, HOSPITAL, "PID-471147", "19560704", "20190213", "9012345", "OAI90", "labels_of"),
    *(sys.prefix, str(Path(mri_gan.__file__).parents[1]), str(Path(torch.__file__).parent)),
    *[name for name in [socket.gethostname()] if len(name) > 5],  # short ones occur by chance
]
KEPT = {"ids.key"}  # which the program says not to pass on


def mrigan(*words: object) -> None:
    sys.argv[1:] = [str(word) for word in words]  # which a run keeps, without what can name people
    done = CliRunner().invoke(cli, [str(word) for word in words], prog_name="mrigan")
    assert done.exit_code in (0, 1), done.stderr or done.output
    assert done.exception is None or isinstance(done.exception, SystemExit), done.exc_info


def unpacked(name: str, data: bytes) -> Iterator[tuple[str, bytes]]:
    """The content of a file and of whatever is packed in it, each with where it was found."""
    yield name, data
    if zipfile.is_zipfile(io.BytesIO(data)):
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            yield f"{name}: names", " ".join(archive.namelist()).encode() + archive.comment
            for info in archive.infolist():
                yield from unpacked(f"{name}:{info.filename}", archive.read(info))
    elif data[:2] == b"\x1f\x8b":
        yield from unpacked(f"{name} unpacked", gzip.decompress(data))
    elif data[257:262] == b"ustar":
        with tarfile.open(fileobj=io.BytesIO(data)) as archive:
            for member in archive.getmembers():
                yield f"{name}:{member.name}", f"{member.name} {member.uname}".encode()
                file = archive.extractfile(member)
                yield from unpacked(f"{name}:{member.name}", file.read() if file else b"")
    elif data[:8] == b"\x89PNG\r\n\x1a\n":
        with Image.open(io.BytesIO(data)) as picture:
            picture.load()
            yield f"{name}: texts", repr(picture.info).encode()
    for number, found in enumerate(re.findall(rb"base64,([A-Za-z0-9+/=]+)", data)):
        yield from unpacked(f"{name} URI {number}", base64.b64decode(found))


def search(folder: Path, planted: list[str]) -> list[str]:
    """Where something planted lies in a folder's files or their names."""
    found = []
    for path in sorted(folder.rglob("*")):
        where = path.relative_to(folder).as_posix()
        if not path.is_file() or path.name in KEPT:
            continue
        contents = [("name", where.encode()), *unpacked(where, path.read_bytes())]
        for place, data in contents:
            low = data.lower()
            found += [f"{place}: {word}" for word in planted if word.lower().encode() in low]
    return found


@pytest.fixture(autouse=True)
def words_of_this_process(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let `mrigan` put its words where a command line would be."""
    monkeypatch.setattr(sys, "argv", [sys.argv[0]])


def volume_with_names() -> bytes:
    """A NIfTI whose texts and extensions name the person, the day and the hospital."""
    image: Any = nib.Nifti1Image(phantoms.brain_volume((12, 14, 10)).astype(np.float32), np.eye(4))
    image.header["descrip"], image.header["db_name"] = f"{NAME} 20190213", "PID-471147"
    image.header["aux_file"], image.header["intent_name"] = f"/{HOME}/a", NAME
    for code, text in ((6, f"{NAME} at {HOSPITAL}"), (4, f"<home>/{HOME}/19560704</home>")):
        image.header.extensions.append(nib.nifti1.Nifti1Extension(code, text.encode()))
    data: bytes = image.to_bytes()
    return data


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A home folder of one person's scans, slices with OAI numbers, and damaged files."""
    home = tmp_path / HOME
    scans = home / "scans"
    series = phantoms.dicom_files(
        phantoms.brain_volume(),
        patient=f"{NAME}^Erika",
        PatientID="PID-471147",
        PatientBirthDate="19560704",
        StudyDate="20190213",
        InstitutionName=HOSPITAL,
        ImageComments=f"{NAME} seen on 20190213",
    )
    phantoms.write_folder(scans, {Path(name).name: data for name, data in series.items()})
    akoa = phantoms.akoa_files(people=8, slices=3)
    renamed = {name.replace("OAI900000", "OAI901234"): data for name, data in akoa.items()}
    phantoms.write_zip(scans / "akoa.zip", renamed)
    sidecar = json.dumps({"PatientName": NAME}).encode()
    anatomy = {"scan.nii": volume_with_names(), "scan.json": sidecar}
    phantoms.write_folder(scans / "sub-9012345" / "anat", anatomy)
    (scans / "broken.png").write_bytes(b"no picture")
    (scans / "broken.zip").write_bytes(b"no zip")
    monkeypatch.setenv("HOME", str(home))
    return home


def prepare(home: Path) -> Path:
    store = home.parent / "shared" / "store"
    mrigan("prepare", home / "scans", "--out", store, "--workers", 0, "--ids", "auto")
    return store


def train(home: Path, store: Path) -> Path:
    """A run that was told a label from a table in the home folder."""
    with StoreReader(store) as opened:
        subjects = sorted({record.subject for record in opened.records})
    lines = [f"{subject}\t{'ab'[i % 2]}" for i, subject in enumerate(subjects)]
    table = home / f"labels_of_{NAME}.tsv"
    table.write_text("subject\tgroup\n" + "\n".join(lines) + "\n")
    run = home.parent / "shared" / "run"
    words = ["--arch", "dcgan", "--max-size", 8, "--capacity", 0.05, "--batch", 4, "--kimg", 0.008]
    words += ["--condition", "group", "--phase", 8]
    settings = home / f"{NAME}.toml"
    settings.write_text(f"# settings of {NAME}\nlabels = '{table}'\n")
    words += ["--config", settings]
    mrigan("train", store, "--out", run, *words)
    return run


# Older versions of torch cannot make two of them.
NEWER = ("torch-export", "onnx") if torch.__version__ >= "2.13" else ()
FORMATS = ("safetensors", "torchscript", *NEWER, "medigan", "monai")


def draw(run: Path, store: Path, shared: Path) -> None:
    mrigan("test", run, "--rows", 1, "--cols", 2, "--data", store, "--out", shared / "test")
    mrigan("generate", run, "--seeds", "0-1", "--out", shared / "png")
    mrigan("generate", run, "--seeds", "0-1", "--format", "zip", "--out", shared / "f.zip")
    mrigan("generate", run, "--seeds", "0-1", "--format", "nifti", "--out", shared / "nifti")
    mrigan("walk", run, "--seeds", "0-1", "--steps", 2, "--out", shared / "walk.png")
    picture = next((shared / "png").glob("seed*.png"))
    mrigan("project", picture, "--ckpt", run, "--steps", 2, "--out", shared / "found")
    explorer = Explorer(load_trained(run))
    explorer.save(explorer.read_scene({}), shared / "explored")
    for format_ in FORMATS:
        mrigan("export-model", run, "--format", format_, "--out", shared / format_)


def judge(run: Path, store: Path, home: Path) -> None:
    """Every judgement of the run and of pictures in the home folder, and a comparison of runs."""
    shared = run.parent
    few = ["--data", store, "--count", 64]
    mrigan("evaluate", run, *few, "--features", "none", "--out", shared / "evaluation")
    mrigan("audit", run, *few, "--out", shared / "audit")
    pictures = home / "fakes"  # whose own name is kept
    mrigan("generate", run, "--seeds", "0-63", "--out", pictures)
    mrigan("audit", "--images", pictures, *few, "--out", shared / "audit-of-images")
    shutil.copytree(run, shared / "run_2")
    mrigan("compare", run, shared / "run_2", "--out", shared / "comparison.html")


def bring(home: Path, shared: Path) -> None:
    """A network of another program, whose file holds where its training set was."""
    value, _ = ada_pickles.snapshot()
    value["training_set_kwargs"]["path"] = f"/{HOME}/{NAME}/scans.zip"
    ada_pickles.save_networks(home / "network.pkl", value)
    mrigan("import", home / "network.pkl", "--out", shared / "imported.pt")


def look(home: Path, shared: Path) -> None:
    """What `inspect` prints of a folder, which may be passed on as well."""
    slices = home / "slices"
    phantoms.write_folder(slices, {"broken.png": b"no picture", **phantoms.akoa_files(2, 2)})
    done = CliRunner().invoke(cli, ["inspect", str(slices), "--json", "--workers", "0"])
    (shared / "inspected.json").write_text(done.stdout)
    assert json.loads(done.stdout)["skipped"][0]["source"] == "slices/broken.png"


def planted(home: Path) -> list[str]:
    """All that must not be found, the temporary folder of this test among it."""
    return [*PLANTED, str(home.parent), *home.parent.parts[-1:]]


@pytest.mark.slow
def test_nothing_private_is_in_judgements_and_pages(home: Path) -> None:
    shared = home.parent / "shared"
    store = prepare(home)
    run = train(home, store)
    judge(run, store, home)
    mrigan("report", run)
    names = {path.name for path in shared.iterdir()}
    assert {"evaluation", "audit", "audit-of-images", "comparison.html"} <= names
    assert "\n".join(search(shared, planted(home))) == ""


@pytest.mark.slow
def test_nothing_private_is_in_what_utility_finds(home: Path) -> None:
    shared = home.parent / "shared"
    phantoms.write_zip(home / "scans" / "more.zip", phantoms.akoa_files(people=25, slices=4))
    store = prepare(home)
    brief = ["--task", "position", "--count", 64, "--steps", 2]
    mrigan("utility", train(home, store), "--data", store, *brief, "--out", shared / "utility")
    assert list((shared / "utility").iterdir())
    assert "\n".join(search(shared, planted(home))) == ""


def test_nothing_private_is_in_parts_imports_and_tables(home: Path) -> None:
    shared = home.parent / "shared"
    shared.mkdir()
    bring(home, shared)
    look(home, shared)
    for number in (1, 2):
        part = shared / f"part_{number}"
        words = [
            "--shard",
            f"{number}/2",
            "--out",
            part,
            "--workers",
            0,
            "--id-key",
            home / "a.key",
        ]
        mrigan("prepare", home / "scans", *words)
    mrigan("merge", shared / "part_1", shared / "part_2", "--out", shared / "merged")
    assert {"merged", "imported.pt", "inspected.json"} <= {path.name for path in shared.iterdir()}
    assert "\n".join(search(shared, planted(home))) == ""


def test_nothing_private_is_in_what_can_be_shared(home: Path) -> None:
    shared = home.parent / "shared"
    store = prepare(home)
    run = train(home, store)
    for format_ in ("png", "nifti", "stylegan-zip", "stylegan-lmdb", "webdataset"):
        extra = ["--split", "train"] if format_ == "nifti" else []
        mrigan("export", store, "--format", format_, *extra, "--out", shared / f"as-{format_}")
    draw(run, store, shared)
    mrigan("report", run)
    names = {path.name for path in shared.iterdir()}
    assert {"store", "run", "as-webdataset", "found", *FORMATS} <= names
    assert list((shared / "explored").glob("*.png"))
    assert "\n".join(search(shared, planted(home))) == ""
    facts = json.loads((run / "config.json").read_text())
    assert facts["options"]["labels"]
    assert facts["command"][:3] == ["mrigan", "train", "STORE"]


CONTAINERS: dict[str, Callable[[bytes], bytes]] = {
    "text": lambda data: data,
    "a zip": lambda data: _zip("x", data),
    "a zip's name": lambda data: _zip(data.decode(), b""),
    "a zip in a zip": lambda data: _zip("y.zip", _zip("x", data)),
    "gzip": gzip.compress,
    "a PNG's text": lambda data: _png(data),
    "a picture in a page": lambda data: b"data:image/png;base64," + base64.b64encode(_png(data)),
}


def _zip(name: str, data: bytes) -> bytes:
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr(name, data)
    return stream.getvalue()


def _png(text: bytes) -> bytes:
    """A PNG with a compressed text chunk."""
    body = b"zTXt" + b"Comment\0\0" + zlib.compress(text)
    chunk = (len(body) - 4).to_bytes(4, "big") + body + zlib.crc32(body).to_bytes(4, "big")
    data = phantoms.png_bytes(phantoms.slice_pixels(8, 8))
    return data[:33] + chunk + data[33:]


@pytest.mark.parametrize("name", CONTAINERS)
def test_the_search_finds_what_is_planted(tmp_path: Path, name: str) -> None:
    (tmp_path / "file").write_bytes(CONTAINERS[name](f"scan of {NAME.upper()}".encode()))
    assert search(tmp_path, [NAME])
    assert not search(tmp_path, ["Nobody"])


def test_a_store_that_names_folders_would_be_found(
    home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Member, "public_label", property(lambda member: member.label))
    assert search(prepare(home), [HOME])


def test_a_run_keeps_its_command_without_names_of_files() -> None:
    """A folder may be called as another option's value is."""
    words = ["8", "--out=Mueller", "--labels", "Erika.tsv", "--schedule", "m.toml"]
    words += ["--ckpt", "Erika/", "--lr", "0.5", "--gp-weight=1e-3", "--phase", "8", "--no-flip"]
    words += ["--condition", "age", "--condition", "group", "-q", "--mixing"]
    with train_command.make_context("train", words):
        kept = " ".join(command_line(FILES))
    assert kept == (
        "mrigan train STORE --out RUN --phase 8 --lr 0.5 --schedule FILE --mixing --no-flip "
        "--gp-weight 1e-3 --condition age --condition group --labels LABELS --ckpt CKPT --quiet"
    )


def test_a_program_that_names_its_source_lines_would_be_found(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from phantoms.models import SMALL, save_untrained

    from mri_gan.nets.build import DrawSettings
    from mri_gan.synth.export_model import write_model
    from mri_gan.synth.figures import Drawing

    drawing = Drawing(
        load_trained(save_untrained(tmp_path / "run", SMALL, alpha=1.0)), DrawSettings(16)
    )
    monkeypatch.setattr(export_model, "drop_debug", lambda data: data)
    write_model(drawing, "torchscript", tmp_path / "model")
    assert search(tmp_path / "model", PLANTED)
