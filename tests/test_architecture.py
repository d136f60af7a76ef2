"""Imports point down only, help is quick, and nothing below `cli` reads the environment."""

from __future__ import annotations

import ast
import subprocess
import sys
from collections import Counter
from collections.abc import Iterable, Iterator
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parents[1] / "mri_gan"
FILES = sorted(PACKAGE.rglob("*.py"))
MAX_LINES = 500  # one subject, not one screen
MAX_MODULES = 12  # of a folder: what a newcomer can look through in a minute

# What each part may import, itself apart. Every part must be named here.
BOTTOM = {
    "charts",
    "conditions",
    "config",
    "errors",
    "files",
    "pictures",
    "tables",
    "values",
    "pretrained",
}
MIDDLE = {"store", "nets", "checkpoint", "schedule"}
ALLOWED = {
    "errors": set(),
    "files": {"errors"},
    "values": {"errors"},
    "conditions": {"errors"},
    "config": {"conditions", "files", "errors", "values"},
    "tables": {"errors"},
    "pictures": {"files", "errors"},
    "charts": {"pictures", "files", "values"},
    "pretrained": {"files", "errors"},
    "schedule": BOTTOM,
    "checkpoint": BOTTOM,
    "store": BOTTOM,
    "nets": {"config", "errors", "pretrained"},  # nets knows nothing of other files
    "ingest": BOTTOM | {"store"},
    "export": BOTTOM | {"store"},
    "report": BOTTOM,  # reads files that the other commands wrote
    # A model card holds what a page holds; image files are read as prepare reads them.
    "synth": BOTTOM | MIDDLE | {"report", "ingest"},
    "explore": BOTTOM | MIDDLE | {"synth"},
    "train": BOTTOM | MIDDLE | {"synth"},
    "evaluate": BOTTOM | MIDDLE | {"synth", "ingest"},
    "library": BOTTOM | MIDDLE | {"ingest", "export", "synth", "train", "evaluate"},
    "cli": BOTTOM
    | MIDDLE
    | {"ingest", "export", "synth", "explore", "train", "evaluate", "report", "library"},
    "__main__": {"cli"},
    # When a name is first used
    "__init__": {"library", "evaluate", "train", "store", "config", "ingest", "errors"},
}
# The walk of a slice: a room may use those before it.
INGEST = ("options", "source", "outcome", "read", "plan", "cut", "run", "look")


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
    modules = "ingest.run.prepare", "ingest.cut.one_source", "cli.data.prepare"
    loaded = loaded_by("".join(f"import mri_gan.{module}\n" for module in modules))
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
    "path", [p for p in FILES if part_of(p) not in ("cli", "__main__", "__init__")], ids=relative
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
def test_a_file_has_one_subject(path: Path) -> None:
    assert len(path.read_text().splitlines()) <= MAX_LINES


# Rooms


def module_name(path: Path) -> str:
    """The dotted name of a file: `ingest.read.tars`, or `ingest.read` for its `__init__`."""
    parts = path.relative_to(PACKAGE).with_suffix("").parts
    return ".".join(part for part in parts if part != "__init__")


def import_graph(files: Iterable[Path], package: Path = PACKAGE) -> dict[str, set[str]]:
    """Module -> modules of ours that it imports anywhere in its text, inside functions too."""
    names = {module_name_in(path, package) for path in files}
    graph: dict[str, set[str]] = {}
    for path in files:
        imported = {
            module.removeprefix("mri_gan.")
            for part, module in imported_parts(path)
            if part != "__version__"  # there before the package imports anything
        }
        found = {name if name in names else name.rpartition(".")[0] for name in imported}
        graph[module_name_in(path, package)] = found & names
    return graph


def module_name_in(path: Path, package: Path) -> str:
    return module_name(PACKAGE / path.relative_to(package))


def find_circle(graph: dict[str, set[str]]) -> list[str]:
    """The modules of one circle of imports, or an empty list."""
    try:
        list(TopologicalSorter(graph).static_order())
    except CycleError as error:
        return list(error.args[1])
    return []


def test_no_imports_go_in_a_circle() -> None:
    assert find_circle(import_graph(FILES)) == []


def test_a_circle_through_a_function_is_seen(tmp_path: Path) -> None:
    (tmp_path / "a.py").write_text("from mri_gan import b\n")
    (tmp_path / "b.py").write_text("def f():\n    from mri_gan.a import g\n")
    graph = import_graph([tmp_path / "a.py", tmp_path / "b.py"], tmp_path)
    assert set(find_circle(graph)) == {"a", "b"}


def test_rooms_of_ingest_use_only_those_before_them() -> None:
    graph = import_graph([path for path in FILES if part_of(path) == "ingest"])
    wrong = [
        (module, used)
        for module, all_used in graph.items()
        for used in all_used
        if "." in module and "." in used and room_number(used) > room_number(module)
    ]
    assert wrong == []


def room_number(module: str) -> int:
    return INGEST.index(module.split(".")[1])


@pytest.mark.parametrize("folder", sorted({path.parent for path in FILES}), ids=relative)
def test_a_folder_has_few_modules(folder: Path) -> None:
    modules = [path for path in folder.glob("*.py") if not path.name.startswith("__")]
    assert len(modules) <= MAX_MODULES


def test_no_module_name_occurs_twice() -> None:
    names = Counter(p.stem for p in FILES if part_of(p) != "cli" and not p.stem.startswith("__"))
    assert [name for name, count in names.items() if count > 1] == []
