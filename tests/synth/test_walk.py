"""Walks: through every seed, even steps, and a loop that closes."""

import copy
import math
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from phantoms.models import SMALL, save_untrained
from PIL import Image

from mri_gan.conditions import NO_CONDITIONS, Column, Conditions
from mri_gan.errors import UsageError
from mri_gan.nets.build import DrawSettings, build_generator
from mri_gan.pictures import LINE_PX, Shows
from mri_gan.synth.figures import Drawing
from mri_gan.synth.sample import condition_rows, load_trained
from mri_gan.synth.walk import (
    Walk,
    caption_frames,
    check_suffix,
    describe,
    find_column,
    fit_walk,
    frames_through,
    lerp,
    path_styles,
    save_animation,
    slerp,
    sweep_conditions,
    sweep_parts,
    walk_frames,
)

SPEC = Conditions(
    (
        Column("age", mean=50.0, scale=10.0, low=20.0, high=80.0),
        Column("group", values=("AD", "CN")),
    )
)


@pytest.fixture(scope="module")
def drawing(tmp_path_factory: pytest.TempPathFactory) -> Drawing:
    trained = load_trained(save_untrained(tmp_path_factory.mktemp("run"), alpha=1.0))
    return Drawing(trained, DrawSettings(16))


@pytest.mark.parametrize("space", ["w", "z"])
def test_the_way_passes_through_every_seed(drawing: Drawing, space: str) -> None:
    w = path_styles(drawing, Walk((1, 2, 3), steps=4, space=space))
    assert len(w) == 9
    assert torch.allclose(w[::4], drawing.w([1, 2, 3]), atol=1e-5)


@pytest.mark.parametrize("space", ["w", "z"])
def test_a_loop_takes_equal_steps_across_its_seam(drawing: Drawing, space: str) -> None:
    w = path_styles(drawing, Walk((1, 2), steps=8, space=space, loop=True))
    assert len(w) == 16
    assert torch.allclose(w[0], drawing.w([1])[0], atol=1e-5)
    assert torch.allclose(w[9:], w[1:8].flip(0), atol=1e-4)


def test_a_great_circle_keeps_the_length_and_the_angle() -> None:
    a, b = torch.tensor([2.0, 0.0]), torch.tensor([0.0, 2.0])
    points = slerp(a, b, torch.tensor([[0.0], [1 / 3], [1.0]]))
    expected = torch.tensor([[2.0, 0.0], [3.0**0.5, 1.0], [0.0, 2.0]])
    assert torch.allclose(points, expected, atol=1e-6)


def test_a_great_circle_is_one_at_small_angles_too() -> None:
    a, b = (torch.tensor([math.cos(x), math.sin(x)]) for x in (0.0, 0.3))
    expected = torch.tensor([[math.cos(0.15), math.sin(0.15)]])
    assert torch.allclose(slerp(a, b, torch.tensor([[0.5]])), expected, atol=1e-6)


def test_the_length_goes_evenly_from_one_end_to_the_other() -> None:
    points = slerp(torch.tensor([1.0, 0.0]), torch.tensor([0.0, 3.0]), torch.tensor([[0.5], [1.0]]))
    assert torch.allclose(points, torch.tensor([[2.0**0.5, 2.0**0.5], [0.0, 3.0]]), atol=1e-6)


def test_the_noise_stays_while_the_style_moves(drawing: Drawing) -> None:
    net = copy.deepcopy(drawing.trained.generator)
    for name, weight in net.named_parameters():
        if name.endswith("noise.weight"):
            weight.data.fill_(0.5)
    loud = Drawing(replace(drawing.trained, generator=net), DrawSettings(16))
    frames = walk_frames(loud, Walk((3, 4), steps=2))
    expected = loud.images(loud.w([3, 4]), [3, 3])
    assert torch.allclose(frames[::2], expected, atol=1e-5)
    assert (loud.images(loud.w([4]), [4]) - expected[1:]).abs().max() > 0.01


def test_a_great_circle_between_equal_ends_stays_there() -> None:
    a = torch.tensor([1.0, 2.0])
    assert torch.allclose(slerp(a, a, torch.tensor([[0.3]])), a)


def test_a_way_without_loop_ends_at_its_last_point() -> None:
    points = torch.tensor([[0.0], [1.0], [3.0]])
    assert frames_through(points, 2, False, lerp).flatten().tolist() == [0.0, 0.5, 1.0, 2.0, 3.0]
    assert frames_through(points, 2, True, lerp).flatten().tolist() == [
        0.0,
        0.5,
        1.0,
        2.0,
        3.0,
        1.5,
    ]


def test_a_sweep_runs_from_the_least_to_the_largest_and_back_in_a_loop() -> None:
    assert sweep_parts(3, loop=False) == [0.0, 0.5, 1.0]
    assert sweep_parts(4, loop=True) == pytest.approx([0.0, 0.5, 1.0, 0.5])


def conditional(drawing: Drawing, condition: str | None, spec: Conditions = SPEC) -> Drawing:
    generator = build_generator(replace(SMALL.model, condition_dim=spec.dim))
    trained = replace(drawing.trained, generator=generator.requires_grad_(False), conditions=spec)
    return Drawing(trained, DrawSettings(16), condition)


def test_a_sweep_changes_one_number_and_leaves_the_rest(drawing: Drawing) -> None:
    drawing = conditional(drawing, "group=CN")
    rows = sweep_conditions(drawing, Walk((1, 2), steps=2, sweep="age"))
    assert rows.tolist() == [[-3.0, 0.0, 1.0], [3.0, 0.0, 1.0]] * 2


def test_in_a_sweep_each_seed_keeps_the_labels_that_it_has_elsewhere(drawing: Drawing) -> None:
    weight = Column("weight", mean=70.0, scale=10.0, low=50.0, high=90.0)
    spec = Conditions((*SPEC.columns, weight))
    drawing = conditional(drawing, None, spec)
    rows = sweep_conditions(drawing, Walk(tuple(range(8)), steps=3, sweep="age"))
    elsewhere = condition_rows(spec, None, range(8))
    assert elsewhere is not None
    assert torch.equal(rows[:, 1:], elsewhere[:, 1:].repeat_interleave(3, 0))
    assert rows[:, 0].tolist() == [-3.0, 0.0, 3.0] * 8
    assert len({tuple(row) for row in rows[:, 1:].tolist()}) == 8  # their other labels differ


def test_a_conditional_model_can_be_swept(drawing: Drawing) -> None:
    drawing = conditional(drawing, "group=AD")
    frames = walk_frames(drawing, Walk((1,), steps=5, sweep="age"))
    assert frames.shape == (5, 1, 16, 16)
    assert (frames[0] - frames[4]).abs().max() > 1e-3
    with pytest.raises(UsageError, match="group: is a class, not a number") as error:
        walk_frames(drawing, Walk((1,), sweep="group"))
    assert error.value.hint == "choose from age"
    classes = Conditions((Column("group", ("AD", "CN")),))
    with pytest.raises(UsageError, match="is a class, not a number") as error:
        sweep_conditions(conditional(drawing, None, classes), Walk((1,), sweep="group"))
    assert error.value.hint == "walk from seed to seed, or generate --condition group=..."


@pytest.mark.parametrize("suffix", [".gif", ".png"])
def test_the_file_holds_every_frame_and_says_that_it_is_synthetic(
    tmp_path: Path, suffix: str
) -> None:
    frames = np.linspace(-1, 1, 3 * 256, dtype=np.float32).reshape(3, 1, 16, 16)
    path = tmp_path / f"walk{suffix}"
    save_animation(path, frames, 10)
    with Image.open(path) as image:
        assert image.n_frames == 3  # type: ignore[attr-defined]
        comment = image.info.get("Comment") or image.info["comment"].decode()
        assert comment == Shows.SYNTHETIC.value
        assert (image.info["loop"], image.info["duration"]) == (0, 100)  # ms
        image.seek(2)
        last = np.asarray(image.convert("L"))[:128:8, ::8]
        assert np.abs(last / 127.5 - 1 - frames[2, 0]).max() < 0.01


def test_frames_have_their_caption_and_the_mark_below(tmp_path: Path) -> None:
    frames = np.zeros((2, 1, 16, 16), np.float32) - 1
    save_animation(tmp_path / "a.png", frames, 10, captions=["seed 1", "seed 1 to 2: 50%"])
    with Image.open(tmp_path / "a.png") as image:
        first = np.asarray(image.convert("L"))
        image.seek(1)
        second = np.asarray(image.convert("L"))
    assert first.shape == (128 + 2 * LINE_PX, 128)
    caption, mark = slice(128, 128 + LINE_PX), slice(128 + LINE_PX, None)
    assert (first[caption] != second[caption]).any()
    assert (first[mark] == second[mark]).all()
    assert first[mark].max() > 100


def test_a_caption_takes_the_lines_that_it_needs_in_every_frame(tmp_path: Path) -> None:
    frames = np.zeros((2, 1, 16, 16), np.float32) - 1
    captions = ["seed 1", "slice position 0.55, seed 12"]
    save_animation(tmp_path / "a.png", frames, 10, captions=captions)
    with Image.open(tmp_path / "a.png") as image:
        assert image.size == (128, 128 + 3 * LINE_PX)  # two, and the mark
        image.seek(1)
        assert image.size == (128, 128 + 3 * LINE_PX)


@pytest.mark.parametrize("size", [16, 64])
def test_every_frame_has_the_sides_of_the_body_in_its_corners(tmp_path: Path, size: int) -> None:
    frames = np.zeros((2, 1, size, size), np.float32) - 1
    frames[1, 0, -1] = 0  # or they would be one frame
    save_animation(tmp_path / "a.png", frames, 10, edges=("R", "L"))
    with Image.open(tmp_path / "a.png") as image:
        for number in range(2):
            image.seek(number)
            grey = np.asarray(image.convert("L"))[:20]
            left, middle, right = grey[:, :16], grey[:, 16:-16], grey[:, -16:]
            assert min(left.max(), right.max()) > 200 > middle.max()
            assert (left[:, ::-1] != right).any()  # two letters


@pytest.mark.parametrize(
    ("loop", "captions"),
    [
        (False, ["seed 3", "seed 3 to 5: 50%", "seed 5"]),
        (True, ["seed 3", "seed 3 to 5: 50%", "seed 5", "seed 5 to 3: 50%"]),
    ],
)
def test_each_frame_of_a_walk_has_a_caption(
    drawing: Drawing, loop: bool, captions: list[str]
) -> None:
    walk = Walk((3, 5), steps=2, loop=loop)
    assert caption_frames(drawing, walk) == captions
    assert len(walk_frames(drawing, walk)) == len(captions)


def test_captions_of_a_sweep_are_the_labels_of_each_frame(drawing: Drawing) -> None:
    said = caption_frames(conditional(drawing, "group=CN"), Walk((3, 5), steps=2, sweep="age"))
    assert said == [f"age {age}, group CN, seed {seed}" for seed in (3, 5) for age in (20, 80)]


@pytest.mark.parametrize("name", ["a.mp4", "a", "a.jpg"])
def test_other_formats_are_refused_with_what_there_is(name: str) -> None:
    with pytest.raises(UsageError, match="animated PNG"):
        check_suffix(Path(name))


@pytest.mark.parametrize("wrong", [{"seeds": (1,)}, {"steps": 1}, {"space": "x"}, {"steps": 9000}])
def test_a_walk_that_cannot_be_is_refused(wrong: dict[str, object]) -> None:
    with pytest.raises(UsageError):
        Walk(**{"seeds": (1, 2), **wrong})  # type: ignore[arg-type]


def test_without_styles_the_way_is_in_z() -> None:
    walk, plain = Walk((1, 2)), replace(SMALL, arch="fastgan").model
    assert fit_walk(walk, build_generator(SMALL.model)) is walk
    assert describe(fit_walk(walk, build_generator(plain)), 25) == "walk in z, 25 frames"
    assert describe(walk, 1).endswith(", 1 frame")


@pytest.mark.parametrize(
    ("spec", "hint"),
    [(SPEC, "choose from age"), (NO_CONDITIONS, "train with --condition weight")],
)
def test_a_number_that_the_model_was_not_trained_with_is_refused(
    spec: Conditions, hint: str
) -> None:
    with pytest.raises(UsageError) as caught:
        find_column(spec, "weight")
    assert hint in str(caught.value.hint)
