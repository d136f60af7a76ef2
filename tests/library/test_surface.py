"""The public surface: what it is called, what it takes, and that it comes without weight."""

from __future__ import annotations

import importlib
import inspect
import os
import pickle
import pydoc
import subprocess
import sys
import types

import pytest

import mri_gan as mg

# Changing a line here changes programs that people wrote: add, or warn for one minor version.
SIGNATURES = {
    "prepare": "sources out * workers split_file people_file id_key overwrite on_progress "
    "**options",
    "open_store": "path threads",
    "SliceDataset": "store split level transform labels * table as_dict scale",
    "volumes": "store split level",
    "train": "store out * callbacks preset condition labels start_from transfer device snap_kimg "
    "keep minutes **settings",
    "load_model": "path device",
    "evaluate": "model store * split count fakes features resamples size psi noise seed device "
    "on_progress",
    "audit": "model store * count size psi noise seed device on_progress",
}
CLASSES = {
    "Prepared": "digest doubts facts folder left_out people slices subjects",
    "SliceDataset": "as_dict channels classes close indices level loader read scale split store "
    "subjects targets transform",
    "Volume": "affine channel_names contrast save session source split subject synthetic voxels",
    "Callback": "on_begin on_checkpoint on_close on_end on_metrics on_note on_step",
    "TrainedRun": "checkpoint config folder load_model metrics nimg to_dict",
    "Evaluation": "compare_s facts fake_s fakes figures half images_per_s left_out people points "
    "real_s reals to_dict",
    "Audit": "copies crowd facts groups held_out held_out_people is_copy is_trusted limits near "
    "near_limit new_people people people_copied planted reason recall right_store samples "
    "samples_limits seconds to_dict verdict views",
    "StoreReader": "channel_names channels close count_records describe digest dtype folder header "
    "indices max_native n_bytes read record records skipped stored_records summary",
    "Progress": "images_per_s metrics nimg phase seconds_left total",
    "Model": "conditions draw draw_volume size trained",
}
OTHERS = {
    "PrepareConfig", "TrainConfig", "Stage", "MriganError", "DataError", "UsageError", "Stopped",
}  # fmt: skip


def parameters(name: str) -> str:
    """The parameters of a function as one writes them, `*` before those by name alone."""
    home = importlib.import_module(f"mri_gan.{mg._HOMES[name]}")
    words: list[str] = []
    for parameter in inspect.signature(getattr(home, name)).parameters.values():
        if parameter.kind is parameter.KEYWORD_ONLY and "*" not in words:
            words.append("*")
        stars = "**" if parameter.kind is parameter.VAR_KEYWORD else ""
        words.append(stars + parameter.name)
    return " ".join(words)


def test_every_public_name_is_listed_here() -> None:
    assert set(mg.__all__) == {*SIGNATURES, *CLASSES, *OTHERS, "__version__"}
    assert set(mg.__all__) <= set(dir(mg))


@pytest.mark.parametrize("name", mg.__all__)
def test_every_name_is_there_and_documented(name: str) -> None:
    value = getattr(mg, name)
    assert name == "__version__" or value.__doc__


@pytest.mark.parametrize("name", SIGNATURES)
def test_what_a_function_takes(name: str) -> None:
    assert callable(getattr(mg, name))
    assert parameters(name) == SIGNATURES[name]


@pytest.mark.parametrize("name", CLASSES)
def test_what_a_result_offers(name: str, store: object) -> None:
    kind = getattr(mg, name)
    attributes = {n for n in vars(kind) if not n.startswith("_")} | set(
        getattr(kind, "__dataclass_fields__", ())
    )
    if name in ("SliceDataset", "StoreReader"):
        attributes |= {n for n in vars(kind(store)) if not n.startswith("_")}
    assert sorted(attributes) == CLASSES[name].split()


def test_help_shows_what_a_function_takes_that_shares_its_name_with_a_room() -> None:
    mg.train  # noqa: B018
    told = pydoc.plain(pydoc.render_doc(importlib.import_module("mri_gan.train")))
    assert "train(store: " in told
    assert "Train on a store's training split" in told


def test_an_unknown_name_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="bogus"):
        mg.bogus  # type: ignore[attr-defined]  # noqa: B018


@pytest.mark.parametrize("name", ["train", "evaluate"])
def test_rooms_that_share_a_name_with_a_function_stay_modules(name: str) -> None:
    done = subprocess.run(
        [
            sys.executable,
            "-c",
            f"import mri_gan as mg, mri_gan.{name}.{'loop' if name == 'train' else 'images'}\n"
            f"from mri_gan import {name}\n"
            f"print(callable(mg.{name}), callable({name}), mg.{name}.__name__)",
        ],
        capture_output=True, text=True, check=True,
    )  # fmt: skip
    assert done.stdout.split() == ["True", "True", f"mri_gan.{name}"]
    assert isinstance(sys.modules.get(f"mri_gan.{name}", mg), types.ModuleType)


@pytest.mark.parametrize("name", ["train", "evaluate"])
def test_they_can_be_sent_to_another_process_and_say_what_they_take(name: str) -> None:
    room = getattr(mg, name)
    assert pickle.loads(pickle.dumps(room)) is room
    assert "store" in inspect.signature(room).parameters


def test_importing_it_loads_nothing_else() -> None:
    code = (
        "import sys; before = set(sys.modules); import mri_gan; print(*(set(sys.modules)-before))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    loaded = {name.split(".")[0] for name in done.stdout.split()}
    assert loaded.isdisjoint({"torch", "numpy", "click", "lmdb", "PIL", "nibabel"})


@pytest.mark.parametrize(("wanted", "spins"), [(None, "1000"), ("7", "7")])
def test_threads_do_not_wait_in_a_busy_loop_for_long(wanted: str | None, spins: str) -> None:
    others = {k: v for k, v in os.environ.items() if k != "GOMP_SPINCOUNT"}
    code = "import os, mri_gan; print(os.environ['GOMP_SPINCOUNT'])"
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True,
        env=others | ({} if wanted is None else {"GOMP_SPINCOUNT": wanted}),
    )  # fmt: skip
    assert done.stdout.strip() == spins


def test_without_torch_the_extra_is_named() -> None:
    code = "import sys; sys.modules['torch'] = None; import mri_gan as mg; mg.SliceDataset"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert "UsageError: this needs torch, which is not installed: pip install 'mrigan[train]'" in (
        done.stderr
    )
