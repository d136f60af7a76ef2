"""What is in a store folder, judged from outside."""

from __future__ import annotations

import json
from pathlib import Path

from faults.children import Ended
from faults.nursery import Nursery
from mri_gan.store.schema import COMPANIONS

EXPECTED_FILES = {"data.mdb", ".lock", "ids.key", "prepare.toml", *COMPANIONS}

READ_ALL = """
import hashlib, sys
from pathlib import Path
from mri_gan.config import LEVELS
from mri_gan.errors import MriganError
from mri_gan.store.reader import StoreReader
try:
    with StoreReader(Path(sys.argv[1])) as store:
        hasher = hashlib.sha256(repr(store.records).encode())
        for level in LEVELS:
            for index in range(len(store)):
                hasher.update(store.read(level, [index]).tobytes())
    print(hasher.hexdigest())
except MriganError as error:
    print(f"mrigan: {error}", file=sys.stderr)
    sys.exit(1)
"""


def contents(nursery: Nursery, folder: Path) -> Ended:
    """Read every record and every slice at every level; prints one digest of all of it."""
    return nursery(folder, run=READ_ALL)


def digest(nursery: Nursery, folder: Path) -> str:
    """The digest that `mrigan info` prints; raises AssertionError where it prints none."""
    told = nursery("info", folder, "--json")
    assert told.code == 0, told.err
    return str(json.loads(told.out)["digest"])


def holds(nursery: Nursery, folder: Path, expected: str) -> bool:
    """Whether a store has this digest and `mrigan check` finds nothing wrong."""
    return digest(nursery, folder) == expected and nursery("check", folder, "-q").code == 0


def leftovers(folder: Path) -> set[str]:
    """Files in a store's folder that are none of a store's."""
    return {path.name for path in folder.iterdir()} - EXPECTED_FILES
