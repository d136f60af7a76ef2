"""Inputs that cannot be right, given to every command: one line that names them, an exit code."""

from __future__ import annotations

import zipfile
from pathlib import Path
from typing import Any

import pytest
import torch
from click.testing import CliRunner, Result
from phantoms.models import SMALL, save_untrained
from phantoms.runs import make_run

from mri_gan.checkpoint import checkpoint_path, digest
from mri_gan.cli.main import cli


def mrigan(*words: object) -> Result:
    return CliRunner().invoke(cli, [str(word) for word in words], prog_name="mrigan")


def said(done: Result, code: int) -> str:
    """The one line that a command ended with."""
    assert done.exception is None or isinstance(done.exception, SystemExit), done.exc_info
    assert done.exit_code == code, done.output
    lines = [line for line in done.stderr.splitlines() if line.startswith("mrigan: ")]
    assert len(lines) == 1, done.stderr
    return lines[0]


@pytest.fixture(scope="module")
def payload(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """What a good checkpoint holds, without its digest."""
    path = save_untrained(tmp_path_factory.mktemp("run"), SMALL, alpha=1.0)
    content: dict[str, Any] = torch.load(path, weights_only=True)
    del content["digest"]
    return content


ODD: tuple[Any, ...] = (
    None,
    "x" * 5000,
    "",
    -1,
    1024,
    10**30,
    float("nan"),
    float("inf"),
    [1],
    {},
    "a\x1b[31m",
)
PLACES = ("nimg", "resolution", "alpha", "data", "state")
SETTINGS = ("arch", "max_size", "latent_dim", "mapping_depth", "capacity", "conditions", "schedule")
GOOD = [
    *[("nimg", 1024), ("latent_dim", 8), ("schedule", ""), ("schedule", {})],
    *[("data", text) for text in ("x" * 5000, "", "a\x1b[31m")],
]


@pytest.mark.parametrize("name", [*PLACES, *SETTINGS])
def test_a_checkpoint_with_a_true_digest_and_made_up_content(
    payload: dict[str, Any], tmp_path: Path, name: str
) -> None:
    for number, odd in enumerate(ODD):
        content = {**payload, "config": dict(payload["config"])}
        (content if name in PLACES else content["config"])[name] = odd
        path = checkpoint_path(tmp_path / str(number), 16)
        path.parent.mkdir()
        torch.save(content | {"digest": digest(content)}, path)
        done = mrigan("generate", path, "--seeds", 0, "--out", tmp_path / "out", "-q")
        if done.exit_code:
            line = said(done, 1)
            assert str(path) in line
            assert len(line) < len(str(path)) + 350
        else:
            assert (name, odd) in GOOD


CIRCLE = {
    "info": ["info", "{link}"],
    "check": ["check", "{link}"],
    "merge": ["merge", "{link}", "{new}", "--out", "{new}"],
    "export": ["export", "{link}", "--format", "png", "--out", "{new}"],
    "train": ["train", "{link}", "--out", "{new}"],
    "compare": ["compare", "{link}", "{new}"],
    "report": ["report", "{link}"],
    "generate": ["generate", "{link}", "--seeds", "0", "--out", "{new}"],
    "evaluate": ["evaluate", "{link}", "--data", "{link}"],
    "import": ["import", "{link}", "--out", "{new}"],
    "prepare": ["prepare", "{link}", "--out", "{new}"],
}


@pytest.mark.parametrize(
    "words", [["merge", "{0}", "{0}", "--out", "x"], ["compare", "{0}", "{0}"]]
)
def test_what_is_given_twice_is_named(tmp_path: Path, words: list[str]) -> None:
    folder = tmp_path / "one"
    folder.mkdir()
    assert str(folder) in said(mrigan(*(word.format(folder) for word in words)), 2)


@pytest.mark.parametrize("words", CIRCLE.values(), ids=CIRCLE)
def test_a_link_to_itself_is_named(tmp_path: Path, words: list[str]) -> None:
    link = tmp_path / "link"
    link.symlink_to(link)
    done = mrigan(*(word.format(link=link, new=tmp_path / "new") for word in words))
    assert str(link) in said(done, 2 if words[0] == "prepare" else 1)


@pytest.mark.parametrize("command", ["evaluate", "audit", "utility"])
@pytest.mark.parametrize("below", [False, True])
def test_where_results_cannot_go_is_said_before_the_work(
    tmp_path: Path, command: str, below: bool
) -> None:
    file = tmp_path / "file"
    file.write_text("x")
    out = file / "sub" if below else file
    done = mrigan(command, tmp_path / "no run", "--data", tmp_path / "no store", "--out", out)
    assert str(out) in said(done, 1)


@pytest.mark.parametrize(
    "words",
    [
        ["evaluate", "--split", "x"],
        ["test", "a", "b", "c"],
        ["test", "--rows", "0"],
        ["test", "--nois", "1"],
        ["export-model", "x"],
        ["nonsense"],
        ["train"],
    ],
)
def test_a_mistake_on_the_command_line_is_one_sentence_and_where_to_look(words: list[str]) -> None:
    line = said(mrigan(*words), 2)
    before, _, after = line.partition(" See: ")
    assert before.endswith((".", "?", "?)"))
    assert after.startswith("mrigan")
    assert "  " not in line
    assert "??" not in line


WHERE = ("config.json", "metrics.jsonl", "evaluation/evaluation.json", "audit/audit.json")
CONTENT = {
    "deep": "[" * 100_000,
    "numbers for parts": '{"settings": {}, "figures": [1], "views": [2], "counts": 3, "nimg": 4}',
    "text for numbers": '{"settings": {}, "nimg": 5, "seconds": "a", "resolution": {}}',
    "a list": "[]",
}


@pytest.mark.parametrize(
    ("option", "value", "kind"),
    [("--kimg", "2k", "a number"), ("--batch", "2.5", "a whole number")],
)
def test_what_is_no_number_is_called_so(option: str, value: str, kind: str) -> None:
    assert f"'{value}' is not {kind}. " in said(mrigan("train", "x", option, value), 2)


@pytest.mark.parametrize(
    "split", ["80,10", "80,10,x", "0.333,0.333,0.334", "inf,0,0", "80.5,9.5,10"]
)
def test_a_split_that_is_not_of_whole_per_cents_is_shown_one(split: str) -> None:
    line = said(mrigan("prepare", ".", "--out", "s", "--split", split), 2)
    assert "give three whole per cents with commas, such as 80,10,10" in line


def test_an_empty_archive_is_called_empty(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "a.zip", "w"):
        pass
    done = mrigan("prepare", tmp_path / "a.zip", "--out", tmp_path / "s")
    assert "no slices or volumes found: there are no files; " in said(done, 1)


@pytest.mark.parametrize("name", WHERE)
@pytest.mark.parametrize("content", CONTENT.values(), ids=CONTENT)
def test_a_page_names_the_file_that_holds_something_else(
    tmp_path: Path, name: str, content: str
) -> None:
    run, other = make_run(tmp_path / "a"), make_run(tmp_path / "b")
    (run / name).parent.mkdir(exist_ok=True)
    (run / name).write_text(content)
    for words in (["report", run], ["compare", run, other, "--out", tmp_path / "c.html"]):
        done = mrigan(*words, "-q")
        if done.exit_code:
            assert str(run) in said(done, 1)
            assert name in said(done, 1) or name == "config.json"


DATA = ("--data", "{store}")


@pytest.mark.parametrize(
    "words",
    [
        *[(name, "{store}", *DATA) for name in ("evaluate", "audit", "utility", "test")],
        ("generate", "{store}", "--seeds", 0, "--out", "{tmp}/f"),
        ("walk", "{store}", "--out", "{tmp}/a.gif"),
        ("directions", "{store}", "--out", "{tmp}/d"),
        ("export-model", "{store}", "--format", "safetensors", "--out", "{tmp}/m"),
        ("project", "{store}/preview.png", "--ckpt", "{store}", "--out", "{tmp}/p"),
        ("explore", "{store}"),
        ("report", "{store}"),
        ("compare", "{store}", "{run}"),
        ("train", "{store}", "--ckpt", "{store}", "--out", "{tmp}/r"),
    ],
    ids=lambda words: words[0],
)
def test_a_store_in_place_of_a_run_is_called_one(
    store: Path, tmp_path: Path, words: tuple[object, ...]
) -> None:
    run = make_run(tmp_path / "run")
    done = mrigan(*(str(word).format(store=store, run=run, tmp=tmp_path) for word in words))
    expected = f"mrigan: {store}: is a store, not a run: give a folder that `mrigan train` wrote"
    assert said(done, 1) == expected


@pytest.mark.parametrize(
    "words",
    [
        ("info", "{run}"),
        ("check", "{run}"),
        ("merge", "{store}", "{run}", "--out", "{tmp}/m"),
        ("export", "{run}", "--format", "png", "--out", "{tmp}/x"),
        ("train", "{run}", "--out", "{tmp}/r"),
        ("evaluate", "{run}", "--data", "{run}"),
    ],
    ids=lambda words: words[0],
)
def test_a_run_in_place_of_a_store_is_called_one(
    store: Path, tmp_path: Path, words: tuple[str, ...]
) -> None:
    run = make_run(tmp_path / "run")
    done = mrigan(*(word.format(store=store, run=run, tmp=tmp_path) for word in words))
    expected = f"mrigan: {run}: is a run, not a store: give the store that it was trained on"
    assert said(done, 1) == expected


@pytest.mark.parametrize("name", ["evaluate", "audit"])
def test_pictures_in_place_of_a_run_are_called_so(store: Path, tmp_path: Path, name: str) -> None:
    folder = tmp_path / "my pictures"
    folder.mkdir()
    (folder / "1.png").write_bytes(b"")
    line = said(mrigan(name, folder, "--data", store), 2)
    hint = f"mrigan {name} --images '{folder}'"
    assert line == f"mrigan: {folder}: holds pictures, not a run: {hint}"


def test_a_store_that_there_is_not_is_named_as_it_was_typed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "empty").mkdir()
    assert said(mrigan("info", "NOPE"), 1).startswith("mrigan: NOPE: no such store: check")
    assert said(mrigan("info", "./empty"), 1).startswith("mrigan: empty: is not a mrigan store")
