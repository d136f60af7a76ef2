"""Checkpoints are whole, checked bit by bit, and the newest valid one wins."""

import errno
import pickle
import zipfile
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from mri_gan.checkpoint import (
    Checkpoint,
    checkpoint_path,
    delete_old,
    digest,
    list_checkpoints,
    load_checkpoint,
    newest_valid,
    read_checkpoint,
    save_checkpoint,
)
from mri_gan.config import TrainConfig
from mri_gan.errors import DataError


def make(nimg: int = 1000) -> Checkpoint:
    rng = torch.Generator().manual_seed(nimg)
    state = {"g": {"weight": torch.randn(30, 40, generator=rng)}, "steps": [1, 2.5, None, "x"]}
    return Checkpoint(TrainConfig(max_size=16), nimg, 16, 0.25, "data-digest", state)


def save(run: Path, nimg: int) -> Path:
    path = checkpoint_path(run, nimg)
    save_checkpoint(path, make(nimg))
    return path


def test_what_is_loaded_is_what_was_saved(tmp_path: Path) -> None:
    saved, loaded = make(), load_checkpoint(save(tmp_path, 1000))
    assert replace(loaded, state={}) == replace(saved, state={})
    assert torch.equal(loaded.state["g"]["weight"], saved.state["g"]["weight"])
    assert loaded.state["steps"] == saved.state["steps"]


def test_names_sort_by_progress_in_any_listing(tmp_path: Path) -> None:
    assert checkpoint_path(tmp_path, 1000).name == "ckpt-000001000.pt"


def test_the_digest_sees_values_names_types_and_shapes() -> None:
    base = {"a": torch.zeros(4), "b": 1}
    others = [
        {"a": torch.zeros(4), "b": 2},
        {"a": torch.zeros(4), "c": 1},
        {"a": torch.zeros(2, 2), "b": 1},
        {"a": torch.zeros(4, dtype=torch.int32), "b": 1},
        {"a": torch.tensor([0.0, 0, 0, -0.0]), "b": 1},
    ]
    assert len({digest(value) for value in (base, *others)}) == 6
    assert digest({"b": 1, "a": torch.zeros(8)[::2]}) == digest(base)
    assert digest([[1, 2], [3]]) != digest([[1], [2, 3]])


def test_no_flipped_bit_is_loaded_silently(tmp_path: Path) -> None:
    path = save(tmp_path, 1000)
    good, rng = path.read_bytes(), np.random.default_rng(0)
    reference = digest(load_checkpoint(path).state)
    for _ in range(100):
        data = bytearray(good)
        data[rng.integers(len(data))] ^= 1 << rng.integers(8)
        path.write_bytes(data)
        try:
            assert digest(load_checkpoint(path).state) == reference  # a byte that holds nothing
        except DataError as error:
            assert str(path) in str(error)  # noqa: PT017 - both outcomes are right


@pytest.mark.parametrize("share", [0.0, 0.1, 0.5, 0.99])
def test_a_truncated_file_is_refused(tmp_path: Path, share: float) -> None:
    path = save(tmp_path, 1000)
    data = path.read_bytes()
    path.write_bytes(data[: int(share * len(data))])
    with pytest.raises(DataError, match="checkpoint"):
        load_checkpoint(path)


class Evil:
    def __reduce__(self) -> tuple[object, tuple[str]]:
        return exec, ("raise SystemExit('code ran')",)


def test_loading_never_runs_code(tmp_path: Path) -> None:
    path = tmp_path / "ckpt-000000001.pt"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("archive/data.pkl", pickle.dumps(Evil()))
        archive.writestr("archive/version", "3\n")
    with pytest.raises(DataError, match="damaged or foreign"):
        load_checkpoint(path)


def test_a_foreign_torch_file_is_named_as_such(tmp_path: Path) -> None:
    path = tmp_path / "other.pt"
    torch.save({"generator": torch.zeros(3)}, path)
    with pytest.raises(DataError, match="not a mrigan checkpoint"):
        load_checkpoint(path)


@pytest.mark.parametrize("version", [0, 2])
def test_another_version_of_the_format_is_refused(tmp_path: Path, version: int) -> None:
    path = save(tmp_path, 1000)
    payload = torch.load(path, weights_only=True) | {"version": version}
    del payload["digest"]
    torch.save(payload | {"digest": digest(payload)}, path)
    with pytest.raises(DataError, match=f"checkpoint format {version}"):
        load_checkpoint(path)


def test_a_tensor_that_has_no_bytes_to_compare_is_damage(tmp_path: Path) -> None:
    """As a flipped bit in a shape or stride leaves one."""
    path = save(tmp_path, 1000)
    payload = torch.load(path, weights_only=True)
    torch.save(payload | {"state": {"g": torch.eye(3).to_sparse()}}, path)
    # Of our digest, or of torch 2.15 itself.
    with pytest.raises(DataError, match=r"wrong digest|damaged or foreign"):
        load_checkpoint(path)


def test_a_copy_under_another_name_is_left_alone(tmp_path: Path) -> None:
    path = save(tmp_path, 1000)
    copy = path.with_name("ckpt-000002000.pt.old.pt")
    copy.write_bytes(path.read_bytes())
    assert list_checkpoints(tmp_path) == [path]


def test_the_newest_valid_checkpoint_wins(tmp_path: Path) -> None:
    for nimg in (1000, 2000, 3000):
        save(tmp_path, nimg)
    checkpoint_path(tmp_path, 3000).write_bytes(b"damaged")
    path, checkpoint, damaged = newest_valid(tmp_path)
    assert path == checkpoint_path(tmp_path, 2000)
    assert checkpoint is not None
    assert checkpoint.nimg == 2000
    assert [str(checkpoint_path(tmp_path, 3000)) in str(error) for error in damaged] == [True]


def test_a_run_folder_stands_for_its_newest_checkpoint(tmp_path: Path) -> None:
    save(tmp_path, 1000)
    newest = save(tmp_path, 2000)
    assert read_checkpoint(tmp_path)[0] == newest


def test_a_folder_without_checkpoints_is_an_error_that_names_it(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=str(tmp_path)):
        read_checkpoint(tmp_path)


def test_only_the_newest_are_kept(tmp_path: Path) -> None:
    paths = [save(tmp_path, nimg) for nimg in (1000, 2000, 3000, 4000)]
    delete_old(tmp_path, keep=2)
    assert list_checkpoints(tmp_path) == [paths[3], paths[2]]


def test_those_worth_keeping_stay_besides_the_newest(tmp_path: Path) -> None:
    paths = [save(tmp_path, nimg) for nimg in (1000, 2000, 3000)]
    delete_old(tmp_path, keep=1, also={1000})
    assert list_checkpoints(tmp_path) == [paths[2], paths[0]]


def test_the_last_good_checkpoint_is_never_deleted(tmp_path: Path) -> None:
    good = save(tmp_path, 1000)
    for nimg in (2000, 3000, 4000):
        save(tmp_path, nimg).write_bytes(b"damaged")
    delete_old(tmp_path, keep=1)
    assert good.exists()


@pytest.mark.parametrize("hidden", [False, True])
def test_a_failed_save_leaves_the_old_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, hidden: bool
) -> None:
    """Also where torch hides the system's error behind one of its own."""
    path = save(tmp_path, 1000)
    before = path.read_bytes()

    def full_disk(_payload: object, stream: object) -> None:
        stream.write(b"half")  # type: ignore[attr-defined]
        try:
            raise OSError(errno.ENOSPC, "No space left on device")
        except OSError as error:
            if hidden:
                raise RuntimeError("unexpected pos") from error
            raise

    monkeypatch.setattr(torch, "save", full_disk)
    with pytest.raises(DataError, match=r"needs about 4,800 bytes\): the disk"):  # 30 x 40 x 4
        save_checkpoint(path, make(1000))
    assert path.read_bytes() == before
    assert list(tmp_path.iterdir()) == [path]
