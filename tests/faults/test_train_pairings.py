"""What does not go together is one line that names it and says what to do; never a traceback."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import phantoms
import pytest
import torch
from click.testing import CliRunner

from mri_gan.checkpoint import list_checkpoints
from mri_gan.cli.main import cli
from mri_gan.files import FolderLock
from mri_gan.train import loop, monitor, run_folder
from mri_gan.train.step import train_step

Prepare = Callable[..., Path]  # see tests/conftest.py
SMALL = (
    *("--max-size", "16", "--phase", "16", "--batch", "8", "--capacity", "0.015625"),
    *("--latent-dim", "8", "--snap", "0.016", "--keep", "100", "--quiet"),
)


@pytest.fixture(scope="module")
def places(
    store: Path, prepare: Prepare, oasis_zip: Path, tmp_path_factory: pytest.TempPathFactory
) -> dict[str, Path]:
    """Stores, a run and files, good and bad, by the names that the cases use."""
    top = tmp_path_factory.mktemp("places")
    people = {"validate": 2, "test": 1}
    untrained = phantoms.oasis_course_zip(top / "untrained.zip", people=people)
    other = phantoms.oasis_course_zip(top / "other.zip", slices=3)
    made = {
        "store": store,
        "top": top,
        "untrained": prepare(top / "untrained", untrained),
        "other": prepare(top / "other", other),
        "masks": prepare(top / "masks", oasis_zip, masks=True),
        "deep": prepare(top / "deep", oasis_zip, depth=16),
        "empty": top / "empty",
        "file": top / "file.txt",
        "cut": top / "cut",
        "noise": top / "noise",
        "run": top / "run",
        "all_damaged": top / "all_damaged",
        "newer": top / "newer",
    }
    made["empty"].mkdir()
    made["file"].write_text("text")
    for name in ("cut", "noise"):
        shutil.copytree(store, made[name])
    data = (store / "data.mdb").read_bytes()
    (made["cut"] / "data.mdb").write_bytes(data[: len(data) // 2])
    (made["noise"] / "data.mdb").write_bytes(os.urandom(len(data)))
    (top / "wrong.json").write_text('[{"size": 16, "colour": "red"}]')
    (top / "broken.json").write_text("[{")
    (top / "labels.tsv").write_text("subject\tage\nnobody\t70\n")
    assert mrigan("train", store, *SMALL, "--out", made["run"]).exit_code == 0
    newest = list_checkpoints(made["run"])[0]
    made["all_damaged"].mkdir()
    (made["all_damaged"] / newest.name).write_bytes(newest.read_bytes()[:-500])
    (top / "half.pt").write_bytes(newest.read_bytes()[:5000])
    made["newer"].mkdir()
    torch.save({"format": "mrigan-checkpoint", "version": 99}, made["newer"] / newest.name)
    return made | {"ckpt": newest}


def mrigan(*words: object) -> Any:
    return CliRunner().invoke(cli, [str(word) for word in words], prog_name="mrigan")


def check_refused(done: Any, code: int, *says: str) -> None:
    """One line, with what is wrong and, behind a colon, what to do."""
    lines = done.stderr.strip().splitlines()
    assert done.exit_code == code, done.stderr
    assert len(lines) == 1, done.stderr
    assert lines[0].startswith("mrigan: ")
    assert "Traceback" not in done.output
    for text in says:
        assert text in lines[0]


OUT = ("--out", "{tmp}/run")
# Words after `train`, exit code, what the line says of the trouble, and of the remedy.
CASES: list[tuple[tuple[str, ...], int, str, str]] = [
    (("{tmp}/none", *OUT), 1, "no such store", "mrigan prepare"),
    (("{empty}", *OUT), 1, "is not a mrigan store", "mrigan prepare"),
    (("{file}", *OUT), 1, "is not a mrigan store", "mrigan prepare"),
    (("{cut}", *OUT), 1, "cut short", "copy the whole file again"),
    (("{noise}", *OUT), 1, "{noise}", "prepare it again"),
    (("{untrained}", *OUT), 2, "no training slices", "--split"),
    (("{other}", "--out", "{run}"), 2, "the training data", "another --out"),
    (
        ("{store}", "--out", "{run}", "--condition", "position"),
        2,
        "(conditions was none, now position): use the same settings",
        "another --out",
    ),
    (("{masks}", "--out", "{run}"), 2, "channels was 1, now 2", "another --out"),
    (("{deep}", "--out", "{run}"), 2, "the training data", "another --out"),
    (("{store}", "--out", "{run}", "--lr", "0.5"), 2, "lr was 0.001, now 0.5", "same settings"),
    (("{store}", "--out", "{run}", "--loss", "r1"), 2, "loss was wgan-gp, now r1", "another --out"),
    (("{store}", "--out", "{run}", "--arch", "progan"), 2, "arch was stylegan", "another --out"),
    (("{store}", "--out", "{run}", "--max-size", "32"), 2, "max_size was 16", "--transfer"),
    (("{store}", "--out", "{run}", "--batch", "4"), 2, "batch was 8, now 4", "--transfer"),
    (("{store}", "--out", "{all_damaged}"), 1, "damaged", "start a new run"),
    (("{store}", "--out", "{newer}"), 1, "format 99", "update mrigan"),
    (("{store}", "--out", "{file}"), 1, "{file}", "another name"),
    (("{store}", "--out", "{file}/run"), 1, "Not a directory", "is a file; check it"),
    (("{store}", "--out", "/proc/mrigan"), 1, "/proc/mrigan", "check"),
    (("{store}", *OUT, "--device", "cuda"), 2, "not available here", "--device cpu"),
    (("{store}", *OUT, "--device", "cuda:7"), 2, "not available here", "--device cpu"),
    (("{store}", *OUT, "--device", "abacus"), 2, "not available here", "--device cpu"),
    (("{store}", *OUT, "--ckpt", "{tmp}/no.pt"), 1, "no such file", "spelling"),
    (("{store}", *OUT, "--ckpt", "{file}"), 1, "not a mrigan checkpoint", "or a run folder"),
    (("{store}", *OUT, "--ckpt", "{top}/half.pt"), 1, "half.pt", "older checkpoint"),
    (("{store}", *OUT, "--ckpt", "{ckpt}", "--lr", "0.5"), 2, "lr was 0.001", "--transfer"),
    (("{other}", *OUT, "--ckpt", "{ckpt}"), 2, "the training data", "--transfer"),
    (("{store}", *OUT, "--transfer"), 2, "--ckpt", "give both"),
    (("{store}", *OUT, "--schedule", "{tmp}/no"), 2, "No such file", "check the spelling"),
    (("{store}", *OUT, "--schedule", "{top}/broken.json"), 2, "not valid JSON", "line 1"),
    (("{store}", *OUT, "--schedule", "{top}/wrong.json"), 2, "has colour", "size fade stay"),
    (("{store}", *OUT, "--condition", "age"), 2, "age", ":"),
    (
        ("{store}", *OUT, "--condition", "age", "--labels", "{top}/labels.tsv"),
        2,
        "names none of the subjects",
        "for example",
    ),
    (("{store}", *OUT, "--batch", "5000"), 2, "'--batch': 5000", "1<=x<=4096"),
    (("{store}", *OUT, "--init-size", "32"), 2, "--init-size 32 is above", "start at or below"),
]


@pytest.mark.parametrize(("words", "code", "trouble", "remedy"), CASES)
def test_a_wrong_pairing_is_one_line_with_a_remedy(
    places: dict[str, Path],
    tmp_path: Path,
    words: tuple[str, ...],
    code: int,
    trouble: str,
    remedy: str,
) -> None:
    names = {name: str(path) for name, path in places.items()} | {"tmp": str(tmp_path)}
    given = [word.format(**names) for word in words]
    store, *rest = given
    # What a case gives comes last and wins over the small run's settings; a schedule replaces them.
    settings = ("--quiet",) if "--schedule" in words else SMALL
    done = mrigan("train", store, *settings, *rest)
    check_refused(done, code, trouble.format(**names), remedy)


def test_there_are_thirty_cases() -> None:
    assert len(CASES) >= 30


@pytest.fixture
def own_store(store: Path, tmp_path: Path) -> Path:
    """A copy of the store that a test may hurt."""
    return Path(shutil.copytree(store, tmp_path / "own"))


@pytest.fixture
def at(monkeypatch: pytest.MonkeyPatch) -> Callable[[int, Callable[[], Any]], None]:
    """`at(nimg, act)`: have something happen when that step begins."""
    monkeypatch.setattr(run_folder, "draw_losses", lambda *_: None)
    # On a busy machine batches may come late, which a run reports in lines of its own.
    monkeypatch.setattr(monitor, "STARVED_ABOVE", 2.0)

    def install(nimg: int, act: Callable[[], Any]) -> None:
        def step(state: Any, *args: Any) -> Any:
            if state.nimg == nimg:
                act()
            return train_step(state, *args)

        monkeypatch.setattr(loop, "train_step", step)

    return install


def allocate_too_much() -> None:
    torch.empty(1 << 60)


def raise_gpu_error() -> None:
    raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 20.00 MiB. GPU 0 has ...")


def raise_memory_error() -> None:
    raise MemoryError


@pytest.mark.parametrize("act", [allocate_too_much, raise_gpu_error, raise_memory_error])
@pytest.mark.parametrize(("nimg", "level"), [(8, "8 px"), (32, "16 px")])
def test_out_of_memory_names_level_batch_and_what_would_fit(
    store: Path, tmp_path: Path, at: Any, act: Callable[[], None], nimg: int, level: str
) -> None:
    at(nimg, act)
    done = mrigan("train", store, *SMALL, "--out", tmp_path / "run")
    check_refused(done, 1, f"out of memory on cpu at {level} with 8 images", "a smaller --batch")
    saved = list_checkpoints(tmp_path / "run")
    assert (f"--ckpt {saved[0]} --transfer" if saved else "start again") in done.stderr


def test_what_is_told_after_out_of_memory_works(
    store: Path, tmp_path: Path, at: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    at(32, raise_memory_error)
    assert mrigan("train", store, *SMALL, "--out", tmp_path / "a").exit_code == 1
    monkeypatch.setattr(loop, "train_step", train_step)
    saved = list_checkpoints(tmp_path / "a")[0]
    words = ("--ckpt", saved, "--transfer", "--batch", 4, "--out", tmp_path / "b")
    assert mrigan("train", store, *SMALL, *words).exit_code == 0
    assert list_checkpoints(tmp_path / "b")[-1].name > saved.name  # it went on from there


def test_a_store_cut_short_while_training_is_told(own_store: Path, tmp_path: Path, at: Any) -> None:
    """Reading on would end the process by a bus error."""
    file = own_store / "data.mdb"
    at(16, lambda: os.truncate(file, 4096))
    done = mrigan("train", own_store, *SMALL, "--ahead", 0, "--out", tmp_path / "run")
    check_refused(done, 1, "was cut short", "run the same command again")
    assert list_checkpoints(tmp_path / "run")


def test_a_store_damaged_while_training_is_told(own_store: Path, tmp_path: Path, at: Any) -> None:
    file = own_store / "data.mdb"

    def damage() -> None:
        with file.open("r+b") as stream:
            for offset in range(4096 * 2, file.stat().st_size, 64):
                stream.seek(offset)
                byte = stream.read(1)[0]
                stream.seek(offset)
                stream.write(bytes([byte ^ 0xFF]))

    at(16, damage)
    done = mrigan("train", own_store, *SMALL, "--ahead", 0, "--out", tmp_path / "run")
    check_refused(done, 1, str(own_store), "run `mrigan prepare` again")


def test_a_store_removed_while_training_does_no_harm_until_the_next_call(
    own_store: Path, tmp_path: Path, at: Any
) -> None:
    at(16, lambda: shutil.rmtree(own_store))
    words = ("train", own_store, *SMALL, "--out", tmp_path / "run")
    assert mrigan(*words).exit_code == 0
    assert list_checkpoints(tmp_path / "run")[0].name == "ckpt-000000048.pt"
    check_refused(mrigan(*words), 1, "no such store", "mrigan prepare")


def test_a_run_folder_removed_while_training_is_told(store: Path, tmp_path: Path, at: Any) -> None:
    at(16, lambda: shutil.rmtree(tmp_path / "run"))
    words = ("train", store, *SMALL, "--out", tmp_path / "run")
    done = mrigan(*[word for word in words if word != "--quiet"])
    assert done.exit_code == 1
    assert f"{tmp_path / 'run'}" in done.stderr.splitlines()[-1]
    assert "Traceback" not in done.output


def test_a_folder_that_may_not_be_written_is_refused(
    store: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "run").mkdir()
    clean = os.access  # root may write everywhere, so it has to be told otherwise
    monkeypatch.setattr(os, "access", lambda path, mode: mode != os.W_OK and clean(path, mode))
    done = mrigan("train", store, *SMALL, "--out", tmp_path / "run")
    check_refused(done, 1, "not writable", "choose a folder")


def test_a_second_trainer_in_the_same_folder_is_refused(store: Path, tmp_path: Path) -> None:
    with FolderLock(tmp_path):
        done = mrigan("train", store, *SMALL, "--out", tmp_path)
    check_refused(done, 1, f"pid {os.getpid()} on ", "wait for it or stop it")


def test_a_trainer_that_was_overtaken_ends_and_writes_no_more(
    store: Path, tmp_path: Path, at: Any
) -> None:
    """Two machines that a network file system gave the same lock."""
    at(24, lambda: (tmp_path / ".lock").write_text("77 on elsewhere"))
    done = mrigan("train", store, *SMALL, "--out", tmp_path)
    check_refused(done, 1, "another process has begun to write here (pid 77 on elsewhere)", "stop")
    assert [path.name for path in list_checkpoints(tmp_path)] == ["ckpt-000000016.pt"]


@pytest.mark.parametrize("told", [{"WORLD_SIZE": "2"}, {"WORLD_SIZE": "many", "RANK": "0"}])
def test_half_of_an_environment_of_torchrun_is_refused(
    store: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, told: dict[str, str]
) -> None:
    for name, value in told.items():
        monkeypatch.setenv(name, value)
    done = mrigan("train", store, *SMALL, "--out", tmp_path)
    check_refused(done, 2, "WORLD_SIZE", "start with torchrun, or unset WORLD_SIZE")
