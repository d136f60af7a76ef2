"""Images as folders, zips, LMDBs and tars: what other tools expect to find."""

from __future__ import annotations

import io
import json
import tarfile
import zipfile
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import lmdb

from mri_gan.exchange.selection import Selection, public_facts
from mri_gan.store.reader import StoreReader

Encoded = Iterable[tuple[int, bytes]]
EncodedFiles = Iterable[tuple[int, dict[str, bytes]]]  # "" is the picture, "mask" its mask
Tell = Callable[[], object]

ZIP_TIME = (1980, 1, 1, 0, 0, 0)  # the zip format's first day: equal exports are equal files
SHARD = 1000  # samples per tar
BATCH_BYTES = 32 << 20
FIRST_MAP_BYTES = 64 << 20


def write_folder(
    store: StoreReader, selection: Selection, images: EncodedFiles, target: Path, tell: Tell
) -> None:
    """`split/subject/000012.png`, numbered as in the store, and `000012_mask.png` beside it."""
    for index, files in images:
        record = store.records[index]
        folder = target / (record.split or "all") / selection.folders[record.subject]
        folder.mkdir(parents=True, exist_ok=True)
        for name, data in files.items():
            (folder / f"{index:06d}{name and '_'}{name}.png").write_bytes(data)
        tell()


def write_zip(images: Encoded, target: Path, tell: Tell) -> None:
    """The zip of the StyleGAN2 and 3 dataset tool: `00000/img00000000.png`, `dataset.json`."""
    with zipfile.ZipFile(target, "w", zipfile.ZIP_STORED) as archive:
        for number, (_, data) in enumerate(images):
            name = f"{number:08d}"
            archive.writestr(zipfile.ZipInfo(f"{name[:5]}/img{name}.png", ZIP_TIME), data)
            tell()
        text = json.dumps({"labels": None})
        archive.writestr(zipfile.ZipInfo("dataset.json", ZIP_TIME), text)


def write_lmdb(levels: Iterable[tuple[int, Encoded]], target: Path, tell: Tell) -> None:
    """The LMDB of the PyTorch StyleGANs: `256-00012` -> image file, `length` -> how many."""
    target.mkdir()
    env = lmdb.open(str(target), map_size=FIRST_MAP_BYTES)
    try:
        count = 0
        for level, images in levels:
            batch: list[tuple[bytes, bytes]] = []
            count = n_bytes = 0
            for _, data in images:
                batch.append((f"{level}-{count:05d}".encode(), data))
                count += 1
                n_bytes += len(data)
                if n_bytes > BATCH_BYTES:
                    _put(env, batch)
                    batch, n_bytes = [], 0
                tell()
            _put(env, batch)
        _put(env, [(b"length", str(count).encode())])
    finally:
        env.close()


def _put(env: lmdb.Environment, items: list[tuple[bytes, bytes]]) -> None:
    """One transaction, with a larger map where it does not fit."""
    while True:
        try:
            with env.begin(write=True) as txn:
                for key, value in items:
                    txn.put(key, value)
            return
        except lmdb.MapFullError:
            env.set_mapsize(2 * env.info()["map_size"])


def write_shards(
    store: StoreReader, selection: Selection, images: EncodedFiles, target: Path, tell: Tell
) -> None:
    """WebDataset: `shard-000000.tar` of `000000.png`, `000000.mask.png`, `000000.json`."""
    target.mkdir()
    shard: tarfile.TarFile | None = None
    try:
        for number, (index, files) in enumerate(images):
            if number % SHARD == 0:
                if shard is not None:
                    shard.close()
                shard = tarfile.open(target / f"shard-{number // SHARD:06d}.tar", "w")  # noqa: SIM115
            assert shard is not None
            record = store.records[index]
            facts = public_facts(record, selection.folders[record.subject])
            for name, data in files.items():
                _add(shard, f"{number:06d}{name and '.'}{name}.png", data)
            _add(shard, f"{number:06d}.json", _json(facts))
            tell()
    finally:
        if shard is not None:
            shard.close()


def _json(facts: dict[str, Any]) -> bytes:
    return json.dumps(facts, sort_keys=True).encode()


def _add(shard: tarfile.TarFile, name: str, data: bytes) -> None:
    info = tarfile.TarInfo(name)
    info.size = len(data)
    shard.addfile(info, io.BytesIO(data))
