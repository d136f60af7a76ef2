"""Archives made to do harm: names that lead out of the folder, bombs, links and devices."""

from __future__ import annotations

import gzip
import io
import struct
import tarfile
import zipfile
import zlib
from collections.abc import Iterator

from phantoms.images import image_bytes, png_bytes, slice_pixels

Member = tuple[str, str, bytes]  # what is hostile, the archive's suffix, its bytes

NAMES = {
    "up": "../outside_{}.png",
    "far up": "../../../../../../../../tmp/outside_{}.png",
    "up within": "set/../../outside_{}.png",
    "absolute": "/tmp/outside_{}.png",
    "two slashes": "//tmp/outside_{}.png",
    "backslashes": "..\\..\\outside_{}.png",
    "drive": "C:\\outside_{}.png",
    "home": "~/outside_{}.png",
    "NUL": "set/a_{}.png\0.txt",
    "line break": "set/a\nb_{}.png",
    "escape codes": "set/\x1b[2J\x1b[31m_{}.png",
    "right to left": "set/\u202egnp_{}.png",
    "long": "set/" + "x" * 5000 + "_{}.png",
    "deep": "d/" * 900 + "a_{}.png",
    "empty parts": "set////a_{}.png",
    "dots": "./././a_{}.png",
    "resource fork": "__MACOSX/set/._a_{}.png",
    "shell": "set/$(touch outside)_{}.png",
    "option": "--out=outside_{}.png",
    "percent": "set/%2e%2e%2foutside_{}.png",
}


def hostile() -> Iterator[Member]:
    """Forty archives; each also holds one good slice."""
    png = png_bytes(slice_pixels(seed=3))
    for kind, name in NAMES.items():
        yield f"zip {kind}", ".zip", _zip([(name.format(1), png)])
    for kind in ("up", "absolute", "up within", "line break", "long"):
        yield f"tar {kind}", ".tar", _tar([(NAMES[kind].format(1), tarfile.REGTYPE, png, "")])
    yield "tar link out", ".tar", _tar([("a_1.png", tarfile.SYMTYPE, b"", "/etc/passwd")])
    yield "tar hard link", ".tar", _tar([("a_1.png", tarfile.LNKTYPE, b"", "../../etc/passwd")])
    through = [("d", tarfile.SYMTYPE, b"", "/tmp"), ("d/outside_1.png", tarfile.REGTYPE, png, "")]
    yield "tar through a link", ".tar", _tar(through)
    yield "tar device", ".tar", _tar([("a_1.png", tarfile.CHRTYPE, b"", "")])
    yield "tar pipe", ".tar.gz", gzip.compress(_tar([("a_1.png", tarfile.FIFOTYPE, b"", "")]))
    yield "zip twice", ".zip", _zip([("a_1.png", png), ("a_1.png", png_bytes(slice_pixels()))])
    yield "zip case", ".zip", _zip([("A_1.png", png), ("a_1.PNG", png)])
    for ratio in (10, 100, 1000):
        yield f"zip bomb {ratio}", ".zip", _zip([("bomb_1.png", _filler(ratio))])
    yield "gzip bomb", ".zip", _zip([("bomb_1.nii.gz", gzip.compress(bytes(300 << 20), 1))], 0)
    yield "tar.gz bomb", ".tar.gz", _tar_bomb()
    yield "png pixel bomb", ".zip", _zip([("bomb_1.png", _png_bomb())])
    yield "png text bomb", ".zip", _zip([("bomb_1.png", _text_bomb(png))])
    yield "zip in zip", ".zip", _zip([("inner.zip", _zip([("a_1.png", png)]))])


def _filler(ratio: int) -> bytes:
    """About a hundred megabytes that pack `ratio` to one."""
    import numpy as np

    size = 100 << 20 if ratio >= 1000 else 8 << 20
    noise = np.random.default_rng(ratio).bytes(size // ratio if ratio < 1000 else 0)
    return noise + bytes(size - len(noise))


def _good() -> tuple[str, bytes]:
    return "good/slice_1.png", png_bytes(slice_pixels(seed=2))


def _zip(members: list[tuple[str, bytes]], method: int = zipfile.ZIP_DEFLATED) -> bytes:
    import warnings

    stream = io.BytesIO()
    with warnings.catch_warnings(), zipfile.ZipFile(stream, "w") as archive:
        warnings.simplefilter("ignore")  # of names that come twice
        for name, data in [_good(), *members]:
            info = zipfile.ZipInfo("placeholder")
            info.filename = name
            archive.writestr(info, data, method)
    return stream.getvalue()


def _tar(members: list[tuple[str, bytes, bytes, str]]) -> bytes:
    stream = io.BytesIO()
    with tarfile.open(fileobj=stream, mode="w") as archive:
        name, data = _good()
        for member, kind, content, link in [(name, tarfile.REGTYPE, data, ""), *members]:
            info = tarfile.TarInfo(member)
            info.type, info.linkname, info.size = kind, link, len(content)
            archive.addfile(info, io.BytesIO(content))
    return stream.getvalue()


def _tar_bomb() -> bytes:
    """A gzipped tar with a member of 100 MB of zeros, packed as it is written."""
    stream = io.BytesIO()
    with gzip.open(stream, "wb", 1) as packed, tarfile.open(fileobj=packed, mode="w") as archive:
        info = tarfile.TarInfo("bomb_1.png")
        info.size = 100 << 20
        name, data = _good()
        good = tarfile.TarInfo(name)
        good.size = len(data)
        archive.addfile(good, io.BytesIO(data))
        archive.addfile(info, io.BytesIO(bytes(info.size)))
    return stream.getvalue()


def _png_bomb() -> bytes:
    """Sixteen-bit pixels of 30,000 x 30,000 zeros in few bytes: the size is in the header."""
    png = image_bytes(slice_pixels(8, 8))
    head = struct.pack(">IIBBBBB", 30_000, 30_000, 8, 0, 0, 0, 0)
    return _with_chunk(png, b"IHDR", head, replace=True)


def _text_bomb(png: bytes) -> bytes:
    """A whole picture beside a compressed text of 100 MB."""
    text = b"Comment\0\0" + zlib.compress(bytes(100 << 20), 1)
    return _with_chunk(png, b"zTXt", text, replace=False)


def _with_chunk(png: bytes, name: bytes, data: bytes, replace: bool) -> bytes:
    body = name + data
    chunk = struct.pack(">I", len(data)) + body + struct.pack(">I", zlib.crc32(body))
    return png[:8] + chunk + png[33:] if replace else png[:33] + chunk + png[33:]
