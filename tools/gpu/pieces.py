"""A large file as pieces that travel, and back; a digest says whether all of them arrived."""

from __future__ import annotations

import hashlib
from pathlib import Path

PIECE_BYTES = 15_000_000
DIGEST = ".sha256"


def cut_file(path: Path, folder: Path, piece_bytes: int = PIECE_BYTES) -> list[Path]:
    """Write `NAME.00`, `NAME.01`, ... and `NAME.sha256` into a folder, and return them."""
    content = path.read_bytes()
    pieces = []
    for i, start in enumerate(range(0, len(content), piece_bytes)):
        piece = folder / f"{path.name}.{i:02d}"
        piece.write_bytes(content[start : start + piece_bytes])
        pieces.append(piece)
    note = folder / (path.name + DIGEST)
    note.write_text(hashlib.sha256(content).hexdigest() + "\n", encoding="ascii")
    return [*pieces, note]


def join_pieces(folder: Path, out: Path) -> list[Path]:
    """Put together what `cut_file` wrote; raises ValueError where a piece is missing or damaged."""
    joined = []
    for note in sorted(folder.glob(f"*{DIGEST}")):
        name = note.name.removesuffix(DIGEST)
        content = b"".join(piece.read_bytes() for piece in sorted(folder.glob(f"{name}.[0-9]*")))
        if hashlib.sha256(content).hexdigest() != note.read_text(encoding="ascii").strip():
            raise ValueError(f"{folder}: pieces of {name} are missing or damaged")
        out.mkdir(parents=True, exist_ok=True)
        (out / name).write_bytes(content)
        joined.append(out / name)
    return joined
