"""Hard links, sparse files and other packers: what lies in a tar is read, or counted."""

from __future__ import annotations

import io
import subprocess
import tarfile
from pathlib import Path

import numpy as np
import phantoms
import pytest

from mri_gan.errors import DataError
from mri_gan.ingest.options import PrepareConfig
from mri_gan.ingest.plan.plan import build_plan
from mri_gan.ingest.read.archives import list_source, read_member

SCANS = {f"p{i}/p{i}.nii": phantoms.nifti_bytes(phantoms.brain_volume() + i) for i in range(3)}
ENDS = (".tar", ".tar.gz", ".tar.bz2", ".tar.xz")


def contents(path: Path) -> dict[str, bytes]:
    found = list_source(path)
    assert (found.bad, +found.ignored) == ([], {})
    return {member.name: read_member(member) for member in found.members}


@pytest.mark.parametrize("end", ENDS)
def test_a_tar_is_read_however_it_is_packed(tmp_path: Path, end: str) -> None:
    path = tmp_path / f"a{end}"
    how = end.removeprefix(".tar").removeprefix(".")
    with tarfile.open(path, f"w:{how}") as archive:  # type: ignore[call-overload]
        for name, data in SCANS.items():
            info = tarfile.TarInfo(name)
            info.size = len(data)
            archive.addfile(info, io.BytesIO(data))
    assert contents(path) == SCANS
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    with pytest.raises(DataError, match="is not a readable tar"):
        build_plan([path], PrepareConfig())


@pytest.mark.parametrize("end", ENDS)
@pytest.mark.parametrize("form", ["gnu", "pax"])
def test_sparse_files_are_whole(tmp_path: Path, end: str, form: str) -> None:
    sparse = np.zeros(1 << 20, np.uint8)
    sparse[5000:5100] = 7
    sparse[900_000:] = 9
    files = SCANS | {"hole.nii": sparse.tobytes()}
    folder = phantoms.write_folder(tmp_path / "set", files)
    with (folder / "hole.nii").open("wb") as stream:  # with true holes
        for at in (5000, 900_000):
            stream.seek(at)
            stream.write(sparse[at : at + 100 if at == 5000 else None].tobytes())
    command = ["tar", "-caf", str(tmp_path / f"a{end}"), "-S", f"--format={form}", "-C", folder]
    subprocess.run([*map(str, command), *sorted(files)], check=True)
    assert contents(tmp_path / f"a{end}") == files


@pytest.mark.parametrize("end", ENDS)
def test_a_hard_link_is_a_file_of_its_own(tmp_path: Path, end: str) -> None:
    folder = phantoms.write_folder(tmp_path / "set", SCANS)
    (folder / "p9").mkdir()
    (folder / "p9" / "p9.nii").hardlink_to(folder / "p0" / "p0.nii")
    subprocess.run(["tar", "-caf", tmp_path / f"a{end}", "-C", folder, "."], check=True)
    found = {name.removeprefix("./"): data for name, data in contents(tmp_path / f"a{end}").items()}
    assert found == SCANS | {"p9/p9.nii": SCANS["p0/p0.nii"]}


def test_sub_folders_that_may_not_be_opened_are_named(tmp_path: Path) -> None:
    import os

    phantoms.write_folder(tmp_path / "set", SCANS)
    scan = os.scandir

    def refuse(path: str) -> object:
        if str(path).endswith("p1"):
            raise PermissionError(13, "Permission denied", str(path))
        return scan(path)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(os, "scandir", refuse)
        plan = build_plan([tmp_path / "set"], PrepareConfig(ids="keep"))
    assert plan.bad == (("p1", "Permission denied"),)
    assert len(plan.sources) == 2


def test_links_hidden_folders_and_inner_archives_are_counted(tmp_path: Path) -> None:
    files = SCANS | {".ipynb_checkpoints/a.nii": b"x", "a.rar": b"x"}
    folder = phantoms.write_folder(tmp_path / "set", files)
    (folder / "linked").symlink_to(folder / "p1")
    plan = build_plan([folder], PrepareConfig())
    assert plan.ignored_kinds == {
        "hidden and system files": 1,
        "links to folders (give those folders as sources)": 1,
        ".rar archives (unpack them first)": 1,
    }
    inner = phantoms.write_zip(tmp_path / "a.zip", SCANS | {"b.zip": b"PK"})
    assert build_plan([inner], PrepareConfig()).ignored_kinds == {
        ".zip archives (unpack them first)": 1
    }
