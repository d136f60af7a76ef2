"""What works without the packages of `mrigan[train]`, and what the other commands say then."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

BARE = """
import sys
# As where they are not installed: importing them raises ModuleNotFoundError.
for name in ("torch", "matplotlib", "skimage", "jinja2", "markupsafe", "scipy", "kornia_rs"):
    sys.modules[name] = None
from mri_gan.cli.main import cli
code = 0
for line in sys.argv[1:]:
    try:
        cli(line.split("|"), prog_name="mrigan")
    except SystemExit as ended:
        code = ended.code
sys.exit(code)
"""


def run(folder: Path, *commands: str) -> subprocess.CompletedProcess[str]:
    """Run commands, their words joined by bars, in one interpreter without those packages."""
    return subprocess.run(
        [sys.executable, "-c", BARE, *commands],
        cwd=folder, capture_output=True, text=True, check=False,
    )  # fmt: skip


def test_everything_between_scans_and_a_store_works(oasis_zip: Path, tmp_path: Path) -> None:
    done = run(
        tmp_path,
        f"inspect|{oasis_zip}|--workers|1|--sheet|sheet.png",
        f"prepare|{oasis_zip}|--out|A|--workers|1|--shard|1/2",
        f"prepare|{oasis_zip}|--out|B|--workers|0|--shard|2/2",
        "merge|A|B|--out|WHOLE",
        "info|WHOLE",
        "check|WHOLE",
        "export|WHOLE|--format|png|--out|png",
        "export|WHOLE|--format|stylegan-zip|--level|64|--out|a.zip",
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert (tmp_path / "sheet.png").exists()
    assert (tmp_path / "a.zip").exists()
    assert len([*(tmp_path / "png").rglob("*.png")]) == 10


@pytest.mark.parametrize(
    "command", ["train|{store}|--out|RUN", "test|RUN", "report|RUN", "evaluate|RUN|--data|{store}"]
)
def test_other_commands_name_what_to_install(store: Path, tmp_path: Path, command: str) -> None:
    done = run(tmp_path, command.format(store=store))
    assert done.returncode == 2
    assert done.stderr.splitlines() == [done.stderr.strip()]
    assert "pip install 'mrigan[train]'" in done.stderr
