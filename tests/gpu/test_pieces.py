"""A checkpoint that travels in pieces arrives whole, or not at all."""

from pathlib import Path

import pytest
from pieces import cut_file, join_pieces


def test_pieces_have_the_size_and_join_to_the_same_bytes(tmp_path: Path) -> None:
    content = bytes(range(256)) * 10
    (tmp_path / "run256-ckpt-000000008.pt").write_bytes(content)
    pieces = cut_file(tmp_path / "run256-ckpt-000000008.pt", tmp_path, piece_bytes=1000)
    assert [piece.stat().st_size for piece in pieces[:-1]] == [1000, 1000, 560]
    (joined,) = join_pieces(tmp_path, tmp_path / "out")
    assert joined.read_bytes() == content


def test_a_piece_that_is_missing_is_noticed(tmp_path: Path) -> None:
    (tmp_path / "a.pt").write_bytes(bytes(2500))
    cut_file(tmp_path / "a.pt", tmp_path, piece_bytes=1000)[1].unlink()
    with pytest.raises(ValueError, match="missing or damaged"):
        join_pieces(tmp_path, tmp_path / "out")
