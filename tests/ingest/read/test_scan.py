"""Volumes of other formats, as their own libraries write them; cut short and lying, one line."""

from __future__ import annotations

import bz2
import gzip
import io
import json
import lzma
import struct
import tarfile
import tempfile
import zipfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
import phantoms
import pytest
from click.testing import CliRunner
from numpy.typing import NDArray
from scipy.io import loadmat, savemat

from mri_gan.cli.main import cli
from mri_gan.errors import DataError, MriganError, NoImageError
from mri_gan.ingest.options import PrepareConfig
from mri_gan.ingest.plan.plan import build_plan
from mri_gan.ingest.read.scan import read_source_volume
from mri_gan.ingest.read.volume import Volume
from mri_gan.store.check import check_store

BRAIN = np.floor(phantoms.brain_volume()).astype(np.int16)  # [X, Y, Z] in RAS+
STACK = BRAIN[::-1, ::-1].transpose(2, 1, 0)  # [slice, row, column] as axial pictures are shown
SPACING_MM = (0.8, 1.0, 1.3)
Files = dict[str, bytes]


def read(folder: Path, files: Files, chosen: int | None = None) -> Volume:
    phantoms.write_folder(folder / "set", files)
    plan = build_plan([folder / "set"], PrepareConfig(volume=chosen))
    assert plan.bad == ()
    return read_source_volume(plan.sources[0])


def itk_files(suffix: str, packed: bool = False) -> Files:
    """What ITK itself writes of the brain, in its own orientation (LPS)."""
    import SimpleITK as Itk

    kit: Any = Itk
    image = kit.GetImageFromArray(BRAIN.transpose(2, 1, 0))
    image.SetSpacing(SPACING_MM)
    image.SetDirection([-1, 0, 0, 0, -1, 0, 0, 0, 1])
    image.SetOrigin([-x for x in phantoms.ORIGIN_MM[:2]] + [phantoms.ORIGIN_MM[2]])
    with tempfile.TemporaryDirectory() as folder:
        kit.WriteImage(image, str(Path(folder) / f"p1{suffix}"), packed)
        return {path.name: path.read_bytes() for path in Path(folder).iterdir()}


def saved(write: Callable[..., Any], *arguments: Any) -> bytes:
    stream = io.BytesIO()
    write(stream, *arguments)
    return stream.getvalue()


def hdf5_bytes(name: str, array: NDArray[Any], **also: Any) -> bytes:
    import h5py

    stream = io.BytesIO()
    with h5py.File(stream, "w") as file:
        file.create_dataset(name, data=array, compression="gzip")
        for other, values in also.items():
            file[other] = values
    return stream.getvalue()


def mat_bytes(**arrays: Any) -> bytes:
    return saved(savemat, arrays, True, "5", False, True)


def mat73_bytes(name: str, array: NDArray[Any]) -> bytes:
    """MATLAB 7.3 is HDF5 behind 512 bytes of text, its axes in reverse."""
    import h5py

    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "a.mat"
        with h5py.File(path, "w", userblock_size=512) as file:
            file[name] = array.T
        data = path.read_bytes()
    head = b"MATLAB 7.3 MAT-file, Platform: PCWIN64".ljust(124) + b"\0\2IM"
    return head + data[len(head) :]


PACKED_MAT = {
    "p1.mat": saved(lambda f: savemat(f, {"image": STACK.transpose(1, 2, 0)}, do_compression=True))
}
IN_PLACE: dict[str, Files] = {
    "nrrd": itk_files(".nrrd"),
    "packed nrrd": itk_files(".nrrd", packed=True),
    "nhdr": itk_files(".nhdr"),
    "mha": itk_files(".mha"),
    "packed mha": itk_files(".mha", packed=True),
    "mhd": itk_files(".mhd"),
    "packed mhd": itk_files(".mhd", packed=True),
}
AS_STACK: dict[str, Files] = {
    "npy": {"p1.npy": saved(np.save, STACK)},
    "npz": {"p1.npz": saved(np.savez_compressed, STACK)},
    "named npz": {"p1.npz": saved(lambda f: np.savez(f, image=STACK, mask=STACK > 9))},
    "mat": {"p1.mat": mat_bytes(image=STACK.transpose(1, 2, 0), label=3)},
    "mat 7.3": {"p1.mat": mat73_bytes("cjdata", STACK.transpose(1, 2, 0))},
    "fastMRI": {"p1.h5": hdf5_bytes("reconstruction_rss", STACK, kspace=STACK * 1j)},
}


@pytest.mark.parametrize("kind", IN_PLACE)
def test_a_volume_lies_where_itk_put_it(tmp_path: Path, kind: str) -> None:
    volume = read(tmp_path, IN_PLACE[kind])
    np.testing.assert_array_equal(volume.voxels, BRAIN)
    np.testing.assert_allclose(volume.spacing, SPACING_MM, rtol=1e-6)
    np.testing.assert_allclose(volume.affine[:3, 3], phantoms.ORIGIN_MM, atol=1e-5)


@pytest.mark.parametrize("kind", AS_STACK)
def test_an_array_is_shown_slice_by_slice_as_it_lies(tmp_path: Path, kind: str) -> None:
    volume = read(tmp_path, AS_STACK[kind])
    np.testing.assert_array_equal(volume.voxels[::-1, ::-1].transpose(2, 1, 0), STACK)


@pytest.mark.parametrize("kind", [*IN_PLACE, *AS_STACK])
def test_a_store_of_it_is_whole(tmp_path: Path, kind: str, prepare: Any) -> None:
    phantoms.write_folder(tmp_path / "set", IN_PLACE.get(kind) or AS_STACK[kind])
    out = prepare(tmp_path / "out", tmp_path / "set")
    report = check_store(out, threads=1)
    assert (report.bad, report.wrong) == ([], [])


@pytest.mark.parametrize("share", [0.1, 0.5, 0.99])
@pytest.mark.parametrize("kind", [*IN_PLACE, *AS_STACK])
def test_a_file_cut_short_is_one_line(tmp_path: Path, kind: str, share: float) -> None:
    files = IN_PLACE.get(kind) or AS_STACK[kind]
    name = max(files, key=lambda name: len(files[name]))  # the voxels, where they lie apart
    files = files | {name: phantoms.truncated(files[name], share)}
    with pytest.raises(MriganError):
        read(tmp_path, files)


@pytest.mark.parametrize(
    ("kind", "before", "after", "reason"),
    [
        ("nrrd", b"sizes: 20", b"sizes: 90", "truncated"),
        ("mha", b"DimSize = 20", b"DimSize = 90", "truncated"),
        ("packed mha", b"DimSize = 20", b"DimSize = 9999999", "voxels, more than"),
        ("mhd", b"p1.raw", b"../p1.raw", "another folder"),
        ("nhdr", b"p1.raw", b"/etc/passwd", "another folder"),
        ("npy", b"(22", b"(92", "truncated"),
    ],
)
def test_a_header_that_says_what_is_not_so_is_refused(
    tmp_path: Path, kind: str, before: bytes, after: bytes, reason: str
) -> None:
    files = IN_PLACE.get(kind) or AS_STACK[kind]
    found = {name: data.replace(before, after, 1) for name, data in files.items()}
    if found == files:
        pytest.fail("the header has another size; mend this test")
    with pytest.raises(MriganError, match=reason):
        read(tmp_path, found)


@pytest.mark.parametrize("kind", ["packed nrrd", "packed mha", "packed mhd", "packed mat"])
def test_packed_voxels_that_are_damaged_are_refused(tmp_path: Path, kind: str) -> None:
    """ITK and SciPy take what they have unpacked by then for the voxels."""
    files = PACKED_MAT if kind == "packed mat" else IN_PLACE[kind]
    name = max(files, key=lambda name: len(files[name]))
    read(tmp_path / "good", files)
    for share in (0.3, 0.5, 0.7, 0.9):
        data = bytearray(files[name])
        data[int(len(data) * share)] ^= 4
        with pytest.raises(MriganError):
            read(tmp_path / str(share), files | {name: bytes(data)})
    with pytest.raises(MriganError):
        read(tmp_path / "end", files | {name: files[name][:-2]})


def packed_smaller(order: str) -> bytes:
    """Doubles that MATLAB keeps as 16-bit numbers, since those hold their values."""

    def element(kind: int, content: bytes) -> bytes:
        head = struct.pack(f"{order}II", kind, len(content))
        return head + content + bytes(-len(content) % 8)

    values = STACK.transpose(1, 2, 0)
    body = element(6, struct.pack(f"{order}II", 6, 0))
    body += element(5, struct.pack(f"{order}3i", *values.shape)) + element(1, b"scan")
    body += element(3, values.astype(f"{order}i2").tobytes("F"))
    mark = b"\0\1IM" if order == "<" else b"\1\0MI"
    return b"MATLAB 5.0 MAT-file".ljust(124) + mark + element(14, body)


@pytest.mark.parametrize("order", ["<", ">"])
def test_numbers_that_matlab_keeps_in_fewer_bytes_are_read(tmp_path: Path, order: str) -> None:
    data = packed_smaller(order)
    elsewhere = loadmat(io.BytesIO(data))["scan"]
    volume = read(tmp_path, {"p1.mat": data})
    shown = volume.voxels[::-1, ::-1].transpose(1, 0, 2)
    np.testing.assert_array_equal(shown, elsewhere)


def test_an_array_among_other_variables_of_matlab_is_found(tmp_path: Path) -> None:
    others = {"a": "text", "b": {"c": 1}, "d": STACK * 1j, "e": np.eye(3)}
    volume = read(tmp_path, {"p1.mat": mat_bytes(**others, scan=STACK.transpose(1, 2, 0))})
    np.testing.assert_array_equal(volume.voxels[::-1, ::-1].transpose(2, 1, 0), STACK)


def test_a_part_of_hdf5_that_is_too_short_is_refused(tmp_path: Path) -> None:
    import h5py

    stream = io.BytesIO()
    with h5py.File(stream, "w") as file:
        array = file.create_dataset("image", STACK.shape, "i2", chunks=STACK.shape)
        array.id.write_direct_chunk((0, 0, 0), STACK.tobytes()[:-64])
    with pytest.raises(DataError, match="shorter or longer"):
        read(tmp_path, {"p1.h5": stream.getvalue()})


def test_a_packed_nrrd_of_bzip2_is_read(tmp_path: Path) -> None:
    head, _, voxels = IN_PLACE["nrrd"]["p1.nrrd"].partition(b"\n\n")
    head = head.replace(b"encoding: raw", b"encoding: bzip2")
    volume = read(tmp_path, {"p1.nrrd": head + b"\n\n" + bz2.compress(voxels)})
    np.testing.assert_array_equal(volume.voxels, BRAIN)


def test_pickled_objects_are_not_loaded(tmp_path: Path) -> None:
    data = saved(np.save, np.array([{}, {}], object))
    with pytest.raises(NoImageError, match="holds no image"):
        read(tmp_path, {"p1.npy": data})


def test_a_whole_file_without_an_image_is_no_damage(tmp_path: Path) -> None:
    """Raw data of a scanner, and the folds that figshare's tumours come with."""
    raw = hdf5_bytes("kspace", STACK * 1j, mask=np.ones(22, bool))
    folds = mat_bytes(cvind=np.arange(12)[:, None])
    files = {"p1.npy": saved(np.save, STACK), "p2.h5": raw, "cvind.mat": folds}
    phantoms.write_folder(tmp_path / "set", files)
    words = ["prepare", str(tmp_path / "set"), "--out", str(tmp_path / "s"), "--workers", "0"]
    result = CliRunner().invoke(cli, [*words, "--json"])
    assert result.exit_code == 0
    skipped = json.loads(result.stdout)["skipped_sources"]
    assert {entry["source"]: (entry["kind"], entry["reason"]) for entry in skipped} == {
        "set/cvind.mat": ("no image", "holds no image (it has: cvind (12, 1) int64)"),
        "set/p2.h5": (
            "no image",
            f"holds no image (it has: kspace {STACK.shape} complex128, mask (22,) bool); "
            "complex numbers, such as k-space, are not reconstructed",
        ),
    }


def test_arrays_in_other_files_are_not_followed(tmp_path: Path) -> None:
    import h5py

    (tmp_path / "secret.bin").write_bytes(bytes(32 * 32))
    with h5py.File(tmp_path / "a.h5", "w") as file:
        file.create_dataset(
            "image", (32, 32), np.uint8, external=[(str(tmp_path / "secret.bin"), 0, 32 * 32)]
        )
    with pytest.raises(DataError, match="are in other files"):
        read(tmp_path, {"p1.h5": (tmp_path / "a.h5").read_bytes()})


def test_several_arrays_that_could_be_the_scan_are_named(tmp_path: Path) -> None:
    data = saved(lambda f: np.savez(f, first=STACK, second=STACK))
    with pytest.raises(DataError, match="several arrays may be the scan"):
        read(tmp_path, {"p1.npz": data})


@pytest.mark.parametrize("n", [0, 2])
def test_one_of_several_stacks_is_chosen(tmp_path: Path, n: int) -> None:
    several = np.stack([STACK, STACK + 1, STACK + 2])
    volume = read(tmp_path, {"p1.npy": saved(np.save, several)}, chosen=n)
    np.testing.assert_array_equal(volume.voxels[::-1, ::-1].transpose(2, 1, 0), STACK + n)


def test_what_an_extra_would_read_is_named(tmp_path: Path, monkeypatch: Any) -> None:
    from mri_gan.ingest import source

    find = source.importlib.util.find_spec  # type: ignore[attr-defined]
    monkeypatch.setattr(
        source.importlib.util,  # type: ignore[attr-defined]
        "find_spec",
        lambda name: None if name in ("SimpleITK", "py7zr") else find(name),
    )
    files = IN_PLACE["nrrd"] | AS_STACK["npy"]
    phantoms.write_folder(tmp_path / "set", files | {"a.7z": b"7z"})
    plan = build_plan([tmp_path / "set"], PrepareConfig())
    assert plan.ignored_kinds == {
        ".nrrd files (pip install 'mrigan[itk]' reads them)": 1,
        ".7z files (pip install 'mrigan[7z]' reads them)": 1,
    }


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")  # of nib.load
def test_a_par_and_its_rec_are_read_as_nibabel_does(tmp_path: Path) -> None:
    folder = Path(nib.__file__).parent / "tests" / "data"
    par = folder / "phantom_EPI_asc_CLEAR_2_1.PAR"
    if not par.exists():
        pytest.skip("this nibabel comes without its test files")
    rec = par.with_suffix(".REC").read_bytes()
    expected = nib.load(par)
    volume = read(tmp_path, {"p1.par": par.read_bytes(), "p1.rec": rec}, chosen=1)
    canonical = nib.as_closest_canonical(expected)
    np.testing.assert_allclose(volume.voxels, np.asarray(canonical.dataobj)[..., 1], rtol=1e-5)
    np.testing.assert_allclose(volume.affine, canonical.affine, atol=1e-5)
    with pytest.raises(DataError, match="truncated"):
        read(tmp_path / "2", {"p1.par": par.read_bytes(), "p1.rec": rec[:-9]}, chosen=1)


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
@pytest.mark.parametrize("name", ["tiny.mnc", "small.mnc", "minc1_1_scale.mnc"])
def test_minc_is_read_as_nibabel_does(tmp_path: Path, name: str) -> None:
    path = Path(nib.__file__).parent / "tests" / "data" / name
    if not path.exists():
        pytest.skip("this nibabel comes without its test files")
    canonical = nib.as_closest_canonical(nib.load(path))
    volume = read(tmp_path, {"p1.mnc": path.read_bytes()})
    np.testing.assert_allclose(volume.voxels, np.asarray(canonical.dataobj), rtol=1e-5)
    with pytest.raises(MriganError):
        read(tmp_path / "2", {"p1.mnc": path.read_bytes()[:-999]})


# Every format from inspect to export; cut short and lying beside a good file

SHIPPED = Path(nib.__file__).parent / "tests" / "data"  # as the scanners' own programs wrote them
PAR = SHIPPED / "phantom_EPI_asc_CLEAR_2_1.PAR"


def nifti_4d() -> bytes:
    several = np.stack([BRAIN, BRAIN + 1, BRAIN + 2], axis=-1)
    return gzip.compress(nib.Nifti1Image(several, np.eye(4)).to_bytes(), mtime=0)


def tar_bytes(name: str, data: bytes) -> bytes:
    stream = io.BytesIO()
    with tarfile.open(fileobj=stream, mode="w") as archive:
        info = tarfile.TarInfo(name)
        info.size = len(data)
        archive.addfile(info, io.BytesIO(data))
    return stream.getvalue()


def with_rec(par: bytes) -> Files:
    return {"p1.par": par, "p1.rec": PAR.with_suffix(".REC").read_bytes()}


def npz_of(array: bytes, name: str = "arr_0") -> bytes:
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr(f"{name}.npy", array)
    return stream.getvalue()


NIFTI = phantoms.nifti_bytes(BRAIN, dtype="int16")
HEADER, VOXELS = phantoms.analyze_bytes(BRAIN)
MORE: dict[str, Files] = {
    "4-D NIfTI": {"p1.nii.gz": nifti_4d()},
    "2-D NIfTI": {"p1.nii": nib.Nifti1Image(BRAIN[:, :, 11], np.eye(4)).to_bytes()},
    "packed pair": {
        "p1.hdr.gz": gzip.compress(HEADER, mtime=0),
        "p1.img.gz": gzip.compress(VOXELS, mtime=0),
    },
    "tar.xz": {"set.tar.xz": lzma.compress(tar_bytes("p1.nii", NIFTI))},
    "tar.bz2": {"set.tar.bz2": bz2.compress(tar_bytes("p1.nii", NIFTI))},
    "PAR": with_rec(PAR.read_bytes()),
    "MINC 1": {"p1.mnc": (SHIPPED / "minc1_1_scale.mnc").read_bytes()},
    "MINC 2": {"p1.mnc": (SHIPPED / "small.mnc").read_bytes()},
}
EVERY = IN_PLACE | AS_STACK | MORE
SEVERAL = {"4-D NIfTI", "PAR"}  # volumes, of which one is chosen


def run(*words: str | Path, code: int = 0) -> Any:
    result = CliRunner().invoke(cli, list(map(str, words)))
    assert result.exit_code == code, result.output
    return result


def choice_of(kind: str) -> list[str]:
    return ["--volume", "1"] if kind in SEVERAL else []


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
@pytest.mark.parametrize("kind", EVERY)
def test_a_file_goes_all_the_way_from_inspect_to_export(tmp_path: Path, kind: str) -> None:
    source, out = phantoms.write_folder(tmp_path / "set", EVERY[kind]), tmp_path / "store"
    chosen = [*choice_of(kind), "--workers", "0"]
    facts = json.loads(run("inspect", source, "--json", *chosen).stdout)
    assert (facts["sources"], facts["skipped"], facts["unlisted"]) == (1, [], [])
    run("prepare", source, "--out", out, "--quiet", *chosen)
    run("check", out)
    run("export", out, "--format", "png", "--out", tmp_path / "png")
    assert len(list((tmp_path / "png").rglob("*.png"))) == facts["slices"] > 0


def replaced(kind: str, before: bytes, after: bytes) -> Files:
    """The files of a kind with one thing changed that is in exactly one of them."""
    found = {name: data.replace(before, after, 1) for name, data in EVERY[kind].items()}
    if found == EVERY[kind]:
        pytest.fail("the header has another size; mend this test")
    return found


def more_rows(nifti: bytes) -> bytes:
    """A NIfTI or Analyze header that announces 300 rows."""
    return nifti[:44] + struct.pack("<h", 300) + nifti[46:]


def sizes(shape: Sequence[int], number: str) -> tuple[bytes, bytes]:
    """The sizes of an array as its header has them, and twice as large."""
    return struct.pack(f"<3{number}", *shape), struct.pack(f"<3{number}", *(2 * n for n in shape))


LAST = (*STACK.shape[1:], STACK.shape[0])  # slices last
SIZES = {"i": sizes(LAST, "i"), "Q": sizes(STACK.shape, "Q"), "reversed": sizes(LAST[::-1], "Q")}
LIES: dict[str, Callable[[], Files]] = {
    "nrrd": lambda: replaced("nrrd", b"sizes: 20", b"sizes: 90"),
    "packed nrrd": lambda: replaced("packed nrrd", b"sizes: 20", b"sizes: 90"),
    "nhdr": lambda: replaced("nhdr", b"sizes: 20", b"sizes: 90"),
    "mha": lambda: replaced("mha", b"DimSize = 20", b"DimSize = 90"),
    "packed mha": lambda: replaced("packed mha", b"DimSize = 20", b"DimSize = 90"),
    "mhd": lambda: replaced("mhd", b"DimSize = 20", b"DimSize = 90"),
    "packed mhd": lambda: replaced("packed mhd", b"DimSize = 20", b"DimSize = 90"),
    "npy": lambda: replaced("npy", b"(22", b"(92"),
    "npz": lambda: {"p1.npz": npz_of(AS_STACK["npy"]["p1.npy"].replace(b"(22", b"(92", 1))},
    "named npz": lambda: {"p1.npz": npz_of(replaced("npy", b"(22", b"(92")["p1.npy"], "image")},
    "mat": lambda: {"p1.mat": packed_smaller("<").replace(*SIZES["i"], 1)},
    "mat 7.3": lambda: replaced("mat 7.3", *SIZES["reversed"]),
    "fastMRI": lambda: replaced("fastMRI", *SIZES["Q"]),
    "4-D NIfTI": lambda: {"p1.nii": more_rows(gzip.decompress(nifti_4d()))},
    "2-D NIfTI": lambda: {"p1.nii": more_rows(MORE["2-D NIfTI"]["p1.nii"])},
    "packed pair": lambda: MORE["packed pair"] | {"p1.hdr.gz": gzip.compress(more_rows(HEADER))},
    "tar.xz": lambda: {"set.tar.xz": lzma.compress(tar_bytes("p1.nii", more_rows(NIFTI)))},
    "tar.bz2": lambda: {"set.tar.bz2": bz2.compress(tar_bytes("p1.nii", more_rows(NIFTI)))},
    "PAR": lambda: with_rec(PAR.read_bytes().replace(b"62   64   64", b"62  640  640")),
    "MINC 1": lambda: replaced("MINC 1", b"zspace\0\0\0\0\0\n", b"zspace\0\0\0\0\0\x28"),
    "MINC 2": lambda: replaced("MINC 2", *sizes((18, 28, 29), "Q")),
}


def cut_short(kind: str) -> Files:
    name = max(EVERY[kind], key=lambda name: len(EVERY[kind][name]))
    return EVERY[kind] | {name: phantoms.truncated(EVERY[kind][name], 0.6)}


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
@pytest.mark.parametrize(
    ("kind", "bad"),
    [
        *(pytest.param(kind, "cut", id=f"{kind}, cut short") for kind in EVERY),
        *(pytest.param(kind, "lying", id=f"{kind}, lying") for kind in LIES),
    ],
)
def test_a_bad_file_is_one_line_and_the_good_one_goes_on(
    tmp_path: Path, kind: str, bad: str
) -> None:
    files = cut_short(kind) if bad == "cut" else LIES[kind]()
    # A volume that is chosen has to be there in the good file, too.
    good = {
        "good.nii.gz": nifti_4d() if kind in SEVERAL else phantoms.nifti_bytes(BRAIN, gzip=True)
    }
    source = phantoms.write_folder(tmp_path / "set", files | good)
    store = tmp_path / "store"
    words = ("--quiet", "--workers", "0", *choice_of(kind))
    result = run("prepare", source, "--out", store, *words, code=1)
    lines = [line for line in result.stderr.splitlines() if not line.startswith("warning:")]
    assert len(lines) == 1
    assert any(name in lines[0] for name in files)
    assert "Traceback" not in result.output
    report = check_store(store, threads=1)
    assert (report.bad, report.wrong) == ([], [])
