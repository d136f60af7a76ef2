"""Break one line at a time and see a test fail: which lines nobody guards.

`tools/mutants.toml` lists the lines, each with the tests that must notice. Every mutant is applied
to a copy of the tree; the tree itself stays as it is. Exit code 1 if one survives, or if a line to
break is no longer there exactly once.

Example: python tools/mutants.py --only train/step
"""

from __future__ import annotations

import os
import shlex
import shutil
import subprocess
import sys
import tempfile
import time
import tomllib
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from queue import SimpleQueue

import click

ROOT = Path(__file__).parents[1]
LIST = Path(__file__).with_suffix(".toml")
COPIED = ("mri_gan", "tests", "tools", "data", "docs", "pyproject.toml", "README.md")
NOTICED, PASSED = 1, 0  # exit codes of pytest: a test failed; all passed
TIMED_OUT = -1  # not of pytest: proves nothing, since a slow machine does that too
TIMEOUT_S = 600


@dataclass(frozen=True)
class Mutant:
    """One line to break."""

    file: str
    old: str
    new: str
    tests: str  # arguments of pytest

    def apply(self, tree: Path) -> str:
        """Break the line in a copy of the tree; returns the text before."""
        path = tree / self.file
        text = path.read_text(encoding="utf-8")
        path.write_text(text.replace(self.old, self.new), encoding="utf-8")
        return text

    @property
    def count(self) -> int:
        """How often the line to break occurs, which should be once."""
        path = ROOT / self.file
        return path.read_text(encoding="utf-8").count(self.old) if path.exists() else 0


def run_tests(tree: Path, arguments: str, limit_s: float = TIMEOUT_S) -> int:
    """The exit code of pytest in a copy of the tree."""
    environment = {**os.environ, "PYTHONPATH": str(tree), "PYTHONDONTWRITEBYTECODE": "1"}
    options = ["-x", "-q", "-p", "no:cacheprovider"]
    command = [sys.executable, "-m", "pytest", *options, *shlex.split(arguments)]
    try:
        done = subprocess.run(
            command, cwd=tree, env=environment, capture_output=True, timeout=limit_s, check=False
        )
    except subprocess.TimeoutExpired:
        return TIMED_OUT
    return done.returncode


def judge(tree: Path, mutant: Mutant) -> str:
    """`noticed`, `SURVIVED`, or what went wrong."""
    if mutant.count != 1:
        return f"THE LINE OCCURS {mutant.count} TIMES"
    before = mutant.apply(tree)
    try:
        code = run_tests(tree, mutant.tests)
    finally:
        (tree / mutant.file).write_text(before, encoding="utf-8")
    names = {NOTICED: "noticed", PASSED: "SURVIVED", TIMED_OUT: "TIMED OUT"}
    # 2 is an error while collecting: a broken import would be noticed, too, but by no test.
    return names.get(code, f"PYTEST ENDED WITH {code}")


def copy_tree(folder: Path) -> Path:
    """A copy of what the tests need."""
    for name in COPIED:
        source = ROOT / name
        if source.is_dir():
            ignore = shutil.ignore_patterns("__pycache__")
            shutil.copytree(source, folder / name, ignore=ignore)
        else:
            shutil.copy(source, folder / name)
    return folder


@click.command()
@click.option("--only", default="", help="Mutants of files whose path contains this.")
@click.option("--jobs", default=2, show_default=True, help="Mutants at once.")
@click.option("--skip-unbroken", is_flag=True, help="Do not run the tests on the unbroken tree.")
def main(only: str, jobs: int, skip_unbroken: bool) -> None:
    """Break each line of the list, and fail if no test notices."""
    rows = tomllib.loads(LIST.read_text(encoding="utf-8"))["mutant"]
    mutants = [mutant for mutant in (Mutant(**row) for row in rows) if only in mutant.file]
    start = time.monotonic()
    with tempfile.TemporaryDirectory() as name, ThreadPoolExecutor(jobs) as pool:
        trees: SimpleQueue[Path] = SimpleQueue()
        for number in range(jobs):
            trees.put(copy_tree(Path(name) / str(number)))

        def one(mutant: Mutant) -> str:
            tree = trees.get()
            try:
                return judge(tree, mutant)
            finally:
                trees.put(tree)

        bad = 0
        for mutant, verdict in zip(mutants, pool.map(one, mutants), strict=True):
            bad += verdict != "noticed"
            click.echo(f"{verdict:<10} {mutant.file}: {mutant.new.strip() or 'line left out'}")
        if not skip_unbroken:
            bad += check_unbroken(trees.get(), mutants)
    seconds = time.monotonic() - start
    click.echo(f"{len(mutants)} mutants, {bad} not noticed, {seconds:.0f} s")
    sys.exit(1 if bad else 0)


def check_unbroken(tree: Path, mutants: list[Mutant]) -> int:
    """Whether the same tests pass where nothing is broken: 1 if not."""
    files = dict.fromkeys(
        word for mutant in mutants for word in mutant.tests.split() if word.startswith("tests/")
    )
    code = run_tests(tree, " ".join(files), 6 * TIMEOUT_S)  # all of them, one after another
    if code != PASSED:
        click.echo(f"the tests fail on the unbroken tree (pytest ended with {code})")
    return int(code != PASSED)


if __name__ == "__main__":
    main()
