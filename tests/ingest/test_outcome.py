"""Whatever a reader raises becomes one line, and what is good beside it goes through."""

from __future__ import annotations

import errno
from pathlib import Path
from typing import Any

import phantoms
import pytest

from mri_gan.errors import DataError, LabelMapError, NoImageError, SeriesError, UsageError
from mri_gan.ingest.cut import one_source
from mri_gan.ingest.look.survey import survey_source
from mri_gan.ingest.options import PrepareConfig
from mri_gan.ingest.outcome import explain, reading
from mri_gan.ingest.plan.plan import build_plan


class _NobodyExpectsThis(Exception):  # noqa: N818 - neither do readers
    """An error of a type that no reader knows."""


@pytest.mark.parametrize(
    ("error", "kind", "reason"),
    [
        (DataError("a.png: too short", "copy it"), "damaged", "too short"),
        (LabelMapError("a label map"), "mask", "a label map"),
        (SeriesError("4 volumes", "choose one"), "4-D", "4 volumes: choose one"),
        (NoImageError("holds no image"), "no image", "holds no image"),
        (MemoryError(), "damaged", "too large for this machine's memory"),
        (RecursionError("deep"), "damaged", "unreadable (nested too deeply)"),
        (OSError(errno.EIO, "Input/output error", "a.png"), "damaged", "Input/output error"),
        (_NobodyExpectsThis("odd\nmore"), "damaged", "unreadable (odd)"),
        (ValueError("UID 1.2.840.113.5 of \x1b[2Jx"), "damaged", "unreadable (UID a UID of  [2Jx)"),
    ],
)
def test_every_error_is_a_kind_and_a_line(error: Exception, kind: str, reason: str) -> None:
    assert explain(error, "a.png") == (kind, reason)


def test_a_problem_is_kept_with_its_name_and_a_usage_error_passes() -> None:
    with reading("a.dcm") as problems:
        raise _NobodyExpectsThis("odd")
    assert problems == [("a.dcm", "unreadable (odd)")]
    with pytest.raises(UsageError), reading("a.dcm"):
        raise UsageError("no such option")


def test_good_slices_beside_any_failure_go_through(tmp_path: Path, monkeypatch: Any) -> None:
    folder = phantoms.write_folder(tmp_path / "set", phantoms.slice_files(people=2, size=16))
    sources = build_plan([folder], PrepareConfig()).sources
    read: Any = vars(one_source)["read_member"]

    def fail_once(member: Any) -> bytes:
        if member == sources[0].member:
            raise _NobodyExpectsThis("odd")
        found: bytes = read(member)
        return found

    monkeypatch.setattr(one_source, "read_member", fail_once)
    outcomes = one_source.process_all(sources, PrepareConfig())
    assert [o.reason for o in outcomes] == ["unreadable (odd)"] + [""] * (len(sources) - 1)
    assert survey_source(sources[0], PrepareConfig()).reason == "unreadable (odd)"
