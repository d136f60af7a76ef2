"""Slices for a user's own training loop, in however many processes, started however."""

from __future__ import annotations

import gc
import math
import os
import pickle
import warnings
import weakref
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import phantoms
import pytest
import torch
from torch.utils.data import DataLoader, DistributedSampler, RandomSampler

from mri_gan.errors import DataError, UsageError
from mri_gan.library import slice_dataset
from mri_gan.library.slice_dataset import Scale, SliceDataset
from mri_gan.store import environment
from mri_gan.store.reader import StoreReader


@pytest.fixture(scope="module")
def stored(store: Path) -> Any:
    """The training slices as the reader gives them, uint8 [N, 1, 32, 32]."""
    with StoreReader(store) as opened:
        return opened.read(32, opened.indices("train"))


def halve(image: torch.Tensor) -> torch.Tensor:
    return image / 2


def test_an_item_is_a_slice_between_minus_one_and_one(store: Path, stored: Any) -> None:
    data = SliceDataset(str(store), level=32)
    assert len(data) == len(stored)
    expected = stored[1].astype(np.float64) / 255 * 2 - 1
    assert data[1].dtype == torch.float32
    np.testing.assert_allclose(data[1].numpy(), expected, atol=1e-6)


def test_other_scales_and_a_transform(store: Path, stored: Any) -> None:
    raw = SliceDataset(store, level=32, scale="raw")
    assert torch.equal(raw[0], torch.from_numpy(stored[0]))
    unit = SliceDataset(store, level=32, scale="unit", transform=halve)
    np.testing.assert_allclose(unit[0].numpy(), stored[0] / 255 / 2, atol=1e-6)


def test_negative_numbers_count_from_the_end_and_others_end_a_loop(store: Path) -> None:
    data = SliceDataset(store, level=8)
    assert torch.equal(data[-1], data[len(data) - 1])
    with pytest.raises(IndexError):
        data[len(data)]
    assert len(list(data)) == len(data)


@pytest.mark.parametrize(
    ("index", "rows"),
    [
        (slice(1, 4), [1, 2, 3]),
        (slice(None, None, -3), [5, 2]),
        ([3, -1], [3, 5]),
        ((3, -1), [3, 5]),
        (np.array([0, 2]), [0, 2]),
        (torch.tensor([0, 2]), [0, 2]),
        (np.arange(6) > 3, [4, 5]),
        ([], []),
    ],
    ids=repr,
)
def test_several_numbers_give_their_batch(
    store: Path, stored: Any, index: Any, rows: list[int]
) -> None:
    data = SliceDataset(store, level=32, scale="raw", labels="position")
    images, positions = data[index]
    assert torch.equal(images, torch.from_numpy(stored[rows]))
    assert torch.equal(positions, data.targets["position"].values[rows])


@pytest.mark.parametrize("one", [np.int64(3), torch.tensor(3), -3])
def test_a_number_of_any_library_gives_one_slice(store: Path, stored: Any, one: Any) -> None:
    data = SliceDataset(store, level=32, scale="raw")
    assert torch.equal(data[one], torch.from_numpy(stored[3]))


@pytest.mark.parametrize("odd", [1.5, "a", [0.5], None, True, [[0]]], ids=repr)
def test_what_is_no_number_of_a_slice_is_said(store: Path, odd: Any) -> None:
    with pytest.raises(UsageError, match="give a whole number, several, or a slice"):
        SliceDataset(store, level=8)[odd]


def test_a_mask_says_yes_or_no_of_every_slice(store: Path) -> None:
    with pytest.raises(UsageError, match="a mask of 5: give one for each of 6 slices"):
        SliceDataset(store, level=8)[[True] * 5]


@pytest.mark.parametrize("odd", [[0, 6], [-7], np.array([99])], ids=repr)
def test_a_number_beyond_the_last_slice_is_an_index_error(store: Path, odd: Any) -> None:
    with pytest.raises(IndexError, match="of 6"):
        SliceDataset(store, level=8)[odd]
    with pytest.raises(IndexError, match="of 6"):
        SliceDataset(store, level=8).read(odd)


@pytest.mark.filterwarnings("ignore:This DataLoader will create:UserWarning")  # on one core
@pytest.mark.parametrize("workers", [0, 1])
def test_a_function_that_puts_batches_together_gets_items(store: Path, workers: int) -> None:
    data = SliceDataset(store, level=8, labels="position")
    options: dict[str, Any] = {"num_workers": workers, "collate_fn": list}
    ours, plain = list(data.loader(4, **options)), list(DataLoader(data, 4, **options))
    assert [len(batch) for batch in ours] == [4, 2]
    for batch, expected in zip(ours, plain, strict=True):
        for item, other in zip(batch, expected, strict=True):
            assert_equal_batches(list(item), list(other))


@pytest.mark.filterwarnings("ignore:This DataLoader will create:UserWarning")  # on one core
@pytest.mark.parametrize("method", ["fork", "spawn", "forkserver"])
def test_workers_read_what_this_process_reads(store: Path, method: str) -> None:
    data = SliceDataset(store, level=16, scale="raw")
    here = data.read(range(len(data)))  # opens the store before the fork
    whole = data.loader(5, num_workers=2, multiprocessing_context=method)
    assert torch.equal(torch.cat(list(whole)), here)
    loader = DataLoader(
        data, batch_size=3, num_workers=2, multiprocessing_context=method, shuffle=False
    )
    assert torch.equal(torch.cat(list(loader)), here)
    assert torch.equal(torch.cat(list(loader)), here)  # a second epoch, by new workers
    assert torch.equal(data.read(range(len(data))), here)  # and this process goes on


CASES: list[dict[str, Any]] = [
    {},
    {"scale": "raw", "labels": ["position"]},
    {"labels": ["position", "plane"], "split": None},
    {"labels": "position", "as_dict": True},
    {"transform": halve},
]


@pytest.mark.parametrize("options", CASES, ids=lambda options: "-".join(options) or "plain")
def test_batches_read_whole_are_what_a_data_loader_makes_of_items(
    store: Path, options: dict[str, Any]
) -> None:
    data = SliceDataset(store, level=16, **options)

    def order() -> torch.Generator:
        return torch.Generator().manual_seed(3)

    ours = data.loader(5, shuffle=True, generator=order(), drop_last=True)
    plain = DataLoader(data, 5, shuffle=True, generator=order(), drop_last=True)
    assert len(ours) == len(plain) == len(data) // 5
    for batch, expected in zip(ours, plain, strict=True):
        assert_equal_batches(batch, expected)


def test_a_dataset_leaves_nothing_open_and_keeps_no_reader_that_it_closed(store: Path) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ResourceWarning)  # of what other tests left to collect
        gc.collect()
    data = SliceDataset(store)
    data[0]
    closed = weakref.ref(data._reader)
    data.close()
    assert closed() is None
    data[0]
    assert is_open(store)
    del data
    gc.collect()
    assert not is_open(store)


def test_the_program_may_change_its_folder(
    store: Path, stored: Any, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.chdir(store.parent)
    data, reader = SliceDataset(store.name, level=32, scale="raw"), StoreReader(Path(store.name))
    monkeypatch.chdir(tmp_path)
    assert torch.equal(data[0], torch.from_numpy(stored[0]))
    with pickle.loads(pickle.dumps(reader)) as copy:
        assert len(copy) == len(reader)
    reader.close()


@pytest.mark.parametrize("scale", ["signed", "raw"])
def test_only_what_nobody_has_any_more_is_written_over(
    store: Path, stored: Any, scale: Scale, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(slice_dataset, "SMALL_BYTES", 1)
    monkeypatch.setattr(slice_dataset, "CACHED", 1000)
    data = SliceDataset(store, level=32, scale=scale)
    batches = list(data.loader(2))
    view, as_numpy = data.read([0, 1])[1], data.read([2, 3]).numpy()[0]
    for _ in range(5):
        data.read([4, 5])
    expected = torch.from_numpy(stored)
    if scale == "signed":
        expected = expected / 255 * 2 - 1
    torch.testing.assert_close(torch.cat(batches), expected)
    torch.testing.assert_close(view, expected[1])
    torch.testing.assert_close(torch.from_numpy(as_numpy), expected[2])
    first = data.read([0, 1])
    place = first.data_ptr()
    del first
    assert place in {data.read([2, 3]).data_ptr() for _ in range(2)}


def test_batches_of_many_sizes_do_not_fill_the_memory(
    store: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(slice_dataset, "SMALL_BYTES", 1)
    data = SliceDataset(store, level=32)
    for length in range(1, 12):
        data.read([0] * length)
    kept = [memory for free in data._memory.free.values() for memory in free]
    assert 0 < len(kept) <= 8


@pytest.mark.filterwarnings("ignore:This DataLoader will create:UserWarning")  # on one core
@pytest.mark.parametrize("batch_size", [1, 3])
@pytest.mark.parametrize("options", CASES, ids=lambda options: "-".join(options) or "plain")
def test_workers_send_the_batches_of_a_data_loader(
    store: Path, options: dict[str, Any], batch_size: int
) -> None:
    data = SliceDataset(store, **{"split": None, "level": 16, **options})

    def order() -> torch.Generator:
        return torch.Generator().manual_seed(3)

    choices: dict[str, Any] = {"shuffle": True, "drop_last": not options}
    workers: dict[str, Any] = {"num_workers": 2, "multiprocessing_context": "fork"}
    workers["prefetch_factor"] = 1  # so that the shared memory is used more than once
    ours = data.loader(batch_size, generator=order(), **choices, **workers)
    plain = DataLoader(data, batch_size, generator=order(), **choices)
    assert len(ours) == len(plain)
    for _ in range(2):  # epochs, in orders of their own
        for batch, expected in zip(list(ours), plain, strict=True):
            assert_equal_batches(batch, expected)


@pytest.mark.parametrize("workers", [0, 2])
def test_two_loops_over_one_loader_get_batches_of_their_own(store: Path, workers: int) -> None:
    """Else images of one loop would come with the numbers of the other."""
    data = SliceDataset(store, None, 8, scale="raw", as_dict=True)
    loader = data.loader(2, num_workers=workers, persistent_workers=workers > 0)
    outer = []
    for (first, second), _ in zip(zip(loader, loader, strict=True), range(3), strict=False):
        assert_equal_batches(first, second)
    for batch in loader:
        outer.append(batch)
        inner = list(loader)
    for batch, again in zip(outer, inner, strict=True):
        assert_equal_batches(batch, again)
        assert torch.equal(batch["image"], data.read(batch["index"]))
    assert len(outer) == len(loader)


@pytest.mark.parametrize("workers", [0, 2])
def test_a_loader_is_an_ordinary_one_that_trainers_share_out_among_processes(
    store: Path, workers: int
) -> None:
    """As Lightning does: the class again, with a sampler in place of its own."""
    data = SliceDataset(store, None, 8, as_dict=True)
    loader = data.loader(3, shuffle=True, num_workers=workers)
    assert (loader.dataset, loader.batch_size, loader.drop_last) == (data, 3, False)
    assert isinstance(loader.sampler, RandomSampler)
    seen = []
    for rank in range(2):
        part: DistributedSampler[Any] = DistributedSampler(data, 2, rank, shuffle=False)
        again = type(loader)(
            dataset=loader.dataset,
            batch_size=loader.batch_size,
            shuffle=False,
            sampler=part,
            batch_sampler=None,
            num_workers=workers,
            collate_fn=loader.collate_fn,
            pin_memory=False,
            drop_last=False,
        )
        seen += [number for batch in again for number in batch["index"].tolist()]
    assert sorted(seen) == list(range(len(data)))


def test_a_parcel_holds_several_batches_and_every_worker_gets_two(store: Path) -> None:
    data = SliceDataset(store, None, 16)

    def parcels(batch_size: int) -> list[int]:
        loader = data.loader(batch_size, num_workers=2, multiprocessing_context="fork")
        return [len(batches) for _, batches in loader.reads.order]  # type: ignore[attr-defined]

    count = len(data)
    size = count // 4
    assert parcels(1) == [size] * (count // size) + [count % size] * (count % size > 0)
    assert parcels(count) == [1]


def assert_equal_batches(batch: Any, expected: Any) -> None:
    assert type(batch) is type(expected)
    if isinstance(batch, torch.Tensor):
        torch.testing.assert_close(batch, expected, rtol=0, atol=0, equal_nan=True)
    elif isinstance(batch, dict):
        assert batch.keys() == expected.keys()
        assert_equal_batches([*batch.values()], [*expected.values()])
    elif isinstance(batch, list):
        assert len(batch) == len(expected)
        for one, other in zip(batch, expected, strict=True):
            assert_equal_batches(one, other)
    else:
        assert batch == expected


@pytest.mark.filterwarnings("ignore:You are using .torch.load:FutureWarning")  # torch 2.4.0
def test_a_pickled_copy_reads_the_same(store: Path) -> None:
    data = SliceDataset(store, level=16, labels=["position"])
    before = data[0]
    copy = pickle.loads(pickle.dumps(data))
    assert torch.equal(copy[0][0], before[0])
    assert len(pickle.dumps(data)) < 100_000


def test_closing_twice_does_no_harm_and_reading_opens_again(store: Path) -> None:
    data = SliceDataset(store, level=8)
    first = data[0]
    data.close()
    data.close()
    assert torch.equal(data[0], first)


def test_labels_are_numbers_or_classes_and_unknown_where_missing(
    store: Path, tmp_path: Path
) -> None:
    subjects = sorted(set(SliceDataset(store, split=None, level=8).subjects))
    table = tmp_path / "who.tsv"
    lines = [f"{subjects[0]}\t70\tCN", f"{subjects[1]}\t60\tAD", f"{subjects[2]}\tn/a\tn/a"]
    table.write_text("subject\tage\tgroup\n" + "\n".join(lines) + "\n")
    with pytest.warns(UserWarning, match="unknown") as told:
        data = SliceDataset(store, None, 8, labels=("age", "group"), table=table)
    assert {each.filename for each in told} == {__file__}
    assert [str(each.message) for each in told] == [
        "age is nan, unknown, for 6 of 10 slices",
        "group is -1, unknown, for 6 of 10 slices",
    ]
    assert data.classes == {"group": ("AD", "CN")}
    found = {who: data[i][1] for i, who in enumerate(data.subjects)}
    assert [float(value) for value in found[subjects[0]]] == [70, 1]
    assert [float(value) for value in found[subjects[1]]] == [60, 0]
    age, group = found[subjects[2]]
    assert math.isnan(age)
    assert int(group) == -1


def test_contrast_and_session_are_labels(prepare: Any, tmp_path: Path) -> None:
    """As the file names of the tree say."""
    files = {
        f"sub-{who}_ses-{visit}_{kind}.nii": phantoms.nifti_bytes(phantoms.brain_volume())
        for who, visit, kind in (("07", "a", "T1w"), ("07", "b", "T2w"), ("08", "a", "T2w"))
    }
    folder = prepare(tmp_path / "s", phantoms.write_folder(tmp_path / "in", files))
    data = SliceDataset(folder, None, 8, labels=("contrast", "session"), as_dict=True)
    assert data.targets["contrast"].classes == ("t1", "t2")
    with StoreReader(folder) as opened:
        sources = [record.source for record in opened.records]
    expected = {(0, 0): "ses-a_T1w", (1, 1): "ses-b_T2w", (1, 0): "ses-a_T2w"}
    items = [data[i] for i in range(len(data))]
    for item, source in zip(items, sources, strict=True):
        assert expected[int(item["contrast"]), int(item["session"])] in source


def test_numbers_are_a_class_where_that_is_asked_for(store: Path, tmp_path: Path) -> None:
    subjects = sorted(set(SliceDataset(store, split=None, level=8).subjects))
    table = tmp_path / "who.csv"
    table.write_text("subject,stage\n" + "".join(f"{s},{i % 3}\n" for i, s in enumerate(subjects)))
    data = SliceDataset(store, None, 8, labels="stage:class", table=table, as_dict=True)
    assert data.classes == {"stage": ("0", "1", "2")}
    items = [data[i] for i in range(len(data))]
    assert all(int(item["stage"]) == subjects.index(item["subject"]) % 3 for item in items)
    with pytest.raises(
        UsageError, match="label stage:clas: unknown clas: write stage or stage:class"
    ):
        SliceDataset(store, None, 8, labels="stage:clas", table=table)


def test_a_class_has_one_number_in_every_split_and_in_the_order_that_is_given(
    store: Path, tmp_path: Path
) -> None:
    """Else who is right in training is wrong in every test."""
    whole = SliceDataset(store, None, 8)
    test = sorted(set(SliceDataset(store, "test", 8).subjects))
    table = tmp_path / "who.csv"
    rows = [(s, "CN" if s in test else "AD", 3 if s in test else "1-2") for s in whole.subjects]
    lines = [f"{s},{group},{grade},{int(s)}" for s, group, grade in dict.fromkeys(rows)]
    table.write_text("subject,group,grade,age\n" + "\n".join(lines) + "\n")
    for labels, number in ((("group", "grade"), 1), ({"group": ("CN", "X", "AD"), "grade": ()}, 0)):
        data = SliceDataset(store, "test", 8, labels=labels, table=table)
        assert data[0][1] == (number, 1)
        assert data.classes["grade"] == ("1-2", "3")
    train = SliceDataset(store, "train", 8, labels=("group", "age"), table=table)
    for i, who in enumerate(train.subjects):
        assert train[i][1] == (0, int(who))
    with pytest.raises(UsageError, match="group: the store has AD, CN: name all"):
        SliceDataset(store, "test", 8, labels={"group": ("CN",)}, table=table)
    table.write_text("subject,group\n" + f"{test[0]},CN\n")
    with pytest.raises(UsageError, match="no slice has a label group"):
        SliceDataset(store, "train", 8, labels="group", table=table)


def test_a_table_that_names_nobody_is_said_to(store: Path, tmp_path: Path) -> None:
    table = tmp_path / "who.tsv"
    table.write_text("subject\tage\nzzz\t7\n")
    with pytest.raises(UsageError, match=r"who\.tsv: names none of the subjects"):
        SliceDataset(store, None, 8, labels="age", table=table)


def test_its_items_can_be_gone_through_with_their_transform(store: Path) -> None:
    data = SliceDataset(store, level=8, transform=halve, labels="position")
    went = list(data)
    assert len(went) == len(data)
    for (image, place), (same, there) in zip(
        went, (data[i] for i in range(len(data))), strict=True
    ):
        assert torch.equal(image, same)
        assert torch.equal(place, there)
    assert isinstance(iter(data), Iterator)


def test_a_table_that_names_others_is_warned_of(store: Path, tmp_path: Path) -> None:
    who = SliceDataset(store, None, 8).subjects[0]
    (tmp_path / "who.tsv").write_text(f"subject\tage\n{who}\t7\nzzz\t8\n")
    with warnings.catch_warnings(record=True) as told:
        warnings.simplefilter("always")
        SliceDataset(store, None, 8, labels="age", table=tmp_path / "who.tsv")
    first, second = (str(warning.message) for warning in told)
    assert first == "in who.tsv but not in the store: zzz"
    assert second.startswith("age is nan, unknown, for ")


def test_a_transform_gets_the_image_and_leaves_labels_alone(store: Path) -> None:
    plain = SliceDataset(store, level=8, labels="position")
    halved = SliceDataset(store, level=8, labels="position", transform=halve)
    (image, place), (smaller, same) = plain[1], halved[1]
    assert torch.equal(smaller, image / 2)
    assert torch.equal(same, place)
    images, places = next(iter(halved.loader(3)))
    assert (images.shape, places.shape) == ((3, 1, 8, 8), (3,))


def prepare_another(prepare: Any, folder: Path) -> None:
    """Another store in this place, as `mrigan prepare --overwrite` elsewhere leaves it."""
    other = prepare(folder.with_name("other"), phantoms.slices_folder(folder.with_name("in"), 9))
    for file in folder.iterdir():
        file.unlink()
    for file in other.iterdir():
        file.rename(folder / file.name)


def test_a_store_that_became_another_one_is_not_read_under_the_old_numbers(
    prepare: Any, oasis_zip: Path, tmp_path: Path
) -> None:
    """Else people of another split would be trained on, and labels would be those of others."""
    folder = prepare(tmp_path / "store", oasis_zip)
    waiting, closed = SliceDataset(folder, level=8), SliceDataset(folder, level=8)
    closed[0]
    closed.close()
    sent = pickle.dumps(waiting)
    with StoreReader(folder) as opened:
        kept, packed = opened.read(8, [0]), pickle.dumps(opened)
        prepare_another(prepare, folder)
        np.testing.assert_array_equal(opened.read(8, [0]), kept)  # what is open stays what it was
    for data in (waiting, closed, pickle.loads(sent)):
        with pytest.raises(DataError, match="was prepared again since it was opened here"):
            data[0]
    with pytest.raises(DataError, match="prepared again"):
        next(iter(waiting.loader(2, num_workers=1, multiprocessing_context="fork")))
    with pytest.raises(DataError, match="prepared again"):
        pickle.loads(packed)
    with pickle.loads(pickle.dumps(StoreReader(folder))) as forked:
        forked.summary = {**forked.summary, "digest": "that of the store before"}
        forked._pid = -1  # as a child finds it
        with pytest.raises(DataError, match="prepared again"):
            forked.read(8, [0])
    assert len(SliceDataset(folder, level=8)) > 0


def test_dictionary_transforms_get_a_dictionary(store: Path) -> None:
    def flip(item: dict[str, Any]) -> dict[str, Any]:  # as MONAI's FlipD(keys="image") does
        return {**item, "image": item["image"].flip(-1)}

    plain = SliceDataset(store, level=8, labels="position", as_dict=True)
    flipped = SliceDataset(store, level=8, labels="position", as_dict=True, transform=flip)
    assert set(plain[0]) == {"image", "index", "subject", "position"}
    assert torch.equal(flipped[0]["image"], plain[0]["image"].flip(-1))
    batch = next(iter(DataLoader(plain, batch_size=4)))
    assert batch["image"].shape == (4, 1, 8, 8)
    assert len(batch["subject"]) == 4


@pytest.mark.parametrize(
    ("choices", "error", "said"),
    [
        ({"level": 7}, UsageError, "choose one of"),
        ({"split": "bogus"}, UsageError, "bogus"),
        ({"labels": ["weight"]}, UsageError, "position"),
        ({"scale": "odd"}, UsageError, "signed"),
    ],
)
def test_a_mistake_is_an_error_that_names_it(
    store: Path, choices: Any, error: type[Exception], said: str
) -> None:
    with pytest.raises(error, match=said):
        SliceDataset(store, **choices)


def test_a_level_above_every_slice_is_warned_of(store: Path) -> None:
    SliceDataset(store, level=64)
    with pytest.warns(UserWarning, match="level 256: no slice has more than 64 px") as told:
        assert SliceDataset(store, level=256)[0].shape[-1] == 256
    assert told[0].filename == __file__


def test_an_open_store_is_as_good_as_its_path(store: Path) -> None:
    with StoreReader(store) as opened:
        data = SliceDataset(opened, level=16)
        assert data.store == store


def test_no_store_is_a_data_error(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="not a mrigan store"):
        SliceDataset(tmp_path)


def is_open(store: Path) -> bool:
    return store.resolve() in environment._shared


def test_a_reader_that_nobody_has_any_more_leaves_nothing_open(store: Path) -> None:
    one, other = StoreReader(store), StoreReader(store)
    del one
    assert is_open(store)
    del other
    assert not is_open(store)


def test_a_reader_may_be_collected_while_this_thread_opens_another(store: Path) -> None:
    """Its finaliser must not wait for the lock that this thread holds."""
    reader = StoreReader(store)
    with environment._shared_lock:
        del reader
        assert is_open(store)
    with StoreReader(store) as next_one:
        assert next_one.read(8, [0]).any()
    assert not is_open(store)


def test_a_reader_survives_pickling_closing_twice_and_a_fork(store: Path) -> None:
    reader = StoreReader(store)
    before = reader.read(8, [0])
    with pickle.loads(pickle.dumps(reader)) as copy:
        assert (copy.read(8, [0]) == before).all()
    child = os.fork()
    if child == 0:
        right = (reader.read(8, [0]) == before).all()  # opens files of its own
        reader.close()
        with StoreReader(store) as own:
            os._exit(int(not right or (own.read(8, [0]) != before).any()))
    assert os.waitpid(child, 0)[1] == 0
    assert (reader.read(8, [0]) == before).all()
    reader.close()
    reader.close()


@pytest.mark.parametrize("workers", [0, 2])
def test_a_sampler_of_ones_own_decides_what_is_read(store: Path, stored: Any, workers: int) -> None:
    data = SliceDataset(store, level=32, scale="raw")
    order = [3, 0, 3, 1, 2]
    batches = list(data.loader(2, sampler=order, num_workers=workers))
    assert [len(batch) for batch in batches] == [2, 2, 1]
    assert torch.equal(torch.cat(batches), torch.from_numpy(stored[order]))


def test_what_a_loader_cannot_take_together_is_said(store: Path) -> None:
    data = SliceDataset(store)
    for options in ({"sampler": [0], "shuffle": True}, {"batch_sampler": [[0]]}):
        with pytest.raises(UsageError, match="sampler"):
            data.loader(2, **options)


def test_wrong_use_of_a_store_is_not_called_damage(store: Path) -> None:
    with StoreReader(store) as reader:
        for row in (-1, len(reader)):
            with pytest.raises(UsageError, match=f"has no slice {row}"):
                reader.read(8, [row])
        with pytest.raises(UsageError, match="train, validate"):
            reader.indices("val")
    with pytest.raises(UsageError, match="is closed"):
        reader.read(8, [0])
