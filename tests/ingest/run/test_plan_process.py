"""A plan made by a child process is the same plan, in little memory."""

from __future__ import annotations

import os
import pickle
import signal
import threading
from pathlib import Path

import phantoms
import pytest

from mri_gan.errors import DataError, UsageError
from mri_gan.ingest.plan.plan import Plan, build_plan, parse_shard, take_shard
from mri_gan.ingest.run.plan_process import (
    BLOCK,
    PackedLabels,
    PackedSources,
    pack_plan,
    plan_apart,
)
from mri_gan.preparation import PrepareConfig

CONFIG = PrepareConfig()


@pytest.fixture
def plan(tmp_path: Path) -> Plan:
    people = {"train": 5, "validate": 1, "test": 1}
    archive = phantoms.oasis_course_zip(tmp_path / "course.zip", people=people, slices=20)
    return build_plan([archive], CONFIG)


def test_the_packed_plan_says_the_same(plan: Plan) -> None:
    packed = plan_apart(lambda: plan)
    assert len(packed.sources) == len(plan.sources) > 2 * BLOCK
    assert tuple(packed.sources) == plan.sources
    assert tuple(packed.sources) == plan.sources, "as often as one likes"
    for field in ("digest", "layouts", "masks", "left_out", "ignored", "bad", "part"):
        assert getattr(packed, field) == getattr(plan, field)
    assert not packed.learn_from
    assert not packed.true_labels


def test_parts_keep_what_they_learn_from(plan: Plan) -> None:
    part = take_shard(plan, parse_shard("2/3"))
    packed = plan_apart(lambda: part)
    assert tuple(packed.sources) == part.sources
    assert tuple(packed.learn_from) == plan.sources


def test_packed_sources_take_little_memory(plan: Plan) -> None:
    packed = PackedSources(list(plan.sources) * 20)
    assert len(pickle.dumps(packed)) / len(packed) < 100
    assert packed[BLOCK + 3] == (list(plan.sources) * 2)[BLOCK + 3]
    assert list(packed[5:9]) == list(plan.sources[5:9])


def test_packed_labels_are_a_dictionary() -> None:
    labels = {"p1/s1": "a.zip:x", "p1/s2": "a.zip:y"}
    packed = PackedLabels(labels)
    assert dict(packed) == labels
    assert packed.get("p1/s3", "none") == "none"
    assert not PackedLabels({})


@pytest.mark.parametrize("error", [DataError("a.zip: broken", "copy it"), UsageError("no", "yes")])
def test_errors_come_across_with_their_hint(error: DataError | UsageError) -> None:
    def fail() -> Plan:
        raise error

    with pytest.raises(type(error)) as caught:
        plan_apart(fail)
    assert (caught.value.message, caught.value.hint) == (error.message, error.hint)


@pytest.mark.parametrize("death", ["killed", "a fault"])
def test_what_a_child_cannot_make_is_made_here(plan: Plan, death: str) -> None:
    parent = os.getpid()

    def make() -> Plan:
        if os.getpid() != parent and death == "killed":
            os.kill(os.getpid(), signal.SIGKILL)
        if os.getpid() != parent:
            raise ZeroDivisionError
        return plan

    assert tuple(plan_apart(make).sources) == plan.sources


def test_no_child_is_left_behind(plan: Plan, monkeypatch: pytest.MonkeyPatch) -> None:
    children, fork = [], os.fork

    def remember() -> int:
        children.append(fork())
        return children[-1]

    monkeypatch.setattr(os, "fork", remember)
    monkeypatch.setattr(threading, "active_count", lambda: 1)  # whatever other tests left
    plan_apart(lambda: plan)
    (child,) = children
    with pytest.raises(ChildProcessError):
        os.waitpid(child, os.WNOHANG)


def test_packing_twice_changes_nothing(plan: Plan) -> None:
    assert tuple(pack_plan(pack_plan(plan)).sources) == plan.sources
