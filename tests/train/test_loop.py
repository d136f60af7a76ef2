"""A run: what it writes, and that stopping leaves no trace in its weights."""

import signal
from collections import Counter
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from PIL import Image

from mri_gan.checkpoint import Checkpoint, Start, digest, list_checkpoints, load_checkpoint
from mri_gan.conditions import Column, Conditions
from mri_gan.config import METRICS, PLOT, Stage, TrainConfig, read_metrics
from mri_gan.errors import DataError, Stopped, UsageError
from mri_gan.files import StopSignal, read_json
from mri_gan.pictures import GAP, LINE_PX
from mri_gan.schedule import settings_used
from mri_gan.store.reader import StoreReader
from mri_gan.synth.sample import load_trained
from mri_gan.train.data import load_training_data
from mri_gan.train.loop import check_same_run, crosses, resume, train, transfer
from mri_gan.train.run_folder import Progress, Run, RunOptions

CONFIG = TrainConfig(
    max_size=16, phase=40, batch=8, capacity=1 / 64, latent_dim=8, mixing=True, lr=1e-3
)
OPTIONS = RunOptions(snap_kimg=0.024, keep=100)


def weights(path: Path) -> str:
    return digest(load_checkpoint(path).state)


def run_until(store: Path, run: Path, nimg: int, config: TrainConfig = CONFIG) -> None:
    """Train, and have a signal arrive after `nimg` images."""
    stop = StopSignal()

    def on_step(progress: Progress) -> None:
        if progress.nimg >= nimg:
            stop.signum = signal.SIGTERM

    with pytest.raises(Stopped) as stopped:
        train(Run(store, run, config, OPTIONS, stop=stop, on_step=on_step))
    assert stopped.value.exit_code == 143


@pytest.fixture(scope="module")
def whole(store: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    run = tmp_path_factory.mktemp("whole")
    train(Run(store, run, CONFIG, OPTIONS))
    return run


def test_a_run_leaves_checkpoints_samples_metrics_and_a_plot(whole: Path) -> None:
    names = [path.name for path in list_checkpoints(whole)]
    assert names[0] == "ckpt-000000120.pt"
    assert len(list((whole / "samples").glob("*.png"))) == len(names)
    assert (whole / "reals.png").read_bytes().startswith(b"\x89PNG")
    assert (whole / PLOT).read_bytes().startswith(b"\x89PNG")
    lines = read_metrics(whole / METRICS)
    assert lines[-1]["nimg"] == 120
    assert {line["resolution"] for line in lines} == {8, 16}


@pytest.mark.parametrize("nimg", [8, 32, 40, 56, 88])
def test_a_stopped_and_continued_run_ends_with_the_same_bits(
    store: Path, whole: Path, tmp_path: Path, nimg: int
) -> None:
    run_until(store, tmp_path, nimg)
    last = train(Run(store, tmp_path, CONFIG, OPTIONS))
    assert last.name == list_checkpoints(whole)[0].name
    assert weights(last) == weights(list_checkpoints(whole)[0])


def test_a_run_of_some_minutes_is_saved_with_its_pictures_and_goes_on_to_the_same_bits(
    store: Path, whole: Path, tmp_path: Path
) -> None:
    notes: list[str] = []
    short = replace(OPTIONS, minutes=1e-9)  # over after the first step
    first = train(Run(store, tmp_path, CONFIG, short, on_note=notes.append))
    assert first.name == "ckpt-000000008.pt"
    assert load_checkpoint(first).nimg == 8
    assert [p.name for p in (tmp_path / "samples").iterdir()] == ["000000008-0008px.png"]
    assert "at 0.008 of 0.12 kimg; the same command continues from here" in notes[-1]
    assert weights(train(Run(store, tmp_path, CONFIG, OPTIONS))) == weights(
        list_checkpoints(whole)[0]
    )


def test_minutes_are_of_sixty_seconds(
    store: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    passed = [0.0]

    def clock() -> float:
        passed[0] += 1e-3  # a little at each look
        return passed[0]

    def on_step(_: Progress) -> None:
        passed[0] += 25.0

    monkeypatch.setattr("mri_gan.train.loop.time.perf_counter", clock)
    last = train(Run(store, tmp_path, CONFIG, replace(OPTIONS, minutes=1), on_step=on_step))
    assert last.name == "ckpt-000000032.pt"  # the fourth step begins after 75 seconds


def test_a_run_that_its_caller_ends_after_a_step_goes_on_from_there(
    store: Path, whole: Path, tmp_path: Path
) -> None:
    shown: list[int] = []
    run = Run(
        store,
        tmp_path,
        CONFIG,
        OPTIONS,
        on_step=lambda progress: shown.append(progress.nimg),
        wants_end=lambda: 32 in shown,
    )
    assert train(run).name == "ckpt-000000032.pt"
    last = train(Run(store, tmp_path, CONFIG, OPTIONS))
    assert weights(last) == weights(list_checkpoints(whole)[0])


def test_after_a_crash_the_run_goes_on_from_its_last_checkpoint(
    store: Path, whole: Path, tmp_path: Path
) -> None:
    class CrashError(Exception):
        pass

    def crash(progress: Progress) -> None:
        if progress.nimg == 72:
            raise CrashError

    with pytest.raises(CrashError):
        train(Run(store, tmp_path, CONFIG, OPTIONS, on_step=crash))
    last = train(Run(store, tmp_path, CONFIG, OPTIONS))
    assert weights(last) == weights(list_checkpoints(whole)[0])
    counts = [line["nimg"] for line in read_metrics(tmp_path / METRICS)]
    assert counts == [line["nimg"] for line in read_metrics(whole / METRICS)]


def test_a_damaged_newest_checkpoint_falls_back_one(
    store: Path, whole: Path, tmp_path: Path
) -> None:
    run_until(store, tmp_path, 88)
    newest = list_checkpoints(tmp_path)[0]
    newest.write_bytes(newest.read_bytes()[:5000])
    notes: list[str] = []
    last = train(Run(store, tmp_path, CONFIG, OPTIONS, on_note=notes.append))
    assert weights(last) == weights(list_checkpoints(whole)[0])
    assert str(newest) in notes[0]
    assert newest.with_suffix(".damaged").exists()


def test_only_damaged_checkpoints_are_an_error_and_not_a_new_start(
    store: Path, tmp_path: Path
) -> None:
    run_until(store, tmp_path, 8)
    for path in list_checkpoints(tmp_path):
        path.write_bytes(b"damaged")
    with pytest.raises(DataError, match="checkpoint"):
        train(Run(store, tmp_path, CONFIG, OPTIONS))


def test_a_finished_run_is_left_as_it_is(store: Path, whole: Path) -> None:
    before = list_checkpoints(whole)[0].stat().st_mtime_ns
    last = train(Run(store, whole, CONFIG, OPTIONS))
    assert last.stat().st_mtime_ns == before


def test_a_larger_kimg_goes_on_from_the_end(store: Path, tmp_path: Path) -> None:
    short, long = replace(CONFIG, kimg=0.064), replace(CONFIG, kimg=0.096)
    assert load_checkpoint(train(Run(store, tmp_path, short, OPTIONS))).nimg == 64
    continued = train(Run(store, tmp_path, long, OPTIONS))
    straight = train(Run(store, tmp_path / "straight", long, OPTIONS))
    assert weights(continued) == weights(straight)


def test_a_smaller_kimg_than_was_trained_is_refused_and_changes_nothing(
    store: Path, tmp_path: Path
) -> None:
    long = replace(CONFIG, kimg=0.064)
    train(Run(store, tmp_path, long, OPTIONS))
    before = (tmp_path / "config.json").read_bytes()
    with pytest.raises(UsageError, match=r"0\.064 kimg are trained, more than --kimg 0\.032: give"):
        train(Run(store, tmp_path, replace(CONFIG, kimg=0.032), OPTIONS))
    assert (tmp_path / "config.json").read_bytes() == before
    train(Run(store, tmp_path, long, OPTIONS))  # the same again is no other


def test_an_unfinished_run_may_end_earlier(store: Path, tmp_path: Path) -> None:
    run_until(store, tmp_path, 8)
    last = train(Run(store, tmp_path, replace(CONFIG, kimg=0.032), OPTIONS))
    assert load_checkpoint(last).nimg == 32


def test_another_setting_is_refused_and_named(store: Path, tmp_path: Path) -> None:
    run_until(store, tmp_path, 8)
    with pytest.raises(UsageError, match=r"lr was 0\.001, now 0\.002"):
        train(Run(store, tmp_path, replace(CONFIG, lr=2e-3), OPTIONS))


def test_a_run_may_start_from_a_checkpoint_of_another_folder(
    store: Path, whole: Path, tmp_path: Path
) -> None:
    middle = list_checkpoints(whole)[3]
    last = train(Run(store, tmp_path, CONFIG, OPTIONS), start_from=Start(middle))
    assert weights(last) == weights(list_checkpoints(whole)[0])


def test_crossing_a_multiple() -> None:
    assert crosses(90, 100, 100)
    assert crosses(90, 110, 100)
    assert not crosses(100, 110, 100)


def test_checkpoints_fall_on_ticks_and_are_about_25() -> None:
    config = TrainConfig(max_size=32, phase=10_000)
    here = Path()
    assert Run(here, here, config).snap == 2000
    assert Run(here, here, TrainConfig()).snap == 100_000


def test_weights_that_fit_can_be_taken_from_a_run_of_other_settings(
    store: Path, whole: Path, tmp_path: Path
) -> None:
    larger = replace(CONFIG, max_size=32, kimg=0.016)
    source = list_checkpoints(whole)[0]
    with pytest.raises(UsageError, match="max_size was 16, now 32"):
        train(Run(store, tmp_path, larger, OPTIONS), start_from=Start(source))
    notes: list[str] = []
    options = replace(OPTIONS, transfer=True)
    state = resume(Run(store, tmp_path, larger, options, on_note=notes.append), "", Start(source))
    old, new = load_checkpoint(source).state["g"], state.g.state_dict()
    assert state.nimg == 0
    assert all(torch.equal(new[name], old[name]) for name in old)
    assert "start from scratch" in notes[0]


@pytest.mark.parametrize(
    ("classes", "said"),
    [
        (("AD", "no", "yes"), "serve group no, and so with 1 other label"),
        (("AD", "CN", "no"), "weights learned for group MCI now serve group no"),
        (("AD", "CN", "MCI"), ""),
        (("AD", "CN"), ""),
    ],
)
def test_other_classes_than_a_network_was_trained_with_are_named(
    store: Path, tmp_path: Path, classes: tuple[str, ...], said: str
) -> None:
    notes: list[str] = []

    def run_of(values: tuple[str, ...]) -> Run:
        config = replace(CONFIG, conditions=Conditions((Column("group", values),)))
        return Run(store, tmp_path, config, OPTIONS, on_note=notes.append)

    before, now = run_of(("AD", "CN", "MCI")), run_of(classes)
    state = resume(before, "")
    weights = {name: getattr(state, name).state_dict() for name in ("g", "d", "g_ema")}
    source = Checkpoint(before.config, 8, 4, 1.0, "", weights)
    transfer(now, resume(now, ""), source, tmp_path / "a.pt")
    assert notes[0].endswith(said)
    assert ("now serve" in notes[0]) is bool(said)


def test_labels_that_differ_over_one_store_are_called_labels(whole: Path) -> None:
    path = list_checkpoints(whole)[0]
    checkpoint = load_checkpoint(path)
    with pytest.raises(UsageError, match=r"\(the labels of the training data\)"):
        check_same_run(path, checkpoint, CONFIG, "other", checkpoint.store)
    with pytest.raises(UsageError, match=r"\(the training data\)"):
        check_same_run(path, checkpoint, CONFIG, "other", "other")


def test_another_rate_continues_an_unfinished_run_and_starts_after_a_finished_one(
    store: Path, whole: Path, tmp_path: Path
) -> None:
    source = list_checkpoints(whole)[0]
    done = load_checkpoint(source)
    options = replace(OPTIONS, transfer=True)
    for more_kimg, nimg in ((0.0, 0), (0.1, done.nimg)):
        config = replace(CONFIG, lr=5e-4, kimg=done.nimg / 1000 + more_kimg)
        state = resume(Run(store, tmp_path, config, options), done.data, Start(source))
        assert state.nimg == nimg


def test_what_optimisers_remember_lies_as_the_weights_of_this_run_do(
    store: Path, whole: Path, tmp_path: Path
) -> None:
    """The checkpoint may come from a device with another order of axes."""
    source = list_checkpoints(whole)[0]
    config = replace(CONFIG, kimg=1.0, layout="channels-last")
    options = replace(OPTIONS, transfer=True)
    state = resume(
        Run(store, tmp_path, config, options), load_checkpoint(source).data, Start(source)
    )
    moments = [(w, kept["exp_avg"]) for w, kept in state.g_opt.state.items()]
    assert any(not weight.is_contiguous() for weight, _ in moments)
    assert all(weight.stride() == moment.stride() for weight, moment in moments)


def test_a_run_with_conditions_stops_and_continues_to_the_same_bits(
    labelled: tuple[Path, TrainConfig], tmp_path: Path
) -> None:
    store, config = labelled
    whole = train(Run(store, tmp_path / "whole", config, OPTIONS))
    run_until(store, tmp_path / "stopped", 56, config)
    assert weights(train(Run(store, tmp_path / "stopped", config, OPTIONS))) == weights(whole)
    assert load_trained(whole).conditions == config.conditions
    assert load_trained(whole).generator.condition_dim == config.conditions.dim == 1


def test_a_level_that_fades_in_is_drawn_as_it_does(whole: Path) -> None:
    with Image.open(whole / "fade-0016px.png") as sheet:
        assert sheet.height == 4 * (128 + 14 + GAP) + GAP + 3 * LINE_PX  # alpha, psi, mark
    assert not (whole / "fade-0008px.png").exists()


def test_the_run_folder_tells_settings_data_and_environment(store: Path, whole: Path) -> None:
    facts = read_json(whole / "config.json")
    assert facts["settings"] == settings_used(CONFIG)
    data = load_training_data(store, CONFIG, None)
    assert facts["data_digest"] == data.digest
    assert facts["data"]["training_slices"] == len(data.indices)
    assert facts["data"]["training_subjects"] == data.subjects
    with StoreReader(store) as opened:
        natives = Counter(str(record.native) for record in opened.records)
    assert facts["data"]["slices_by_native_size"] == natives
    assert facts["environment"]["device"] == "cpu"


def test_a_caller_is_told_of_every_checkpoint_when_it_is_there(
    store: Path, whole: Path, tmp_path: Path
) -> None:
    seen: list[tuple[str, int]] = []

    def look(path: Path) -> None:
        seen.append((path.name, load_trained(path).nimg))

    train(Run(store, tmp_path, CONFIG, OPTIONS, on_snapshot=look))
    names = sorted(path.name for path in list_checkpoints(whole))
    assert [name for name, _ in seen] == names
    assert [nimg for _, nimg in seen] == [int(name[5:14]) for name in names]


def test_a_schedule_of_the_users_own_is_followed_and_continued(store: Path, tmp_path: Path) -> None:
    stages = (Stage(8, 0, 24, 12, 2e-3), Stage(16, 16, 8, 4))
    config = replace(CONFIG, schedule=stages, batch=None, lr=None, n_critic=2, penalty_every=3)
    whole = train(Run(store, tmp_path / "whole", config, OPTIONS))
    assert whole.name == "ckpt-000000048.pt"
    lines = read_metrics(tmp_path / "whole" / METRICS)
    assert {(line["resolution"], line["batch"]) for line in lines} == {(8, 12), (16, 4)}
    run_until(store, tmp_path / "stopped", 28, config)
    assert weights(train(Run(store, tmp_path / "stopped", config, OPTIONS))) == weights(whole)


def test_another_schedule_is_another_run(store: Path, tmp_path: Path) -> None:
    stages = (Stage(8, 0, 24, 12), Stage(16, 16, 8, 4))
    config = replace(CONFIG, schedule=stages, batch=None, lr=None)
    run_until(store, tmp_path, 12, config)
    other = replace(config, schedule=(stages[0], replace(stages[1], fade=12)))
    with pytest.raises(UsageError, match="schedule was"):
        train(Run(store, tmp_path, other, OPTIONS))
