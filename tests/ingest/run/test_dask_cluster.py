"""A Dask cluster writes the store that this machine would have written, even when workers die."""

from __future__ import annotations

import importlib
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import phantoms
import pytest
from click.testing import CliRunner

from mri_gan.cli.main import cli
from mri_gan.errors import DataError, UsageError
from mri_gan.files import StopSignal
from mri_gan.ingest.options import PrepareConfig
from mri_gan.ingest.plan.plan import build_plan
from mri_gan.ingest.run import prepare as preparing
from mri_gan.ingest.run.dask_cluster import DaskEngine
from mri_gan.ingest.run.prepare import write_store
from mri_gan.ingest.run.workers import check_engine
from mri_gan.store.reader import StoreReader

Prepare = Callable[..., Path]


@pytest.fixture(scope="module")
def cluster() -> Iterator[Any]:
    """Two worker processes of one thread each, and a scheduler, with Dask's default of retries.

    A `LocalCluster` drops a worker for good that is away 15 s after it was lost, be it for the
    second time; on a busy machine that would meet both.
    """
    distributed: Any = importlib.import_module("distributed")
    dask: Any = importlib.import_module("dask")
    with (
        dask.config.set({"distributed.deploy.lost-worker-timeout": "10 minutes"}),
        distributed.LocalCluster(
            n_workers=2, threads_per_worker=1, processes=True, dashboard_address=":0"
        ) as made,
    ):
        assert made.scheduler.allowed_failures == 3
        yield made


@pytest.fixture(scope="module")
def archive(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Images, a volume and a damaged member."""
    files = phantoms.slice_files(people=12, slices=10) | {
        "vol/0042_t1.nii.gz": phantoms.nifti_bytes(phantoms.brain_volume(), gzip=True),
        "sub01/slice_99.png": b"this is no picture",
    }
    path = tmp_path_factory.mktemp("cluster") / "mixed.zip"
    return phantoms.write_zip(path, {f"set/{name}": data for name, data in files.items()})


def engine_of(cluster: Any) -> str:
    return f"dask={cluster.scheduler_address}"


def facts(folder: Path) -> tuple[str, Any, list[dict[str, str]]]:
    with StoreReader(folder) as store:
        return store.digest, store.summary | {"seconds": 0}, list(store.skipped())


def test_a_cluster_gives_the_same_store(
    tmp_path: Path, prepare: Prepare, archive: Path, cluster: Any
) -> None:
    local = prepare(tmp_path / "local", archive)
    assert facts(prepare_on(cluster, archive, tmp_path / "far")) == facts(local)


# Workers import their function by name, so it lives in a module that is sent to them.
DYING = """
import os, pathlib, signal
from mri_gan.ingest.cut.one_source import process_all

def once(sources, config, learned):
    mark = pathlib.Path({mark!r})
    if not mark.exists():
        mark.touch()
        os.kill(os.getpid(), signal.SIGKILL)
    return process_all(sources, config, learned)

def always(sources, config, learned):
    bad = ("sub03/slice_4.png", "sub09/slice_7.png")
    if any(source.name.endswith(bad) for source in sources):
        os.kill(os.getpid(), signal.SIGKILL)
    return process_all(sources, config, learned)
"""


@pytest.fixture
def dying(tmp_path: Path, cluster: Any, monkeypatch: pytest.MonkeyPatch) -> Any:
    """A module of functions that kill their workers, known to all of them."""
    name = f"dying_{tmp_path.name}"
    file = tmp_path / f"{name}.py"
    file.write_text(DYING.format(mark=str(tmp_path / "mark")))
    monkeypatch.syspath_prepend(tmp_path)
    client = importlib.import_module("distributed").Client(
        cluster.scheduler_address, set_as_default=False
    )
    client.upload_file(str(file))
    client.close()
    return importlib.import_module(name)


def prepare_on(cluster: Any, archive: Path, folder: Path) -> Path:
    config = PrepareConfig()
    folder.mkdir()
    plan = build_plan([archive], config)
    write_store(plan, config, folder, engine_of(cluster), StopSignal())
    return folder


def test_a_killed_worker_does_not_show(
    tmp_path: Path, prepare: Prepare, archive: Path, cluster: Any, dying: Any, monkeypatch: Any
) -> None:
    monkeypatch.setattr(preparing, "process_sources", dying.once)
    far = prepare_on(cluster, archive, tmp_path / "far")
    assert (tmp_path / "mark").exists()
    assert facts(far) == facts(prepare(tmp_path / "local", archive))


@pytest.mark.slow
def test_sources_that_kill_every_worker_are_left_out(
    tmp_path: Path, archive: Path, cluster: Any, dying: Any, monkeypatch: Any
) -> None:
    monkeypatch.setattr(preparing, "process_sources", dying.always)
    far = facts(prepare_on(cluster, archive, tmp_path / "far"))
    _, summary, skipped = far
    reasons = {entry["source"].rpartition("/")[2]: entry["reason"] for entry in skipped}
    assert sorted(reasons) == ["slice_4.png", "slice_7.png", "slice_99.png"]
    assert "crashed" in reasons["slice_4.png"]
    assert "crashed" in reasons["slice_7.png"]
    assert summary["slices"] == 12 * 10 - 2 + 18
    folder = tmp_path / "local"
    folder.mkdir()
    write_store(build_plan([archive], PrepareConfig()), PrepareConfig(), folder, 2, StopSignal())
    assert facts(folder) == far


def test_when_all_workers_are_gone_it_says_so(
    tmp_path: Path, archive: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("mri_gan.ingest.run.dask_cluster.PATIENCE_S", 0.2)
    distributed: Any = importlib.import_module("distributed")
    with distributed.LocalCluster(
        n_workers=1, threads_per_worker=1, processes=False, dashboard_address=":0"
    ) as made:
        engine = DaskEngine(made.scheduler_address)
        first = engine.submit(sorted, [2, 1])
        assert first.result() == [1, 2]
        made.scale(0)
        while engine._threads:
            time.sleep(0.05)
        monkeypatch.setattr(
            "mri_gan.ingest.run.prepare.open_engine", lambda *_: nullcontext(engine)
        )
        with pytest.raises(DataError, match="workers disappeared"):
            prepare_on(made, archive, tmp_path / "far")
        engine.close()


def test_nobody_at_the_address_is_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("mri_gan.ingest.run.dask_cluster.CONNECT_S", 0.5)
    with pytest.raises(DataError, match=r"tcp://127\.0\.0\.1:9: no Dask scheduler"):
        DaskEngine("tcp://127.0.0.1:9")


def test_without_the_extra_it_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "distributed", None)
    with pytest.raises(UsageError, match=r"pip install 'mrigan\[dask\]'"):
        DaskEngine("tcp://127.0.0.1:8786")


@pytest.mark.parametrize("name", ["dask", "dask=", "dask= ", "ray=x", "", "locally"])
def test_other_engines_are_refused(name: str) -> None:
    with pytest.raises(UsageError, match="--engine"):
        check_engine(name)


def test_the_command(tmp_path: Path, archive: Path, cluster: Any) -> None:
    words = ["prepare", str(archive), "--out", str(tmp_path / "s"), "--engine", engine_of(cluster)]
    result = CliRunner().invoke(cli, [*words, "--quiet"])
    assert result.exit_code == 1  # one member is damaged
    with StoreReader(tmp_path / "s") as store:
        assert len(store) == 12 * 10 + 18
