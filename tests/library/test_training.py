"""Callbacks of a training run: their order, how one ends a run, and what each is given."""

from __future__ import annotations

import os
import signal
import tomllib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import phantoms
import pytest
import torch
from click.testing import CliRunner

import mri_gan as mg
from mri_gan.checkpoint import digest, load_checkpoint
from mri_gan.cli.main import cli

# A tick for every step of 8 images, and a checkpoint every second step
TINY: dict[str, Any] = {
    "max_size": 8, "kimg": 0.064, "batch": 8, "capacity": 1 / 64, "device": "cpu",
    "snap_kimg": 0.016,
}  # fmt: skip
SOME_STEPS = 24  # images


class Diary(mg.Callback):
    """Keeps the names of all that is called, and notes with their text."""

    def __init__(self, shared: list[str] | None = None, name: str = "") -> None:
        self.pages: list[str] = [] if shared is None else shared
        self.name, self.errors = name, list[BaseException | None]()

    def on_begin(self, config: mg.TrainConfig, folder: Path) -> None:
        self.pages.append(f"{self.name}begin")

    def on_metrics(self, metrics: dict[str, Any]) -> bool | None:
        self.pages.append(f"{self.name}metrics {metrics['nimg']}")
        return None

    def on_note(self, text: str) -> None:
        self.pages.append(f"{self.name}note {text}")

    def on_end(self, checkpoint: Path) -> None:
        self.pages.append(f"{self.name}end")

    def on_close(self, error: BaseException | None) -> None:
        self.errors.append(error)
        self.pages.append(f"{self.name}close")


class Spoiler(mg.Callback):
    """Changes whatever it is given."""

    def on_step(self, progress: mg.Progress) -> None:
        progress.metrics.clear()

    def on_metrics(self, metrics: dict[str, Any]) -> None:
        metrics.pop("nimg")


def test_enlarged_slices_are_noted(prepare: Any, tmp_path: Path) -> None:
    small = prepare(tmp_path / "store", phantoms.slices_folder(tmp_path / "in", 9, size=16))
    diary = Diary()
    mg.train(small, tmp_path / "run", callbacks=diary, **{**TINY, "init_size": 32, "max_size": 32})
    said = "note max_size 32: no slice has more than 16 px, so all are enlarged"
    assert said in diary.pages


def test_the_command_repeats_a_run_from_the_file_in_its_folder(store: Path, tmp_path: Path) -> None:
    first = mg.train(store, tmp_path / "a", mixing=True, condition="position", keep=2, **TINY)
    kept = tomllib.loads((first.folder / "train.toml").read_text())
    assert kept == {
        "mixing": True, "condition": "position", "keep": 2, "max-size": 8, "kimg": 0.064,
        "batch": 8, "capacity": 1 / 64, "device": "cpu", "snap": 0.016,
    }  # fmt: skip
    words = ["--config", str(first.folder / "train.toml"), "--out", str(tmp_path / "b")]
    done = CliRunner().invoke(cli, ["train", str(store), *words, "--quiet"])
    assert done.exit_code == 0, done.output
    again = tmp_path / "b" / first.checkpoint.name
    assert load_checkpoint(again).config == first.config
    same = [digest(load_checkpoint(path).state) for path in (first.checkpoint, again)]
    assert same[0] == same[1]


def test_files_that_a_run_was_given_must_be_given_again(store: Path, tmp_path: Path) -> None:
    first = mg.train(store, tmp_path / "a", **TINY)
    stage = mg.Stage(8, 0, 64, 8, 1e-3)
    tiny = {k: v for k, v in TINY.items() if k not in ("max_size", "kimg", "batch")}
    again = mg.train(
        store, tmp_path / "b", start_from=first, transfer=True, schedule=[stage], **tiny
    )
    kept = (again.folder / "train.toml").read_text()
    assert "# --ckpt: give it again" in kept
    assert "# --schedule: give it again" in kept
    words = ["--config", str(again.folder / "train.toml"), "--out", str(tmp_path / "c")]
    done = CliRunner().invoke(cli, ["train", str(store), *words])
    assert done.exit_code == 2
    assert "made with --ckpt, whose file it does not name" in done.stderr


def test_what_a_callback_changes_is_its_own(store: Path, tmp_path: Path) -> None:
    diary = Diary()
    run = mg.train(store, tmp_path / "run", callbacks=[Spoiler(), diary], **TINY)
    ticks = [page for page in diary.pages if page.startswith("metrics")]
    assert ticks == [f"metrics {nimg}" for nimg in range(8, 65, 8)]
    assert run.nimg == run.metrics[-1]["nimg"] == 64
    assert "spectrum_db" in run.metrics[-1]


def test_a_run_that_continues_begins_before_its_notes(store: Path, tmp_path: Path) -> None:
    mg.train(store, tmp_path / "run", callbacks=Stop("on_metrics"), **TINY)
    shared: list[str] = []
    both = [Diary(shared, "a "), Diary(shared, "b ")]
    mg.train(store, tmp_path / "run", callbacks=both, **TINY)
    assert shared[:2] == ["a begin", "b begin"]
    assert shared[2].startswith("a note continuing from")
    assert shared[3].startswith("b note continuing from")
    assert shared[-4:] == ["a end", "b end", "b close", "a close"]


class Stop(mg.Callback):
    """Ends the run by what one of its methods returns once enough images have been shown."""

    def __init__(self, method: str, answer: Any = True) -> None:
        self.method, self.answer, self.seen = method, answer, list[int]()

    def on_step(self, progress: mg.Progress) -> bool | None:
        return self._answer("on_step", progress.nimg)

    def on_metrics(self, metrics: dict[str, Any]) -> bool | None:
        return self._answer("on_metrics", metrics["nimg"])

    def on_checkpoint(self, path: Path) -> bool | None:
        return self._answer("on_checkpoint", int(path.stem.removeprefix("ckpt-")))

    def _answer(self, method: str, nimg: int) -> bool | None:
        if method != self.method:
            return None
        self.seen.append(nimg)
        answer: bool = self.answer if nimg >= SOME_STEPS else False
        return answer


@pytest.mark.parametrize(
    ("method", "nimg", "kimg"),
    # Of the longer run there is a tick only every 64 images.
    [("on_metrics", 24, 0.064), ("on_checkpoint", 32, 0.064), ("on_step", 24, 64)],
)
def test_a_callback_ends_the_run_with_all_that_was_trained(
    store: Path, tmp_path: Path, method: str, nimg: int, kimg: float
) -> None:
    stop, diary = Stop(method), Diary()
    options = TINY | {"kimg": kimg, "snap_kimg": kimg / 4}
    run = mg.train(store, tmp_path / "run", callbacks=[stop, diary], **options)
    assert run.nimg == run.load_model("cpu").trained.nimg == run.metrics[-1]["nimg"] == nimg
    assert stop.seen[-1] == nimg
    said = f"ended by a callback at {nimg / 1000:g} of {kimg:g} kimg; the same call continues"
    assert diary.pages[-3].startswith(f"note {said}")
    assert diary.pages[-2:] == ["end", "close"]


def test_a_checkpoint_to_start_from_that_is_not_there_leaves_no_folder(
    store: Path, tmp_path: Path
) -> None:
    out = tmp_path / "run"
    with pytest.raises(mg.DataError, match="nix"):
        mg.train(store, out, start_from=tmp_path / "nix", **TINY)
    command = ["train", str(store), "--ckpt", str(tmp_path / "nix"), "--out", str(out)]
    done = CliRunner().invoke(cli, command)
    assert done.exit_code == 1
    assert "nix" in done.output
    assert not out.exists()
    run = mg.train(store, out, **TINY)
    mg.train(store, out, start_from=tmp_path / "nix", **TINY)  # which it needs no more
    assert run.checkpoint.exists()


@pytest.mark.parametrize("by_command", [False, True])
def test_a_run_to_start_from_is_read_once(
    store: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, by_command: bool
) -> None:
    start = mg.train(store, tmp_path / "a", **TINY).folder
    read, load = list[Path](), torch.load

    def note(path: Path, **options: Any) -> Any:
        read.append(path)
        return load(path, **options)

    monkeypatch.setattr(torch, "load", note)
    if by_command:
        words = "--max-size 8 --kimg 0.064 --batch 8 --capacity 1/64 --device cpu --transfer -q"
        files = ["--ckpt", str(start), "--out", str(tmp_path / "b")]
        done = CliRunner().invoke(cli, ["train", str(store), *words.split(), *files])
        assert done.exit_code == 0, done.output
    else:
        mg.train(store, tmp_path / "b", start_from=start, transfer=True, **TINY)
    assert len([path for path in read if path.parent == start]) == 1


@pytest.mark.parametrize(
    ("answer", "nimg"),
    [(np.bool_(True), 24), (torch.tensor(True), 24), (1, 64), ("written", 64)],
)
def test_only_true_ends_a_run(store: Path, tmp_path: Path, answer: Any, nimg: int) -> None:
    stop = Stop("on_metrics", answer)
    assert mg.train(store, tmp_path / "run", callbacks=stop, **TINY).nimg == nimg


def test_a_run_that_is_ended_at_its_last_step_just_ends(store: Path, tmp_path: Path) -> None:
    diary = Diary()
    options = TINY | {"kimg": SOME_STEPS / 1000}
    run = mg.train(store, tmp_path / "run", callbacks=[Stop("on_metrics"), diary], **options)
    assert run.nimg == SOME_STEPS
    assert not any("ended by" in page for page in diary.pages)


class Fail(mg.Callback):
    """Does something in one method."""

    def __init__(self, method: str, act: Callable[[], object]) -> None:
        self.method, self.act, self.closed = method, act, False

    def on_begin(self, config: mg.TrainConfig, folder: Path) -> None:
        self._act("on_begin")

    def on_metrics(self, metrics: dict[str, Any]) -> bool | None:
        self._act("on_metrics")
        return None

    def on_end(self, checkpoint: Path) -> None:
        self._act("on_end")

    def on_close(self, error: BaseException | None) -> None:
        self.closed = True
        self._act("on_close")

    def _act(self, method: str) -> None:
        if method == self.method:
            self.act()


def fail() -> None:
    raise ZeroDivisionError


def press_ctrl_c() -> None:
    os.kill(os.getpid(), signal.SIGINT)


@pytest.mark.parametrize("method", ["on_begin", "on_metrics", "on_end", "on_close"])
def test_every_callback_that_began_is_closed_after_an_error(
    store: Path, tmp_path: Path, method: str
) -> None:
    before, failing, after = Diary(), Fail(method, fail), Diary()
    with pytest.raises(ZeroDivisionError):
        mg.train(store, tmp_path / "run", callbacks=[before, failing, after], **TINY)
    assert failing.closed == (method != "on_begin")
    assert before.pages[-1] == "close"
    assert [type(error) for error in before.errors] == [ZeroDivisionError]
    assert before.pages.count("close") == 1
    assert after.pages[-1:] == ([] if method == "on_begin" else ["close"])


def test_a_callback_is_closed_after_a_signal_and_has_no_end(store: Path, tmp_path: Path) -> None:
    diary = Diary()
    with pytest.raises(mg.Stopped, match="the same call again"):
        mg.train(
            store, tmp_path / "run", callbacks=[Fail("on_metrics", press_ctrl_c), diary], **TINY
        )
    assert diary.pages[-1] == "close"
    assert [type(error) for error in diary.errors] == [mg.Stopped]
    assert "end" not in diary.pages


def test_a_run_that_cannot_begin_closes_nothing(store: Path, tmp_path: Path) -> None:
    mg.train(store, tmp_path / "run", **TINY)
    diary = Diary()
    with pytest.raises(mg.UsageError, match=r"lr was 0\.001, now 0\.5"):
        mg.train(store, tmp_path / "run", callbacks=diary, **TINY, lr=0.5)
    assert diary.pages == []


def test_minutes_end_a_call_and_replace_a_presets_length(store: Path, tmp_path: Path) -> None:
    from mri_gan.library.training import resolve_settings
    from mri_gan.train.run_folder import RunOptions

    diary = Diary()
    run = mg.train(store, tmp_path / "run", callbacks=diary, **TINY, minutes=1e-9)
    assert run.nimg == 8
    assert any("min are over at 0.008 of 0.064 kimg; the same call" in p for p in diary.pages)
    with pytest.raises(mg.UsageError, match="minutes 0: give a number above 0"):
        mg.train(store, tmp_path / "run", **TINY, minutes=0)
    with mg.open_store(store) as opened:
        assert resolve_settings(opened, "laptop", (), {}, RunOptions()).kimg == 25.0
        assert resolve_settings(opened, "laptop", (), {}, RunOptions(minutes=5)).kimg is None


TABLE = "size\tfade\tstay\tbatch\n8\t0\t16\t8\n16\t8\t8\t4\n"
LEVELS = [mg.Stage(8, 0, 16, 8), mg.Stage(16, 8, 8, 4)]


def test_a_schedule_is_the_path_of_a_table_or_levels(store: Path, tmp_path: Path) -> None:
    table = tmp_path / "mine.tsv"
    table.write_text(TABLE)
    options: dict[str, Any] = {"capacity": 1 / 64, "device": "cpu"}
    run = mg.train(store, tmp_path / "run", schedule=str(table), preset="paper", **options)
    assert run.config.schedule == tuple(LEVELS)
    assert (run.nimg, run.load_model("cpu").size) == (32, 16)
    as_levels = mg.train(store, tmp_path / "levels", schedule=LEVELS, max_size=16, **options)
    assert as_levels.config.schedule == run.config.schedule
    with pytest.raises(mg.UsageError, match="batch beside schedule: the schedule sets it"):
        mg.train(store, tmp_path / "x", schedule=table, batch=8)
    with pytest.raises(mg.UsageError, match="phase beside schedule"):
        mg.train(store, tmp_path / "x", schedule=LEVELS, phase=8)
    with pytest.raises(mg.UsageError, match=r"schedule .*none\.tsv: No such file"):
        mg.train(store, tmp_path / "x", schedule=tmp_path / "none.tsv")
    with pytest.raises(mg.UsageError, match="give text or a path or a list of Stage"):
        mg.train(store, tmp_path / "x", schedule=[{"size": 8}])  # type: ignore[list-item]
