"""`mrigan train` and `mrigan test` as used: continue, stop, and be told what is wrong."""

import json
import os
import shlex
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from click.testing import CliRunner, Result
from PIL import Image

from mri_gan.charts import draw_png
from mri_gan.checkpoint import digest, list_checkpoints, load_checkpoint
from mri_gan.cli.main import cli
from mri_gan.config import FAST_PRESETS, LEVELS, METRICS, PRESETS, STYLED, read_metrics
from mri_gan.store.reader import StoreReader
from mri_gan.synth.sample import load_trained
from mri_gan.train import monitor

SMALL = [
    *("--max-size", "16", "--phase", "64", "--batch", "8", "--capacity", "0.015625"),
    *("--latent-dim", "8", "--mixing", "--snap", "0.032", "--keep", "100"),
]


def mrigan(*words: object) -> Result:
    return CliRunner().invoke(cli, [str(word) for word in words], prog_name="mrigan")


@pytest.fixture(autouse=True)
def unhurried(monkeypatch: pytest.MonkeyPatch) -> None:
    """On a busy machine batches may come late, which a run reports in lines of its own."""
    monkeypatch.setattr(monitor, "STARVED_ABOVE", 2.0)


def one_line(done: Result) -> str:
    lines = done.stderr.strip().splitlines()
    assert len(lines) == 1, done.stderr
    assert lines[0].startswith("mrigan: ")
    return lines[0]


@pytest.fixture(scope="module")
def run(store: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("run")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(monitor, "draw_png", draw_png)  # which other runs of tests do not render
        done = mrigan("train", store, *SMALL, "--out", folder)
    assert done.exit_code == 0, done.stderr
    return folder


def weights(run: Path) -> tuple[str, str]:
    newest = list_checkpoints(run)[0]
    return newest.name, digest(load_checkpoint(newest).state)


def test_a_run_leaves_everything_to_look_at(run: Path) -> None:
    names = {path.name for path in run.iterdir()}
    assert {"config.json", "loss.png", "metrics.jsonl", "reals.png", "samples"} <= names
    with Image.open(run / "loss.png") as plot:
        assert min(plot.size) > 500
    facts = json.loads((run / "config.json").read_text())
    assert facts["settings"]["max_size"] == 16
    assert facts["options"]["snap_kimg"] == 0.032


def test_json_tells_what_the_run_became(store: Path, run: Path, tmp_path: Path) -> None:
    done = mrigan("train", store, *SMALL, "--out", tmp_path, "--json")
    facts = json.loads(done.stdout)
    assert facts["checkpoint"] == str(list_checkpoints(tmp_path)[0])
    assert facts["folder"] == str(tmp_path)
    assert facts["settings"] == json.loads((run / "config.json").read_text())["settings"]
    assert facts["metrics"] == read_metrics(tmp_path / METRICS)[-1]
    assert facts["nimg"] == facts["metrics"]["nimg"] == 192
    assert "of memory at" in done.stderr  # progress and notes go to another stream


def test_a_run_that_ends_below_its_largest_level_names_a_command_that_works(
    store: Path, tmp_path: Path
) -> None:
    done = mrigan("train", store, *SMALL, "--kimg", "0.016", "--out", tmp_path)
    assert "the run ends at 8 px" in done.stderr
    then = done.stdout.splitlines()[-1]
    assert then.startswith("Then: mrigan test ")
    assert mrigan(*shlex.split(then)[2:]).exit_code == 0


def test_what_was_left_unset_is_written_as_it_was_used(store: Path, tmp_path: Path) -> None:
    """A checkpoint for every 25th of a run, says docs/training.md."""
    size = ("--max-size", "8", "--kimg", "0.1", "--batch", "4", "--capacity", "tiny")
    done = mrigan("train", store, *size, "--latent-dim", "8", "--out", tmp_path)
    assert done.exit_code == 0, done.stderr
    facts = json.loads((tmp_path / "config.json").read_text())
    assert facts["options"]["snap_kimg"] == 0.004
    assert facts["settings"]["lr"] > 0


@pytest.mark.parametrize(
    ("option", "value"),
    [
        *((option, "0") for option in ("--batch", "--lr", "--kimg", "--snap", "--keep")),
        *((option, "0") for option in ("--minutes", "--max-size", "--channel-base")),
        *((option, "-1") for option in ("--gp-weight", "--snap", "--drift")),
        *((option, "inf") for option in ("--kimg", "--snap", "--drift", "--eval-every")),
        *((option, "nan") for option in ("--minutes", "--drift", "--timeout")),
    ],
)
def test_a_number_that_makes_no_sense_does_not_stand_for_a_default(
    store: Path, tmp_path: Path, option: str, value: str
) -> None:
    soon_over = ("--capacity", "tiny", "--latent-dim", 8, "--phase", 8)  # if it is not refused
    done = mrigan("train", store, option, value, *soon_over, "--out", tmp_path / "run")
    assert done.exit_code == 2
    assert option in one_line(done)


@pytest.mark.parametrize("sent", [signal.SIGKILL, signal.SIGTERM, signal.SIGINT])
def test_killed_in_the_middle_and_run_again_ends_with_the_same_bits(
    store: Path, run: Path, tmp_path: Path, sent: signal.Signals
) -> None:
    command = [sys.executable, "-m", "mri_gan", "train", str(store), *SMALL, "--out", str(tmp_path)]
    process = subprocess.Popen(command, stderr=subprocess.PIPE, text=True)
    while len(read_metrics(tmp_path / METRICS)) < 9 and process.poll() is None:
        time.sleep(0.01)
    process.send_signal(sent)
    _, errors = process.communicate()
    assert process.returncode == {signal.SIGKILL: -9}.get(sent, 128 + sent), errors
    assert weights(tmp_path)[0] != weights(run)[0]
    assert mrigan("train", store, *SMALL, "--out", tmp_path).exit_code == 0
    assert weights(tmp_path) == weights(run)


@pytest.mark.usefixtures("unmeasured")
def test_old_spellings_with_underscores_are_accepted(store: Path) -> None:
    done = mrigan("train", store, "--init_size", 16, "--max_size", 32, "--dry-run")
    assert json.loads(done.stdout)["settings"]["init_size"] == 16


def test_dry_run_prints_the_schedule_and_writes_nothing(store: Path, tmp_path: Path) -> None:
    done = mrigan("train", store, *SMALL, "--out", tmp_path / "run", "--dry-run")
    levels = json.loads(done.stdout)["levels"]
    assert [(level["size"], level["from_nimg"]) for level in levels] == [(8, 0), (16, 64)]
    assert not (tmp_path / "run").exists()
    needs = json.loads(done.stdout)["needs"]
    assert needs["disk_bytes"] == 103 * needs["checkpoint_bytes"] > 0
    assert min(needs.values()) > 0
    for word in ("parameters", "disk", "memory", "time"):
        assert f"{word}: " in done.stderr


@pytest.mark.usefixtures("unmeasured")
def test_the_largest_native_level_is_the_default_size(store: Path) -> None:
    done = mrigan("train", store, "--dry-run")
    assert json.loads(done.stdout)["settings"]["max_size"] == 64


def test_two_trainers_in_one_folder_are_refused(store: Path, tmp_path: Path) -> None:
    from mri_gan.files import FolderLock

    with FolderLock(tmp_path):
        done = mrigan("train", store, *SMALL, "--out", tmp_path)
    assert done.exit_code == 1
    assert f"pid {os.getpid()}" in one_line(done)


@pytest.mark.parametrize(
    ("words", "code", "says"),
    [
        (["train", "{tmp}/none", "--out", "{tmp}/r"], 1, "no such store"),
        (["train", "{tmp}", "--out", "{tmp}/r"], 1, "is not a mrigan store"),
        (["train", "{store}", "--max-size", "48"], 2, "48 is not a level"),
        (["train", "{store}", "--init-size", "64", "--max-size", "8"], 2, "above"),
        (["train", "{store}", "--out", "{file}/r", "--quiet"], 1, "part of the path is a file"),
        (["train", "{store}", "--device", "abacus", "--out", "{tmp}/r"], 2, "not available"),
        (["train", "{store}", "--ckpt", "{tmp}/no.pt", "--out", "{tmp}/r"], 1, "no.pt"),
        (
            ["train", "{store}", "--ckpt", "{file}", "--out", "{tmp}/r"],
            1,
            "not a mrigan checkpoint",
        ),
        (["test", "{tmp}/none.pt"], 1, "none.pt: no such file"),
        (["test", "{tmp}"], 1, "no checkpoint"),
        (["test", "{file}"], 1, "not a mrigan checkpoint"),
        (["test", "{store}/data.mdb"], 1, "not a mrigan checkpoint"),
        (["test", "{run}", "--size", "32"], 2, "choose --size from 8, 16"),
        (["test", "{run}", "--crossover", "6"], 2, "give 1 to 5"),
        (["test", "{run}", "--out", "{file}/x"], 1, "part of the path is a file"),
    ],
)
def test_a_mistake_is_one_line_with_a_remedy(
    store: Path, run: Path, tmp_path: Path, words: list[str], code: int, says: str
) -> None:
    file = tmp_path / "a.txt"
    file.write_text("text")
    places = {"store": store, "run": run, "tmp": tmp_path, "file": file}
    done = mrigan(*[word.format(**places) for word in words])
    assert done.exit_code == code
    assert says in one_line(done)


def test_a_run_with_other_settings_is_refused(store: Path, run: Path) -> None:
    done = mrigan("train", store, *SMALL, "--out", run, "--lr", 0.5)
    assert done.exit_code == 2
    assert "lr was 0.001, now 0.5" in one_line(done)


def test_a_damaged_checkpoint_is_named(run: Path, tmp_path: Path) -> None:
    damaged = tmp_path / "ckpt-000000001.pt"
    data = list_checkpoints(run)[0].read_bytes()
    damaged.write_bytes(data[: len(data) // 2])
    done = mrigan("test", damaged)
    assert done.exit_code == 1
    assert str(damaged) in one_line(done)


def test_two_grids_are_written_and_repeatable(run: Path, tmp_path: Path) -> None:
    for out in ("a", "b"):
        words = ("--size", 16, "--rows", 2, "--cols", 3, "--out", tmp_path / out)
        assert mrigan("test", run, *words).exit_code == 0
    for name in ("samples-16px.png", "mixing-16px.png"):
        first, second = ((tmp_path / out / name).read_bytes() for out in ("a", "b"))
        assert first == second
        assert first.startswith(b"\x89PNG")


@pytest.mark.usefixtures("unmeasured")
@pytest.mark.parametrize("preset", PRESETS)
def test_a_preset_sets_defaults_and_options_win_over_it(store: Path, preset: str) -> None:
    settings = json.loads(mrigan("train", store, "--preset", preset, "--dry-run").stdout)[
        "settings"
    ]
    assert settings["mixing"] is (settings["arch"] in STYLED)
    styled = mrigan("train", store, "--preset", preset, "--arch", "stylegan", "--dry-run")
    assert json.loads(styled.stdout)["settings"]["mixing"] is True
    assert settings["phase"] == (PRESETS | FAST_PRESETS)[preset]["phase"]
    words = ("--phase", 77, "--preset", preset, "--dry-run")
    plan = json.loads(mrigan("train", store, *words).stdout)
    assert plan["settings"]["phase"] == 77
    assert plan["total_nimg"] <= 77 * (2 * len(LEVELS) - 1)  # laptop's --kimg gives way


def test_a_table_of_labels_conditions_a_run_and_is_asked_for_again(
    store: Path, tmp_path: Path
) -> None:
    with StoreReader(store) as opened:
        people = sorted({record.subject for record in opened.records})
    table = tmp_path / "labels.tsv"
    rows = [f"{name}\t{40 + i}\t{'ab'[i % 2]}" for i, name in enumerate(people)]
    table.write_text("subject\tage\tgroup\n" + "\n".join(rows))
    words = [*SMALL, "--condition", "group", "--condition", "age", "--condition", "position"]
    run = tmp_path / "run"
    done = mrigan("train", store, *words, "--labels", table, "--out", run, "--quiet")
    assert done.exit_code == 0, done.stderr
    spec = load_trained(run).conditions
    assert [column.name for column in spec.columns] == ["group", "age", "position"]
    again = mrigan("train", store, *words, "--out", run)
    assert again.exit_code == 2
    assert "label group" in one_line(again)
    table.write_text("subject\tage\tgroup\n" + "\n".join(reversed([*rows[1:], rows[0] + "x"])))
    changed = mrigan("train", store, *words, "--labels", table, "--out", run)
    assert changed.exit_code == 2
    assert "trained with other settings" in one_line(changed)


@pytest.mark.usefixtures("unmeasured")
def test_a_schedule_file_takes_the_place_of_options(store: Path, tmp_path: Path) -> None:
    path = tmp_path / "s.tsv"
    path.write_text("size\tfade\tstay\tbatch\n8\t0\t100\t10\n16\t50\t100\t5\n")
    words = ("--preset", "gpu", "--arch", "stylegan", "--schedule", path, "--dry-run")
    done = mrigan("train", store, *words)
    assert done.exit_code == 0, done.stderr
    plan = json.loads(done.stdout)
    assert [(level["size"], level["from_nimg"]) for level in plan["levels"]] == [(8, 0), (16, 100)]
    assert plan["total_nimg"] == 250
    refused = mrigan("train", store, "--schedule", path, "--batch", 4, "--dry-run")
    assert refused.exit_code == 2
    assert "--batch beside --schedule" in one_line(refused)
