"""The shards of a plan, merged, are the store that one `prepare` would have written."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import phantoms
import pytest

from mri_gan.config import LEVELS
from mri_gan.errors import UsageError
from mri_gan.files import StopSignal
from mri_gan.ingest.options import PrepareConfig
from mri_gan.ingest.plan.plan import Shard, bounds_of, build_plan, parse_shard, take_shard
from mri_gan.ingest.run.prepare import is_complete, write_store
from mri_gan.store.check import check_store
from mri_gan.store.merge import merge_stores
from mri_gan.store.reader import StoreReader

Prepare = Callable[..., Path]


@pytest.fixture(scope="module")
def archive(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Images, masks, a volume and a damaged member."""
    files = phantoms.slice_files(people=5, slices=3) | {
        "vol/0042_t1.nii.gz": phantoms.nifti_bytes(phantoms.brain_volume(), gzip=True),
        "sub01/slice_9.png": b"this is no picture",
        "sub01/slice_1_mask.png": phantoms.png_bytes(phantoms.slice_pixels()),
    }
    path = tmp_path_factory.mktemp("shards") / "mixed.zip"
    return phantoms.write_zip(path, {f"set/{name}": data for name, data in files.items()})


def write_shard(archive: Path, out: Path, shard: Shard, **choices: Any) -> Path:
    config = PrepareConfig(**choices)
    plan = take_shard(build_plan([archive], config), shard)
    out.mkdir()
    write_store(plan, config, out, 0, StopSignal())
    return out


def merged(out: Path, *stores: Path) -> Path:
    merge_stores(stores, out, StopSignal())
    return out


@pytest.mark.parametrize("count", [1, 3])
def test_shards_in_any_order_make_the_whole(
    tmp_path: Path, prepare: Prepare, archive: Path, count: int
) -> None:
    whole = prepare(tmp_path / "whole", archive)
    shards = [
        write_shard(archive, tmp_path / f"s{n}", Shard(n, count)) for n in range(count, 0, -1)
    ]
    joined = merged(tmp_path / "joined", *shards)
    report = check_store(joined, 1)
    assert (report.bad, report.wrong) == ([], [])
    with StoreReader(whole) as one, StoreReader(joined) as other:
        assert other.digest == one.digest
        assert other.header == one.header
        assert other.summary | {"seconds": 0} == one.summary | {"seconds": 0}
        assert list(other.skipped()) == list(one.skipped())
        for level in LEVELS:
            indices = range(len(one))
            assert other.read(level, indices).tobytes() == one.read(level, indices).tobytes()
    assert is_complete(joined, build_plan([archive], PrepareConfig()).digest, PrepareConfig())


def test_a_missing_a_double_and_a_strange_shard_are_refused(tmp_path: Path, archive: Path) -> None:
    first, second = (write_shard(archive, tmp_path / str(n), Shard(n, 3)) for n in (1, 2))
    strange = write_shard(archive, tmp_path / "strange", Shard(3, 3), seed=1)
    with pytest.raises(UsageError, match="shards are missing: 3/3"):
        merged(tmp_path / "a", first, second)
    with pytest.raises(UsageError, match="shard 1/3 is given twice"):
        merged(tmp_path / "b", first, second, first)
    with pytest.raises(UsageError, match="strange: is not a shard of the same sources"):
        merged(tmp_path / "c", first, second, strange)
    assert not any((tmp_path / name).exists() for name in "abc")


def test_a_shard_is_known_by_its_number(tmp_path: Path, archive: Path) -> None:
    config = PrepareConfig()
    plan = build_plan([archive], config)
    first, second = (take_shard(plan, Shard(n, 2)) for n in (1, 2))
    out = write_shard(archive, tmp_path / "s", Shard(1, 2))
    assert is_complete(out, first.digest, config)
    for other in (plan, second):
        with pytest.raises(UsageError, match="other sources, or of sources"):
            is_complete(out, other.digest, config)


def test_masks_of_all_shards_get_the_same_greys(tmp_path: Path) -> None:
    """Labels are spread over the greys by those of all masks, not of one shard's."""
    files = {}
    for person, label in ((1, 1), (2, 5), (3, 9)):
        pixels = phantoms.slice_pixels(seed=person)
        files[f"images/p{person}_1.png"] = phantoms.png_bytes(pixels)
        files[f"masks/p{person}_1.png"] = phantoms.png_bytes((pixels > 99).astype(np.uint8) * label)
    archive = phantoms.write_zip(tmp_path / "a.zip", files)
    shards = [write_shard(archive, tmp_path / f"s{n}", Shard(n, 3), masks=True) for n in (1, 2, 3)]
    whole = tmp_path / "whole"
    whole.mkdir()
    config = PrepareConfig(masks=True)
    write_store(build_plan([archive], config), config, whole, 0, StopSignal())
    with StoreReader(whole) as one, StoreReader(merged(tmp_path / "j", *shards)) as other:
        assert other.digest == one.digest
        assert len({int(image[1].max()) for image in one.read(64, range(3))}) == 3


@pytest.mark.parametrize(
    "sizes", [[1] * 7, [100, 1, 1, 1, 1, 1, 1], [1, 1, 1, 1, 1, 1, 100], [0] * 7]
)
@pytest.mark.parametrize("count", [1, 2, 3, 7])
def test_parts_are_runs_that_cover_everything_once(sizes: list[int], count: int) -> None:
    bounds = [bounds_of(sizes, Shard(n, count)) for n in range(1, count + 1)]
    assert all(start < stop for start, stop in bounds)
    assert [i for start, stop in bounds for i in range(start, stop)] == list(range(7))


def test_parts_are_about_equal_in_bytes() -> None:
    sizes = [5, 5, 5, 5, 40, 5, 5, 5, 5, 40]
    parts = [sum(sizes[slice(*bounds_of(sizes, Shard(n, 3)))]) for n in (1, 2, 3)]
    assert max(parts) - min(parts) <= max(sizes)


def test_more_parts_than_sources_are_refused(archive: Path) -> None:
    plan = build_plan([archive], PrepareConfig())
    with pytest.raises(UsageError, match=f"parts than sources .{len(plan.sources)}.: use fewer"):
        take_shard(plan, Shard(1, len(plan.sources) + 1))


@pytest.mark.parametrize("text", ["0/3", "4/3", "1", "a/b", "1/0", "-1/3", "1/3/4", ""])
def test_what_is_no_part_is_refused(text: str) -> None:
    with pytest.raises(UsageError, match="--shard"):
        parse_shard(text)
