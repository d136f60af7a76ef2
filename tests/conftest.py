"""What all tests share: one thread for numerics, and one small store made once."""

from __future__ import annotations

import os

# Before anything imports torch or numpy, whose libraries read it once.
os.environ["OMP_NUM_THREADS"] = "1"

import inspect
import io
import signal
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import phantoms
import pytest
from faults import Nursery
from phantoms.counting import count_files
from PIL import Image

from mri_gan import pictures
from mri_gan.charts import Chart, draw_figure
from mri_gan.config import TrainConfig
from mri_gan.evaluate import audit as auditing
from mri_gan.files import StopSignal
from mri_gan.ingest.options import PrepareConfig
from mri_gan.ingest.plan.plan import build_plan
from mri_gan.ingest.run import prepare as preparing
from mri_gan.ingest.run.prepare import write_store
from mri_gan.pictures import build_sheet
from mri_gan.store import companions
from mri_gan.store.companions import write_companions
from mri_gan.store.reader import StoreReader
from mri_gan.train import cost, monitor
from mri_gan.train.data import find_conditions

Prepare = Callable[..., Path]


@pytest.fixture(scope="session", autouse=True)
def _signals_are_heard() -> None:
    """A shell that starts the tests in the background has them ignore these signals.

    The programs that tests start inherit it: `mrigan` would go on, as it should then, where a test
    wants to see it stop.
    """
    for name, handler in (("SIGINT", signal.default_int_handler), ("SIGHUP", signal.SIG_DFL)):
        signum = getattr(signal, name, None)
        if signum is not None and signal.getsignal(signum) is signal.SIG_IGN:
            signal.signal(signum, handler)


def check_counts(files: dict[str, int]) -> None:
    """What was listed was stored, left out or ignored."""
    assert files["listed"] == files["stored"] + files["left_out"] + files["ignored"], files
    assert min(files.values()) >= 0, files


def check_that_files_are_counted(store: Path, sources: tuple[Path, ...] = ()) -> None:
    """Every file that lay in the sources was stored, left out or ignored, and is counted."""
    with StoreReader(store) as opened:
        files = opened.summary["files"]
    check_counts(files)
    if not any(source.suffix in (".hdr", ".img") for source in sources):  # one stands for two
        assert files["listed"] == sum(map(count_files, sources)), files


@pytest.fixture(scope="session", autouse=True)
def _files_are_counted_in_every_test() -> Iterator[None]:
    """Whatever a test prepares, in its own process or a forked one, nothing goes uncounted."""

    def count(*arguments: Any) -> dict[str, int]:
        files = counting(*arguments)
        check_counts(files)
        return files

    counting = preparing.count_files
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(preparing, "count_files", count)
        yield


def lay_out(charts: Sequence[Chart]) -> bytes:
    """The smallest PNG, once a figure of these charts was built."""
    draw_figure(charts)
    stream = io.BytesIO()
    Image.new("L", (1, 1)).save(stream, "PNG")
    return stream.getvalue()


@pytest.fixture(scope="session", autouse=True)
def _loss_plots_are_not_rendered() -> Iterator[None]:
    """Runs within a test's process lay out `loss.png` only: rendering took half of a short run."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(monitor, "draw_png", lay_out)
        yield


@pytest.fixture(scope="session")
def prepare() -> Prepare:
    """`prepare(out, *sources, workers=0, **config)` writes a store and gives its folder."""

    def write(out: Path, *sources: Path, workers: int = 0, **choices: Any) -> Path:
        config = PrepareConfig(**choices)
        out.mkdir(parents=True, exist_ok=True)
        plan = build_plan(sources, config, key=lambda: bytes(32))
        write_store(plan, config, out, workers, StopSignal())
        write_companions(out)
        check_that_files_are_counted(out, sources)
        return out

    return write


@pytest.fixture(scope="session")
def oasis_zip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An OASIS course archive of five people with two slices and two masks each, 64 px."""
    return phantoms.oasis_course_zip(tmp_path_factory.mktemp("oasis") / "oasis.zip")


@pytest.fixture(scope="session")
def store(prepare: Prepare, oasis_zip: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A complete store of that archive; for reading only."""
    return prepare(tmp_path_factory.mktemp("store"), oasis_zip)


@pytest.fixture(scope="session")
def nursery() -> Iterator[Nursery]:
    """Runs `mrigan` commands in forked children, many in a second."""
    with Nursery() as started:
        yield started


@pytest.fixture
def unmeasured(monkeypatch: pytest.MonkeyPatch) -> None:
    """Dry runs whose settings are looked at need no trial of what a run would take."""
    needs = cost.Needs(1, 1, 1, 1, 1, 1.0)
    monkeypatch.setattr(cost, "estimate", lambda *_: needs)


@pytest.fixture
def sheets(monkeypatch: pytest.MonkeyPatch) -> list[dict[str, Any]]:
    """What each sheet of pictures is built of: its labels, edges and notes, by those names."""
    seen: list[dict[str, Any]] = []
    takes = inspect.signature(build_sheet)

    def note(*given: Any, **more: Any) -> Any:
        seen.append(takes.bind(*given, **more).arguments)
        return build_sheet(*given, **more)

    for home in (pictures, companions):
        monkeypatch.setattr(home, "build_sheet", note)
    return seen


@pytest.fixture
def small_audits(monkeypatch: pytest.MonkeyPatch) -> None:
    """One planted copy of each kind and few slices of people, for tests of more than the audit."""
    monkeypatch.setattr(auditing, "PLANTED", 1)
    monkeypatch.setattr(auditing, "MOST_QUERIES", 24)


MEASURED = pytest.StashKey[list[str]]()


@pytest.fixture(scope="session")
def tell(pytestconfig: pytest.Config) -> Callable[[str], None]:
    """`tell("20 cases, at most 1.2 s")` prints a line at the end of the test run."""
    return pytestconfig.stash.setdefault(MEASURED, []).append


def pytest_terminal_summary(
    terminalreporter: pytest.TerminalReporter, config: pytest.Config
) -> None:
    """Print what tests measured but do not judge, such as times."""
    if lines := config.stash.get(MEASURED, []):
        terminalreporter.section("measured")
        for line in lines:
            terminalreporter.write_line(line)


@pytest.fixture(scope="session")
def labelled(store: Path) -> tuple[Path, TrainConfig]:
    """That store, and small settings for training with the place of a slice in its scan."""
    with StoreReader(store) as opened:
        spec = find_conditions(opened, ["position"], None, "unknown")
    config = TrainConfig(
        max_size=16, phase=40, batch=8, capacity=1 / 64, latent_dim=8, mixing=True, lr=1e-3
    )
    return store, replace(config, conditions=spec)
