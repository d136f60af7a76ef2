"""Arrays become grey pictures and contact sheets without losing what they show."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from PIL import Image, ImageDraw
from PIL.PngImagePlugin import PngInfo

from mri_gan.export.formats import safe_name
from mri_gan.pictures import (
    GAP,
    LINE_PX,
    Shows,
    add_lines,
    build_sheet,
    edges_of,
    read_age,
    read_mark,
    read_slice_mark,
    save_png,
    say_channels,
    say_edges,
    sheet_pixels,
    to_grey,
    to_letters,
    to_signed,
    to_stored,
    to_unit,
    wrap_label,
    write_signed,
    write_unit,
)


def numbered(count: int, size: int = 8) -> NDArray[np.uint8]:
    """Pictures that are constant 1, 2, 3 ..."""
    return (
        np.ones((count, size, size), np.uint8)
        * np.arange(1, count + 1, dtype=np.uint8)[:, None, None]
    )


def test_bytes_are_grey_already() -> None:
    images = numbered(2)
    assert to_grey(images) is images


def test_sixteen_bits_keep_their_upper_half() -> None:
    values = np.array([0, 255, 256, 65535], np.uint16)
    np.testing.assert_array_equal(to_grey(values), [0, 0, 1, 255])


def test_floats_span_minus_one_to_one_and_are_clipped() -> None:
    values = np.array([-2, -1, 0, 1, 2], np.float32)
    np.testing.assert_array_equal(to_grey(values), [0, 0, 128, 255, 255])


@pytest.mark.parametrize(("kind", "depth"), [(np.uint8, 8), (np.uint16, 16)])
def test_stored_greys_are_minus_one_to_one_and_0_to_1_and_come_back(kind: Any, depth: int) -> None:
    """Black and white exactly, and every level between them."""
    stored = np.arange(1 << depth, dtype=np.uint32).astype(kind)
    signed, unit = to_signed(torch.from_numpy(stored)).numpy(), to_unit(stored)
    assert (signed[0], signed[-1], unit[0], unit[-1]) == (-1, 1, 0, 1)
    np.testing.assert_allclose(signed, np.linspace(-1, 1, 1 << depth), atol=2e-7)
    np.testing.assert_array_equal(to_stored(signed, depth), stored)
    for write, expected in ((write_signed, signed), (write_unit, unit)):
        written = np.empty(stored.shape, np.float32)
        write(stored, written)
        np.testing.assert_array_equal(written, expected)


def test_sheet_goes_row_by_row() -> None:
    sheet = np.asarray(build_sheet(numbered(5), columns=3))
    step = 8 + GAP
    corners = sheet[GAP::step, GAP::step]
    np.testing.assert_array_equal(corners, [[1, 2, 3], [4, 5, 0]])


def test_scale_repeats_pixels() -> None:
    image = np.arange(64, dtype=np.uint8).reshape(1, 8, 8)
    sheet = np.asarray(build_sheet(image, columns=1, scale=2))
    np.testing.assert_array_equal(sheet[GAP:-GAP, GAP:-GAP], image[0].repeat(2, 0).repeat(2, 1))


def test_notes_stand_below_the_pictures_in_as_many_lines_as_they_take() -> None:
    images = numbered(2, 64)
    plain = build_sheet(images, 2)
    short, long = (build_sheet(images, 2, notes=[text]) for text in ("word", "word " * 10))
    assert (short.height - plain.height, long.height - plain.height) == (LINE_PX, 3 * LINE_PX)
    np.testing.assert_array_equal(np.asarray(long)[: plain.height], np.asarray(plain))
    assert np.asarray(long)[-LINE_PX:].max() > 100  # ink in the last line, too
    assert (
        build_sheet(numbered(2, 8), 2, notes=["word"]).size
        == build_sheet(images[:, :8, :8], 2).size
    )


@pytest.mark.parametrize(
    ("width", "shows", "lines"),
    [
        (40, Shows.SYNTHETIC, 0),
        (120, Shows.SYNTHETIC, 1),
        (120, Shows.REAL, 1),
        (600, Shows.BOTH, 1),
        (600, Shows.CHART, 0),
    ],
)
def test_a_sheet_says_in_its_margin_what_it_shows(
    width: int, shows: Shows, lines: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    written: list[str] = []
    draw = ImageDraw.ImageDraw.text

    def note(self: Any, at: Any, text: str, *more: Any) -> None:
        written.append(text)
        draw(self, at, text, *more)

    monkeypatch.setattr(ImageDraw.ImageDraw, "text", note)
    save_png(tmp_path / "a.png", Image.new("L", (width, 50), 9), shows)
    with Image.open(tmp_path / "a.png") as image:
        assert image.size == (width, 50 + lines * LINE_PX)
        assert (np.asarray(image)[:50] == 9).all()  # over no picture
    assert written == [shows.name if width == 120 else shows.value] * lines


def test_text_on_coloured_sheets_is_grey() -> None:
    sheet = np.asarray(build_sheet(np.zeros((1, 3, 64, 64), np.uint8), 1, ["label"]))
    assert sheet.max() > 100
    assert (sheet[..., 0] == sheet[..., 2]).all()


def test_the_side_of_the_body_is_said_in_words() -> None:
    assert (
        say_edges(("R", "L")) == "R | L: the left edge of a picture is the right side of the body"
    )
    assert say_edges(()) == ""


def test_three_channels_are_colours() -> None:
    colour = np.zeros((1, 3, 8, 8), np.uint8)
    colour[0, 1] = 200
    sheet = build_sheet(colour, columns=1)
    assert sheet.mode == "RGB"
    assert sheet.getpixel((GAP, GAP)) == (0, 200, 0)
    assert np.array_equal(sheet_pixels(colour), colour)  # as of imported networks


@pytest.mark.parametrize("names", [("T1", "mask"), ("T1", "T2", "FLAIR"), ("a", "b", "c", "d")])
def test_channels_with_names_of_their_own_stand_beside_each_other(names: tuple[str, ...]) -> None:
    images = np.stack([np.full((2, 8, 8), 40 * i, np.uint8) for i in range(len(names))], axis=1)
    images[1] += 1
    pixels = sheet_pixels(images, names)
    assert pixels.shape == (2, 8, 8 * len(names))
    assert pixels[1, 3, ::8].tolist() == [40 * i + 1 for i in range(len(names))]
    assert say_channels(names) == f"each picture, from left to right: {', '.join(names)}"


@pytest.mark.parametrize("names", [(), ("image",), ("image",) * 3])
def test_nothing_is_said_of_one_channel_or_of_colours(names: tuple[str, ...]) -> None:
    assert say_channels(names) == ""


def test_labels_are_written_below_and_leave_the_pictures_alone() -> None:
    images = numbered(2, 32)
    sheet = np.asarray(build_sheet(images, 2, ["one", "a label much too long"]))
    np.testing.assert_array_equal(sheet[GAP : GAP + 32, GAP : GAP + 32], images[0])
    assert sheet[GAP + 32 :].max() > 2  # ink


@pytest.mark.parametrize(
    ("given", "drawn"),
    [
        ("Müller Jörg", "Mueller Joerg"),
        ("Mu\N{COMBINING DIAERESIS}ller", "Mueller"),  # as macOS spells names of files
        ("Groß, Łódź, Sørensen", "Gross, Lodz, Sorensen"),
        ("2–3 …", "2-3 …"),
        ("Иван 7", "???? 7"),
    ],
)
def test_letters_that_the_font_lacks_are_spelled_with_those_it_has(given: str, drawn: str) -> None:
    assert to_letters(given) == drawn
    boxed, spelled = (build_sheet(numbered(1, 128), 1, [text]) for text in (given, drawn))
    np.testing.assert_array_equal(np.asarray(boxed), np.asarray(spelled))
    lines, same = (add_lines(Image.new("L", (128, 9)), [text]) for text in (given, drawn))
    np.testing.assert_array_equal(np.asarray(lines), np.asarray(same))


def test_sheets_spell_letters_as_names_of_exported_files_do() -> None:
    names = ["Müller", "Åse", "Bjørn", "René", "Weiß", "Łucja"]
    assert [to_letters(name) for name in names] == [safe_name(name) for name in names]


def test_a_label_takes_three_lines_where_it_needs_them_and_keeps_its_end() -> None:
    assert wrap_label("seed 3", 128) == ["seed 3"]
    assert wrap_label("seed 3, age 45, sex unknown", 128) == ["seed 3, age 45,", "sex unknown"]
    long = "age unknown, sex unknown, position 0.123"
    assert wrap_label(long, 128) == ["age unknown,", "sex unknown,", "position 0.123"]
    for label in ("seed 0, age 71, sex F, position 0.49", "seed 12, slice position 0.5, age 7"):
        assert all(len(line) <= 21 for line in wrap_label(label, 128))
    assert wrap_label("seed 0, slice position 0.5", 128) == ["seed 0,", "slice position 0.5"]
    many = "seed 1234, position 0.25, group CN, age 70, sex M"  # too many lines if kept whole
    assert wrap_label(many, 128) == ["seed 1234, position", "0.25, group CN, age", "70, sex M"]
    cut = wrap_label("Patienten_2019_Klinik_fuer_Radiologie_Innenstadt_Haus_3 train", 96)
    assert cut == ["Patienten_2019_K", "linik_fuer_Radio", "…dt_Haus_3 train"]
    assert max(map(len, cut)) <= 96 // 6
    one, two = (build_sheet(numbered(2, 64), 2, [text, ""]) for text in ("one", "one and two"))
    assert two.height == one.height + LINE_PX


def test_saved_png_reads_back(tmp_path: Path) -> None:
    sheet = build_sheet(numbered(3), columns=2)
    save_png(tmp_path / "a.png", sheet, Shows.REAL)
    np.testing.assert_array_equal(np.asarray(Image.open(tmp_path / "a.png")), np.asarray(sheet))


@pytest.mark.parametrize("shows", Shows)
def test_a_png_says_what_it_shows(tmp_path: Path, shows: Shows) -> None:
    save_png(tmp_path / "a.png", build_sheet(numbered(1), 1), shows)
    with Image.open(tmp_path / "a.png") as read:
        assert read.info["Comment"].startswith(f"{shows.name}: ")
    assert read_mark(tmp_path / "a.png") is shows


def test_a_sheet_is_marked_as_one(tmp_path: Path) -> None:
    save_png(tmp_path / "a.png", build_sheet(numbered(1), 1), Shows.REAL)

    assert read_slice_mark((tmp_path / "a.png").read_bytes()) == (Shows.REAL, False)


def test_a_gif_says_what_it_shows_in_its_comment(tmp_path: Path) -> None:
    Image.new("L", (4, 4)).save(tmp_path / "a.gif", comment=b"SYNTHETIC: by a network")
    assert read_mark(tmp_path / "a.gif") is Shows.SYNTHETIC


def test_a_sheet_can_say_how_old_the_network_was_that_drew_it(tmp_path: Path) -> None:
    for nimg in (None, 1568):
        save_png(tmp_path / "a.png", build_sheet(numbered(1), 1), Shows.SYNTHETIC, nimg)
        assert read_age(tmp_path / "a.png") == nimg
    assert read_age(tmp_path / "none.png") is None


@pytest.mark.parametrize("comment", ["", "made with a camera", "synthetic: yes", "REALLY: no"])
def test_a_picture_without_the_mark_shows_nobody_knows_what(tmp_path: Path, comment: str) -> None:
    text = PngInfo()
    text.add_text("Comment", comment)
    Image.new("L", (4, 4)).save(tmp_path / "a.png", pnginfo=text)
    assert read_mark(tmp_path / "a.png") is None


def test_what_cannot_be_read_has_no_mark(tmp_path: Path) -> None:
    (tmp_path / "a.png").write_bytes(b"SYNTHETIC: no picture")
    assert read_mark(tmp_path / "a.png") is None
    assert read_mark(tmp_path / "none.png") is None


def test_only_charts_and_drawings_may_be_shown_to_all() -> None:
    assert {s.name for s in Shows if not s.shows_people} == {"SYNTHETIC", "CHART"}


def test_the_first_picture_of_a_sheet_says_which_side_is_where() -> None:
    plain, marked = (
        np.asarray(build_sheet(numbered(2, 64), 2, edges=edges)).astype(int)
        for edges in ((), ("R", "L"))
    )
    rows, columns = np.nonzero(plain != marked)
    assert rows.max() < GAP + 16
    assert columns.max() < GAP + 64
    left, right = columns[columns < 32], columns[columns > 32]
    assert (left.max() < 16, right.min() > 48) == (True, True)
    corner = np.concatenate([np.zeros((1, 64, 64), np.uint8), numbered(1, 64)])  # as in mixing
    sheet = np.asarray(build_sheet(corner, 2, edges=("R", "L")))
    assert sheet[:, : GAP + 64].max() == 0
    assert sheet[:, GAP + 64 :].max() > 100
    pair = np.asarray(build_sheet(np.zeros((1, 64, 128), np.uint8) + 1, 1, edges=("R", "L")))
    for half in (pair[:, GAP : GAP + 64], pair[:, GAP + 64 : GAP + 128]):  # of two channels
        assert half[: GAP + 16, :16].max() > 100
        assert half[: GAP + 16, 48:].max() > 100
    same = np.asarray(build_sheet(numbered(2, 8), 2, edges=("R", "L")))
    np.testing.assert_array_equal(same, np.asarray(build_sheet(numbered(2, 8), 2)))


@pytest.mark.parametrize(
    ("facts", "edges"),
    [
        ({"settings": {}, "data": {"image_edges": ["R", "L"]}}, ("R", "L")),
        ({"settings": {"flip": True}, "data": {"image_edges": ["R", "L"]}}, ()),
        ({"settings": {}, "data": {"image_edges": []}}, ()),
        ({"settings": {}, "data": {"image_edges": ["R", 3]}}, ()),
        ({"settings": {}, "data": {}}, ()),
        ([], ()),
    ],
)
def test_sides_are_known_where_they_are_recorded_and_kept(facts: Any, edges: Any) -> None:
    assert edges_of(facts) == edges
