"""Pages are short, their links lead somewhere, and what they say to type exists."""

from __future__ import annotations

import re
import runpy
from pathlib import Path

import click
import pytest

from mri_gan.cli.main import COMMANDS
from mri_gan.config import AUGMENT_KINDS, STYLED, TrainConfig

ROOT = Path(__file__).parents[2]
README = ROOT / "README.md"
PAGES = [README, *sorted((ROOT / "docs").glob("*.md"))]
MOST_WORDS = 900  # of the README


def text_of(path: Path) -> str:
    return path.read_text(encoding="utf-8")


def test_the_readme_is_short() -> None:
    assert len(text_of(README).split()) <= MOST_WORDS


@pytest.mark.parametrize("page", PAGES, ids=lambda p: p.name)
def test_links_to_files_lead_somewhere(page: Path) -> None:
    links = re.findall(r"\]\(([^)#\s]+)(?:#[^)]*)?\)", text_of(page))
    missing = [link for link in links if "://" not in link and not (page.parent / link).exists()]
    assert missing == []


@pytest.mark.parametrize("page", PAGES, ids=lambda p: p.name)
def test_commands_that_are_named_exist(page: Path) -> None:
    typed = re.findall(r"^(?:    |.*`)mrigan ([a-z][a-z-]+)", text_of(page), re.MULTILINE)
    assert set(typed) <= {*COMMANDS}


def test_what_contributors_are_sent_to_exists() -> None:
    table = re.search(r"\| --- \| --- \| --- \|\n((?:\|.*\n)+)", text_of(ROOT / "CONTRIBUTING.md"))
    assert table is not None
    rows = [row.split("|")[2:4] for row in table[1].splitlines()]
    assert len(rows) >= 10
    for where, names in rows:
        files = [ROOT / "mri_gan" / path for path in re.findall(r"`([^`]+)`", where)]
        content = "".join(text_of(file) for file in files if file.is_file())
        assert [file for file in files if not file.exists()] == []
        for name in re.findall(r"`([^`]+)`", names):
            assert re.search(rf"^(?:(?:def|class) )?{name}\b", content, re.MULTILINE), name


def test_the_reference_has_every_command() -> None:
    page = runpy.run_path(str(ROOT / "tools" / "command_reference.py"))["build_page"]()
    for name in COMMANDS:
        assert f"Usage: mrigan {name} " in page


def test_manual_pages_have_every_option_and_no_commands_of_the_text() -> None:
    tool = runpy.run_path(str(ROOT / "tools" / "command_reference.py"))
    for command, context in tool["list_commands"]():
        page = tool["manual_page"](command, context)
        plain = page.replace("\\-", "-")
        for option in (o for p in command.params if isinstance(p, click.Option) for o in p.opts):
            assert option in plain, (context.command_path, option)
        macros = {line.split()[0] for line in page.splitlines() if line[:1] in (".", "'")}
        assert macros <= {".TH", ".SH", ".PP", ".TP", ".B", ".nf", ".fi"}
        assert not re.search(r"\\[^-&e]", page)


def test_the_page_says_which_architectures_have_directions() -> None:
    text = " ".join(text_of(ROOT / "docs" / "using.md").split())
    assert f"Only {' and '.join(f'`{arch}`' for arch in STYLED)} have directions, mixing" in text


def test_the_page_names_the_kinds_of_augmentation_that_are_not_used_by_themselves() -> None:
    kinds = set(AUGMENT_KINDS) - set(TrainConfig.augment_kinds.split(","))
    (named,) = re.findall(r"`--augment-kinds` also takes (.*)\.", text_of(ROOT / "docs/models.md"))
    assert set(re.findall("`([a-z]+)`", named)) == kinds
