"""Checkpoint files: tensors and plain values only, whole or absent, checked bit by bit.

`torch.load` does not notice a flipped bit in a tensor (191 of 200 cases loaded silently), so a
checkpoint carries a digest of all its content, and loading verifies it.
"""

from __future__ import annotations

import hashlib
import re
import zipfile
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

import torch

from mri_gan import __version__
from mri_gan.config import LEVELS, TrainConfig, refuse_store, require
from mri_gan.errors import DataError, MriganError, UsageError
from mri_gan.files import explain_os_error, one_line, write_atomic
from mri_gan.values import is_of

FORMAT = "mrigan-checkpoint"
VERSION = 1
PATTERN = "ckpt-*.pt"
NAME = re.compile(r"ckpt-(\d+)\.pt")  # a copy that somebody named otherwise is left alone
IMPORTED = "imported"  # in place of the digest of training data
IMPORT = "another program's weights become one by `mrigan import FILE --out start.pt`"
OLDER = "use an older checkpoint of that run, or start a new run in another folder"


@dataclass(frozen=True)
class Checkpoint:
    """What a file holds: configuration, progress, digests of what it was trained on, state."""

    config: TrainConfig
    nimg: int
    resolution: int  # px, of the last step
    alpha: float  # of the last step
    data: str  # of the training slices and their labels
    state: dict[str, Any]  # "g", "d", "g_ema": state dicts; "g_opt", "d_opt": optimiser states
    store: str = ""  # whatever the labels; older files do not say


def checkpoint_path(run: Path, nimg: int) -> Path:
    """The file for a run's state after `nimg` images; names sort by progress."""
    return run / f"ckpt-{nimg:09d}.pt"


def save_checkpoint(path: Path, checkpoint: Checkpoint) -> None:
    """Write a checkpoint atomically; raises DataError when the disk refuses."""
    payload = {
        "format": FORMAT,
        "version": VERSION,
        "mrigan": __version__,
        "config": checkpoint.config.to_dict(),
        "nimg": checkpoint.nimg,
        "resolution": checkpoint.resolution,
        "alpha": checkpoint.alpha,
        "data": checkpoint.data,
        "store": checkpoint.store,
        "state": checkpoint.state,
    }
    payload["digest"] = digest(payload)
    n_bytes = sum(tensor.nbytes for tensor in _tensors(payload))
    write_atomic(path, lambda stream: _write(payload, stream), n_bytes)


def _write(payload: dict[str, Any], stream: BinaryIO) -> None:
    """`torch.save`, whose own error on a full disk hides the system's."""
    try:
        torch.save(payload, stream)
    except RuntimeError as error:
        if isinstance(error.__context__, OSError):
            raise error.__context__ from error
        raise


def _tensors(value: Any) -> Iterator[torch.Tensor]:
    if isinstance(value, torch.Tensor):
        yield value
    elif isinstance(value, dict | list | tuple):
        for item in value.values() if isinstance(value, dict) else value:
            yield from _tensors(item)


def load_checkpoint(path: Path, device: torch.device | str = "cpu") -> Checkpoint:
    """Read and verify a checkpoint; loading cannot run code.

    Raises DataError when the file is missing, damaged, or something else.
    """
    payload = _load_payload(path)
    if not _is_whole(payload):
        raise DataError(f"{path}: damaged checkpoint (wrong digest)", OLDER)
    try:
        config = TrainConfig.from_dict(payload["config"])
        nimg, resolution, alpha, data, state = (payload[name] for name in PROGRESS)
        claims = (
            is_of(nimg, int) and 0 <= nimg < 1 << 53,
            resolution in LEVELS and resolution <= config.max_size,
            is_of(alpha, float) and 0 <= alpha <= 1 and is_of(data, str) and is_of(state, dict),
            is_of(store := payload.get("store", ""), str),
        )
        require(all(claims), "its progress makes no sense")
        state = _to_device(state, torch.device(device))
        return Checkpoint(config, nimg, resolution, float(alpha), data, state, store)
    except UsageError as error:
        raise DataError(f"{path}: {error.message:.200}", OLDER) from error
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        raise DataError(f"{path}: incomplete checkpoint ({one_line(error):.80})", OLDER) from error


PROGRESS = ("nimg", "resolution", "alpha", "data", "state")


def _is_whole(payload: dict[str, Any]) -> bool:
    """Whether the content has the digest that it claims, which is taken out of it."""
    claimed = payload.pop("digest", None)
    try:
        return bool(claimed == digest(payload))
    except Exception:  # a flipped bit in a shape or stride makes tensors that nothing can read
        return False


def _load_payload(path: Path) -> dict[str, Any]:
    if not path.is_file():
        raise DataError(f"{path}: no such file or folder", "check the spelling")
    try:
        if not zipfile.is_zipfile(path):
            if _is_pickle(path):
                raise DataError(f"{path}: is not a mrigan checkpoint but a pickle", IMPORT)
            cut = ", or is truncated" if path.suffix == ".pt" else ""
            raise DataError(f"{path}: is not a mrigan checkpoint{cut}", _remedy(path))
        payload = torch.load(path, map_location="cpu", weights_only=True)
    except MriganError:
        raise
    except OSError as error:
        raise explain_os_error(error, path) from error
    except Exception as error:  # torch lets many types through for damaged files
        hint = f"{_remedy(path)}; {IMPORT}"
        raise DataError(f"{path}: damaged or foreign checkpoint", hint) from error
    if not isinstance(payload, dict) or payload.get("format") != FORMAT:
        raise DataError(f"{path}: is not a mrigan checkpoint", IMPORT)
    version = payload.get("version")
    if version != VERSION:
        raise DataError(
            f"{path}: checkpoint format {version!s:.20}, this mrigan reads {VERSION}",
            "update mrigan: pip install -U mrigan",
        )
    return payload


def _remedy(path: Path) -> str:
    """What to do about a file that is damaged, or by its name no checkpoint at all."""
    return OLDER if path.suffix == ".pt" else f"give a checkpoint ({PATTERN}) or a run folder"


def _is_pickle(path: Path) -> bool:
    """Whether a file begins as pickles do since protocol 2, which torch's older form is made of."""
    with path.open("rb") as stream:
        first = stream.read(2)
    return first[:1] == b"\x80" and first[1:] in (b"\x02", b"\x03", b"\x04", b"\x05")


def digest(value: Any) -> str:
    """BLAKE2b of a nest of dicts, lists, plain values and tensors."""
    hasher = hashlib.blake2b(digest_size=16)
    for part in _parts(value):
        hasher.update(part)
    return hasher.hexdigest()


def _parts(value: Any) -> Iterator[bytes | memoryview]:
    if isinstance(value, dict):
        for name in sorted(value, key=str):
            yield f"{name}=".encode()
            yield from _parts(value[name])
    elif isinstance(value, list | tuple):
        yield f"[{len(value)}".encode()
        for item in value:
            yield from _parts(item)
    elif isinstance(value, torch.Tensor):
        yield f"{value.dtype}{tuple(value.shape)}".encode()
        yield value.detach().cpu().contiguous().reshape(-1).view(torch.uint8).numpy().data
    else:
        yield repr(value).encode()


def _to_device(value: Any, device: torch.device) -> Any:
    if isinstance(value, torch.Tensor):
        return value.to(device)
    if isinstance(value, dict):
        return {name: _to_device(item, device) for name, item in value.items()}
    if isinstance(value, list):
        return [_to_device(item, device) for item in value]
    return value


def list_checkpoints(run: Path) -> list[Path]:
    """The checkpoint files of a run, newest first."""
    named = [
        (int(match[1]), path) for path in run.glob(PATTERN) if (match := NAME.fullmatch(path.name))
    ]
    return [path for _, path in sorted(named, reverse=True)]


def newest_valid(
    run: Path, device: torch.device | str = "cpu"
) -> tuple[Path | None, Checkpoint | None, list[DataError]]:
    """The newest checkpoint that loads, and what was wrong with those newer than it."""
    damaged: list[DataError] = []
    for path in list_checkpoints(run):
        try:
            return path, load_checkpoint(path, device), damaged
        except DataError as error:
            damaged.append(error)
    return None, None, damaged


def read_checkpoint(path: Path, device: torch.device | str = "cpu") -> tuple[Path, Checkpoint]:
    """A checkpoint file and what it holds, or the newest valid one of a run folder.

    Raises DataError when there is none.
    """
    if not path.is_dir():
        return path, load_checkpoint(path, device)
    refuse_store(path)
    found, checkpoint, damaged = newest_valid(path, device)
    if found is not None and checkpoint is not None:
        return found, checkpoint
    if damaged:
        raise damaged[0]
    raise DataError(f"{path}: no checkpoint ({PATTERN}) in this folder", "give a run folder")


class Start:
    """The checkpoint file or run folder that a new run starts from; read once, when first asked."""

    def __init__(self, given: Path) -> None:
        self._given = given
        self._found: tuple[Path, Checkpoint] | None = None

    def read(self) -> tuple[Path, Checkpoint]:
        """The file and what it holds."""
        self._found = self._found or read_checkpoint(self._given)
        return self._found

    def forget(self) -> None:
        """Let go of the weights, which need not stay in memory as long as the run."""
        self._found = None


def checkpoint_nimg(path: Path) -> int:
    """How many images a checkpoint's name says that its run had shown."""
    return int(path.stem.rpartition("-")[2])


def delete_old(run: Path, keep: int, also: Collection[int] = ()) -> None:
    """Delete all but the `keep` newest checkpoints and those after `also` images.

    Never the last one that loads.
    """
    old = [p for p in list_checkpoints(run)[max(keep, 1) :] if checkpoint_nimg(p) not in also]
    if old and newest_valid(run)[0] not in (None, *old):
        for path in old:
            path.unlink(missing_ok=True)
