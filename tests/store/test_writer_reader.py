"""What was written is read back at all levels; what is damaged is refused by name."""

from __future__ import annotations

import subprocess
import sys
import textwrap
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import lmdb
import numpy as np
import pytest
from numpy.typing import NDArray

from mri_gan.config import LEVELS
from mri_gan.errors import DataError, UsageError
from mri_gan.store import schema
from mri_gan.store.pyramid import enlarge, levels_below
from mri_gan.store.reader import StoreReader
from mri_gan.store.schema import SliceRecord, encode, encode_upsampled, seal
from mri_gan.store.writer import StoreWriter

HEADER: dict[str, Any] = {
    "format": schema.FORMAT,
    "version": schema.VERSION,
    "channels": 1,
    "depth": 8,
    "levels": list(LEVELS),
    "plan": "plan-1",
    "options": {},
}
SOURCES = 6
NATIVES = (8, 64, 128, 256, 64, 128)


def image(i: int, header: dict[str, Any] = HEADER) -> NDArray[Any]:
    """The native image of slice i: [C, S, S]."""
    dtype = "uint16" if header["depth"] == 16 else "uint8"
    size = NATIVES[i]
    rng = np.random.default_rng(i)
    shape = (header["channels"], size, size)
    return rng.integers(0, np.iinfo(dtype).max, shape, dtype, endpoint=True)


def encoded(i: int, header: dict[str, Any], materialize: bool = False) -> Any:
    """What a worker makes of slice i."""
    pixels = image(i, header)
    native = NATIVES[i]
    images = {level: encode(p) for level, p in levels_below(pixels).items()}
    for level in LEVELS:
        if level > native:
            images[level] = (
                encode(enlarge(pixels, level)) if materialize else encode_upsampled(native)
            )
    record = SliceRecord(f"s{i}.png", f"p{i}", "train", native, checksum=zlib.crc32(pixels.data))
    return record.to_json(), images


def summary(writer: StoreWriter) -> dict[str, Any]:
    return {"slices": writer.slices_done, "max_native": 256, "digest": "d"}


def write(
    folder: Path,
    header: dict[str, Any] = HEADER,
    materialize: bool = False,
    stop_at: int = SOURCES,
) -> Path:
    """Write, or go on writing, a store of one slice per source."""
    folder.mkdir(exist_ok=True)
    with StoreWriter(folder, header) as writer:
        for i in range(writer.sources_done, stop_at):
            writer.add_source([encoded(i, header, materialize)])
        writer.flush()
        if stop_at == SOURCES:
            writer.finish(summary(writer))
    return folder


def contents(folder: Path) -> dict[bytes, dict[bytes, bytes]]:
    """Every key and value of every database."""
    env = lmdb.open(str(folder), readonly=True, lock=False, max_dbs=16)
    names = (b"meta", b"slices", b"skipped", *schema.LEVEL_NAMES.values())
    found = {}
    for name in names:
        database = env.open_db(name, create=False)
        with env.begin(db=database) as txn:
            found[name] = dict(txn.cursor())
    env.close()
    return found


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write(tmp_path_factory.mktemp("stores") / "whole")


@pytest.fixture
def damage(tmp_path: Path) -> Callable[[Callable[[lmdb.Environment], object]], Path]:
    """Write a store, let a function change its database, and give the folder."""

    def change(edit: Callable[[lmdb.Environment], object]) -> Path:
        folder = write(tmp_path / "damaged")
        env = lmdb.open(str(folder), max_dbs=16)
        edit(env)
        env.close()
        return folder

    return change


def put(name: bytes, key: bytes, value: bytes | None) -> Callable[[lmdb.Environment], object]:
    """An edit that replaces or deletes one value."""

    def edit(env: lmdb.Environment) -> None:
        with env.begin(write=True, db=env.open_db(name, create=False)) as txn:
            assert txn.delete(key) if value is None else txn.put(key, value)

    return edit


# Round trips


@pytest.fixture(
    scope="module",
    params=[{}, {"depth": 16}, {"channels": 3}],
    ids=["8bit", "16bit", "colour"],
)
def variant(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> tuple[Path, dict[str, Any]]:
    """A store of each kind of image, with its header."""
    header = HEADER | request.param
    return write(tmp_path_factory.mktemp("variant"), header), header


@pytest.mark.parametrize("level", LEVELS)
def test_every_level_of_every_slice_comes_back(
    variant: tuple[Path, dict[str, Any]], level: int
) -> None:
    folder, header = variant
    with StoreReader(folder) as store:
        batch = store.read(level, range(SOURCES))
    assert batch.shape == (SOURCES, header["channels"], level, level)
    for i, got in enumerate(batch):
        pixels = image(i, header)
        expected = levels_below(pixels).get(level)
        np.testing.assert_array_equal(got, enlarge(pixels, level) if expected is None else expected)


def test_computed_levels_equal_materialized_ones(tmp_path: Path, written: Path) -> None:
    materialized = write(tmp_path / "m", materialize=True)
    with StoreReader(written) as computed, StoreReader(materialized) as stored:
        for level in LEVELS:
            indices = range(SOURCES)
            np.testing.assert_array_equal(
                computed.read(level, indices), stored.read(level, indices)
            )


def test_materialized_levels_take_their_space(tmp_path: Path, written: Path) -> None:
    with StoreReader(written) as computed, StoreReader(write(tmp_path / "m", HEADER, True)) as full:
        assert full.n_bytes > 2 * computed.n_bytes


def test_records_come_back(written: Path) -> None:
    with StoreReader(written) as store:
        assert len(store) == SOURCES
        assert [r.source for r in store.records] == [f"s{i}.png" for i in range(SOURCES)]
        assert [r.native for r in store.records] == list(NATIVES)


def test_a_split_has_its_own_slices_and_no_other(tmp_path: Path) -> None:
    splits = ("train", "validate", "test", "train", "validate", "")
    with StoreWriter(tmp_path, HEADER) as writer:
        for i, split in enumerate(splits):
            record, images = encoded(i, HEADER)
            changed = SliceRecord.from_json(record).to_json(split=split)
            writer.add_source([(changed, images)])
        writer.finish(summary(writer))
    with StoreReader(tmp_path) as reader:
        found = {split: reader.indices(split).tolist() for split in sorted({*splits})}
        assert found == {"": [5], "test": [2], "train": [0, 3], "validate": [1, 4]}
        assert reader.indices().tolist() == [0, 1, 2, 3, 4, 5]


def test_the_checksum_of_a_record_is_that_of_its_native_pixels(written: Path) -> None:
    with StoreReader(written) as store:
        for i, record in enumerate(store.records):
            assert zlib.crc32(store.read(record.native, [i])[0]) == record.checksum


@pytest.mark.parametrize("order", [[5, 0, 3], [2, 2, 2], []])
def test_batches_follow_the_order_asked_for(written: Path, order: list[int]) -> None:
    with StoreReader(written) as store:
        batch = store.read(64, order)
        assert batch.shape == (len(order), 1, 64, 64)
        for i, got in zip(order, batch, strict=True):
            np.testing.assert_array_equal(got, store.read(64, [i])[0])


def test_threaded_batches_equal_single_reads(written: Path, monkeypatch: Any) -> None:
    monkeypatch.setattr("os.cpu_count", lambda: 2)
    indices = np.arange(48) * 5 % SOURCES
    with StoreReader(written, threads=2) as two:
        for level in (64, 256, 512):
            batch = two.read(level, indices)
            singles = np.concatenate([two.read(level, [i]) for i in indices.tolist()])
            np.testing.assert_array_equal(batch, singles)
        assert two._pool._max_workers == 2


def test_two_readers_of_one_store_in_one_process(written: Path) -> None:
    first, second = StoreReader(written), StoreReader(written)
    first.close()
    assert second.read(8, [0]).shape == (1, 1, 8, 8)
    second.close()
    with StoreReader(written) as third:
        assert len(third) == SOURCES


def test_writing_the_same_twice_gives_the_same_content(tmp_path: Path, written: Path) -> None:
    assert contents(write(tmp_path / "again")) == contents(written)


def test_a_record_keeps_all_its_fields() -> None:
    record = SliceRecord(
        "dir/ä\udcff.nii", "p", "test", 64, "2", "left", "axial", 3, -1.5,
        ((1.0, 0.0, 2.0), (0.0, 1.0, 3.0), (0.0, 0.0, 1.0)),
        (0.5, 99.5), (60, 50), (1.5, 2.0), (1, 2, 3, -4), 0.25, 77,
    )  # fmt: skip
    assert SliceRecord.from_json(record.to_json()) == record


def test_a_record_of_a_later_version_is_read_without_its_news() -> None:
    data = schema.dump_json({"source": "a", "subject": "p", "split": "", "native": 8, "news": 1})
    assert SliceRecord.from_json(data) == SliceRecord("a", "p", "", 8)


def test_keys_sort_as_numbers_do() -> None:
    numbers = [0, 1, 255, 256, 65535, 65536, 2**32 - 1]
    assert sorted(map(schema.index_key, numbers)) == list(map(schema.index_key, numbers))


# Continuing


def test_a_stopped_writer_is_continued_to_the_same_store(tmp_path: Path, written: Path) -> None:
    folder = write(tmp_path / "s", stop_at=3)
    assert contents(write(folder)) == contents(written)


ABANDON = """
import os, sys
from pathlib import Path
from mri_gan.store.writer import StoreWriter
writer = StoreWriter(Path(sys.argv[1]), {header!r})
for i in range(4):
    writer.add_source([(b'{{"native": 8, "source": "a", "split": "", "subject": "p"}}',
        {{8: b"x" * 70}})])
    if i == 1:
        writer.flush()
os._exit(9)
"""


def test_an_abandoned_writer_leaves_its_last_transaction(tmp_path: Path) -> None:
    """Pixels, records and the counter always agree, and the uncommitted rest is gone."""
    code = textwrap.dedent(ABANDON.format(header=HEADER))
    done = subprocess.run([sys.executable, "-c", code, str(tmp_path)], check=False)
    assert done.returncode == 9
    with StoreWriter(tmp_path, HEADER) as writer:
        assert (writer.sources_done, writer.slices_done) == (2, 2)
        assert len(list(writer.records())) == 2
    assert len(contents(tmp_path)[b"0008"]) == 2


def test_an_unfinished_store_of_another_plan_is_not_continued(tmp_path: Path) -> None:
    write(tmp_path / "s", stop_at=2)
    with pytest.raises(UsageError, match="unfinished store of other sources"):
        write(tmp_path / "s", HEADER | {"plan": "plan-2"})


def test_options_of_another_plan_are_named_but_not_many(tmp_path: Path) -> None:
    before: dict[str, Any] = dict.fromkeys("abcd", 1)
    write(tmp_path / "s", HEADER | {"options": before | {"old": 1}}, stop_at=2)
    after = {"plan": "plan-2", "options": dict.fromkeys("abcd", 2) | {"new": 1}}
    said = r"other options \(a 1, not 2; b 1, not 2; c 1, not 2 and 1 more\)"
    with pytest.raises(UsageError, match=said):
        write(tmp_path / "s", HEADER | after)


def test_skipped_sources_are_counted_and_listed(tmp_path: Path) -> None:
    with StoreWriter(tmp_path, HEADER) as writer:
        writer.skip_source("a.png", "damaged", "unreadable")
        writer.add_source([encoded(0, HEADER)], dropped=2)
        writer.skip_source("b.nii", "empty", "nothing", dropped=5)
        writer.finish(summary(writer))
        assert (writer.sources_done, writer.slices_done, writer.dropped) == (3, 1, 7)
    with StoreReader(tmp_path) as store:
        assert [(e["source"], e["kind"]) for e in store.skipped()] == [
            ("a.png", "damaged"),
            ("b.nii", "empty"),
        ]


def test_the_map_grows_with_the_data(tmp_path: Path) -> None:
    """More than the first map size goes in without a word."""
    data = bytes(12 << 20)
    with StoreWriter(tmp_path, HEADER) as writer:
        for i in range(8):
            record = SliceRecord(f"{i}", "p", "", 8).to_json()
            writer.add_source([(record, {1024: data})])
        writer.finish(summary(writer))
        assert writer.n_bytes > 96 << 20


# Damage


def test_a_level_that_is_none_is_refused(written: Path) -> None:
    with StoreReader(written) as store, pytest.raises(UsageError, match="100"):
        store.read(100, [0])


@pytest.mark.parametrize("level", [8, 128, 1024])
@pytest.mark.parametrize(
    "value",
    [bytes(69), b"\x09abc", b"\x02abc", None],
    ids=["checksum", "codec", "pointer", "missing"],
)
def test_a_damaged_record_is_named(damage: Any, level: int, value: bytes | None) -> None:
    folder = damage(put(schema.LEVEL_NAMES[level], schema.index_key(2), value))
    with StoreReader(folder) as store:
        assert store.read(level, [0, 1]).shape[0] == 2
        with pytest.raises(DataError, match=f"slice 2 at {level} px is damaged"):
            store.read(level, [0, 1, 2])


def test_damage_is_named_by_threads_too(damage: Any, monkeypatch: Any) -> None:
    monkeypatch.setattr("os.cpu_count", lambda: 2)
    folder = damage(put(b"0512", schema.index_key(3), b"\x01abc"))
    with StoreReader(folder, threads=2) as store, pytest.raises(DataError, match="slice 3 at 512"):
        store.read(512, [0, 1, 2, 4] * 5 + [3])


@pytest.mark.parametrize("native", [1024, 512, 100, 0])
def test_a_pointer_to_nowhere_is_named(damage: Any, native: int) -> None:
    pointer = bytes(seal(encode_upsampled(native), schema.index_key(2)))
    folder = damage(put(b"0512", schema.index_key(2), pointer))
    with StoreReader(folder) as store, pytest.raises(DataError, match=f"points to level {native}"):
        store.read(512, [2])


def test_a_pointer_to_a_missing_native_image_is_named(damage: Any) -> None:
    folder = damage(put(b"0128", schema.index_key(2), None))
    with StoreReader(folder) as store, pytest.raises(DataError, match="slice 2"):
        store.read(1024, [2])


def test_a_slice_beyond_the_end_is_named(written: Path) -> None:
    with StoreReader(written) as store, pytest.raises(UsageError, match=f"no slice {SOURCES}"):
        store.read(8, [SOURCES])


@pytest.mark.parametrize("share", [0.3, 0.6, 0.99])
def test_a_truncated_file_is_refused_and_never_a_bus_error(
    tmp_path: Path, written: Path, share: float
) -> None:
    data = (written / "data.mdb").read_bytes()
    (tmp_path / "data.mdb").write_bytes(data[: int(len(data) * share)])
    with pytest.raises(DataError, match=r"data\.mdb: cut short"):
        StoreReader(tmp_path)


@pytest.mark.parametrize("data", [b"", b"hello\n", b"x" * 100_000, bytes(8192)])
def test_a_file_that_is_no_database_is_refused(tmp_path: Path, data: bytes) -> None:
    (tmp_path / "data.mdb").write_bytes(data)
    with pytest.raises(DataError, match=str(tmp_path)):
        StoreReader(tmp_path)


def test_a_folder_that_is_no_store_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="is not a mrigan store"):
        StoreReader(tmp_path)


def test_a_missing_folder_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="gone: no such store"):
        StoreReader(tmp_path / "gone")


def test_somebody_elses_database_is_refused(tmp_path: Path) -> None:
    env = lmdb.open(str(tmp_path))
    with env.begin(write=True) as txn:
        txn.put(b"length", b"70000")
    env.close()
    with pytest.raises(DataError, match="is not a mrigan store"):
        StoreReader(tmp_path)


def test_an_unfinished_store_says_how_to_go_on(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="unfinished store: run the same"):
        StoreReader(write(tmp_path / "s", stop_at=2))


@pytest.mark.parametrize("stop_at", [2, SOURCES])
def test_a_damaged_tree_is_refused_before_lmdb_opens_it(tmp_path: Path, stop_at: int) -> None:
    """One entry too many in the tree of databases, in both states that LMDB chooses from."""
    folder = write(tmp_path / "s", stop_at=stop_at)
    data = bytearray((folder / "data.mdb").read_bytes())
    for page in (0, 4096):
        data[page + 16 + 24 + 48 + 32] += 1
    (folder / "data.mdb").write_bytes(data)
    with pytest.raises(DataError, match=r"data\.mdb: damaged \(databases: "):
        StoreWriter(folder, HEADER) if stop_at == 2 else StoreReader(folder)


@pytest.mark.parametrize("stop_at", [2, SOURCES])
def test_a_newer_version_says_update(tmp_path: Path, stop_at: int) -> None:
    folder = write(tmp_path / "s", HEADER | {"version": schema.VERSION + 1}, stop_at=stop_at)
    with pytest.raises(DataError, match="newer mrigan"):
        StoreReader(folder)


def test_an_older_version_says_prepare_again(tmp_path: Path) -> None:
    folder = write(tmp_path / "s", HEADER | {"version": schema.VERSION - 1})
    with pytest.raises(DataError, match=r"older mrigan .* run `mrigan prepare` again"):
        StoreReader(folder)


@pytest.mark.parametrize("key", [b"format", b"summary"])
def test_meta_entries_that_are_no_json_are_refused(damage: Any, key: bytes) -> None:
    folder = damage(put(b"meta", key, b"{broken"))
    with pytest.raises(DataError, match=str(folder)):
        StoreReader(folder)


def test_a_refused_store_can_be_opened_after_it_is_mended(tmp_path: Path) -> None:
    folder = write(tmp_path / "s", stop_at=2)
    with pytest.raises(DataError):
        StoreReader(folder)
    with StoreReader(write(folder)) as store:
        assert len(store) == SOURCES


@pytest.fixture(autouse=True)
def no_environment_is_left_open() -> Iterator[None]:
    """Every test closes what it opens: the next one must be able to open it again."""
    from mri_gan.store import environment

    before = set(environment._shared)
    yield
    assert set(environment._shared) == before


def test_facts_of_a_store_are_checked(damage: Any) -> None:
    """A turned bit in a count would otherwise be told as if it were true."""
    changed = schema.dump_checked({"slices": 8}).replace(b"8", b"9")
    folder = damage(put(b"meta", b"summary", changed))
    with pytest.raises(DataError, match="wrong checksum"):
        StoreReader(folder)


def test_a_store_with_nothing_in_it_yet_is_unfinished(tmp_path: Path) -> None:
    lmdb.open(str(tmp_path)).close()
    with pytest.raises(DataError, match="unfinished store: run the same"):
        StoreReader(tmp_path)
