"""Nothing that Windows lacks is needed, as far as another system can tell."""

import subprocess
import sys
from pathlib import Path

from phantoms.sets import slice_files
from phantoms.writing import write_folder

# Names that these modules of the standard library lack on Windows.
WINDOWS = """
import multiprocessing, os, signal
for name in ("memfd_create", "fork"):
    vars(os).pop(name, None)
for name in ("pthread_sigmask", "SIGKILL", "SIGHUP", "SIGUSR1", "SIGUSR2", "SIGXCPU"):
    vars(signal).pop(name, None)
multiprocessing.get_all_start_methods = lambda: ["spawn"]
import runpy, sys
sys.argv = ["mrigan", *sys.argv[1:]]
if __name__ == "__main__":
    runpy.run_module("mri_gan", run_name="__main__")
"""


# Spawning on this system needs this one itself.
IMPORTS = """
import multiprocessing.reduction
vars(multiprocessing.reduction).pop("DupFd", None)
import mri_gan.ingest.run.prepare, mri_gan.ingest.cut.one_source, mri_gan.train.run_folder
"""


def run(*arguments: str) -> tuple[int, str]:
    """(exit code, what was said on stderr) of Python."""
    command = [sys.executable, *arguments]
    ended = subprocess.run(command, capture_output=True, text=True, check=False)
    return ended.returncode, ended.stderr


def test_modules_load_without_them() -> None:
    assert run("-c", IMPORTS) == (0, "")


def test_prepare_and_train_run_without_them(tmp_path: Path) -> None:
    source, script = tmp_path / "set", tmp_path / "windows.py"
    write_folder(source, slice_files())
    script.write_text(WINDOWS)
    store, folder = tmp_path / "store", tmp_path / "run"
    small = ["--max-size", "8", "--kimg", "0.008", "--batch", "4", "--capacity", "0.02"]
    prepare = ["prepare", str(source), "--out", str(store), "--workers", "2", "--quiet"]
    assert run(str(script), *prepare) == (0, "")
    train = ["train", str(store), "--out", str(folder), *small, "--latent-dim", "8", "--quiet"]
    assert run(str(script), *train) == (0, "")
    assert list(folder.glob("ckpt-*.pt"))
