"""Every Python example in the documents runs as it is written, and so do the example programs."""

from __future__ import annotations

import importlib.util
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import phantoms
import pytest

ROOT = Path(__file__).parents[2]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
FENCE = re.compile(r"^```python\n(.*?)^```", re.MULTILINE | re.DOTALL)
OTHERS = re.compile(r"^```py\n(import (\w+)\n.*?)^```", re.MULTILINE | re.DOTALL)  # need more
WITH_OTHERS = {name: code for code, name in OTHERS.findall((ROOT / "docs/python.md").read_text())}
OFFLINE = {"WANDB_MODE": "offline", "HF_HUB_OFFLINE": "1", "MLFLOW_ALLOW_FILE_STORE": "true"}
WITH_PYTHON = {p: FENCE.findall(p.read_text(encoding="utf-8")) for p in PAGES}
TINY = {
    '"STORE", "RUN", preset="laptop"': '"STORE", "RUN", arch="dcgan", max_size=64, kimg=0.02, '
    "batch=4, capacity=1/64",
}


def run(folder: Path, *words: str) -> str:
    done = subprocess.run(
        [sys.executable, *words], cwd=folder, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with `scans/` of people with volumes of their own."""
    top = tmp_path_factory.mktemp("docs")
    brain = phantoms.brain_volume()
    scan = phantoms.nifti_bytes(brain, "LPS", gzip=True)
    phantoms.write_folder(top / "scans", {f"p{i}.nii.gz": scan for i in range(10)})
    return top


@pytest.fixture(scope="module")
def store(folder: Path, prepare: Callable[..., Path]) -> Path:
    return prepare(folder / "STORE", folder / "scans", every=4)


@pytest.mark.parametrize("page", [p for p in PAGES if WITH_PYTHON[p]], ids=lambda p: p.name)
def test_examples_run_in_the_order_of_the_page(folder: Path, tmp_path: Path, page: Path) -> None:
    (tmp_path / "scans").symlink_to(folder / "scans")
    code = "\n".join(WITH_PYTHON[page])
    shape = re.search(r"images = .*#( \[[\d, ]+\])", code)
    code += f"\nassert list(images.shape) =={shape[1]}" if shape else ""
    for full, small in TINY.items():
        code = code.replace(full, small)
    body = "".join(f"    {line}\n" for line in code.splitlines())
    (tmp_path / "page.py").write_text(f"if __name__ == '__main__':\n{body}", encoding="utf-8")
    run(tmp_path, "page.py")


@pytest.mark.parametrize("package", WITH_OTHERS)
def test_examples_with_other_packages_run_where_those_are_installed(
    store: Path, tmp_path: Path, package: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    if importlib.util.find_spec(package) is None:
        pytest.skip(f"{package} is not installed")
    for name, value in OFFLINE.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("MLFLOW_TRACKING_URI", (tmp_path / "mlruns").as_uri())
    monkeypatch.setenv("HF_HOME", str(tmp_path / "home"))
    (tmp_path / "STORE").symlink_to(store)
    code = f"import mri_gan as mg\n{WITH_OTHERS[package]}"
    (tmp_path / "example.py").write_text(code, encoding="utf-8")
    run(tmp_path, "example.py")


def test_pages_have_examples() -> None:
    assert WITH_OTHERS.keys() == {"datasets", "torchio", "wandb", "mlflow"}
    assert {p.name for p in PAGES if WITH_PYTHON[p]} >= {"README.md", "python.md"}


def test_the_classifier_learns_where_a_slice_is_from(store: Path) -> None:
    said = run(store.parent, str(ROOT / "examples/classifier.py"), str(store), "--level", "16",
               "--epochs", "20", "--workers", "0")  # fmt: skip
    share = re.search(r"right on unseen people: (\d+)%", said)
    assert share is not None
    assert int(share[1]) >= 50  # a guess is a third; first and last third of a ball look alike


def test_the_diffusion_model_draws(store: Path) -> None:
    words = ["--level", "8", "--steps", "20", "--width", "8", "--workers", "0"]
    said = run(store.parent, str(ROOT / "examples/diffusion.py"), str(store), *words)
    assert "20 steps" in said or "steps, last loss" in said
    assert (store.parent / "samples.png").exists()
