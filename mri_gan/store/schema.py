"""What a store holds and under which names; the one place where writer and reader agree.

A store is a folder with one LMDB environment of several named databases:

    "0008" .. "1024"  slice index (4 bytes, big-endian) -> image record
    "slices"          slice index -> SliceRecord as JSON
    "skipped"         source number in the plan -> {"source", "reason", "kind"} as JSON
    "meta"            "format", "progress", "summary" -> JSON

The JSON of "skipped" and "meta" ends with a line of its CRC-32; that of the slices has one digest
for all, in the summary. One database per level keeps each level one dense, sequential range of
keys.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
import struct
import zlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import lz4.block

from mri_gan.config import DATA_FILE as DATA_FILE
from mri_gan.config import LEVELS
from mri_gan.errors import DataError
from mri_gan.files import crc32, parse_json

if TYPE_CHECKING:  # what only plans and writes does without numpy, which takes long to load
    from numpy.typing import NDArray

FORMAT = "mrigan-store"
VERSION = 2  # 1 had zstd frames, and checksums that did not cover the key
MAX_DATABASES = 16
PREVIEW_FILE, MANIFEST_FILE, SPLIT_FILE = "preview.png", "manifest.tsv", "splits.tsv"
COMPANIONS = (PREVIEW_FILE, MANIFEST_FILE, SPLIT_FILE)  # files beside a store, for people
IMAGE, MASK = "image", "mask"  # names of channels
NAMELESS = "all"  # the subject of files whose names say nobody

# What a worker makes of one slice: its record as JSON, and its unsealed image records by level,
# bytes or views of memory that is shared with it.
EncodedSlice = tuple[bytes, dict[int, Any]]


@dataclass(frozen=True)
class SliceRecord:
    """Where a slice came from and how to put it back there.

    `affine` maps (column, row, 1) of the native-level image to RAS+ millimetres [3, 3];
    None for image files, which carry no geometry. `scale` is native-level pixels per original
    pixel (rows, columns); `padding` is (top, bottom, left, right) native-level pixels, negative
    where the image was cropped. `checksum` is the CRC-32 of the native-level pixels.
    `window` are the scanner values of black and white; `landmarks` those at the places of the
    header's learned landmarks, between which greys run straight (`--intensity nyul`). `notes`
    are on the first slice of a source: `face`, `colour` where that was left out, and
    `dropped:NAME` for every header field that was left out.
    `labels` is what a table of participants says of the subject (age, sex, group, diagnosis), or
    the `class` that a folder names. `pixel_mm` is the size of a native-level pixel, where the
    source has millimetres; at level L a pixel is native / L times as large. `contrast` (t1, flair)
    is there where a store holds several as slices of their own, and not as channels.
    """

    source: str
    subject: str
    split: str
    native: int
    session: str = ""
    side: str = ""
    plane: str = ""
    position: int = -1
    position_mm: float | None = None
    affine: tuple[tuple[float, ...], ...] | None = None
    window: tuple[float, float] | None = None
    shape: tuple[int, int] = (0, 0)
    scale: tuple[float, float] = (1.0, 1.0)
    padding: tuple[int, int, int, int] = (0, 0, 0, 0)
    foreground: float | None = None
    checksum: int = 0
    labels: dict[str, str | float] | None = None
    pixel_mm: float | None = None
    landmarks: tuple[float, ...] | None = None
    notes: tuple[str, ...] | None = None
    contrast: str = ""

    @property
    def is_cut(self) -> bool:
        """Whether it was cut from a volume or an array, and is no image file."""
        return self.foreground is not None or self.affine is not None

    def to_json(self, **changed: Any) -> bytes:
        """Compact JSON with only the fields that say something, `changed` in place of its own."""
        values = {**vars(self), **changed}
        return dump_json({k: v for k, v in values.items() if v != _DEFAULTS[k]})

    @classmethod
    def from_json(cls, data: bytes) -> SliceRecord:
        """The record that `to_json` wrote; names it does not know are left aside."""
        values: dict[str, Any] = load_json(data)
        if not values.keys() <= _DEFAULTS.keys():
            values = {k: v for k, v in values.items() if k in _DEFAULTS}
        lists = {k: _tuples(v) for k, v in values.items() if isinstance(v, list)}
        return cls(**{**values, **lists})


_DEFAULTS = {f.name: f.default for f in dataclasses.fields(SliceRecord)}


def _tuples(value: list[Any]) -> tuple[Any, ...]:
    """A list, and lists in it, as tuples."""
    nested = bool(value) and isinstance(value[0], list)
    return tuple(map(tuple, value)) if nested else tuple(value)


def shown_name(subject: str, file: str) -> str:
    """What to call a slice in a picture: its subject, or its file where that names nobody."""
    return (subject if subject != NAMELESS else file.partition(".")[0]).rpartition("/")[2]


def tell_scans_apart(scans: Sequence[tuple[str, str, str]]) -> list[str]:
    """What to say in pictures beside the names of people: of (subject, session, contrast).

    That is a contrast where there are several, and a session where somebody has several.
    """
    contrasts = len({contrast for _, _, contrast in scans}) > 1
    sessions = len({scan[:2] for scan in scans}) > len({scan[0] for scan in scans})
    return [
        " ".join(filter(None, (contrast * contrasts, _say_session(session) * sessions)))
        for _, session, contrast in scans
    ]


def _say_session(session: str) -> str:
    return f"session {session}" if session.isdecimal() else session


FACE, SYNTHETIC, COLOUR, DROPPED = "face", "synthetic", "colour", "dropped:"
ACQUIRED, TURNED = "acquired:", "turned:"  # plane of acquisition; estimated orientation


# Made once: `json.dumps` makes one at every call.
_ENCODER = json.JSONEncoder(sort_keys=True, separators=(",", ":"), ensure_ascii=False)


def dump_json(value: Any) -> bytes:
    """Canonical JSON: sorted names, no spaces, so that equal values are equal bytes."""
    return _ENCODER.encode(value).encode(errors="surrogatepass")


def dump_checked(value: Any) -> bytes:
    """As `dump_json`, with a second line that `load_json` compares: the CRC-32 of the first."""
    text = dump_json(value)
    return b"%b\n%08x" % (text, zlib.crc32(text))


def load_json(data: bytes) -> Any:
    """The value that `dump_json` or `dump_checked` wrote; raises ValueError when it is damaged."""
    text, checked, crc = bytes(data).partition(b"\n")  # JSON has no line breaks of its own here
    if checked and crc != b"%08x" % zlib.crc32(text):
        raise ValueError("wrong checksum")
    return parse_json(text.decode(errors="surrogatepass"))


def digest_records(records: Iterable[bytes]) -> str:
    """One number for the content of a store, from its slice records as JSON, in order."""
    hasher = hashlib.blake2b(digest_size=16)
    for record in records:
        hasher.update(record)
    return hasher.hexdigest()


def index_key(index: int) -> bytes:
    """The key of slice `index`; big-endian, so that keys sort as numbers do."""
    return index.to_bytes(4, "big")


def label_channels(names: Sequence[str]) -> tuple[int, ...]:
    """The channels that hold labels and not shades: they are scaled by nearest neighbour."""
    return tuple(i for i, name in enumerate(names) if name == MASK)


def label_greys(count: int, depth: int) -> list[int]:
    """The grey levels of `count` labels in order, spread evenly from black to white."""
    return [int(i * ((1 << depth) - 1) / max(count - 1, 1) + 0.5) for i in range(count)]


LEVEL_NAMES = {level: b"%04d" % level for level in LEVELS}  # of their databases
DATABASE_NAMES = (b"meta", b"slices", b"skipped", *LEVEL_NAMES.values())


# The frame of a record: which codec, and a checksum that nothing gets past
#
# A record is one codec byte, a CRC-32 (4 bytes, little-endian) and a payload. The checksum covers
# the codec, the payload and the key of the record, so that a damaged index page which
# leads to the whole record of another slice is noticed, too. Who encodes does not know the key yet:
# such a record is sealed with the empty key, and `seal` adds the real one.

_FRAME = struct.Struct("<BI")  # codec, checksum
HEADER = _FRAME.size


class BadRecordError(DataError):
    """A record whose bytes are not what was written."""


def make_record(codec: int, payload: bytes | memoryview) -> bytes:
    """An unsealed record."""
    return b"".join((_FRAME.pack(codec, crc32(payload, codec)), payload))


def seal(record: bytes | memoryview, key: bytes) -> bytearray:
    """The record with the key that it will be stored under added to its checksum."""
    sealed = bytearray(record)
    codec, crc = _FRAME.unpack_from(record)
    _FRAME.pack_into(sealed, 0, codec, crc32(key, crc))
    return sealed


def payload_of(record: memoryview, key: bytes = b"") -> memoryview:
    """What follows a record's header, checked; raises BadRecordError."""
    payload = record[HEADER:]
    if crc32(key, crc32(payload, record[0])) != int.from_bytes(record[1:5], "little"):
        raise BadRecordError("wrong checksum")
    return payload


def unseal(record: memoryview | None, key: bytes) -> bytes:
    """A sealed record as its encoder made it; raises BadRecordError for none or a damaged one."""
    if not record:
        raise BadRecordError("missing")
    return make_record(record[0], payload_of(record, key))


# The bytes of one image: lossless, checked on every read
#
# The payload of a record (see `sealing`) is, by codec,
#
#     raw        the pixels
#     lz4        the pixels as one LZ4 block
#     upsampled  native level (2 bytes), filter id (1 byte)
#
# Pixels are [C, H, W] in C order, uint8 or little-endian uint16. `upsampled` says: this level is
# the native level enlarged with the named filter, and holds no detail of its own.

RAW, LZ4, UPSAMPLED = 0, 1, 2
FILTER_TENT = 1  # the [1 3 3 1] / 4 interpolation of `pyramid.double`
# Scans are half noise, in which looking harder finds nothing: against acceleration 1, two thirds
# of the time for one per cent more bytes.
ACCELERATION = 8
RAW_UP_TO_PX = 64  # below, decoding costs more than the bytes that it would save

_POINTER = struct.Struct("<HB")


def encode(image: NDArray[Any]) -> bytes:
    """The unsealed record of one image [C, H, W]: raw when small, LZ4 when large."""
    pixels = (image if image.flags.c_contiguous else image.copy()).data.cast("B")
    if image.shape[-1] <= RAW_UP_TO_PX:
        return make_record(RAW, pixels)
    block = lz4.block.compress(pixels, mode="fast", acceleration=ACCELERATION, store_size=False)
    return make_record(LZ4, block)


def encode_upsampled(native: int) -> bytes:
    """The unsealed record that says "enlarge the native level"."""
    return make_record(UPSAMPLED, _POINTER.pack(native, FILTER_TENT))


def decode_pixels(record: memoryview, n_bytes: int, key: bytes = b"") -> memoryview | bytes:
    """The pixel bytes of a raw or LZ4 record, checked.

    Raises BadRecordError when the checksum or the length is wrong.
    """
    payload = payload_of(record, key)
    codec = record[0]
    if codec not in (RAW, LZ4):
        raise BadRecordError(f"unknown codec {codec}")
    try:
        pixels = payload if codec == RAW else lz4.block.decompress(payload, n_bytes)
    except lz4.block.LZ4BlockError as error:
        raise BadRecordError(f"does not hold {n_bytes} bytes") from error
    if len(pixels) != n_bytes:
        raise BadRecordError(f"does not hold {n_bytes} bytes")
    return pixels


def upsampled_from(record: memoryview, key: bytes = b"") -> int | None:
    """The native level that an `upsampled` record points to, or None for other records.

    Raises BadRecordError when the pointer is damaged or its filter unknown.
    """
    if record[0] != UPSAMPLED:
        return None
    payload = payload_of(record, key)
    if len(payload) != _POINTER.size:
        raise BadRecordError("wrong length")
    native, filter_id = _POINTER.unpack(payload)
    if filter_id != FILTER_TENT:
        raise BadRecordError(f"unknown filter {filter_id}")
    return int(native)
