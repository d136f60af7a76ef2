"""Names of stores that are no text."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import pytest

from mri_gan.store.environment import open_for_reading
from mri_gan.store.writer import open_for_writing


@pytest.mark.skipif(sys.platform != "linux", reason="other systems have names of text only")
def test_a_folder_may_be_named_by_bytes_that_are_no_text(tmp_path: Path) -> None:
    folder = tmp_path / os.fsdecode(b"scans\xff")
    folder.mkdir()
    with open_for_writing(folder) as store, store.begin(write=True) as transaction:
        transaction.put(b"a", b"1")
    with open_for_reading(folder) as store, store.begin() as transaction:
        assert transaction.get(b"a") == b"1"
