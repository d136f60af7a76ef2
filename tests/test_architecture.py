"""Imports point down only, help is quick, and nothing below `cli` reads the environment."""

from __future__ import annotations

import ast
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parents[1] / "mri_gan"
FILES = sorted(PACKAGE.rglob("*.py"))
MAX_LINES = 330

# What each part may import, itself apart. Every part must be named here.
BOTTOM = {
    "archs",
    "checksums",
    "conditions",
    "config",
    "errors",
    "files",
    "heap",
    "locks",
    "pictures",
    "preparation",
    "runs",
    "settings",
}
MIDDLE = {"schedule_file", "store", "nets", "checkpoint", "schedule"}
ALLOWED = {
    "errors": set(),
    "runs": set(),
    "checksums": set(),
    "heap": set(),
    "files": {"errors"},
    "locks": {"files", "errors"},
    "conditions": {"errors"},
    "settings": {"errors"},
    "preparation": {"settings", "errors"},
    "archs": {"settings"},
    "config": {"archs", "conditions", "errors", "preparation", "settings"},
    "pictures": {"files", "errors"},
    "schedule": BOTTOM,
    "schedule_file": BOTTOM,
    "checkpoint": BOTTOM,
    "store": BOTTOM,
    "nets": {"config", "errors"},  # nets knows nothing of files
    "ingest": BOTTOM | {"store"},
    "exchange": BOTTOM | {"store"},
    "report": BOTTOM,  # reads files that the other commands wrote
    "synth": BOTTOM | MIDDLE,
    "train": BOTTOM | MIDDLE | {"synth"},
    "evaluate": BOTTOM | MIDDLE | {"synth"},
    "cli": BOTTOM | MIDDLE | {"ingest", "exchange", "synth", "train", "evaluate", "report"},
    "__main__": {"cli"},
    "__init__": set(),
}


def part_of(path: Path) -> str:
    """The layer that a file belongs to: its folder, or its own name at the top."""
    return path.relative_to(PACKAGE).parts[0].removesuffix(".py")


def imported_parts(path: Path) -> Iterator[tuple[str, str]]:
    """(layer, module) of every import of our own, wherever in the file it stands."""
    for node in ast.walk(ast.parse(path.read_text())):
        modules: list[str] = []
        if isinstance(node, ast.Import):
            modules = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}:{node.lineno}: imports are absolute here"
            modules = [f"{node.module}.{alias.name}" for alias in node.names]
        for module in modules:
            if module.split(".")[0] == "mri_gan":
                yield module.split(".")[1], module


def loaded_by(code: str) -> set[str]:
    """The top-level packages in memory after running the code in a fresh interpreter."""
    script = f"{code}\nimport sys\nprint('|'.join(sorted(m.split('.')[0] for m in sys.modules)))"
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=True
    )
    return set(done.stdout.splitlines()[-1].split("|"))


def relative(path: Path) -> str:
    return str(path.relative_to(PACKAGE))


@pytest.mark.parametrize("path", FILES, ids=relative)
def test_imports_point_down(path: Path) -> None:
    layer = part_of(path)
    wrong = [
        module
        for part, module in imported_parts(path)
        if part not in ALLOWED[layer] | {layer, "__version__"}
    ]
    assert wrong == []


def test_the_rules_see_imports_inside_functions_and_type_checks(tmp_path: Path) -> None:
    source = "def f():\n    from mri_gan.train import loop\nif 0:\n    import mri_gan.cli.main\n"
    (tmp_path / "a.py").write_text(source)
    assert {part for part, _ in imported_parts(tmp_path / "a.py")} == {"cli", "train"}


def test_ingest_does_not_load_torch() -> None:
    loaded = loaded_by(
        "import mri_gan.ingest.run.prepare, mri_gan.ingest.cut.one_source, mri_gan.cli.prepare"
    )
    assert "lmdb" in loaded
    assert "torch" not in loaded


def test_workers_for_image_files_do_not_load_nibabel() -> None:
    loaded = loaded_by("import mri_gan.ingest.cut.one_source")
    assert "PIL" in loaded
    assert loaded.isdisjoint({"nibabel", "skimage", "scipy"})


def test_workers_for_volumes_load_little_of_scipy() -> None:
    code = "import sys, mri_gan.ingest.cut.one_volume\nassert 'scipy.ndimage' not in sys.modules"
    loaded = loaded_by(code)
    assert "nibabel" in loaded
    assert loaded.isdisjoint({"skimage", "torch"})


@pytest.mark.parametrize("arguments", [["--help"], ["--version"]])
def test_help_loads_nothing_heavy(arguments: list[str]) -> None:
    loaded = loaded_by(
        "from mri_gan.cli.main import cli\n"
        f"cli({arguments}, prog_name='mrigan', standalone_mode=False)"
    )
    assert "click" in loaded
    assert loaded.isdisjoint({"torch", "numpy", "nibabel", "lmdb", "PIL", "skimage", "matplotlib"})


@pytest.mark.parametrize(
    "path", [p for p in FILES if part_of(p) not in ("cli", "__main__")], ids=relative
)
def test_nothing_below_cli_reads_environment_or_arguments(path: Path) -> None:
    forbidden = {"environ", "getenv", "argv", "environb"}
    tree = ast.walk(ast.parse(path.read_text()))
    names = {n.attr for n in tree if isinstance(n, ast.Attribute)}
    imported = {
        alias.name
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.ImportFrom)
        for alias in node.names
    }
    assert forbidden.isdisjoint(names | imported)


@pytest.mark.parametrize("path", FILES, ids=relative)
def test_files_stay_readable_in_one_sitting(path: Path) -> None:
    assert len(path.read_text().splitlines()) <= MAX_LINES
