"""`mrigan evaluate`, `audit` and `utility` as used: results, and mistakes told in one line."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from click.testing import CliRunner, Result
from PIL import Image
from rich.console import Console

import mri_gan as mg
from mri_gan.checkpoint import (
    Checkpoint,
    checkpoint_path,
    digest,
    list_checkpoints,
    load_checkpoint,
    save_checkpoint,
)
from mri_gan.cli import options
from mri_gan.cli.judge.audit import FEWEST
from mri_gan.cli.judge.evaluate import print_table
from mri_gan.cli.main import cli
from mri_gan.config import TrainConfig
from mri_gan.evaluate import verdict
from mri_gan.evaluate.audit import FEWEST_SAMPLES, Audit
from mri_gan.evaluate.evaluation import Evaluation, Figure
from mri_gan.evaluate.images import ImageSet
from mri_gan.evaluate.verdict import worst_pairs
from mri_gan.report.judging import QUALITY
from mri_gan.report.usefulness import LABELLED
from mri_gan.store.reader import StoreReader
from mri_gan.train.state import build_state

CONFIG = TrainConfig(max_size=32, capacity=1 / 32, latent_dim=16)


pytestmark = pytest.mark.usefixtures("small_audits")  # of commands, not of the detector


def mrigan(*words: object) -> Result:
    return CliRunner().invoke(cli, [str(word) for word in words], prog_name="mrigan")


@pytest.fixture(scope="module")
def people(prepare: object, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A store of eight training people and four others with twelve slices of 32 px each."""
    folder = tmp_path_factory.mktemp("people")
    rng = np.random.default_rng(0)
    for split, first, count in (("train", 0, 8), ("validate", 8, 2), ("test", 10, 2)):
        (folder / f"keras_png_slices_{split}").mkdir(parents=True)
        for person in range(first, first + count):
            blob = rng.normal(0, 1, (4, 4))
            for k in range(12):
                coarse = np.kron(blob + 0.3 * rng.normal(size=(4, 4)), np.ones((8, 8)))
                grey = np.clip(110 + 40 * coarse + 10 * rng.normal(size=(32, 32)), 0, 255)
                name = f"keras_png_slices_{split}/case_{person:03d}_slice_{k}.nii.png"
                Image.fromarray(grey.astype(np.uint8)).save(folder / name)
    return prepare(tmp_path_factory.mktemp("store12"), folder)  # type: ignore[operator, no-any-return]


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run folder with an untrained generator."""
    folder = tmp_path_factory.mktemp("run12")
    torch.manual_seed(0)
    state = build_state(CONFIG, torch.device("cpu"))
    parts = {"g_ema": state.g_ema.state_dict(), "d": state.d.state_dict()}
    save_checkpoint(
        checkpoint_path(folder, 1000), Checkpoint(CONFIG, 1000, 32, 1.0, "digest", parts)
    )
    return folder


def test_figures_are_written_beside_their_floors(people: Path, run: Path, tmp_path: Path) -> None:
    words = ("--data", people, "--resamples", 20, "--out", tmp_path)
    done = mrigan("evaluate", run, *words, "--json")
    assert done.exit_code == 0, done.stderr
    results = json.loads(done.stdout)
    assert results == json.loads((tmp_path / "evaluation.json").read_text())
    assert results["counts"] == {
        "reals": 96,
        "fakes": 96,
        "people": 8,
        "floor_halves": [48, 48],
    }
    figures = {figure["name"]: figure for figure in results["figures"]}
    for name in ("swd[32px]", "swd[16px]", "swd[mean]"):
        figure = figures[name]
        assert figure["low"] < figure["value"] < figure["high"]
        assert min(figure["at_floor"], figure["floor"]) > 0


def test_the_same_command_gives_the_same_figures(people: Path, run: Path, tmp_path: Path) -> None:
    words = ("--data", people, "--resamples", 20, "--count", 40, "--out", tmp_path, "--json")
    first, second = (json.loads(mrigan("evaluate", run, *words).stdout) for _ in range(2))
    assert first["figures"] == second["figures"]
    assert first["counts"]["reals"] == first["counts"]["fakes"] == 40


def test_the_default_folder_is_beside_the_checkpoint_and_both_parts_show_how_far_they_are(
    people: Path, run: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(options, "LINE_EVERY_S", 0.0)
    words = ("evaluate", run, "--data", people, "--resamples", 20, "--count", 40)
    as_json = mrigan(*words, "--json")
    assert json.loads(as_json.stdout)["counts"]["reals"] == 40
    assert "80 of 80 images" in as_json.stderr
    done = mrigan(*words)
    assert done.exit_code == 0, done.stderr
    assert "80 of 80 images" in done.stderr
    assert re.search(r"1 of \d+ kinds of figures", done.stderr)
    assert (run / "evaluation" / "evaluation.json").is_file()
    assert "swd[mean]" in done.stdout


def test_a_folder_of_pictures_is_not_taken_for_a_run(people: Path, tmp_path: Path) -> None:
    Image.new("L", (8, 8)).save(tmp_path / "a.png")
    done = mrigan("evaluate", tmp_path, "--data", people)
    assert done.exit_code == 2
    assert f"mrigan evaluate --images {tmp_path}" in done.stderr


def test_too_few_images_for_a_figure_are_told(people: Path, run: Path, tmp_path: Path) -> None:
    words = ("--data", people, "--resamples", 20, "--out", tmp_path)
    done = mrigan("evaluate", run, *words)
    assert "left out: fd[random-cnn] needs 192 images, there are 48" in done.stdout
    assert "images/s" in done.stdout
    assert (tmp_path / "evaluation.png").read_bytes().startswith(b"\x89PNG")
    assert (tmp_path / "evaluation.pdf").read_bytes().startswith(b"%PDF")


def test_where_no_halves_can_be_formed_there_are_too_few_images(
    people: Path, run: Path, tmp_path: Path
) -> None:
    words = ("--data", people, "--features", "none", "--resamples", 20, "--out", tmp_path)
    rows = mrigan("evaluate", run, *words, "--fakes", 16).stdout.splitlines()
    row = next(line for line in rows if line.startswith("ms-ssim[fake-real]"))
    assert row.split()[-5:] == ["too", "few", "too", "few", "images"]  # real halves, verdict


def test_features_that_the_critic_saw_do_not_judge(people: Path, tmp_path: Path) -> None:
    config = replace(CONFIG, critic="features", critic_features="efficientnet-lite0")
    state = build_state(CONFIG, torch.device("cpu"))
    save_checkpoint(
        checkpoint_path(tmp_path, 1000),
        Checkpoint(config, 1000, 32, 1.0, "digest", {"g_ema": state.g_ema.state_dict()}),
    )
    done = mrigan("evaluate", tmp_path, "--data", people, "--features", "pca,efficientnet-lite0")
    assert done.exit_code == 2
    assert "the critic of this run was trained on them" in done.stderr
    assert "efficientnet-lite2" in done.stderr
    with pytest.raises(mg.UsageError, match="features efficientnet-lite0: the critic of this run"):
        mg.evaluate(tmp_path, people, features=("pca", "efficientnet-lite0"))
    words = ("--features", "texture", "--resamples", 20, "--out", tmp_path)
    assert mrigan("evaluate", tmp_path, "--data", people, *words).exit_code == 0


def test_pictures_of_a_folder_are_judged_alike(people: Path, tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    for k in range(60):
        grey = rng.integers(0, 256, (32, 32), np.uint8)
        Image.fromarray(grey).save(tmp_path / f"{k}.png")
    words = ("--data", people, "--resamples", 20, "--out", tmp_path / "out", "--json")
    results = json.loads(mrigan("evaluate", "--images", tmp_path, *words).stdout)
    assert results["images"] == tmp_path.name
    assert results["counts"]["fakes"] == 60
    figures = {figure["name"]: figure for figure in results["figures"]}
    assert figures["spectrum"]["at_floor"] > 5 * figures["spectrum"]["floor"]


def test_without_a_running_mean_a_checkpoint_cannot_be_judged(
    people: Path, run: Path, tmp_path: Path
) -> None:
    path = checkpoint_path(tmp_path, 5)
    save_checkpoint(path, Checkpoint(CONFIG, 5, 32, 1.0, "digest", {"d": {}}))
    done = mrigan("evaluate", path, "--data", people)
    assert done.exit_code == 1
    assert len(done.stderr.splitlines()) == 1
    assert "holds no generator" in done.stderr


@pytest.mark.parametrize(
    ("words", "code", "says"),
    [
        (["{run}", "--data", "{tmp}"], 1, "is not a mrigan store"),
        (["{tmp}", "--data", "{store}"], 1, "no checkpoint"),
        (["{run}", "--data", "{store}", "--size", "64"], 2, "choose --size from 8, 16, 32"),
        (
            ["{run}", "--data", "{store}", "--split", "test"],
            1,
            "4 people, and the real images are of 2",
        ),
        (["{run}", "--data", "{store}", "--count", "12"], 1, "needs 8 fakes and 8 reals"),
        (["--data", "{store}"], 2, "neither a checkpoint nor --images, or both: give one"),
        (
            ["{run}", "--images", "{tmp}", "--data", "{store}"],
            2,
            "neither a checkpoint nor --images, or both: give one",
        ),
        (["--images", "{tmp}", "--data", "{store}"], 1, "holds no images"),
        (["{run}", "--data", "{store}", "--features", "fid"], 2, "choose from pca"),
        (
            ["{run}", "--data", "{store}", "--features-file", "{run}"],
            1,
            "Is a directory: name a file",
        ),
    ],
)
def test_a_mistake_is_one_line_with_a_remedy(
    people: Path, run: Path, tmp_path: Path, words: list[str], code: int, says: str
) -> None:
    places = {"store": people, "run": run, "tmp": tmp_path}
    done = mrigan("evaluate", *[word.format(**places) for word in words], "--quiet")
    lines = done.stderr.strip().splitlines()
    assert (done.exit_code, len(lines)) == (code, 1), done.stderr
    assert says in lines[0]


def test_an_audit_writes_its_verdict_and_the_worst_pairs(
    people: Path, run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    drawn: list[tuple[range | None, object]] = []

    def watch(result: Audit, samples: ImageSet, train: ImageSet, **how: Any) -> Image.Image:
        drawn.append((samples.seeds, how["edges"]))
        return worst_pairs(result, samples, train, **how)

    monkeypatch.setattr(verdict, "worst_pairs", watch)
    monkeypatch.setattr("mri_gan.pictures.read_edges", lambda _: ("R", "L"))
    words = ("--data", people, "--count", 50, "--out", tmp_path)
    done = mrigan("audit", run, *words, "--json")
    assert drawn == [(range(50), ("R", "L"))]
    assert done.exit_code == 1  # the run is a made-up one: it was trained on no store
    facts = json.loads(done.stdout)
    assert facts == json.loads((tmp_path / "audit.json").read_text())
    assert facts["counts"] == {
        "samples": 50,
        "train": 96,
        "train_people": 8,
        "held_out": 24,  # of 48, as `small_audits` has it
        "held_out_people": 4,
        "people": 12,
    }
    assert (facts["trained_on_this_store"], facts["verdict"]) == (False, "undecided")
    assert (facts["psi"], facts["noise"]) == (0.7, 1.0)  # as `mrigan generate` draws
    assert facts["membership"] is None  # of strangers it would say nothing
    assert (tmp_path / "worst-pairs.png").read_bytes().startswith(b"\x89PNG")
    assert "trained on other data than this store" in done.stderr
    assert mrigan("audit", run, *words, "--json").exit_code == 1  # the same again
    facts["store"]["digest"] = "of another store"
    (tmp_path / "audit.json").write_text(json.dumps(facts))
    done = mrigan("audit", run, *words)
    assert "trained on other data" in done.stderr  # not that there are results: they mean nothing
    facts |= {"trained_on_this_store": True}
    (tmp_path / "audit.json").write_text(json.dumps(facts))
    (tmp_path / "evaluation.json").write_text(json.dumps(facts))
    for command in ("audit", "evaluate"):
        done = mrigan(command, run, "--data", people, "--out", tmp_path)
        assert "has results of another store: give --out another folder" in done.stderr
        assert done.exit_code == 2


def test_an_audit_of_the_right_store_says_what_it_would_have_seen(
    people: Path, run: Path, tmp_path: Path
) -> None:
    with StoreReader(people) as store:
        digest_of_store = store.digest
    state = load_checkpoint(list_checkpoints(run)[0]).state
    path = checkpoint_path(tmp_path, 5)
    save_checkpoint(
        path, Checkpoint(CONFIG, 5, 32, 1.0, digest_of_store, {"g_ema": state["g_ema"]})
    )
    done = mrigan("audit", path, "--data", people, "--count", 50)
    assert done.exit_code == 0, done.stderr
    for text in ("copies that would be detected", "psi 0.7", "limit for new people"):
        assert text in done.stdout
    assert "membership inference left out: the checkpoint has no critic" in done.stdout


@pytest.mark.parametrize("strict", [True, False])
def test_training_slices_among_the_samples_fail_a_strict_audit(
    people: Path, tmp_path: Path, strict: bool
) -> None:
    with StoreReader(people) as store:
        copied = store.read(32, store.indices("train"))[:50, 0]
    for k, image in enumerate(copied):
        Image.fromarray(image).save(tmp_path / f"{k}.png")
    words = ("--images", tmp_path, "--data", people, "--out", tmp_path / "out")
    done = mrigan("audit", *words, *(["--strict"] if strict else []), "--quiet")
    facts = json.loads((tmp_path / "out" / "audit.json").read_text())
    assert facts["verdict"] == "fail"
    assert facts["membership_left_out"] == "pictures without a checkpoint"
    assert done.exit_code == strict
    if strict:
        assert len(done.stderr.splitlines()) == 1
        assert "samples are more like a training slice than new people may be" in done.stderr


@pytest.mark.parametrize("name", ["evaluate", "audit"])
def test_a_store_of_other_channels_is_one_line(name: str, people: Path, tmp_path: Path) -> None:
    config = TrainConfig(max_size=32, capacity=1 / 32, latent_dim=16, channels=2)
    state = build_state(config, torch.device("cpu"))
    parts = {"g_ema": state.g_ema.state_dict()}
    path = checkpoint_path(tmp_path, 5)
    save_checkpoint(path, Checkpoint(config, 5, 32, 1.0, "digest", parts))
    done = mrigan(name, path, "--data", people)
    assert done.exit_code == 2
    assert len(done.stderr.splitlines()) == 1
    assert "draws 2 channels" in done.stderr


@pytest.mark.parametrize("name", ["evaluate", "audit"])
def test_pictures_larger_than_the_slices_are_one_line(
    name: str, people: Path, tmp_path: Path
) -> None:
    Image.fromarray(np.zeros((64, 64), np.uint8)).save(tmp_path / "a.png")
    done = mrigan(name, "--images", tmp_path, "--data", people)
    assert done.exit_code == 2
    assert len(done.stderr.splitlines()) == 1
    assert "its slices have 32 px, the images 64 px" in done.stderr


def test_too_few_samples_for_an_audit_are_told_before_anything_is_read(tmp_path: Path) -> None:
    assert FEWEST == FEWEST_SAMPLES
    done = mrigan("audit", tmp_path / "none", "--data", tmp_path, "--count", FEWEST - 1)
    assert done.exit_code == 2
    assert "--count': 49 is not in the range x>=50" in done.stderr
    assert "x>=50" in mrigan("audit", "--help").stdout


def test_a_folder_of_too_few_pictures_for_an_audit_is_told(people: Path, tmp_path: Path) -> None:
    for number in range(3):
        Image.fromarray(np.zeros((32, 32), np.uint8)).save(tmp_path / f"{number}.png")
    done = mrigan("audit", "--images", tmp_path, "--data", people, "--quiet")
    assert done.exit_code == 1
    assert "3 samples: an audit needs 50: put more images into the folder" in done.stderr


def test_utility_tells_what_synthetic_slices_teach(people: Path, run: Path, tmp_path: Path) -> None:
    words = ("--data", people, "--steps", 3, "--out", tmp_path)
    done = mrigan("utility", run, *words, "--json")
    assert done.exit_code == 0, done.stderr
    facts = json.loads(done.stdout)
    assert facts == json.loads((tmp_path / "utility.json").read_text())
    assert (facts["task"], facts["labels"]) == ("position", "network trained on reals")
    assert facts["counts"] == {"train_images": 96, "test_images": 48, "test_people": 4}
    table = mrigan("utility", run, *words).stdout
    assert "synthetic less blobs, paired" in table
    assert LABELLED in table


@pytest.fixture(scope="module")
def trained(people: Path, run: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A checkpoint that says that it was trained on that store."""
    with StoreReader(people) as store:
        digest_of_store = store.digest
    state = load_checkpoint(list_checkpoints(run)[0]).state
    path = checkpoint_path(tmp_path_factory.mktemp("trained"), 5)
    parts = {"g_ema": state["g_ema"]}
    save_checkpoint(path, Checkpoint(CONFIG, 5, 32, 1.0, digest_of_store, parts))
    return path


@pytest.fixture(scope="module")
def mixed(prepare: object, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Another store: four people of whom two, 006 and 007, are in the first one's training set."""
    folder = tmp_path_factory.mktemp("mixed")
    rng = np.random.default_rng(5)
    for split, numbers in (("train", (6, 7, 30, 31)), ("test", (5, 33))):
        (folder / f"keras_png_slices_{split}").mkdir()
        for person in numbers:
            for k in range(24):
                grey = rng.integers(0, 256, (32, 32), np.uint8)
                name = f"keras_png_slices_{split}/case_{person:03d}_slice_{k}.nii.png"
                Image.fromarray(grey).save(folder / name)
    return prepare(tmp_path_factory.mktemp("mixed_store"), folder)  # type: ignore[operator, no-any-return]


@pytest.mark.parametrize(
    ("command", "names"), [("evaluate", ("006", "007")), ("utility", ("005",))]
)
def test_people_in_both_stores_are_named_on_the_screen_and_counted_in_the_file(
    trained: Path, people: Path, mixed: Path, tmp_path: Path, command: str, names: tuple[str, ...]
) -> None:
    words = [command, trained, "--data", mixed, "--out", tmp_path]
    words += ["--steps", 3] if command == "utility" else ["--resamples", 20]
    done = mrigan(*words, "--trained-on", people)
    assert done.exit_code == 0, done.stderr
    assert f"in both stores: {', '.join(names)}\n" in done.stdout
    written = next(tmp_path.glob("*.json")).read_text()
    facts = json.loads(written)
    assert facts["people_in_both"] == len(names)
    assert f"trained on {len(names)} of the people that it is judged by" in facts["warning"]
    assert not any(f'"{name}"' in written or f" {name}" in written for name in names)
    facts = json.loads(mrigan(*words, "--json").stdout)
    assert facts["people_in_both"] is None
    assert "give --trained-on STORE to see who is in both" in facts["warning"]


def test_a_store_that_the_run_was_not_trained_on_is_one_line(
    trained: Path, people: Path, mixed: Path
) -> None:
    done = mrigan("evaluate", trained, "--data", people, "--trained-on", mixed)
    assert (done.exit_code, len(done.stderr.splitlines())) == (2, 1)
    assert "the run was trained on another store" in done.stderr


def test_a_task_that_the_store_does_not_carry_is_one_line(people: Path, run: Path) -> None:
    done = mrigan("utility", run, "--data", people, "--task", "mask")
    assert done.exit_code == 2
    assert "has no tissue masks" in done.stderr


def test_checkpoints_are_evaluated_as_training_goes_and_the_weights_stay_the_same(
    people: Path, tmp_path: Path
) -> None:
    words = [
        *("--max-size", "16", "--phase", "64", "--batch", "8", "--capacity", "0.015625"),
        *("--latent-dim", "8", "--snap", "0.032", "--keep", "100", "--seed", "3"),
    ]
    for name, more in (("plain", []), ("watched", ["--eval-every", "0.09"])):
        done = mrigan("train", people, *words, "--out", tmp_path / name, *more)
        assert done.exit_code == 0, done.stderr
    lines = [
        json.loads(line)
        for line in (tmp_path / "watched" / "evaluation.jsonl").read_text().splitlines()
    ]
    nimg = [line["nimg"] for line in lines]
    assert len(nimg) >= 2
    assert min(np.diff(nimg)) >= 90
    assert lines[-1]["figures"]["swd[mean]"]["floor"] > 0
    states = [
        load_checkpoint(list_checkpoints(tmp_path / name)[0]).state for name in ("plain", "watched")
    ]
    assert digest(states[0]) == digest(states[1])


TINY = (
    *("--max-size", "16", "--batch", "8", "--capacity", "0.015625", "--latent-dim", "8"),
    *("--minutes", "0.001"),
)


@pytest.fixture
def few_samples(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("mri_gan.cli.judge.after_training.COUNT", 50)
    monkeypatch.setattr("mri_gan.cli.judge.after_training.RESAMPLES", 20)


def test_a_run_of_some_minutes_ends_with_its_verdicts(
    few_samples: None, people: Path, tmp_path: Path
) -> None:
    done = mrigan("train", people, *TINY, "--out", tmp_path)
    assert done.exit_code == 0, done.stderr
    assert "evaluate and audit take very roughly" in done.stderr
    audit, evaluation = (
        json.loads((tmp_path / name / f"{name}.json").read_text())
        for name in ("audit", "evaluation")
    )
    assert audit["trained_on_this_store"] is True
    assert (
        audit["model"]["file"] == evaluation["model"]["file"] == list_checkpoints(tmp_path)[0].name
    )
    assert done.stderr.index("evaluating ... (very roughly ") < done.stderr.index("auditing ... (")
    quality, copies, then = done.stdout.splitlines()[-3:]
    assert then == f"Then: mrigan report {tmp_path}, mrigan test {tmp_path}"
    assert quality.startswith("Do its images look like those of real people? ")
    assert copies == f"Do its images copy people of the training set? {audit['sentence']}"


def test_quiet_judges_in_silence(few_samples: None, people: Path, tmp_path: Path) -> None:
    done = mrigan("train", people, *TINY, "--quiet", "--out", tmp_path)
    assert (tmp_path / "audit").exists()
    assert not [line for line in done.stderr.splitlines() if "ing ... (" in line]
    assert done.stdout == ""


def test_json_holds_the_verdicts_too(few_samples: None, people: Path, tmp_path: Path) -> None:
    done = mrigan("train", people, *TINY, "--json", "--out", tmp_path)
    audit = json.loads((tmp_path / "audit/audit.json").read_text())
    assert audit["sentence"] in json.loads(done.stdout)["verdicts"][-1]


def test_no_judge_leaves_the_verdicts_out(people: Path, tmp_path: Path) -> None:
    done = mrigan("train", people, *TINY, "--no-judge", "--out", tmp_path)
    assert done.exit_code == 0, done.stderr
    assert "evaluate" not in done.stderr
    assert not (tmp_path / "audit").exists()


def test_without_people_held_out_a_run_of_some_minutes_says_why_it_has_no_verdict(
    prepare: object, tmp_path: Path
) -> None:
    folder = tmp_path / "keras_png_slices_train"
    folder.mkdir()
    for person in range(2):
        grey = np.full((16, 16), 50 + person, np.uint8)
        Image.fromarray(grey).save(folder / f"case_{person:03d}_slice_0.nii.png")
    store = prepare(tmp_path / "store", folder)  # type: ignore[operator]
    done = mrigan("train", store, *TINY, "--out", tmp_path / "run")
    assert done.exit_code == 0, done.stderr
    assert "no people held out, so the run ends without evaluate and audit" in done.stderr
    assert not (tmp_path / "run" / "audit").exists()


@pytest.mark.parametrize(("width", "shows_interval"), [(80, False), (100, True)])
def test_names_and_verdicts_are_never_cut_in_a_narrow_terminal(
    width: int, shows_interval: bool, monkeypatch: pytest.MonkeyPatch, capsys: Any
) -> None:
    names, low = ("alpha-precision[random-cnn]", "spectrum", "ms-ssim[fake-real]"), -0.01234
    figures = [
        Figure(name, low, low, low, low, low, 0.0, 0.0, "far outside: 1", "lower", "")
        for name in names
    ]
    result = Evaluation(416, 416, 13, (192, 224), figures, real_s=1.0)
    facts = {"warning": None, "size": 64, "store": {"split": "train", "depth": 8, "channels": 1}}
    monkeypatch.setattr(options, "open_console", lambda: Console(width=width, highlight=False))
    print_table(result, facts)
    table, sentences = capsys.readouterr().out.split(QUALITY)
    lines = table.splitlines()
    assert max(map(len, lines)) <= width
    assert sentences.startswith(" No: 3 of 3 figures are outside")
    rows = [line.split() for line in lines if "outside" in line and "-0.0123" in line]
    assert [row[0] for row in rows] == list(names)
    assert [row[-2:] for row in rows] == [["far", "outside"]] * 3
    assert (".." in rows[0]) is shows_interval


def without_times(results: dict[str, Any]) -> dict[str, Any]:
    return {k: v for k, v in results.items() if k not in ("seconds", "images_per_s")}


def test_functions_give_all_that_the_commands_write(
    people: Path, run: Path, tmp_path: Path
) -> None:
    """Else whoever keeps `to_dict` would not know of which model and store it is."""
    with StoreReader(people) as store:
        saved = replace(load_checkpoint(list_checkpoints(run)[0]), store=store.digest)
    own = tmp_path / "own"
    own.mkdir()
    save_checkpoint(checkpoint_path(own, 1000), saved)
    words = (own, "--data", people, "--count", 64, "--seed", 3, "--json")
    written = json.loads(mrigan("evaluate", *words, "--resamples", 20).stdout)
    told = mg.evaluate(own, people, count=64, seed=3, resamples=20).to_dict()
    assert without_times(told) == without_times(written)
    assert (told["format"], told["trained_on_this_store"]) == ("mrigan-evaluation", True)
    written = json.loads(mrigan("audit", *words).stdout)
    told = mg.audit(own, people, count=64, seed=3).to_dict()
    assert without_times(told) == without_times(written)
    assert (told["format"], told["psi"]) == ("mrigan-audit", 0.7)
    assert told["membership"] is not None


@pytest.mark.parametrize("command", ["evaluate", "audit", "utility"])
def test_images_are_judged_within_the_truncation_that_generate_takes(
    people: Path, run: Path, command: str
) -> None:
    done = mrigan(command, run, "--data", people, "--psi", 9)
    assert done.exit_code == 2
    assert "--psi 9: give -2 to 2; 1 is no truncation" in done.stderr
