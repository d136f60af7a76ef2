"""The notebook runs from its first cell to its last, at tiny size, and objects show themselves."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

NOTEBOOK = Path(__file__).parents[2] / "examples" / "oasis.ipynb"
TINY = {
    "= 40, 64, 20, 500": "= 24, 16, 0.02, 50",
    'preset="laptop", max_size=LEVEL': 'arch="dcgan", max_size=LEVEL, batch=4, capacity=1 / 64',
    "../data/demo": str(NOTEBOOK.parents[1] / "data" / "demo"),
}
# What a kernel does with a cell: run it, and show what its last expression is.
RUN_CELLS = """
import ast, json, sys
from mri_gan.evaluate import audit
audit.PLANTED, audit.MOST_QUERIES = 1, 24  # as `small_audits` in tests/conftest.py
names = {"__name__": "__main__"}
for source in json.load(sys.stdin):
    tree = ast.parse(source)
    last = tree.body.pop() if isinstance(tree.body[-1], ast.Expr) else None
    exec(compile(tree, "cell", "exec"), names)
    value = eval(compile(ast.Expression(last.value), "cell", "eval"), names) if last else None
    show = getattr(value, "_repr_html_", getattr(value, "_repr_png_", None))
    print("SHOWN", type(value).__name__, json.dumps(str(show())) if show else "")
"""


@pytest.fixture(scope="module")
def cells() -> list[dict[str, Any]]:
    notebook = json.loads(NOTEBOOK.read_text(encoding="utf-8"))
    assert (notebook["nbformat"], len({cell["id"] for cell in notebook["cells"]})) == (
        4,
        len(notebook["cells"]),
    )
    return list(notebook["cells"])


def test_it_is_kept_without_results(cells: list[dict[str, Any]]) -> None:
    """Results would hold pictures, which may be of people."""
    assert all(not cell.get("outputs") for cell in cells)


def test_it_runs_and_shows_tables_and_pictures(cells: list[dict[str, Any]], tmp_path: Path) -> None:
    sources = ["".join(cell["source"]) for cell in cells if cell["cell_type"] == "code"]
    text = json.dumps(sources)
    for full, small in TINY.items():
        quoted = json.dumps(full)[1:-1]
        assert quoted in text, full
        text = text.replace(quoted, json.dumps(small)[1:-1])
    done = subprocess.run(
        [sys.executable, "-c", RUN_CELLS],
        input=text, cwd=tmp_path, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    shown = dict(
        line.split(" ", 2)[1:] for line in done.stdout.splitlines() if line.startswith("SHOWN ")
    )
    for name in ("Prepared", "StoreReader", "Evaluation", "Audit"):
        assert "<table>" in shown[name], name
    assert "data:image/png" in shown["Model"]
    assert "PNG" in shown["Image"]
