"""What the public functions are given: mistakes are told at once and in the words of Python."""

from __future__ import annotations

import base64
import dataclasses
import importlib
import inspect
import io
import json
import typing
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import click
import nibabel as nib
import numpy as np
import phantoms
import pytest
import torch
from PIL import Image

import mri_gan as mg
from mri_gan import config
from mri_gan.cli.main import cli
from mri_gan.errors import DataError
from mri_gan.ingest import options
from mri_gan.library.arguments import (
    COMMAND_ONLY,
    RENAMED,
    hint_for,
    in_python,
    keep_options,
    kinds_of,
    public,
)
from mri_gan.library.settings import PrepareSettings, TrainSettings
from mri_gan.values import is_of


@public
def draw(size: int, labels: str | Sequence[str] = (), **options: Any) -> object:
    """An example."""
    if size > 8:
        raise DataError(f"--max-size {size}", "choose --max-size from 8, or use --labels")
    return size, labels, options


def test_arguments_of_another_kind_are_refused_before_anything_is_done() -> None:
    assert draw(8, labels="age", odd=print) == (8, "age", {"odd": print})
    with pytest.raises(mg.UsageError, match=r"size is '8': give a whole number$"):
        draw("8")  # type: ignore[arg-type]
    with pytest.raises(TypeError, match="missing"):
        draw()  # type: ignore[call-arg]


def test_options_are_called_as_in_python() -> None:
    with pytest.raises(DataError) as told:
        draw(9)
    assert str(told.value) == "max_size 9: choose max_size from 8, or use labels"
    assert in_python("try `mrigan train --mixing`") == "try `mrigan train --mixing`"
    assert in_python("a--b and -c") == "a--b and -c"
    assert in_python("run the same command again") == "run the same call again"


@pytest.mark.parametrize("name", COMMAND_ONLY)
def test_options_that_only_the_command_has_are_told_as_such(name: str) -> None:
    command = cli.get_command(click.Context(cli), name)
    assert command is not None
    flags = [o for p in command.params if isinstance(p, click.Option) for o in p.opts]
    options = {flag[2:].replace("-", "_") for flag in flags if flag.startswith("--")}
    function = importlib.import_module(f"mri_gan.{mg._HOMES[name]}").__dict__[name].__wrapped__
    known = kinds_of(function, inspect.signature(function))[0].keys()
    assert options - known - RENAMED.keys() == {*COMMAND_ONLY[name]}
    for option in COMMAND_ONLY[name]:
        assert hint_for(name, option, known) == f"only the command `mrigan {name}` has it"


def test_it_looks_like_the_function_that_it_guards() -> None:
    assert draw.__doc__ == "An example."
    assert list(inspect.signature(draw).parameters) == ["size", "labels", "options"]


# The typed settings are those of the configurations

DECIDED = {  # by the store and by frozen weights, not by the caller
    "channels",
    "critic_features",
    "features_digest",
    "features_licence",
    "conditions",
    "channel_names",
    "pixel_mm",
    "scan_mm",
}


@pytest.mark.parametrize(
    ("settings", "kind", "decided"),
    [
        (PrepareSettings, mg.PrepareConfig, set()),
        (TrainSettings, mg.TrainConfig, DECIDED),
    ],
)
def test_settings_are_the_fields_of_the_configuration(
    settings: Any, kind: Any, decided: set[str]
) -> None:
    typed = typing.get_type_hints(settings)
    assert list(typed) == [f.name for f in dataclasses.fields(kind) if f.name not in decided]
    for field in dataclasses.fields(kind):
        if field.name in typed:
            assert is_of(field.default, typed[field.name]), field.name


@pytest.mark.parametrize(
    ("name", "settings", "choices"),
    [
        ("plane", PrepareSettings, ("auto", *options.PLANES)),
        ("fit", PrepareSettings, options.FITS),
        ("intensity", PrepareSettings, options.INTENSITIES),
        ("ids", PrepareSettings, options.IDS),
        ("arch", TrainSettings, config.ARCHS),
        ("critic", TrainSettings, config.CRITICS),
        ("loss", TrainSettings, config.LOSS_NAMES),
        ("augment", TrainSettings, config.AUGMENTS),
        ("layout", TrainSettings, config.LAYOUTS),
        ("missing", TrainSettings, config.MISSING),
    ],
)
def test_words_to_choose_from_are_those_that_are_known(
    name: str, settings: Any, choices: tuple[str, ...]
) -> None:
    assert typing.get_args(typing.get_type_hints(settings)[name]) == choices


def test_a_capacity_and_a_precision_have_names() -> None:
    kinds = typing.get_type_hints(TrainSettings)
    assert all(is_of(name, kinds["capacity"]) for name in config.CAPACITIES)
    assert all(is_of(name, kinds["precision"]) for name in ("auto", *config.PRECISIONS))


# What people mistype, in each function

BAD: dict[str, tuple[Any, str]] = {
    "no sources": (lambda s, r: mg.prepare([], s / "new"), "no sources"),
    "None": (lambda s, r: mg.prepare(None, s / "new"), "sources is None"),  # type: ignore[arg-type]
    "workers": (lambda s, r: mg.prepare(s, s / "new", workers=-1), "workers -1: give 0 or more"),
    "kind": (
        lambda s, r: mg.prepare(s, s / "new", slices=(0.2, 0.8)),  # type: ignore[arg-type]
        r'slices is \(0.2, 0.8\): give text, such as "0.2:0.8"',
    ),
    "typo": (
        lambda s, r: mg.prepare(s, s / "new", slice="0.2:0.8"),  # type: ignore[call-arg]
        r"prepare has no slice: did you mean slices\?",
    ),
    "own typo": (
        lambda s, r: mg.train(s, r, conditon="age"),  # type: ignore[call-arg]
        r"train has no conditon: did you mean condition\?",
    ),
    "class": (
        lambda s, r: mg.SliceDataset(s, levl=8),  # type: ignore[call-arg]
        r"SliceDataset has no levl: did you mean level\?",
    ),
    "synonym": (
        lambda s, r: mg.train(s, r, batch_size=8),  # type: ignore[call-arg]
        r"train has no batch_size: did you mean batch\?",
    ),
    "option": (
        lambda s, r: mg.train(s, r, eval_every=1),  # type: ignore[call-arg]
        "train has no eval_every: only the command `mrigan train` has it",
    ),
    "renamed": (
        lambda s, r: mg.train(s, r, snap=1),  # type: ignore[call-arg]
        r"train has no snap: did you mean snap_kimg\?",
    ),
    "a list": (
        lambda s, r: mg.prepare(s, s / "new", split="80/10/10"),  # type: ignore[arg-type]
        r"give a list, such as \[1, 2\]",
    ),
    "no training": (lambda s, r: mg.prepare(s.parent, r, split=(0, 0, 100)), "some of them for tr"),
    "into scans": (lambda s, r: mg.prepare(s.parent, s.parent), "holds the scans: give out a f"),
    "into a store": (
        lambda s, r: mg.train(s, s, max_size=8, kimg=0.01),
        "is a store: give the run",
    ),
    "workers of a loader": (lambda s, r: loader(s, num_workers="2"), "num_workers is '2'"),
    "no workers": (lambda s, r: loader(s, num_workers=-1), "num_workers -1: give 0 or more"),
    "record": (lambda s, r: mg.open_store(s).record(10_000), "has no slice 10000: give 0 to"),
    "no record": (lambda s, r: mg.open_store(s).record("a"), "has no slice a"),  # type: ignore[arg-type]
    "room": (
        lambda s, r: mg.open_store(s).read(8, [0], np.zeros((1, 1, 8, 8), np.float32)),
        r"out is float32 \[1, 1, 8, 8\]: give uint8 \[1, 1, 8, 8\]",
    ),
    "voxels": (lambda s, r: mg.Volume(np.zeros((4, 4))), r"voxels of shape \[4, 4\]"),
    "affine": (lambda s, r: mg.Volume(np.zeros((1, 4, 4)), np.eye(3)), "an affine of shape"),
    "bytes": (lambda s, r: mg.prepare(b"scans", r), "115 is no path: give text or a Path"),  # type: ignore[arg-type]
    "levels": (
        lambda s, r: mg.train(s, r, schedule="none.tsv"),
        r"schedule none\.tsv: No such file or directory: check the spelling",
    ),
    "flat": (lambda s, r: mg.Volume(np.zeros((1, 4, 4)), np.zeros((4, 4))), "without volume"),
    "array": (
        lambda s, r: mg.evaluate(np.zeros((9, 1, 8, 8)), s),  # type: ignore[arg-type]
        r"model is array\(\[\[\[\[0., 0., .*: give text or a path or Model$",
    ),
    "kimg": (lambda s, r: mg.train(s, r, kimg="0.2"), "kimg is '0.2': give a number or None"),  # type: ignore[arg-type]
    "decided": (lambda s, r: mg.train(s, r, channels=2), "train has no channels"),  # type: ignore[call-arg]
    "callback": (lambda s, r: mg.train(s, r, callbacks=print), "callbacks is"),  # type: ignore[arg-type]
    "callback class": (
        lambda s, r: mg.train(s, r, callbacks=mg.Callback),  # type: ignore[arg-type]
        r"give an instance: Callback\(\)",
    ),
    "no batch": (
        lambda s, r: mg.SliceDataset(s).loader(batch_size=None),  # type: ignore[arg-type]
        "batch_size is None: give a whole number",
    ),
    "features": (lambda s, r: mg.evaluate(r, s, features=["x"]), "features x: choose one of pca"),
    "split": (lambda s, r: mg.evaluate(r, s, split="val"), "split val: choose one of train"),
    "count": (lambda s, r: mg.audit(r, s, count=49), "count 49: give 50 or more"),
    "store": (lambda s, r: mg.volumes("NOPE"), "NOPE: no such store"),  # not at the first volume
    "scans": (lambda s, r: mg.volumes(s, "trian"), "split trian"),
    "level": (lambda s, r: mg.SliceDataset(s, level=8.0), "level is 8.0: give a whole number"),  # type: ignore[arg-type]
    "scale": (lambda s, r: mg.SliceDataset(s, scale="x"), "scale is 'x': give one of signed"),  # type: ignore[arg-type]
    "table": (
        lambda s, r: mg.SliceDataset(s, table="x.tsv"),
        "x.tsv: No such file.*spelling",
    ),
    "no checkpoint": (
        lambda s, r: mg.load_model(written(s.parent / "x.npy")),
        r"x.npy: is not a mrigan checkpoint: give a checkpoint \(ckpt-\*.pt\) or a run folder",
    ),
    "nothing to judge": (
        lambda s, r: mg.evaluate(written(s.parent / "x.npz"), s),
        r"x.npz: .*checkpoint: give a checkpoint \(ckpt-\*.pt\) or a run folder",
    ),
    "read": (lambda s, r: mg.open_store(s).read(8, 0), "slices 0: give their numbers"),  # type: ignore[arg-type]
    "half": (lambda s, r: mg.open_store(s).read(8, [0.5]), "give their numbers"),  # type: ignore[list-item]
    "text": (lambda s, r: mg.open_store(s).read("8", [0]), "level '8' is not a level"),  # type: ignore[arg-type]
}


def written(path: Path) -> Path:
    """A file of NumPy's, which is no checkpoint."""
    (np.savez if path.suffix == ".npz" else np.save)(path, np.zeros(3))
    return path


def loader(store: Path, **options: Any) -> object:
    return mg.SliceDataset(store, level=8).loader(4, **options)


@pytest.mark.parametrize("name", BAD)
def test_a_mistake_is_told_in_one_line(name: str, store: Path, tmp_path: Path) -> None:
    call, said = BAD[name]
    with pytest.raises(mg.MriganError, match=f"^[^\n]*{said}"):
        call(store, tmp_path / "run")
    assert not (tmp_path / "run").exists()


@pytest.fixture(scope="module")
def model(store: Path, tmp_path_factory: pytest.TempPathFactory) -> mg.Model:
    out = tmp_path_factory.mktemp("drawn") / "run"
    run = mg.train(store, out, max_size=8, kimg=0.016, capacity=1 / 64, batch=8, device="cpu")
    return run.load_model("cpu")


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"seeds": 3}, r"seeds is 3: give a list, such as \[1, 2\]"),
        ({"seeds": []}, "no seeds"),
        ({"seeds": [-1]}, "the seed -1"),
        ({"seeds": (0.5 for _ in "1")}, "the seed 0.5"),
        ({"seeds": [1], "psi": "x"}, "psi is 'x': give a number"),
        ({"seeds": [1], "size": 16}, "choose size from 8"),
        ({"seeds": [1], "condition": {"age": 3}}, "not trained with age"),
        ({"seeds": [1], "condition": 3}, "give text or names with values"),
    ],
)
def test_odd_arguments_of_a_drawing(model: mg.Model, options: Any, said: str) -> None:
    with pytest.raises(mg.UsageError, match=said):
        model.draw(**options)


def test_seeds_may_come_as_an_array(model: mg.Model) -> None:
    assert torch.equal(model.draw(np.arange(2)), model.draw([0, 1]))
    assert torch.equal(model.draw(torch.arange(2)), model.draw(range(2)))


def test_numbers_of_numpy_and_torch_are_numbers(store: Path, tmp_path: Path) -> None:
    scans = phantoms.slices_folder(tmp_path / "scans")
    odd: dict[str, Any] = {"workers": np.int64(0), "seed": np.int64(3), "fov": np.float32(0)}
    odd |= {"every": torch.tensor(1), "split": np.array([60, 20, 20]), "classes": np.bool_(0)}
    options = json.loads(json.dumps(mg.prepare(scans, tmp_path / "S", **odd).facts["options"]))
    assert (options["seed"], options["split"], options["classes"]) == (3, [60, 20, 20], False)
    size: Any = np.int64(8)
    odd = {"max_size": size, "kimg": np.float32(0.008), "batch": size, "seed": np.uint8(1)}
    run = mg.train(store, tmp_path / "R", capacity=1 / 64, device="cpu", **odd)
    assert run.nimg == 8
    assert run.load_model("cpu").draw([0], size=size).shape == (1, 1, 8, 8)


def test_one_word_may_stand_for_a_list_of_one(tmp_path: Path) -> None:
    scans = phantoms.slices_folder(tmp_path / "scans")
    made = mg.prepare(scans, tmp_path / "S", workers=0, include="*.png")
    assert made.facts["options"]["include"] == ["*.png"]


def test_a_method_that_nothing_calls_is_a_mistake() -> None:
    with pytest.raises(mg.UsageError, match=r"Log: nothing calls on_metric: did you mean on_m"):

        class Log(mg.Callback):
            def on_metric(self, metrics: dict[str, Any]) -> None:
                """Misspelt."""


def test_masks_and_halves_become_what_nifti_has(tmp_path: Path) -> None:
    for kind, kept in ((bool, np.uint8), (np.float16, np.float32), (np.uint16, np.uint16)):
        voxels = np.arange(8).reshape(2, 2, 2).astype(kind)
        mg.Volume(voxels, np.eye(4)).save(tmp_path / "v.nii.gz")
        saved = nib.nifti1.load(tmp_path / "v.nii.gz")
        assert saved.get_data_dtype() == kept
        np.testing.assert_array_equal(np.asarray(saved.dataobj).T, voxels)


def test_a_run_counts_the_images_that_were_shown(model: mg.Model, store: Path) -> None:
    run = mg.train(
        store, model.trained.path.parent, max_size=8, kimg=0.016, capacity=1 / 64, batch=8,
        device="cpu",
    )  # fmt: skip
    assert run.nimg == model.trained.nimg == 16
    assert "16" in run._repr_html_()


def test_what_is_shown_of_a_result_is_short(model: mg.Model, store: Path) -> None:
    scan = next(mg.volumes(store))
    assert repr(scan) == f"Volume('{scan.subject} {scan.split}', {list(scan.voxels.shape)} uint8)"
    assert repr(model).endswith(": stylegan, 8 px, 0.016 kimg")
    for shown in (scan, model, mg.SliceDataset(store)):
        assert shown._repr_html_().count("<img ") == 1
        assert len(repr(shown)) < 200


def test_a_notebook_shows_every_channel_of_a_scan() -> None:
    pair = mg.Volume(np.zeros((2, 3, 16, 16), np.uint8), None, "p", channel_names=("T1", "mask"))
    page = pair._repr_html_()
    assert "each picture, from left to right: T1, mask" in page
    data = page.split("base64,")[1].split('"')[0]
    with Image.open(io.BytesIO(base64.b64decode(data))) as picture:
        assert picture.size == (3 * (2 * 128 + 2) + 2, 128 + 4)


def test_what_a_function_was_given_is_kept_in_the_words_of_the_command(tmp_path: Path) -> None:
    """A table under another name than the command's would not be asked for again."""
    options = {"snap_kimg": 2, "max_size": None, "masks": False, "seed": 0}
    files = {"people_file": tmp_path, "start_from": "a", "labels": None}
    keep_options(tmp_path / "kept.toml", "train", options, files)
    first, *lines = (tmp_path / "kept.toml").read_text().splitlines()
    assert first.startswith("# mrigan train, version ")
    assert lines == [
        *("snap = 2", "masks = false", "seed = 0"),
        *("# --people: give it again", "# --ckpt: give it again"),
    ]
