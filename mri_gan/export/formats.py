"""Stored slices as other programs read them, as folders, zips, LMDBs and tars of PNGs."""

from __future__ import annotations

import hashlib
import io
import itertools
import json
import os
import re
import tarfile
import unicodedata
import zipfile
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import lmdb
import numpy as np
from numpy.typing import NDArray

from mri_gan.errors import UsageError
from mri_gan.files import write_text
from mri_gan.pictures import Shows, bare_letters, png_bytes
from mri_gan.store.labels import one_cell, slice_labels
from mri_gan.store.reader import StoreReader
from mri_gan.store.schema import (
    IMAGE,
    MANIFEST_FILE,
    MASK,
    SliceRecord,
    label_channels,
    label_greys,
)

COLUMNS = ("class", "group", "diagnosis", "sex")  # what may be a class, the first that fits


@dataclass(frozen=True)
class ClassLabels:
    """One class for each exported slice, and what the classes are called."""

    column: str
    names: tuple[str, ...]
    numbers: tuple[int, ...]  # in the order of the slices

    def describe(self) -> str:
        """In a line: `group (0 AD, 1 CN)`."""
        return f"{self.column} ({', '.join(f'{i} {name}' for i, name in enumerate(self.names))})"


def find_classes(store: StoreReader, indices: Sequence[int]) -> ClassLabels | None:
    """The first label that names two classes or more and that every slice has; None for none."""
    labels = slice_labels(store.records)
    for column in COLUMNS:
        values = [labels[index].get(column) for index in indices]
        if all(isinstance(value, str) for value in values) and len(set(values)) > 1:
            names = tuple(sorted({str(value) for value in values}))
            return ClassLabels(column, names, tuple(names.index(str(v)) for v in values))
    return None


def dataset_json(files: Sequence[str], classes: ClassLabels | None) -> str:
    """`dataset.json` of the files in their order.

    StyleGAN reads `labels`, pairs of file and class number; what classes are called stands beside.
    """
    if classes is None:
        return json.dumps({"labels": None})
    pairs = [list(pair) for pair in zip(files, classes.numbers, strict=True)]
    names = {"class_column": classes.column, "class_names": list(classes.names)}
    return json.dumps({"labels": pairs, **names})


# Slices as folders, zips, LMDBs and tars of PNGs, as other tools expect them

# Images and masks of a store apart, and the labels that a mask's greys stand for

Pixels = NDArray[Any]


class Channels:
    """Which channels of a store are shades and which one, if any, is a mask."""

    def __init__(self, store: StoreReader) -> None:
        masks = label_channels(store.channel_names)
        self._mask = masks[0] if masks else None
        self._shades = [i for i in range(store.channels) if i not in masks]
        self._table = label_table(store) if masks else None
        self._contrasts = store.channel_names if IMAGE not in store.channel_names else ()

    def shades(self, image: Pixels) -> Pixels:
        """The channels [..., C, H, W] of an image that are not masks."""
        return image if self._mask is None else image[..., self._shades, :, :]

    def labels(self, image: Pixels) -> Pixels | None:
        """The mask [..., 1, H, W] as the labels of its source, or None where there is none."""
        if self._mask is None or self._table is None:
            return None
        return np.asarray(self._table[image[..., self._mask : self._mask + 1, :, :]])

    def split(self, image: Pixels) -> dict[str, Pixels]:
        """What one image [C, H, W] becomes: the picture under "", and its mask.

        Of contrasts of one head, each is a picture of its own.
        """
        if self._contrasts:
            return {name: image[i : i + 1] for i, name in enumerate(self._contrasts)}
        labels = self.labels(image)
        picture = {"": self.shades(image)}
        return picture if labels is None else picture | {MASK: labels}


def label_table(store: StoreReader) -> Pixels:
    """For every grey level of a mask, the label of the source; uint8 where that holds them all."""
    depth = int(store.header["depth"])
    top = (1 << depth) - 1
    known = store.header.get("learned", {}).get("mask_labels") or range(top + 1)
    table = np.zeros(top + 1, np.uint8 if max(known) < 256 else np.uint16)
    table[label_greys(len(known), depth)] = known
    return table


# Which slices an export takes, and under which names

MAX_NAME, MAX_BYTES = 80, 200  # characters, and bytes of UTF-8
MARK_BYTES = 2
# Folders that Windows cannot have.
RESERVED = re.compile(r"(?:con|prn|aux|nul|com\d|lpt\d)(?:\.|$)", re.IGNORECASE)


@dataclass(frozen=True)
class Selection:
    """Slices of a store by index, in store order, and the folder name of each subject."""

    indices: tuple[int, ...]
    folders: dict[str, str]
    anonymous: bool = False


def select(store: StoreReader, split: str | None, *, anonymous: bool) -> Selection:
    """The slices of one split, or of all; raises UsageError when there are none."""
    indices = tuple(store.indices(split).tolist())
    if not indices:
        have = sorted({record.split for record in store.records})
        raise UsageError(f"{store.folder}: no slices in split {split}", f"it has {', '.join(have)}")
    # Numbered over the whole store, so that exports of its splits fit together.
    subjects = list(dict.fromkeys(record.subject for record in store.records))
    numbers = {subject: f"{i:05d}" for i, subject in enumerate(subjects)}
    return Selection(indices, numbers if anonymous else name_folders(subjects), anonymous)


def name_folders(subjects: Sequence[str]) -> dict[str, str]:
    """A folder name for each subject: harmless everywhere, and never shared by two.

    Where two would share one (`Müller` and `Mueller`), who is called so keeps it; the other's ends
    with `~` and four hexadecimal digits that follow from its own name, whoever else there is.
    """
    taken: set[str] = set()
    folders: dict[str, str] = {}
    for subject in sorted(subjects, key=lambda subject: safe_name(subject) != subject):
        plain = base = safe_name(subject)
        count = 0
        while plain.casefold() in taken:  # as some file systems compare names
            plain = f"{base}~{_mark(subject, count)}"
            count += 1
        taken.add(plain.casefold())
        folders[subject] = plain
    return {subject: folders[subject] for subject in subjects}


def _mark(text: str, count: int) -> str:
    data = f"{text}{'~' * count}".encode(errors="surrogatepass")
    return hashlib.blake2b(data, digest_size=MARK_BYTES).hexdigest()


def safe_name(text: str) -> str:
    """The text as one file name: no separators, no dots in front, no odd characters.

    Latin letters with marks are spelled without (`ü` as `ue`, `é` as `e`, `ø` as `o`); letters of
    other alphabets stay as they are, which file systems allow, and everything else is `_`.
    """
    spelled = "".join(map(_spell, unicodedata.normalize("NFC", text)))
    plain = re.sub(r"_+", "_", spelled).strip("._")[:MAX_NAME]
    plain = plain.encode()[:MAX_BYTES].decode(errors="ignore") or "unnamed"
    return f"_{plain}" if RESERVED.match(plain) else plain


def safe_part(text: str) -> str:
    """As `safe_name`, for a part of a name that is not there where there is nothing to say."""
    return safe_name(text) if text else ""


def _spell(letter: str) -> str:
    """One letter as a file name may have it."""
    if letter.isascii():
        return letter if letter.isalnum() or letter in "._-" else "_"
    if unicodedata.name(letter, "").startswith("LATIN"):
        return "".join(c for c in bare_letters(letter) if c.isascii() and c.isalnum()) or "_"
    return letter if unicodedata.category(letter)[0] in "LMN" else "_"


def public_facts(record: SliceRecord, selection: Selection) -> dict[str, Any]:
    """What may stand beside an exported image: nothing that the folder name does not say.

    Labels of people are there unless the export is anonymous: a great age or a rare diagnosis can
    identify somebody.
    """
    return {
        "subject": selection.folders[record.subject],
        "split": record.split,
        "session": record.session,
        "side": record.side,
        "plane": record.plane,
        "position": record.position,
        "position_mm": record.position_mm,
        "native": record.native,
        **({"contrast": record.contrast} if record.contrast else {}),
        **({"labels": record.labels} if record.labels and not selection.anonymous else {}),
    }


class Manifest:
    """`manifest.tsv` of an exported folder: a line for each picture or volume, with its labels."""

    FIRST = ("file", "subject", "split")  # which a label of the same name does not replace
    FACTS = ("session", "side", "plane", "contrast")

    def __init__(self, selection: Selection) -> None:
        self._selection = selection
        self._rows: list[dict[str, object]] = []

    def add(self, files: Mapping[str, str], record: SliceRecord, *, position: bool) -> None:
        """Note the files of one slice or volume by their channels, `""` for the only one."""
        facts = public_facts(record, self._selection)
        known = {name: facts.get(name) for name in self.FACTS}
        known |= {"position": record.position} if position and record.position >= 0 else {}
        labels = facts.get("labels", {})
        known |= {name: value for name, value in labels.items() if name not in self.FIRST}
        for channel, file in files.items():
            if channel != MASK:
                row = {"file": file, "subject": facts["subject"], "split": facts["split"], **known}
                own = {"contrast": channel} if channel else {}
                self._rows.append({**row, **own, "mask": files.get(MASK)})

    def write(self, folder: Path) -> None:
        """Write the table, without columns that say nothing."""
        names = {name: None for row in self._rows for name, value in row.items() if _says(value)}
        lines = [names, *([row.get(name) for name in names] for row in self._rows)]
        cells = (map(_cell, line) for line in lines)
        write_text(folder / MANIFEST_FILE, "".join("\t".join(line) + "\n" for line in cells))


def _says(value: object) -> bool:
    return value is not None and value != ""


def _cell(value: object) -> str:
    if isinstance(value, float):
        return f"{value:.12g}"
    return one_cell(str(value)) if _says(value) else ""


# Slices to PNG bytes, encoded by threads and handed back in order

READ_AHEAD = 32  # slices per read

Item = TypeVar("Item")
Result = TypeVar("Result")


def encode_slices(
    store: StoreReader,
    level: int,
    indices: Sequence[int],
    encode: Callable[[NDArray[Any]], Result],
    workers: int,
) -> Iterator[tuple[int, Result]]:
    """Pairs of slice index and what `encode` makes of its image, in the order of the indices."""
    with ThreadPoolExecutor(workers, "mrigan-encode") as pool:
        encoded = map_ordered(pool, encode, _images(store, level, indices), 4 * workers)
        yield from zip(indices, encoded, strict=True)


def _images(store: StoreReader, level: int, indices: Sequence[int]) -> Iterator[NDArray[Any]]:
    for start in range(0, len(indices), READ_AHEAD):
        yield from store.read(level, indices[start : start + READ_AHEAD])


def map_ordered(
    pool: ThreadPoolExecutor,
    function: Callable[[Item], Result],
    items: Iterable[Item],
    window: int,
) -> Iterator[Result]:
    """`map` with at most `window` items in flight, so that memory stays bounded."""
    waiting: deque[Future[Result]] = deque()
    for item in items:
        waiting.append(pool.submit(function, item))
        if len(waiting) >= window:
            yield waiting.popleft().result()
    while waiting:
        yield waiting.popleft().result()


def png8(image: NDArray[Any]) -> bytes:
    """An 8-bit PNG of pixels [C, H, W]; 16-bit pixels are rounded."""
    if image.dtype == np.uint16:
        image = ((image.astype(np.uint32) + 128) // 257).astype(np.uint8)
    return png_bytes(image, shows=Shows.REAL)


def png16(image: NDArray[Any]) -> bytes:
    """A 16-bit grey PNG of pixels [1, H, W]; 8-bit white becomes 16-bit white."""
    if len(image) != 1:
        raise UsageError("16-bit PNGs hold one channel", "use --format png")
    wide = image.astype(np.uint16) * np.uint16(257) if image.dtype == np.uint8 else image
    return png_bytes(wide, shows=Shows.REAL)


def png_rgb(image: NDArray[Any]) -> bytes:
    """An 8-bit PNG of three channels, equal ones for grey pixels."""
    return png8(np.repeat(image, 3, axis=0) if len(image) == 1 else image)


# Images as folders, zips, LMDBs and tars: what other tools expect to find

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
    """`split/subject/000012.png`, numbered as in the store, and `000012_mask.png` beside it.

    In a store of several contrasts `000012_t1.png` and `000012_t1_mask.png`.
    """
    manifest = Manifest(selection)
    for index, files in images:
        record = store.records[index]
        folder = folder_of(record, selection)
        (target / folder).mkdir(parents=True, exist_ok=True)
        start = "_".join(filter(None, (f"{index:06d}", safe_part(record.contrast))))
        names = {name: f"{folder}/{start}{name and '_'}{name}.png" for name in files}
        for name, data in files.items():
            (target / names[name]).write_bytes(data)
        manifest.add(names, record, position=True)
        tell()
    manifest.write(target)


def folder_of(record: SliceRecord, selection: Selection) -> str:
    """Where the pictures of a slice go, within an exported folder."""
    return f"{record.split or 'all'}/{selection.folders[record.subject]}"


def write_zip(images: Encoded, classes: ClassLabels | None, target: Path, tell: Tell) -> None:
    """The zip of the StyleGAN2 and 3 dataset tool: `00000/img00000000.png`, `dataset.json`."""
    files = []
    with zipfile.ZipFile(target, "w", zipfile.ZIP_STORED) as archive:
        for number, (_, data) in enumerate(images):
            name = f"{number:08d}"
            files.append(f"{name[:5]}/img{name}.png")
            archive.writestr(zipfile.ZipInfo(files[-1], ZIP_TIME), data)
            tell()
        text = dataset_json(files, classes)
        archive.writestr(zipfile.ZipInfo("dataset.json", ZIP_TIME), text)


def write_lmdb(levels: Iterable[tuple[int, Encoded]], target: Path, tell: Tell) -> None:
    """The LMDB of the PyTorch StyleGANs: `256-00012` -> image file, `length` -> how many."""
    target.mkdir()
    env = lmdb.open(os.fsencode(target), map_size=FIRST_MAP_BYTES)
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
    for part, some in itertools.groupby(enumerate(images), lambda one: one[0] // SHARD):
        with tarfile.open(target / f"shard-{part:06d}.tar", "w") as shard:
            for number, (index, files) in some:
                facts = public_facts(store.records[index], selection)
                for name, data in files.items():
                    _add(shard, f"{number:06d}{name and '.'}{name}.png", data)
                _add(shard, f"{number:06d}.json", json.dumps(facts, sort_keys=True).encode())
                tell()


def _add(shard: tarfile.TarFile, name: str, data: bytes) -> None:
    info = tarfile.TarInfo(name)
    info.size = len(data)
    shard.addfile(info, io.BytesIO(data))
