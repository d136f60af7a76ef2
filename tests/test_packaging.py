"""What is installed in a container is what the project needs, pinned."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

import yaml

import mri_gan

ROOT = Path(__file__).parents[1]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]


def names_in(requirements: list[str]) -> set[str]:
    return {re.split(r"[<>=!~\[ ;]", text)[0].lower().replace("_", "-") for text in requirements}


def test_the_layer_of_dependencies_in_the_container_is_complete() -> None:
    """Else the layer behind it, which is built for every change, installs the rest."""
    text = (ROOT / "Dockerfile").read_text(encoding="utf-8").replace("\\\n", " ")
    layer = next(line for line in text.splitlines() if "constraints.txt" in line and "RUN" in line)
    words = layer.partition("-c constraints.txt")[2].split()
    extras = PROJECT["optional-dependencies"]
    wanted = [*extras["train"], *extras["fast"], *extras["features"]]
    needed = names_in([*PROJECT["dependencies"], *wanted])
    assert {word.lower().replace("_", "-") for word in words} == needed


def test_every_required_package_has_a_pin() -> None:
    lines = (ROOT / "constraints.txt").read_text(encoding="utf-8").splitlines()
    pinned = names_in([line for line in lines if "==" in line])
    listed = [text for extra in PROJECT["optional-dependencies"].values() for text in extra]
    assert names_in([*PROJECT["dependencies"], *listed]) - {"mrigan"} - pinned == set()


def test_the_conda_recipe_asks_for_what_the_project_does() -> None:
    recipe = yaml.safe_load((ROOT / "conda" / "recipe.yaml").read_text(encoding="utf-8"))
    wanted = [text.replace(" ", "") for text in recipe["requirements"]["run"]]
    names = {"lmdb": "python-lmdb", "isal": "python-isal"}  # what conda-forge calls them
    needed = {
        re.sub(r"^[a-z0-9]+", lambda found: names.get(found[0], found[0]), text)
        for text in PROJECT["dependencies"]
    }
    assert {*wanted} == {f"python{PROJECT['requires-python']}", *needed}
    assert recipe["context"]["version"] == mri_gan.__version__
    (command,) = recipe["build"]["python"]["entry_points"]
    assert command == f"mrigan = {PROJECT['scripts']['mrigan']}"
