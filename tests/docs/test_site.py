"""The site builds without a warning, has every command and public name, and loads nothing else."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

import mri_gan as mg
from mri_gan.cli.main import COMMANDS

ROOT = Path(__file__).parents[2]
SITE = ROOT / "build" / "site"


def build(root: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, str(root / "tools" / "build_site.py")],
        capture_output=True, text=True, check=False,
    )  # fmt: skip


@pytest.fixture(scope="module")
def site() -> Path:
    done = build(ROOT)
    assert done.returncode == 0, done.stderr
    return SITE


def test_the_reference_has_every_command_and_public_name(site: Path) -> None:
    commands = (site / "commands.html").read_text(encoding="utf-8")
    assert [name for name in COMMANDS if f'id="mrigan-{name}"' not in commands] == []
    api = (site / "api.html").read_text(encoding="utf-8")
    names = [name for name in mg.__all__ if name != "__version__"]
    assert [name for name in names if not re.search(rf'id="mri_gan\.[\w.]*\.{name}"', api)] == []


def test_pages_load_nothing_from_elsewhere(site: Path) -> None:
    loaded = re.compile(r'<(?:script|img|link|iframe)[^>]+(?:src|href)="(?:https?:)?//[^"]*"')
    for page in site.glob("*.html"):
        assert loaded.findall(page.read_text(encoding="utf-8")) == [], page.name


def test_a_link_that_leads_nowhere_fails_the_build(tmp_path: Path) -> None:
    for name in ("docs", "tools", "examples", "data"):
        shutil.copytree(ROOT / name, tmp_path / name, ignore=shutil.ignore_patterns("*.gz"))
    for name in ("mkdocs.yml", *(path.name for path in ROOT.glob("*.md"))):
        shutil.copy(ROOT / name, tmp_path / name)
    with (tmp_path / "docs" / "using.md").open("a", encoding="utf-8") as page:
        page.write("\n[nothing](data.md#no-such-heading)\n")
    done = build(tmp_path)
    assert done.returncode != 0
    assert "no-such-heading" in done.stderr
