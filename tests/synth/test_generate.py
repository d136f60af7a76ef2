"""Generated files: the same bits for a seed however they come about, never half, never mixed."""

import json
import re
import zipfile
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from phantoms.models import SMALL, save_untrained
from PIL import Image

from mri_gan.conditions import Column, Conditions
from mri_gan.errors import DataError, Stopped, UsageError
from mri_gan.files import StopSignal
from mri_gan.nets.build import DrawSettings, draw_seeds
from mri_gan.synth.generate import MANIFEST, TABLE, GenerateConfig, generate, write_image
from mri_gan.synth.sample import Trained, load_trained

CONFIG = GenerateConfig(DrawSettings(16, alpha=0.5))


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Trained:
    return load_trained(save_untrained(tmp_path_factory.mktemp("run")))


def write(trained: Trained, out: Path, seeds: range | list[int], **changes: object) -> int:
    return generate(trained, replace(CONFIG, **changes), seeds, out, StopSignal())  # type: ignore[arg-type]


def images_of(folder: Path) -> dict[str, bytes]:
    return {p.name: p.read_bytes() for p in folder.rglob("seed*")}


def test_a_seed_gives_the_same_bytes_in_any_company(trained: Trained, tmp_path: Path) -> None:
    write(trained, tmp_path / "many", range(40))
    write(trained, tmp_path / "few", [39, 3, 17])
    many, few = images_of(tmp_path / "many"), images_of(tmp_path / "few")
    assert sorted(few) == ["seed000003.png", "seed000017.png", "seed000039.png"]
    assert few.items() <= many.items()


def test_the_files_hold_what_the_network_draws(trained: Trained, tmp_path: Path) -> None:
    write(trained, tmp_path, [5], depth=16)
    drawn = draw_seeds(trained.generator, [5], CONFIG.look).clamp(-1, 1).numpy()[0, 0]
    with Image.open(tmp_path / "seed000005.png") as image:
        assert np.abs(np.asarray(image) / 32767.5 - 1 - drawn).max() < 2e-5


def test_stopped_and_run_again_equals_one_go(trained: Trained, tmp_path: Path) -> None:
    stop = StopSignal()

    def after_the_first_batch(_done: int) -> None:
        stop.signum = 2

    with pytest.raises(Stopped) as stopped:
        generate(trained, CONFIG, range(40), tmp_path / "a", stop, after_the_first_batch)
    assert stopped.value.exit_code == 130
    assert len(images_of(tmp_path / "a")) == 16
    assert write(trained, tmp_path / "a", range(40)) == 24
    write(trained, tmp_path / "b", range(40))
    assert images_of(tmp_path / "a") == images_of(tmp_path / "b")
    assert (tmp_path / "a" / TABLE).read_text() == (tmp_path / "b" / TABLE).read_text()


def test_a_folder_can_be_extended_but_not_mixed(trained: Trained, tmp_path: Path) -> None:
    write(trained, tmp_path, range(3))
    assert write(trained, tmp_path, range(2, 5)) == 2
    lines = (tmp_path / TABLE).read_text().splitlines()
    assert [line.split("\t")[2] for line in lines[1:]] == list("01234")
    with pytest.raises(UsageError, match=r"psi was 0.7, now 1.0"):
        write(trained, tmp_path, range(3), look=DrawSettings(16, alpha=0.5, psi=1.0))


def test_the_manifest_tells_where_the_images_come_from(trained: Trained, tmp_path: Path) -> None:
    write(trained, tmp_path, [1])
    facts = json.loads((tmp_path / MANIFEST).read_text())
    assert facts["generator_digest"] == trained.digest
    assert (facts["size"], facts["psi"], facts["nimg"]) == (16, 0.7, 1000)
    assert facts["synthetic"].startswith("SYNTHETIC")


def test_a_picture_itself_says_how_it_was_drawn(trained: Trained, tmp_path: Path) -> None:
    write(trained, tmp_path, [1], look=replace(CONFIG.look, psi=0.25, noise=0.0))
    with Image.open(tmp_path / "seed000001.png") as image:
        assert (image.info["seed"], image.info["psi"], image.info["noise"]) == ("1", "0.25", "0")
        assert image.info["generator"] == trained.digest


def test_a_zip_holds_the_same_files_and_nothing_is_left_beside_it(
    trained: Trained, tmp_path: Path
) -> None:
    write(trained, tmp_path / "folder", range(3))
    write(trained, tmp_path / "a.zip", range(3), format="zip")
    write(trained, tmp_path / "b.zip", range(3), format="zip")
    with zipfile.ZipFile(tmp_path / "a.zip") as archive:
        packed = {n: archive.read(n) for n in archive.namelist() if n.startswith("seed")}
        assert {MANIFEST, TABLE} <= set(archive.namelist())
    assert packed == images_of(tmp_path / "folder")
    assert (tmp_path / "a.zip").read_bytes() == (tmp_path / "b.zip").read_bytes()
    assert {p.name for p in tmp_path.iterdir()} == {"folder", "a.zip", "b.zip"}
    with pytest.raises(UsageError, match="exists"):
        write(trained, tmp_path / "a.zip", range(3), format="zip")


def test_channels_that_a_png_does_not_hold_leave_nothing(tmp_path: Path) -> None:
    path = save_untrained(tmp_path / "run", replace(SMALL, channels=2, channel_names=("t1", "t2")))
    trained = load_trained(path)
    with pytest.raises(UsageError, match="does not hold 2 channels of 8 bits: use --format nifti"):
        write(trained, tmp_path / "out", [0, 1])
    assert not (tmp_path / "out").exists()
    write(trained, tmp_path / "out", [0, 1], format="nifti")  # as advised
    assert len(list((tmp_path / "out").glob("*.nii.gz"))) == 2


def test_masks_come_out_beside_the_images(tmp_path: Path) -> None:
    path = save_untrained(tmp_path / "run", replace(SMALL, channels=2))
    trained = replace(load_trained(path), channel_names=("image", "mask"))
    write(trained, tmp_path / "out", [0, 1])
    files = sorted(p.relative_to(tmp_path / "out").as_posix() for p in tmp_path.rglob("*.png"))
    assert files == [
        *("masks/seed000000.png", "masks/seed000001.png"),
        *("seed000000.png", "seed000001.png"),
    ]
    drawn = draw_seeds(trained.generator, [0], CONFIG.look).clamp(-1, 1).numpy()[0]
    for part, name in enumerate(("seed000000.png", "masks/seed000000.png")):
        with Image.open(tmp_path / "out" / name) as image:
            assert np.abs(np.asarray(image) / 127.5 - 1 - drawn[part]).max() < 0.01


@pytest.fixture(scope="module")
def conditional(tmp_path_factory: pytest.TempPathFactory) -> Trained:
    columns = (
        Column("group", values=("AD", "CN")),
        Column("age", mean=60.0, scale=10.0, low=40.0, high=80.0),
    )
    config = replace(SMALL, conditions=Conditions(columns))
    return load_trained(save_untrained(tmp_path_factory.mktemp("conditional"), config))


def test_what_is_asked_for_is_drawn_and_listed(conditional: Trained, tmp_path: Path) -> None:
    write(conditional, tmp_path / "a", [1, 2], condition="group=CN,age=70")
    write(conditional, tmp_path / "b", [1, 2], condition="group=AD,age=70")
    write(conditional, tmp_path / "c", [1, 2], condition="group=CN,age=45")
    a, b, c = (images_of(tmp_path / name) for name in "abc")
    assert all(len({a[name], b[name], c[name]}) == 3 for name in a)
    lines = (tmp_path / "a" / TABLE).read_text().splitlines()[1:]
    assert [line.split("\t")[3] for line in lines] == ["group CN, age 70"] * 2


def test_unasked_conditions_are_drawn_by_seed_within_their_range(
    conditional: Trained, tmp_path: Path
) -> None:
    write(conditional, tmp_path / "a", range(12))
    write(conditional, tmp_path / "b", [7])
    assert images_of(tmp_path / "b").items() <= images_of(tmp_path / "a").items()
    words = [line.split("\t")[3] for line in (tmp_path / "a" / TABLE).read_text().splitlines()[1:]]
    found = [re.findall(r"group (\w+), age (\S+)", word)[0] for word in words]
    ages = [float(age) for _, age in found]
    assert 40 <= min(ages) <= max(ages) <= 80
    assert len(set(ages)) > 6
    assert {group for group, _ in found} == {"AD", "CN"}


def test_a_condition_that_training_had_not_is_told(conditional: Trained, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"group=MCI was not in training"):
        write(conditional, tmp_path, [1], condition="group=MCI,age=70")
    assert list(tmp_path.iterdir()) == []  # a manifest would refuse what is asked for rightly


def test_images_of_another_generator_are_not_mixed_in(trained: Trained, tmp_path: Path) -> None:
    write(trained, tmp_path, [1])
    with pytest.raises(UsageError, match="generator_digest was"):
        write(replace(trained, digest="other"), tmp_path, [2])


def test_the_image_comes_after_its_mask(trained: Trained, tmp_path: Path) -> None:
    """So that where the image is, all is: where it cannot be written, its mask already is."""
    masked = replace(trained, channel_names=("image", "mask"))
    assert masked.has_mask
    assert not trained.has_mask
    targets = [tmp_path / "no such folder" / "seed000001.png", tmp_path / "seed000001.png"]
    with pytest.raises(DataError, match="no such folder"):
        write_image(targets, np.zeros((2, 16, 16), np.uint8), {}, masked, CONFIG)
    assert targets[1].exists()
