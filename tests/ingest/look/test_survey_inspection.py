"""What is odd in a pile of scans is told before any of it is written."""

from __future__ import annotations

import io
import json
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
import phantoms
import pytest
from click.testing import CliRunner, Result
from make_template import VOLUME
from PIL import Image

from mri_gan.cli.main import cli
from mri_gan.ingest.look.survey import Survey, grey_percentiles, look_all
from mri_gan.ingest.options import PrepareConfig
from mri_gan.ingest.plan.plan import build_plan
from mri_gan.ingest.read.archives import read_member
from mri_gan.ingest.read.volume import read_volume
from mri_gan.pictures import SEED, mark_header, png_bytes
from mri_gan.store.reader import StoreReader


def survey(*paths: Path, **choices: Any) -> dict[str, Any]:
    config = PrepareConfig(**choices)
    sources = build_plan(paths, config).sources
    return Survey(list(zip(sources, look_all(sources, config), strict=True))).facts()


def inspect(*arguments: str | Path) -> Result:
    words = ["inspect", "--workers", "0", *map(str, arguments)]
    return CliRunner().invoke(cli, words, catch_exceptions=False)


@pytest.fixture
def odd(tmp_path: Path) -> Path:
    """Thirty people, one of them twice, one nearly twice, and pictures that show nothing."""
    pixels = phantoms.slice_pixels(seed=1)
    files = phantoms.slice_files(people=30, slices=1)
    files["sub90/twin_0.png"] = phantoms.png_bytes(pixels)
    files["sub91/same_0.png"] = phantoms.png_bytes(pixels)
    near = np.clip(pixels.astype(int) + np.indices(pixels.shape).sum(0) % 2, 0, 255)
    files["sub92/near_0.png"] = phantoms.png_bytes(near.astype(np.uint8))
    files["sub93/black_0.png"] = phantoms.png_bytes(np.zeros((64, 64), np.uint8))
    files["sub94/white_0.png"] = phantoms.png_bytes(np.full((64, 64), 255, np.uint8))
    files["sub95/cut_0.png"] = phantoms.truncated(phantoms.png_bytes(pixels))
    return phantoms.write_folder(tmp_path / "odd", files)


def test_twins_are_found(odd: Path) -> None:
    facts = survey(odd)
    assert facts["same_pixels"] == [["sub90/twin_0.png", "sub91/same_0.png"]]
    assert ("sub92/near_0.png", "sub90/twin_0.png") in facts["near_duplicates"]
    assert len(facts["near_duplicates"]) < 5  # two of the made-up people may look alike


def test_pictures_that_show_nothing_and_outliers_are_found(odd: Path) -> None:
    facts = survey(odd)
    assert facts["flat_slices"] == ["sub93/black_0.png", "sub94/white_0.png"]
    assert {(o["slice"], o["what"]) for o in facts["outliers"]} >= {("sub94/white_0.png", "mean")}


def test_what_would_be_left_out_is_told_with_its_reason(odd: Path) -> None:
    (skipped,) = survey(odd)["skipped"]
    assert skipped["source"].endswith("cut_0.png")
    assert skipped["kind"] == "damaged"
    assert skipped["reason"]


def test_a_damaged_file_of_a_series_is_told_with_all_that_is_left_out(tmp_path: Path) -> None:
    pytest.importorskip("pydicom")
    volume = phantoms.brain_volume()[..., ::4]
    files = phantoms.dicom_files(volume, patient="P1", uid="1.2.1")
    files |= phantoms.dicom_files(volume, patient="P2", uid="1.2.2")
    cut = sorted(files)[1]
    files[cut] = files[cut][:-20]
    folder = phantoms.write_folder(tmp_path / "set", files)
    lost = f"; its whole series of {volume.shape[2]} files, the only scan of this person, is left "
    (skipped,) = survey(folder)["skipped"]
    assert skipped["source"].endswith(cut)
    assert skipped["reason"].endswith(f"{lost}out")
    command = ["prepare", str(folder), "--out", str(tmp_path / "s"), "--workers", "0"]
    said = CliRunner().invoke(cli, command)
    assert f"{cut}: " in said.stderr
    assert f"{lost}out of {tmp_path / 's'}, everything else is in it" in said.stderr


def test_volumes_tell_spacing_orientation_and_empty_slices(tmp_path: Path) -> None:
    volume = phantoms.brain_volume(spacing_mm=(1, 1.5, 2))
    volume[:, :, :4] = 0
    data = phantoms.nifti_bytes(volume, "LPS", (1, 1.5, 2), gzip=True)
    facts = survey(phantoms.write_folder(tmp_path / "v", {"sub-1_ses-2_T1w.nii.gz": data}))
    assert facts["orientations"] == {"LPS": 1}
    assert list(facts["spacings_mm"]) == ["1.50 x 1.00"]
    assert facts["empty_slices"] >= 4
    assert facts["sessions"] == 1


@pytest.mark.parametrize(
    ("side", "choices"),
    [
        (20, {}),
        (60, {}),
        (60, {"depth": 16}),
        (60, {"materialize": True}),
        (96, {}),
        (60, {"channels": ("t1", "t2")}),
    ],
)
def test_the_store_has_the_size_that_was_foretold(
    tmp_path: Path, prepare: Any, side: int, choices: dict[str, Any]
) -> None:
    """Within a tenth: with the pages of the database, and all channels."""
    noise = np.random.default_rng(1).normal(0, 4, (side, side, 60))
    scan = phantoms.nifti_bytes(200 * phantoms.brain_volume((side, side, 60)) + noise)
    names = [f"sub-{who}_{kind}.nii" for who in ("07", "08") for kind in ("T1w", "T2w")]
    folder = phantoms.write_folder(tmp_path / "v", dict.fromkeys(names, scan))
    foretold = survey(folder, **choices)["store_bytes"]
    true = (prepare(tmp_path / "s", folder, **choices) / "data.mdb").stat().st_size
    assert foretold == pytest.approx(true, rel=0.1)


def test_a_partner_that_cannot_be_read_is_noticed_before_the_store_is_made(
    tmp_path: Path, prepare: Any
) -> None:
    scan = phantoms.nifti_bytes(200 * phantoms.brain_volume())
    names = [f"sub-{who}_{kind}.nii" for who in ("07", "08") for kind in ("T1w", "T2w")]
    files = dict.fromkeys(names, scan) | {names[1]: phantoms.truncated(scan)}
    folder = phantoms.write_folder(tmp_path / "v", files)
    choices: dict[str, Any] = {"channels": ("t1", "t2")}
    foretold = survey(folder, **choices)
    with StoreReader(prepare(tmp_path / "s", folder, **choices)) as store:
        assert foretold["slices"] == len(store)
    (entry,) = foretold["skipped"]
    assert entry["source"].endswith("sub-07_T2w.nii")


@pytest.mark.parametrize("depth", [8, 16])
def test_the_size_of_a_small_store_is_foretold(
    tmp_path: Path, oasis_zip: Path, prepare: Any, depth: int
) -> None:
    foretold = survey(oasis_zip, depth=depth)["store_bytes"]
    true = (prepare(tmp_path / "s", oasis_zip, depth=depth) / "data.mdb").stat().st_size
    assert foretold == pytest.approx(true, rel=0.1)


def test_the_size_is_told_to_be_without_masks_where_there_are_some(oasis_zip: Path) -> None:
    assert ", without masks" in inspect(oasis_zip).stdout


def test_few_people_are_not_called_free_of_rescans(oasis_zip: Path) -> None:
    """Five people with two slices each were not compared with each other."""
    facts = json.loads(inspect(oasis_zip, "--json").stdout)
    assert facts["rescans"] is facts["across_splits"]["rescans"] is None
    assert facts["rescans_not_judged"] == "fewer than 8 people with 8 slices or more"
    assert "rescans " in (said := inspect(oasis_zip).stdout)
    assert "not judged (fewer than 8 people" in " ".join(said.split())


def test_the_next_command_names_what_was_given(odd: Path) -> None:
    place = odd.rename(odd.with_name("my scans"))
    assert f"mrigan prepare '{place}' --out STORE" in inspect(place).stdout


def test_equal_slices_in_two_splits_are_a_warning_and_an_error_where_strict(tmp_path: Path) -> None:
    folder = phantoms.write_folder(tmp_path / "twins", phantoms.twin_files())
    text = "1 pair of slices with the same pixels, in different splits"
    assert f"warning: {text}" in inspect(folder).stderr
    strict = inspect(folder, "--strict")
    assert strict.exit_code == 1
    assert f"--strict: {text}" in strict.stderr


def test_percentiles_of_counted_greys() -> None:
    counts = np.zeros(256, np.int64)
    counts[[10, 20, 200]] = 50, 48, 2
    assert grey_percentiles(counts) == {"1": 10, "50": 10, "99": 200}
    assert grey_percentiles(np.zeros(256, np.int64)) == {}


def test_the_table(odd: Path) -> None:
    result = inspect(odd)
    assert result.exit_code == 0
    assert result.stderr.startswith("warning: each of the 36 files counts as a different person")
    for text in ("subjects", "35", "twin_0.png", "would give no slices", "store"):
        assert text in result.stdout


def test_json_counts_what_prepare_would_count(oasis_zip: Path, store: Path) -> None:
    facts = json.loads(inspect(oasis_zip, "--json").stdout)
    with StoreReader(store) as opened:
        for name in ("slices", "subjects", "masks", "native"):
            assert facts[name] == opened.summary[name]
        assert facts["splits"] == opened.summary["split_slices"]


def test_sources_are_left_as_they_are(odd: Path, tmp_path: Path) -> None:
    before = sorted(path for path in tmp_path.rglob("*"))
    assert inspect(odd, "-q").output == ""
    assert sorted(path for path in tmp_path.rglob("*")) == before
    result = inspect(odd, "--sheet", odd / "sheet.png")
    assert result.exit_code == 2
    assert len(result.stderr.splitlines()) == 1


def test_a_sheet_is_drawn_when_asked(odd: Path, tmp_path: Path) -> None:
    assert inspect(odd, "-q", "--sheet", tmp_path / "sheet.png").exit_code == 0
    assert (tmp_path / "sheet.png").read_bytes()[:4] == b"\x89PNG"


def test_the_sheet_names_the_file_where_it_names_nobody(
    tmp_path: Path, sheets: list[dict[str, Any]]
) -> None:
    scan = phantoms.nifti_bytes(phantoms.brain_volume(), "LPS", gzip=True)
    folder = phantoms.write_folder(tmp_path / "v", {"mni152_t1_1mm.nii.gz": scan})
    inspect(folder / "mni152_t1_1mm.nii.gz", "--sheet", tmp_path / "s.png")
    planes = ("axial", "coronal", "sagittal")
    assert [sheet["labels"] for sheet in sheets] == [[f"{p} mni152_t1_1mm" for p in planes]]


def test_worker_processes_find_the_same(oasis_zip: Path) -> None:
    alone = json.loads(inspect(oasis_zip, "--json").stdout)
    words = ["inspect", "--workers", "2", "--json", str(oasis_zip)]
    shared = json.loads(CliRunner().invoke(cli, words, catch_exceptions=False).stdout)
    assert shared | {"seconds": 0} == alone | {"seconds": 0}


# Volumes as a whole


def people(folder: Path, turned: dict[str, str] | None = None) -> Path:
    """Six heads; `turned` gives some another true orientation than their header says."""
    files: phantoms.Files = {}
    for i in range(6):
        name = f"10{i}.nii"
        volume = phantoms.head_volume(face=True, spacing_mm=6.0) + i
        stored, affine = phantoms.oriented(volume, "LPS", (6, 6, 6))
        if name in (turned or {}):
            stored, _ = phantoms.oriented(volume, (turned or {})[name], (6, 6, 6))
        files[name] = phantoms.nifti_bytes(stored, affine=affine, dtype="int16")
    return phantoms.write_folder(folder / "people", files)


def test_shapes_spacings_and_scanner_values_of_volumes(tmp_path: Path) -> None:
    data = phantoms.nifti_bytes(phantoms.brain_volume(), "ASL", (1, 1.5, 2))
    facts = survey(phantoms.write_folder(tmp_path / "v", {"sub-1_T1w.nii": data}))
    assert facts["volume_shapes"] == {"20 x 26 x 22": 1}
    assert facts["voxels_mm"] == {"1 x 1.5 x 2": 1}
    (low, _), (middle, _), (high, _) = facts["scanner_values"].values()
    assert low < middle < 30 < 400 < high
    assert facts["dropped_fields"] == {}


def test_heads_that_lie_as_their_headers_say_raise_no_doubt(tmp_path: Path) -> None:
    facts = survey(people(tmp_path))
    assert facts["doubtful_orientation"] == []
    assert facts["orientation_not_judged"] == 6  # with their skulls


def test_the_table_says_whose_orientation_is_not_judged(tmp_path: Path) -> None:
    result = inspect(people(tmp_path))
    assert "orientation not judged" in result.stdout
    assert "6 volumes" in result.stdout


def test_the_orientation_of_a_brain_without_its_skull_is_judged(tmp_path: Path) -> None:
    phantoms.write_folder(tmp_path / "set", {"brain.nii.gz": VOLUME.read_bytes()})
    assert survey(tmp_path / "set")["orientation_not_judged"] == 0


@pytest.mark.parametrize(
    ("true", "word"),
    [("LAS", "differs"), ("LPI", "differs"), ("PLS", "mirrored"), ("SPL", "mirrored")],
)
def test_a_head_whose_header_is_wrong_is_doubted(tmp_path: Path, true: str, word: str) -> None:
    found = survey(people(tmp_path, {"103.nii": true}))["doubtful_orientation"]
    assert {entry.split(":")[0] for entry in found} == {"103.nii"}
    assert any(word in entry for entry in found)


def test_left_and_right_cannot_be_told(tmp_path: Path) -> None:
    """Nobody should think otherwise: the documentation says so, too."""
    assert survey(people(tmp_path, {"103.nii": "RPS"}))["doubtful_orientation"] == []


def test_headers_that_contradict_themselves_or_say_nothing_are_named(tmp_path: Path) -> None:
    volume = phantoms.brain_volume()
    image: Any = nib.Nifti1Image(volume.astype(np.int16), np.eye(4))
    image.set_sform(np.diag([1, -1, 1, 1]), 1)
    image.set_qform(np.eye(4), 1)
    silent: Any = nib.Nifti1Image(volume.astype(np.int16), None)
    files = {"1.nii": image.to_bytes(), "2.nii": silent.to_bytes()}
    found = survey(phantoms.write_folder(tmp_path / "v", files))["doubtful_orientation"]
    assert [entry.split(":")[0] for entry in found] == ["1.nii", "2.nii"]
    assert "RPS (sform) and RAS (qform)" in found[0]
    assert "does not record" in found[1]


def test_pairs_of_scans_and_masks_are_counted(oasis_zip: Path) -> None:
    facts = json.loads(inspect(oasis_zip, "--json").stdout)
    assert (facts["masks"], facts["sources_with_mask"], facts["slices"]) == (10, 10, 10)


def test_faces_and_header_fields_are_told(tmp_path: Path) -> None:
    head = phantoms.nifti_bytes(phantoms.head_volume(face=True), "LPS", (3, 3, 3))
    folder = phantoms.write_folder(tmp_path / "v", {"1.nii": head})
    facts = json.loads(inspect(folder, "--json", "--plane", "coronal").stdout)
    assert (facts["faces"], facts["dropped_fields"]) == (1, {})


def warnings_of(command: str, *arguments: str | Path) -> list[str]:
    words = [command, "--workers", "0", *map(str, arguments)]
    result = CliRunner().invoke(cli, words, catch_exceptions=False)
    return [line for line in result.stderr.splitlines() if line.startswith("warning")]


def drawn_nifti() -> bytes:
    image = nib.Nifti1Image.from_bytes(
        phantoms.nifti_bytes(phantoms.head_volume(face=False), "LPS")
    )
    mark_header(image.header, "7")
    return image.to_bytes()


def test_inspect_warns_of_what_prepare_warns_of(tmp_path: Path) -> None:
    """Files that were drawn, pictures in colour and sizes that are no level."""
    pixels = phantoms.slice_pixels(100, 100, seed=1)
    colour = np.stack([pixels, pixels[::-1], 255 - pixels], axis=-1)
    files: phantoms.Files = {
        f"p{k:02}/a_{k}.png": phantoms.png_bytes(phantoms.slice_pixels(seed=k)) for k in range(20)
    }
    files |= {f"q{k}/a_{k}.png": phantoms.png_bytes(np.roll(colour, k)) for k in range(3)}
    files |= {"s1/a_1.png": png_bytes(pixels[None], {SEED: "3"}), "s2/a_2.nii": drawn_nifti()}
    folder = phantoms.write_folder(tmp_path / "v", files)
    told = warnings_of("inspect", folder)
    assert (
        "warning: 2 files are marked as drawn by a generative network, and not scans of people"
        in told
    )
    assert (
        "warning: 3 images are in colour: grey levels of the same brightness take its place" in told
    )
    assert any("resampled from 100 x 100" in line for line in told)
    stored = warnings_of("prepare", folder, "--out", tmp_path / "store")
    assert set(stored) <= {*told}, set(stored) - {*told}
    facts = json.loads(inspect(folder, "--json").stdout)
    assert (facts["synthetic"], facts["colour"]) == (2, 3)


def test_inspect_warns_of_faces_before_anything_is_stored(tmp_path: Path) -> None:
    head = phantoms.nifti_bytes(phantoms.head_volume(face=True), "LPS", (3, 3, 3))
    folder = phantoms.write_folder(tmp_path / "v", {"1.nii": head})
    (told,) = (x for x in warnings_of("inspect", folder, "--plane", "coronal") if "face" in x)
    assert told.startswith("warning: 1.nii seems to show a face")
    assert "--overwrite" not in told


def test_inspect_warns_of_dark_pictures_and_of_a_scanners_values(tmp_path: Path) -> None:
    """The greys are known: 12-bit values in 16-bit files, and greys below 10 of 255."""
    deep = [phantoms.slice_pixels(seed=k).astype(np.uint16) * 8 for k in range(4)]
    files: phantoms.Files = {f"p{k}/a_{k}.png": phantoms.png_bytes(x) for k, x in enumerate(deep)}
    told = warnings_of("inspect", phantoms.write_folder(tmp_path / "deep", files))
    assert any("16-bit images hold a scanner's values" in line for line in told)
    files = {
        f"p{k}/a_{k}.png": phantoms.png_bytes(phantoms.slice_pixels(seed=k) // 30) for k in range(4)
    }
    told = warnings_of("inspect", phantoms.write_folder(tmp_path / "dark", files))
    assert any("the images are nearly black" in line for line in told)


def test_the_sheet_shows_three_planes_of_every_volume_and_no_numbers_of_people(
    tmp_path: Path,
) -> None:
    volume = phantoms.nifti_bytes(phantoms.brain_volume())
    folder = phantoms.write_folder(tmp_path / "v", {"OAI9000001.nii": volume, "2.nii": volume})
    assert inspect(folder, "-q", "--sheet", tmp_path / "sheet.png").exit_code == 0
    warned = inspect(folder).stderr
    assert "can identify people" in warned
    with Image.open(tmp_path / "sheet.png") as sheet:
        tiles = np.asarray(sheet)
    filled = [tiles[2:130, 2 + 130 * i : 130 + 130 * i].std() > 10 for i in range(6)]
    assert filled == [True] * 6
    assert tiles.shape[1] == 2 + 6 * 130  # and no seventh


def test_a_dicom_series_says_where_right_is(tmp_path: Path, sheets: list[dict[str, Any]]) -> None:
    pytest.importorskip("pydicom")
    files = phantoms.dicom_files(phantoms.brain_volume())
    folder = phantoms.write_folder(tmp_path / "v", files)
    assert inspect(folder, "-q", "--sheet", tmp_path / "s.png").exit_code == 0
    assert [tuple(sheet["edges"]) for sheet in sheets] == [("R", "L")]
    assert survey(folder)["orientations"] == {"LPS": 1}


@pytest.mark.parametrize(("name", "marked"), [("a.nii", True), ("b.npy", False)])
def test_the_sheet_says_where_right_is_when_the_file_does(
    tmp_path: Path, name: str, marked: bool, sheets: list[dict[str, Any]]
) -> None:
    """R and L are in the corners of the first picture, which are black but for them."""
    brain, stream = phantoms.brain_volume(), io.BytesIO()
    np.save(stream, brain)
    data = phantoms.nifti_bytes(brain) if name == "a.nii" else stream.getvalue()
    folder = phantoms.write_folder(tmp_path / "v", {name: data})
    assert inspect(folder, "-q", "--sheet", tmp_path / "s.png").exit_code == 0
    with Image.open(tmp_path / "s.png") as sheet:
        tiles = np.asarray(sheet)
    assert [bool(tiles[3:14, x : x + 12].max() > 200) for x in (3, 117)] == [marked, marked]
    said = "R | L: the left edge of an axial or coronal picture is the right side of the body"
    notes = [note for sheet in sheets for note in sheet["notes"] if note]
    assert notes == [said] * marked


def test_of_an_array_no_millimetres_plane_or_orientation_are_told(
    tmp_path: Path, sheets: list[dict[str, Any]]
) -> None:
    """A brain on its side: of a volume, its orientation would be doubted."""
    stream = io.BytesIO()
    np.save(stream, read_volume(VOLUME.read_bytes()).voxels[::3, ::3, ::3])
    files = {f"p{k}.npy": stream.getvalue() for k in (1, 2)}
    folder = phantoms.write_folder(tmp_path / "v", files)
    facts = survey(folder)
    assert facts["volume_shapes"]
    assert not any(facts[f] for f in ("spacings_mm", "voxels_mm", "orientations"))
    assert not facts["doubtful_orientation"] + [*facts.get("planes", ())]
    assert (facts["orientation_not_judged"], facts.get("turned")) == (0, None)
    assert ["p1.npy#10", "p2.npy#10"] in facts["same_pixels"]
    assert inspect(folder, "-q", "--sheet", tmp_path / "s.png").exit_code == 0
    assert [sheet["labels"] for sheet in sheets] == [["p1", "p2"]]


@pytest.mark.parametrize("image", [False, True])
def test_a_store_is_offered_where_there_is_something_to_store(tmp_path: Path, image: bool) -> None:
    stream = io.BytesIO()
    np.save(stream, phantoms.brain_volume() if image else np.arange(12))
    folder = phantoms.write_folder(tmp_path / "v", {"p1.npy": stream.getvalue()})
    result = inspect(folder)
    assert result.exit_code == 0
    assert ("mrigan prepare" in result.stdout) == image


def test_inspect_reads_names_as_prepare_would(tmp_path: Path) -> None:
    names = [f"{label}/{n}.png" for label in ("cat", "dog") for n in range(3)]
    data = phantoms.png_bytes(phantoms.slice_pixels(16, 16))
    folder = phantoms.write_folder(tmp_path / "set", dict.fromkeys(names, data))
    facts = json.loads(inspect(folder, "--json", "--classes").stdout)
    assert facts["subjects"] == 6
    assert inspect(folder, "--layout", "akoa").exit_code == 2


def test_what_prepare_would_cut_and_grey_is_what_inspect_tells(
    tmp_path: Path, prepare: Any
) -> None:
    data = {f"{n}.nii": phantoms.nifti_bytes(phantoms.brain_volume() * n) for n in (1, 2, 3)}
    folder = phantoms.write_folder(tmp_path / "v", data)
    choices: dict[str, Any] = {"fov": 40.0, "slices": "0.2:0.8", "every": 2, "intensity": "nyul"}
    words = [word for name, value in choices.items() for word in (f"--{name}", str(value))]
    facts = json.loads(inspect(folder, "--json", "--depth", "16", *words).stdout)
    with StoreReader(prepare(tmp_path / "s", folder, depth=16, **choices)) as store:
        for name in ("slices", "empty_slices", "deselected_slices"):
            assert facts[name] == store.summary[name]
        greys = store.read(store.max_native, range(len(store))) >> 8
        assert facts["grey_percentiles"]["99"] == np.percentile(greys, 99, method="inverted_cdf")
    assert facts["deselected_slices"] > 0


def test_the_sheet_shows_one_field_of_view_for_all(tmp_path: Path) -> None:
    balls = {
        f"{n}.nii": phantoms.nifti_bytes(phantoms.ball_volume(shape, (1.0, 1.0, 1.0), 10))
        for n, shape in enumerate(((24, 24, 24), (60, 60, 60)))
    }
    folder = phantoms.write_folder(tmp_path / "v", balls)
    sizes = []
    for number, words in enumerate(([], ["--fov", "64"])):
        file = tmp_path / f"{number}.png"
        assert inspect(folder, "-q", "--sheet", file, *words).exit_code == 0
        with Image.open(file) as sheet:
            tiles = np.asarray(sheet)
        sizes.append([(tiles[2:130, 2 + x : 130 + x] > 127).sum() for x in (0, 390)])
    assert sizes[0][0] > 3 * sizes[0][1]
    assert sizes[1][0] == pytest.approx(sizes[1][1], rel=0.05)


def test_every_volume_is_read_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    volume = phantoms.nifti_bytes(phantoms.brain_volume(), gzip=True)
    folder = phantoms.write_folder(tmp_path / "v", {"1.nii.gz": volume, "2.nii.gz": volume})
    read: list[str] = []

    def note(member: Any) -> bytes:
        read.append(member.name)
        return read_member(member)

    for module in ("read.scan", "cut.one_source", "plan.selection"):
        monkeypatch.setattr(f"mri_gan.ingest.{module}.read_member", note)
    assert survey(folder)["orientations"] == {"RAS": 2}
    assert sorted(read) == ["v/1.nii.gz", "v/2.nii.gz"]


def test_people_without_masks_have_a_split_beside_people_with_one(tmp_path: Path) -> None:
    files = phantoms.slice_files(people=5, slices=1)
    files["sub01/slice_0_mask.png"] = phantoms.png_bytes(phantoms.slice_pixels())
    facts = json.loads(inspect(phantoms.write_folder(tmp_path / "v", files), "--json").stdout)
    assert facts["sources_with_mask"] == 1
    assert sum(facts["splits"].values()) == 5
    assert set(facts["splits"]) <= {"train", "validate", "test"}


def test_long_names_are_not_cut(tmp_path: Path) -> None:
    pixels = phantoms.png_bytes(phantoms.slice_pixels())
    names = [f"{'p' * 90}{n}/slice_1.png" for n in (1, 2)]
    folder = phantoms.write_folder(tmp_path / "v", dict.fromkeys(names, pixels))
    table = inspect(folder).stdout
    words = "".join(line.strip("│").split("│")[-1].strip() for line in table.splitlines())
    assert all(name in words for name in names)
