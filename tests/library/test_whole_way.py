"""From scans to an audited model in Python, by the public surface alone."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
import phantoms
import pytest
import torch
from click.testing import CliRunner
from phantoms.models import SMALL, save_untrained

import mri_gan as mg
from mri_gan.checkpoint import load_checkpoint, save_checkpoint
from mri_gan.conditions import build_conditions
from mri_gan.pictures import to_stored
from mri_gan.train.data import was_trained_on

TINY: dict[str, Any] = {
    "max_size": 16, "phase": 16, "batch": 8, "capacity": 1 / 64, "latent_dim": 8,
}  # fmt: skip


class Diary(mg.Callback):
    def __init__(self) -> None:
        self.begun, self.lines, self.checkpoints, self.ended = 0, 0, list[Path](), list[Path]()
        self.steps = 0

    def on_begin(self, config: mg.TrainConfig, folder: Path) -> None:
        self.begun += config.max_size

    def on_step(self, progress: Any) -> None:
        self.steps += 1

    def on_metrics(self, metrics: dict[str, Any]) -> None:
        self.lines += "nimg" in metrics

    def on_checkpoint(self, path: Path) -> None:
        self.checkpoints.append(path)

    def on_end(self, checkpoint: Path) -> None:
        self.ended.append(checkpoint)


@pytest.fixture(scope="module")
def scans(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Four slices of each of twelve people."""
    path = tmp_path_factory.mktemp("scans") / "slices.zip"
    phantoms.write_zip(path, phantoms.slice_files(people=12, slices=4))
    return path


@pytest.fixture(scope="module")
def prepared(scans: Path) -> mg.Prepared:
    out = scans.with_name("store")
    return mg.prepare(str(scans), str(out), workers=0, split=(80, 20, 0))


def test_preparing_counts_and_may_be_repeated(prepared: mg.Prepared, scans: Path) -> None:
    assert (prepared.slices, prepared.subjects, prepared.left_out) == (48, 12, [])
    ticks: list[tuple[int, int]] = []
    again = mg.prepare(
        [scans], prepared.folder, split=[80, 20, 0], on_progress=lambda *t: ticks.append(t)
    )
    assert (again.digest, ticks) == (prepared.digest, [])
    with mg.open_store(str(prepared.folder)) as store:
        assert len(store) == 48


def test_what_was_not_chosen_is_counted_and_what_gave_no_slices_is_named(tmp_path: Path) -> None:
    """Six files: two T2 that nobody wants, a T1 that is damaged, three that are stored."""
    scan = phantoms.nifti_bytes(phantoms.brain_volume())
    names = [f"sub-0{n}_T1w.nii" for n in (1, 2, 3, 4)] + ["sub-01_T2w.nii", "sub-02_T2w.nii"]
    files = dict.fromkeys(names, scan) | {names[0]: scan[:400]}
    folder = phantoms.write_folder(tmp_path / "in", files)
    found = mg.prepare(folder, tmp_path / "s", workers=0, contrast="t1")
    assert [entry["source"] for entry in found.left_out] == [f"in/{names[0]}"]
    assert found.facts["skipped"] == {"another contrast": 2, "damaged": 1}
    assert found.facts["files"] == {"listed": 6, "stored": 3, "left_out": 3, "ignored": 0}
    assert "gave no slices" in found._repr_html_()
    assert "left out" not in found._repr_html_()


def test_equal_slices_in_two_splits_are_a_doubt(tmp_path: Path) -> None:
    folder = phantoms.write_folder(tmp_path / "twins", phantoms.twin_files())
    doubts = mg.prepare(folder, tmp_path / "s", workers=0).doubts
    assert [doubt.partition(",")[0] for doubt in doubts] == [
        "1 pair of slices with the same pixels"
    ]


def test_a_mistake_in_preparing_is_an_error_of_ours(oasis_zip: Path, tmp_path: Path) -> None:
    with pytest.raises(mg.UsageError, match="plain"):
        mg.prepare(oasis_zip, tmp_path / "A", plain="axial")  # type: ignore[call-arg]
    with pytest.raises(mg.UsageError, match="no such file"):
        mg.prepare(tmp_path / "nothing", tmp_path / "A")


def test_a_store_that_this_program_reads_is_prepared_again_or_the_remedy_is_told(
    oasis_zip: Path, tmp_path: Path
) -> None:
    first = mg.prepare(oasis_zip, tmp_path / "A", workers=0)
    data = mg.SliceDataset(tmp_path / "A", level=8)
    before = data[0]
    assert mg.prepare(oasis_zip, tmp_path / "A", workers=0).digest == first.digest
    with pytest.raises(mg.UsageError, match=r"other options \(depth 8, not 16\)"):
        mg.prepare(oasis_zip, tmp_path / "A", workers=0, depth=16)
    with pytest.raises(mg.UsageError, match="open in this program: close its readers first"):
        mg.prepare(oasis_zip, tmp_path / "A", workers=0, depth=16, overwrite=True)
    assert torch.equal(data[0], before)
    data.close()
    second = mg.prepare(oasis_zip, tmp_path / "A", workers=0, depth=16, overwrite=True)
    assert second.digest != first.digest
    assert mg.open_store(tmp_path / "A").dtype == np.uint16


@pytest.fixture(scope="module")
def diary() -> Diary:
    return Diary()


@pytest.fixture(scope="module")
def run(prepared: mg.Prepared, diary: Diary) -> mg.TrainedRun:
    out = prepared.folder.with_name("run")
    return mg.train(prepared.folder, str(out), callbacks=[diary], device="cpu", **TINY)


def test_training_calls_back(run: mg.TrainedRun, diary: Diary) -> None:
    assert (diary.begun, diary.ended) == (16, [run.checkpoint])
    assert diary.steps * 8 == run.nimg == run.metrics[-1]["nimg"]
    assert diary.lines == len(run.metrics)
    assert diary.checkpoints[-1] == run.checkpoint


def test_results_are_given_wherever_their_paths_are(
    run: mg.TrainedRun, prepared: mg.Prepared
) -> None:
    assert mg.load_model(run).trained.path == run.checkpoint
    with mg.open_store(prepared) as opened:
        assert opened.digest == prepared.digest


def test_a_model_draws_a_seed_alike_in_any_company(run: mg.TrainedRun) -> None:
    model = mg.load_model(str(run.folder))
    images = model.draw([3, 4, 5])
    assert images.shape == (3, 1, 16, 16)
    assert torch.equal(images[1:2], model.draw([4]))
    assert "<img " in model._repr_html_()
    with pytest.raises(mg.UsageError, match="position"):
        model.draw_volume(1, 4)


@pytest.mark.usefixtures("small_audits")
def test_judging_gives_figures(run: mg.TrainedRun, prepared: mg.Prepared) -> None:
    steps: list[tuple[int, int]] = []
    result = mg.evaluate(
        run.folder, prepared.folder, fakes=16, features=("pca",), resamples=20,
        on_progress=lambda *step: steps.append(step),
    )  # fmt: skip
    images = result.reals + result.fakes
    assert result.fakes == 16
    assert len([done for done, _ in steps if done > images]) > 1  # by family, while comparing
    assert steps[-1] == (2 * images, 2 * images)
    compared: list[tuple[int, int]] = []
    audit = mg.audit(
        run.load_model(), prepared.folder, count=50, on_progress=lambda *step: compared.append(step)
    )
    assert len(audit.samples) == 50
    planted = sum(len(found) for found in audit.planted.values())
    train = prepared.facts["split_slices"]["train"]
    assert planted >= 10  # of copies made on purpose, which take as long as others
    assert compared[-1] == (50 + min(train, 24) + audit.held_out + planted,) * 2
    assert {"swd[mean]"} <= {figure.name for figure in result.figures}
    plain = result.to_dict()
    assert json.loads(json.dumps(plain)) == plain
    assert [figure["name"] for figure in plain["figures"]] == [f.name for f in result.figures]


def test_a_model_with_labels_knows_the_store_that_it_was_trained_on(
    prepared: mg.Prepared, scans: Path, tmp_path: Path
) -> None:
    """Else an audit against other people would pass."""
    run = mg.train(prepared, tmp_path / "run", condition="position", device="cpu", **TINY)
    other = mg.prepare(scans, tmp_path / "other", workers=0, seed=1, split=(80, 20, 0))
    written = json.loads((run.folder / "config.json").read_text())
    assert written["store_digest"] == prepared.digest
    trained = run.load_model().trained
    with mg.open_store(prepared) as own, mg.open_store(other) as strange:
        assert was_trained_on(trained, own) is True
        assert was_trained_on(trained, strange) is False
        older = dataclasses.replace(load_checkpoint(trained.path), store="")
        save_checkpoint(trained.path, older)
        assert was_trained_on(trained, own) is True
        assert was_trained_on(trained, strange) is None


@pytest.fixture(scope="module")
def stacker(prepared: mg.Prepared, tmp_path_factory: pytest.TempPathFactory) -> mg.TrainedRun:
    out = tmp_path_factory.mktemp("stacker") / "run"
    return mg.train(prepared.folder, out, condition="position", device="cpu", **TINY)


def test_a_stack_of_positions_becomes_a_nifti(stacker: mg.TrainedRun, tmp_path: Path) -> None:
    model = stacker.load_model()
    volume = model.draw_volume(7, 5, spacing_mm=2.0)
    assert volume.voxels.shape == (5, 16, 16)
    assert torch.equal(
        model.draw([7], condition={"position": 0.5}), model.draw([7], condition="position=0.5")
    )
    alone = [model.draw([seed], condition={"position": at}) for seed, at in ((7, 0.1), (8, 0.2))]
    for each in ([0.1, 0.2], (0.1, 0.2), np.array([0.1, 0.2]), torch.tensor([0.1, 0.2]).double()):
        drawn = model.draw([7, 8], condition={"position": each})  # type: ignore[dict-item]
        torch.testing.assert_close(drawn, torch.cat(alone))
    with pytest.raises(mg.UsageError, match="position has 2 values for 3 images: give a value, or"):
        model.draw([7, 8, 9], condition={"position": [0.1, 0.2]})
    with pytest.raises(mg.UsageError, match=r"condition position is \[\[0.1\]\]: give a value, or"):
        model.draw([7], condition={"position": [[0.1]]})  # type: ignore[dict-item]
    with pytest.raises(mg.UsageError, match=r'names with values, such as {"age": 70}'):
        model.draw([7], condition=0.5)  # type: ignore[arg-type]
    volume.save(tmp_path / "stack.nii.gz")
    saved = nib.nifti1.load(tmp_path / "stack.nii.gz")
    assert saved.shape == (16, 16, 5)
    assert saved.header.get_zooms()[2] == 2.0
    assert saved.header["descrip"].item().startswith(b"SYNTHETIC, no scan")
    volume.save(tmp_path / "plain.NII")
    plain = nib.nifti1.load(tmp_path / "plain.NII")  # which nibabel would not unpack
    np.testing.assert_array_equal(np.asarray(plain.dataobj), np.asarray(saved.dataobj))
    with pytest.raises(mg.UsageError, match="saved as NIfTI: call it"):
        volume.save(tmp_path / "stack.png")
    assert not (tmp_path / "stack.png").exists()
    for odd in ({"slices": 0}, {"slices": 3, "spacing_mm": 0.0}, {"slices": 3, "seed": -1}):
        with pytest.raises(mg.UsageError):
            model.draw_volume(**{"seed": 0, **odd})  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("scan_mm", "slices", "apart"),
    [(44.0, 5, 11.0), (44.0, 12, 4.0), (44.0, 1, 1.0), (None, 5, 1.0)],
)
def test_a_stack_is_as_long_as_the_usual_scan(
    stacker: mg.TrainedRun, scan_mm: float | None, slices: int, apart: float
) -> None:
    trained = stacker.load_model().trained
    settings = dataclasses.replace(trained.config, scan_mm=scan_mm)
    model = mg.Model(dataclasses.replace(trained, config=settings))
    affine = model.draw_volume(7, slices).affine
    assert affine is not None
    assert affine[2, 2] == pytest.approx(apart)


def test_a_stack_has_every_contrast_of_its_model(tmp_path: Path) -> None:
    settings = dataclasses.replace(
        SMALL,
        channels=2,
        channel_names=("T1", "T2"),
        conditions=build_conditions(["position"], [{"position": 0.0}, {"position": 1.0}]),
    )
    model = mg.load_model(save_untrained(tmp_path / "run", settings))
    volume = model.draw_volume(3, 4)
    assert volume.channel_names == ("T1", "T2")
    images = model.draw([3], condition="position=1", noise=0.0)
    assert np.array_equal(volume.voxels[:, -1], to_stored(images[0].numpy(), 8))


class Notes(mg.Callback):
    def __init__(self) -> None:
        self.texts: list[str] = []

    def on_note(self, text: str) -> None:
        self.texts.append(text)


def test_what_labels_were_found_is_noted_and_a_word_among_numbers_doubted(
    prepared: mg.Prepared, tmp_path: Path
) -> None:
    with mg.open_store(prepared.folder) as store:
        people = sorted({record.subject for record in store.records})
    ages = [f"{who}\t{60 + at}{' years' * (at == 3)}" for at, who in enumerate(people)]
    (tmp_path / "ages.tsv").write_text("\n".join(["subject\tage", *ages]) + "\n")
    notes = Notes()
    mg.train(
        prepared.folder, tmp_path / "run", condition=["position", "age"], callbacks=notes,
        labels=tmp_path / "ages.tsv", device="cpu", **TINY,
    )  # fmt: skip
    said = next(text for text in notes.texts if text.startswith("conditions: "))
    assert said.startswith("conditions: position: numbers 0 to 1; age: classes 60, 61, 62, ")
    assert "age counts as classes, since '63 years' is no number" in notes.texts


def test_settings_mean_what_they_mean_on_the_command_line(store: Path) -> None:
    from mri_gan.cli.main import cli
    from mri_gan.library.training import resolve_settings
    from mri_gan.schedule import settings_used
    from mri_gan.train.run_folder import RunOptions

    settings = {"precision": "auto", "max_size": 8, "capacity": "tiny"}
    with mg.open_store(store) as opened:
        config = resolve_settings(opened, None, (), settings, RunOptions())
    words = ["--precision", "auto", "--max-size", "8", "--capacity", "tiny", "--device", "cpu"]
    done = CliRunner().invoke(cli, ["train", str(store), *words, "--dry-run", "--quiet"])
    printed = mg.TrainConfig.from_dict(json.loads(done.stdout)["settings"])
    assert settings_used(config) == settings_used(printed)


@pytest.mark.parametrize(
    "odd",
    [{"keep": 0}, {"snap_kimg": 0}, {"snap_kimg": -1.0}, {"batch": 0}, {"lr": 0.0}, {"kimg": 0}],
)
def test_0_is_no_word_for_a_default(store: Path, tmp_path: Path, odd: dict[str, Any]) -> None:
    with pytest.raises(mg.UsageError, match=next(iter(odd)).replace("_", ".")):
        mg.train(store, tmp_path / "run", **TINY | odd)
    assert not (tmp_path / "run").exists()


def test_a_preset_gives_settings_and_what_is_given_wins(store: Path) -> None:
    from mri_gan.library.training import resolve_settings
    from mri_gan.schedule import total_images
    from mri_gan.train.run_folder import RunOptions

    with mg.open_store(store) as opened:
        config = resolve_settings(opened, "laptop", (), {"capacity": 0.5}, RunOptions())
        assert (config.kimg, config.capacity) == (25.0, 0.5)  # the length that docs/results.md has
        assert resolve_settings(opened, "laptop", (), {"kimg": 3.0}, RunOptions()).kimg == 3.0
        by_phase = resolve_settings(opened, "laptop", (), {"phase": 100}, RunOptions())
        assert total_images(by_phase) == 700  # 100 at 8 px, 200 each at 16, 32 and 64
        with pytest.raises(mg.UsageError, match="preset"):
            resolve_settings(opened, "bogus", (), {}, RunOptions())
