"""NRRD and MetaImage as their programs write them: what we read is what ITK reads of the file.

Our reader writes every header anew before ITK sees it; what that could lose is compared here.
"""

from __future__ import annotations

import bz2
import gzip
import zlib
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from mri_gan.errors import DataError
from mri_gan.ingest.read.itk import read_itk

VOXELS = np.arange(2 * 3 * 4, dtype="<i2").reshape(2, 3, 4, order="F")
RAW = VOXELS.tobytes("F")
BIG = VOXELS.astype(">i2").tobytes("F")
TEXT = " ".join(map(str, VOXELS.ravel("F"))).encode()
PLACE = "Offset = 1 2 3\nElementSpacing = 0.5 2 3\nTransformMatrix = 0 1 0 1 0 0 0 0 -1\n"
DIRECTIONS = "space directions: (0,0.5,0) (2,0,0) (0,0,-3)\nspace origin: (1,2,3)\n"


def meta(*lines: str, voxels: bytes = RAW, file: str = "LOCAL", sizes: str = "2 3 4") -> bytes:
    kind = "ElementType = MET_SHORT\n"
    head = f"ObjectType = Image\nNDims = {len(sizes.split())}\nDimSize = {sizes}\n"
    text = head + "".join(f"{line}\n" for line in lines) + kind
    return f"{text}ElementDataFile = {file}\n".encode() + voxels


def nrrd(*lines: str, voxels: bytes = RAW, sizes: str = "2 3 4") -> bytes:
    head = f"NRRD0005\ntype: short\ndimension: {len(sizes.split())}\nsizes: {sizes}\n"
    how = "" if any("encoding" in line for line in lines) else "encoding: raw\n"
    return (head + how + "".join(f"{line}\n" for line in lines) + "\n").encode() + voxels


GOOD_META = {
    "plain": meta(PLACE),
    "of two axes": meta("ElementSpacing = 2 3", sizes="6 4"),
    "of four axes": meta("ElementSpacing = 0.5 2 3 4", sizes="2 3 2 2"),
    "big endian": meta("BinaryDataByteOrderMSB = True", PLACE, voxels=BIG),
    "big endian, the old name": meta("ElementByteOrderMSB = True", voxels=BIG),
    "packed": meta(
        f"CompressedData = True\nCompressedDataSize = {len(zlib.compress(RAW))}",
        voxels=zlib.compress(RAW),
    ),
    "Position": meta("Position = 1 2 3"),
    "Origin": meta("Origin = 4 5 6"),
    "Rotation": meta("Rotation = 0 1 0 1 0 0 0 0 -1"),
    "Orientation": meta("Orientation = 0 1 0 1 0 0 0 0 -1"),
    "ElementSize": meta("ElementSize = 0.5 2 3"),
    "both of spacing and size": meta("ElementSpacing = 0.5 2 3", "ElementSize = 7 7 7"),
    "text": meta("BinaryData = False", voxels=TEXT + b"\n"),
    "voxels at the end": meta("HeaderSize = -1", voxels=b"junk" * 9 + RAW),
    "of other programs": meta("Modality = MET_MOD_MR", "0008|103e = T1", "Comment = a: b = c"),
}
GOOD_NRRD = {
    "plain": nrrd("encoding: raw", "endian: little", "spacings: 0.5 2 3"),
    "in place": nrrd(
        "encoding: raw", "endian: little", "space: left-posterior-superior", DIRECTIONS[:-1]
    ),
    "right": nrrd("encoding: raw", "endian: little", "space: RAS", DIRECTIONS[:-1]),
    "big endian": nrrd("encoding: raw", "endian: big", voxels=BIG),
    "gzip": nrrd("encoding: gzip", "endian: little", voxels=gzip.compress(RAW)),
    "text": nrrd("encoding: ascii", voxels=TEXT),
    "hex": nrrd("encoding: hex", "endian: little", voxels=RAW.hex().encode()),
    "lines to skip": nrrd("encoding: raw", "endian: little", "line skip: 1", voxels=b"a\n" + RAW),
    "bytes to skip": nrrd("encoding: raw", "endian: little", "byte skip: 3", voxels=b"abc" + RAW),
    "a list of axes": nrrd(
        "space dimension: 3", DIRECTIONS[:-1], "kinds: domain domain domain", "endian: little"
    ),
    "remarks": nrrd(
        "# made: by a scanner", 'labels: "x" "y" "z"', "content: T1", "type:=no", "endian: little"
    ),
    "thickness unknown": nrrd("endian: little", "spacings: 1 1 nan", "thicknesses: nan nan 4"),
}


def read_by_itk(folder: Path, data: bytes, suffix: str) -> Any:
    import SimpleITK as Itk

    path = folder / f"it{suffix}"
    path.write_bytes(data)
    kit: Any = Itk
    return kit.ReadImage(str(path))


def check_same(image: Any, data: bytes, suffix: str, voxels: bytes | None = None) -> None:
    import SimpleITK as Itk

    ours = read_itk(data, suffix, voxels, labels=True, chosen=0)
    theirs = Itk.GetArrayFromImage(image).transpose()
    n_axes = image.GetDimension()
    for index in np.ndindex(theirs.shape[:3]):
        whole = [float(x) for x in index] + [0.0] * (n_axes - len(index))
        left, back, up = [*image.TransformContinuousIndexToPhysicalPoint(whole), 0.0][:3]
        place = (np.linalg.inv(ours.affine) @ [-left, -back, up, 1])[:3]
        voxel = tuple(np.round(place).astype(int))
        np.testing.assert_allclose(place, voxel, atol=1e-6)
        assert ours.voxels[voxel] == np.ravel(theirs[index])[0]


@pytest.mark.parametrize("name", GOOD_META)
def test_a_metaimage_is_what_itk_reads_of_it(tmp_path: Path, name: str) -> None:
    check_same(read_by_itk(tmp_path, GOOD_META[name], ".mha"), GOOD_META[name], ".mha")


@pytest.mark.parametrize("name", GOOD_NRRD)
def test_a_nrrd_is_what_itk_reads_of_it(tmp_path: Path, name: str) -> None:
    check_same(read_by_itk(tmp_path, GOOD_NRRD[name], ".nrrd"), GOOD_NRRD[name], ".nrrd")


def test_bzip2_which_itk_cannot_read_is_what_its_plain_voxels_are(tmp_path: Path) -> None:
    packed = nrrd("encoding: bz2", "endian: little", voxels=bz2.compress(RAW))
    check_same(read_by_itk(tmp_path, nrrd("endian: little"), ".nrrd"), packed, ".nrrd")


@pytest.mark.parametrize("skipped", ["0", "36", "-1"])
def test_voxels_in_their_own_file_begin_where_the_header_says(tmp_path: Path, skipped: str) -> None:
    head = meta(PLACE + f"HeaderSize = {skipped}", voxels=b"", file="it.raw")
    voxels = b"" if skipped == "0" else b"junk" * 9
    (tmp_path / "it.raw").write_bytes(voxels + RAW)
    check_same(read_by_itk(tmp_path, head, ".mhd"), head, ".mhd", voxels + RAW)


BAD: dict[str, tuple[bytes, str]] = {
    "axes in the millions": (
        meta(PLACE).replace(b"NDims = 3", b"NDims =9999999999999999True"),
        "NDims and DimSize",
    ),
    "no axes": (meta(PLACE).replace(b"NDims = 3", b"NDims = 0"), "NDims and DimSize"),
    "axes as text": (meta(PLACE).replace(b"NDims = 3", b"NDims = three"), "NDims and DimSize"),
    "no number of axes": (meta(PLACE).replace(b"NDims = 3\n", b""), "NDims and DimSize"),
    "two sizes": (meta(PLACE, "DimSize = 4 3 2"), "'DimSize' twice"),
    "short matrix": (meta("TransformMatrix = 1 0 0 0 1"), "damaged at 'TransformMatrix'"),
    "infinite spacing": (meta("ElementSpacing = 1 1 1e999"), "damaged at 'ElementSpacing'"),
    "long spacing": (meta("ElementSpacing = " + "1 " * 5000), "damaged at 'ElementSpacing'"),
    "offset as text": (meta("Offset = here and there"), "damaged at 'Offset'"),
    "many channels": (meta("ElementNumberOfChannels = 99999999999"), "several values"),
    "channels as text": (meta("ElementNumberOfChannels = x"), "several values"),
    "begins behind the end": (meta("HeaderSize = 99999999"), "shorter than its header"),
    "begins before the start": (meta("HeaderSize = -7"), "damaged at 'HeaderSize'"),
    "text too short": (meta("BinaryData = False", voxels=b"1 2 3"), "shorter than its header"),
}
BAD_NRRD: dict[str, tuple[bytes, str]] = {
    "another version": (nrrd().replace(b"NRRD0005", b"NRRD9999"), "does not begin as"),
    "axes in the millions": (
        nrrd().replace(b"dimension: 3", b"dimension: 999999999999"),
        "dimension and sizes",
    ),
    "short spacing": (nrrd("spacings: 1 1"), "damaged at 'spacings'"),
    "no vector": (nrrd("space directions: (1,0,0) (0,1 (0,0,1)"), "at 'space directions'"),
    "unlike vectors": (nrrd("space directions: (1,0,0) (0,1) (0,0,1)"), "at 'space directions'"),
    "long skip": (nrrd("byte skip: 99999999999999999999"), "damaged at 'byte skip'"),
    "endian": (nrrd("endian: \x00\xff"), "damaged at 'endian'"),
}


@pytest.mark.parametrize("name", BAD)
def test_a_damaged_metaimage_is_refused_before_itk_sees_it(name: str) -> None:
    data, reason = BAD[name]
    with pytest.raises(DataError, match=reason):
        read_itk(data, ".mha", None, labels=False)


@pytest.mark.parametrize("name", BAD_NRRD)
def test_a_damaged_nrrd_is_refused_before_itk_sees_it(name: str) -> None:
    data, reason = BAD_NRRD[name]
    with pytest.raises(DataError, match=reason):
        read_itk(data, ".nrrd", None, labels=False)
