"""The documentation as a site: pages, commands from click, the Python API from its docstrings.

Builds without a network; warnings, links and anchors that lead nowhere are errors.

Example: python tools/build_site.py
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import click
from command_reference import build_page

import mri_gan as mg

ROOT = Path(__file__).parents[1]
SOURCE = ROOT / "build" / "site-source"
# Pages outside `docs/`, by their name on the site.
OTHERS = {
    "README.md": "index.md",
    "CONTRIBUTING.md": "contributing.md",
    "CHANGELOG.md": "changelog.md",
    "SECURITY.md": "security.md",
    "CODE_OF_CONDUCT.md": "conduct.md",
    "data/README.md": "collections.md",
}
COMPILED = shutil.ignore_patterns("__pycache__")
API = """# Python API

Everything in `mri_gan.__all__`. [From Python](python.md) shows how it is used.
"""
LINK = re.compile(r"(\]\()([^)#\s:]+)((?:#[^)]*)?\))")


def collect_pages(source: Path) -> None:
    """All pages and pictures in one folder, with links that fit there."""
    shutil.rmtree(source, ignore_errors=True)
    shutil.copytree(ROOT / "docs", source)
    for path in source.glob("*.md"):
        rewrite(path, path, ROOT / "docs")
    for name, page in OTHERS.items():
        rewrite(ROOT / name, source / page, (ROOT / name).parent)
    shutil.copytree(ROOT / "examples", source / "examples", ignore=COMPILED)
    shutil.copytree(ROOT / "data", source / "data", ignore=shutil.ignore_patterns("*.gz", "*.md"))
    (source / "commands.md").write_text(build_page(), encoding="utf-8")
    (source / "api.md").write_text(describe_api(), encoding="utf-8")


def rewrite(page: Path, target: Path, folder: Path) -> None:
    """A page whose links to files of the repository become links within the site."""

    def place(match: re.Match[str]) -> str:
        path = (folder / match[2]).resolve()
        name = path.relative_to(ROOT).as_posix() if path.is_relative_to(ROOT) else match[2]
        return match[1] + OTHERS.get(name, name.removeprefix("docs/")) + match[3]

    target.write_text(LINK.sub(place, page.read_text(encoding="utf-8")), encoding="utf-8")


# What public classes consist of
PARTS = ("evaluate.evaluation.Figure", "store.schema.SliceRecord", "library.slice_dataset.Target")


def describe_api() -> str:
    """The page that has the docstrings of all public names filled in."""
    names = [name for name in mg.__all__ if name in mg._HOMES]
    homes = [f"{mg._HOMES[name]}.{name}" for name in names]
    parts = [f"::: mri_gan.{name}\n" for name in (*homes, *PARTS)]
    return "\n".join([API, *parts])


@click.command()
def main() -> None:
    """Build the site in build/site."""
    collect_pages(SOURCE)
    # The theme advertises its successor on every build.
    environment = {**os.environ, "NO_MKDOCS_2_WARNING": "1"}
    words = ["build", "--strict", "--config-file", str(ROOT / "mkdocs.yml")]
    done = subprocess.run([sys.executable, "-m", "mkdocs", *words], env=environment, check=False)
    sys.exit(done.returncode)


if __name__ == "__main__":
    main()
