"""Analyze pairs are found, put together and turned the right way up."""

from __future__ import annotations

import gzip
import io
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
import phantoms
import pytest

from mri_gan.errors import DataError, UsageError
from mri_gan.ingest.cut.one_source import process
from mri_gan.ingest.options import PrepareConfig
from mri_gan.ingest.plan.plan import Plan, build_plan
from mri_gan.ingest.read.volume import axes_of, read_pair
from mri_gan.ingest.source import MAX_MEMBER_BYTES
from mri_gan.store.reader import StoreReader

BRAIN = np.floor(phantoms.brain_volume()).astype(np.float32)
SPACING_MM = (0.8, 1.0, 1.3)


def pair(axes: str = "LAS", **choices: Any) -> tuple[bytes, bytes]:
    stored, affine = phantoms.oriented(BRAIN, axes, SPACING_MM)
    sizes = np.abs(affine[:3, :3]).sum(axis=0)
    return phantoms.analyze_bytes(stored, tuple(sizes), **choices)


def plan_of(*paths: Path, **choices: Any) -> Plan:
    return build_plan(paths, PrepareConfig(**choices))


def written(folder: Path, *suffixes: str) -> Path:
    header, voxels = pair()
    data = {".hdr": header, ".img": voxels, ".img.gz": gzip.compress(voxels)}
    return phantoms.write_folder(folder, {f"0042_t1{s}": data[s.lower()] for s in suffixes})


@pytest.mark.parametrize("axes", ["LAS", "ASL", "RAS"])
@pytest.mark.parametrize("extra_axis", [True, False])
def test_a_pair_gives_the_canonical_voxels(axes: str, extra_axis: bool) -> None:
    volume = read_pair(*pair(axes, extra_axis=extra_axis), axes)
    np.testing.assert_array_equal(volume.voxels, BRAIN)
    np.testing.assert_allclose(volume.spacing, SPACING_MM, rtol=1e-6)
    centre = volume.affine @ (*((np.asarray(BRAIN.shape) - 1) / 2), 1)
    np.testing.assert_allclose(centre[:3], 0, atol=1e-5)


def test_nibabel_reads_the_same() -> None:
    header, voxels = pair()
    ours = read_pair(header, voxels)
    image: Any = nib.AnalyzeImage(np.zeros(BRAIN.shape), None, nib.AnalyzeHeader(header))
    np.testing.assert_allclose(
        nib.as_closest_canonical(nib.Nifti1Image(BRAIN, image.header.get_best_affine())).affine,
        ours.affine,
        atol=1e-4,
    )


def test_a_nifti_pair_keeps_its_own_affine() -> None:
    stored, affine = phantoms.oriented(BRAIN, "PIR", SPACING_MM)
    image: Any = nib.Nifti1Pair(stored, affine)
    files = image.make_file_map()
    for part in files.values():
        part.fileobj = io.BytesIO()
    image.to_file_map(files)
    volume = read_pair(*(files[k].fileobj.getvalue() for k in ("header", "image")))
    np.testing.assert_array_equal(volume.voxels, BRAIN)


@pytest.mark.parametrize("slope", [-1.5, 0.5, -0.25])
def test_a_nifti_pair_is_scaled_as_nibabel_scales_it(slope: float) -> None:
    """What is dark at a negative slope is bright in the file."""
    stored = np.arange(-12, 12, dtype=np.int16).reshape(2, 3, 4)
    header: Any = nib.nifti1.Nifti1PairHeader()
    header.set_data_shape(stored.shape)
    header.set_data_dtype(np.int16)
    header.set_sform(np.eye(4), code=1)
    header["scl_slope"], header["scl_inter"] = slope, 0.0
    voxels = io.BytesIO(stored.tobytes(order="F"))
    theirs = header.data_from_fileobj(voxels)
    np.testing.assert_allclose(read_pair(header.binaryblock, voxels.getvalue()).voxels, theirs)
    assert theirs[1, 2, 3] == 11 * slope  # y = scl_slope x: the standard's nifti1.h


@pytest.mark.parametrize("packed", [False, True])
def test_voxels_begin_where_the_header_says(packed: bool) -> None:
    header, voxels = pair()
    begun: Any = nib.AnalyzeHeader(header)
    begun["vox_offset"] = 64  # bytes
    moved = bytes(range(64)) + voxels
    found = read_pair(begun.binaryblock, gzip.compress(moved) if packed else moved)
    np.testing.assert_array_equal(found.voxels, BRAIN)


def test_only_scans_of_oasis_1_are_turned_by_their_names(tmp_path: Path) -> None:
    header, voxels = pair()
    files = {"a/0042_sbj_111.hdr": header, "a/0042_sbj_111.img": voxels}
    (source,) = plan_of(phantoms.write_folder(tmp_path, files)).sources
    assert source.naming.layout != "oasis1"
    assert axes_of(source) == "LAS"


@pytest.mark.parametrize(
    "suffixes", [(".hdr", ".img"), (".HDR", ".IMG"), (".hdr", ".img.gz"), (".img", ".hdr")]
)
def test_a_pair_is_found_by_its_stem(tmp_path: Path, suffixes: tuple[str, str]) -> None:
    plan = plan_of(written(tmp_path / "s", *suffixes))
    assert [s.naming.subject for s in plan.sources] == ["0042"]
    assert process(plan.sources[0], PrepareConfig()).slices


@pytest.mark.parametrize("suffix", [".hdr", ".img"])
def test_either_file_stands_for_the_pair(tmp_path: Path, suffix: str) -> None:
    folder = written(tmp_path / "s", ".hdr", ".img")
    assert len(plan_of(folder / f"0042_t1{suffix}").sources) == 1
    both = plan_of(folder / "0042_t1.hdr", folder / "0042_t1.img")
    assert len(both.sources) == 1


@pytest.mark.parametrize(("suffix", "missing"), [(".hdr", ".img"), (".img", ".hdr")])
def test_a_missing_half_is_named(tmp_path: Path, suffix: str, missing: str) -> None:
    folder = written(tmp_path / "s", suffix)
    with pytest.raises(DataError, match=rf"0042_t1{suffix}: its \{missing} .*is missing"):
        plan_of(folder)
    phantoms.slices_folder(folder, size=8)
    assert [label for label, _ in plan_of(folder).bad] == [f"0042_t1{suffix}"]


@pytest.mark.parametrize("half", [0, 1])
@pytest.mark.parametrize("share", [0.0, 0.01, 0.5, 0.99])
def test_truncated_halves_are_refused(half: int, share: float) -> None:
    files = list(pair())
    files[half] = phantoms.truncated(files[half], share)
    with pytest.raises(DataError):
        read_pair(files[0], files[1])


def test_a_changed_voxel_file_changes_the_digest(tmp_path: Path) -> None:
    header, voxels = pair()
    digests = {
        plan_of(phantoms.write_zip(tmp_path / "a.zip", {"a/x.hdr": header, "a/x.img": data})).digest
        for data in (voxels, bytes(len(voxels)))
    }
    assert len(digests) == 2
    assert len(voxels) < MAX_MEMBER_BYTES


def test_pairs_of_two_archives_are_not_mixed(tmp_path: Path) -> None:
    header, voxels = pair()
    for name in ("a.zip", "b.zip", "c.tar"):
        write = phantoms.write_tar if name.endswith("tar") else phantoms.write_zip
        write(tmp_path / name, {"x/0042.hdr": header, "x/0042.img": voxels})
    plan = plan_of(tmp_path)
    assert [{m.container for m in s.others} for s in plan.sources] == [
        {s.member.container} for s in plan.sources
    ]
    assert len(plan.sources) == 3


# OASIS-1 discs


def kept(plan: Plan) -> list[str]:
    return [f"{s.naming.session} {s.name.split('/')[-1]}" for s in plan.sources]


@pytest.fixture
def disc(tmp_path: Path) -> Path:
    return phantoms.write_tar(tmp_path / "disc1.tar.gz", phantoms.oasis_disc_files())


def test_one_masked_scan_per_session_is_taken(disc: Path) -> None:
    plan = plan_of(disc)
    assert kept(plan) == [
        "1 OAS1_0001_MR1_mpr_n4_anon_111_t88_masked_gfc.hdr",
        "2 OAS1_0001_MR2_mpr_n4_anon_111_t88_masked_gfc.hdr",
        "1 OAS1_0002_MR1_mpr_n4_anon_111_t88_masked_gfc.hdr",
    ]
    assert {s.naming.layout for s in plan.sources} == {"oasis1"}
    assert (plan.masks, plan.left_out) == (3, {"derivative": 12})
    splits = {(s.naming.subject, s.naming.split) for s in plan.sources}
    assert len(splits) == 2


@pytest.mark.parametrize("number", range(4))
def test_the_next_version_is_taken_where_one_is_absent(tmp_path: Path, number: int) -> None:
    kinds = list(phantoms.OASIS_1_PATHS)[number:]
    files = phantoms.oasis_disc_files(["OAS1_0001_MR1"], kinds)
    (name,) = kept(plan_of(phantoms.write_zip(tmp_path / "a.zip", files)))
    assert phantoms.OASIS_1_PATHS[kinds[0]].split("{0}")[1] in name


@pytest.mark.parametrize("kind", ["t88_masked_gfc", "t88_gfc", "subj_111", "raw"])
def test_every_version_has_the_marker_where_it_belongs(
    disc: Path, tmp_path: Path, kind: str, prepare: Any
) -> None:
    """Sagittally stored versions are turned: left is left and up is up in all of them."""
    with (
        StoreReader(prepare(tmp_path / "1", disc, scan=kind)) as store,
        StoreReader(prepare(tmp_path / "2", disc)) as usual,
    ):
        assert store.summary["skipped"] == {"derivative": 12}
        np.testing.assert_array_equal(
            store.read(32, range(len(store))), usual.read(32, range(len(usual)))
        )


def test_a_version_that_is_not_there_is_one_line(disc: Path) -> None:
    with pytest.raises(UsageError, match=r"--scan norm: no session.*raw, subj_111, t88_gfc"):
        plan_of(disc, scan="norm")
