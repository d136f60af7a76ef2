"""Members (one readable file) and sources (the members that only make sense together)."""

from __future__ import annotations

import functools
import importlib.util
import itertools
import math
import re
import struct
from collections import Counter
from collections.abc import Container, Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from mri_gan.config import SAMPLES, is_run
from mri_gan.store.schema import COMPANIONS, DATA_FILE

# Kinds of files

IMAGE_SUFFIXES = (".png", ".jpg", ".jpeg", ".tif", ".tiff", ".bmp")
STACK_SUFFIXES = (".tif", ".tiff")  # images of which one file may hold several
# Header and voxels in two files of one stem, such as Analyze 7.5.
PAIRS = {
    ".hdr": (".img", ".img.gz"),
    ".hdr.gz": (".img.gz", ".img"),
    ".par": (".rec",),
    ".nhdr": (".raw", ".raw.gz"),
    ".mhd": (".raw", ".zraw"),
}
PAIR_SUFFIXES = (*PAIRS, *dict.fromkeys(suffix for ends in PAIRS.values() for suffix in ends))
NIFTI_SUFFIXES = (".nii", ".nii.gz")
MGH_SUFFIXES = (".mgz", ".mgh")
ITK_SUFFIXES = (".nrrd", ".nhdr", ".mha", ".mhd")
ARRAY_SUFFIXES = (".npy", ".npz", ".mat", ".h5", ".hdf5")
VOLUME_SUFFIXES = (
    *(*NIFTI_SUFFIXES, *MGH_SUFFIXES, ".mnc", *PAIR_SUFFIXES, ".nrrd", ".mha", *ARRAY_SUFFIXES),
)
# Suffix -> the package that reads it and the extra that brings it, where it is not a dependency
EXTRAS = {
    **dict.fromkeys(ITK_SUFFIXES, ("SimpleITK", "itk")),
    **dict.fromkeys((".h5", ".hdf5"), ("h5py", "hdf5")),
    ".7z": ("py7zr", "7z"),
}
DICOM_SUFFIXES = (".dcm", ".ima")
SLICE_SUFFIXES = IMAGE_SUFFIXES + VOLUME_SUFFIXES + DICOM_SUFFIXES
TABLE_NAMES = ("participants.tsv", "participants.csv")
VISITS_ENDING = "_sessions.tsv"  # of a person's visits, as BIDS has it
DATASET_JSON = "dataset.json"  # the labels of a StyleGAN data set
TAR_SUFFIXES = (*(".tar", ".tar.gz", ".tgz", ".tar.bz2", ".tbz2", ".tbz", ".tar.xz", ".txz"),)
ARCHIVE_SUFFIXES = (".zip", ".7z", *TAR_SUFFIXES)  # which are read
OTHER_ARCHIVES = (".rar", ".gz", ".bz2", ".xz", ".zst")
DOUBLE_SUFFIXES = (".nii.gz", ".img.gz", ".hdr.gz", ".raw.gz", ".tar.gz", ".tar.bz2", ".tar.xz")
MAX_MEMBER_BYTES = 4 << 30
# Deflate reaches about 1030:1 at most; real scans stay under 50:1, even nearly empty ones.
MAX_RATIO = 400
SMALL_BYTES = 1 << 20
MAX_DIGITS = 1000
MAX_MEMBERS = 1 << 20  # of one archive
# Why files of a source are not looked at
CLUTTER = "hidden and system files"
LINKS = "links"
TABLES = "tables of labels"
LINKED_FOLDERS = "links to folders (give those folders as sources)"
SPECIAL_FILES = "devices and the like"


Unlisted = list[tuple[str, str]]


@functools.lru_cache(maxsize=1 << 10)
def is_store(folder: Path) -> bool:
    """Whether a folder is a store of ours: LMDB's data, and a companion of ours."""
    return (folder / DATA_FILE).is_file() and any((folder / name).is_file() for name in COMPANIONS)


@functools.lru_cache(maxsize=1 << 10)
def is_of_run(folder: Path) -> bool:
    """Whether a folder is a training run of ours, or that of its samples."""
    return is_run(folder.parent if folder.name == SAMPLES else folder)


@dataclass(frozen=True, slots=True)  # of these there are as many as slices
class Member:
    """One readable thing: a file on disk, or number `number` of an archive.

    `name` is the path inside its container with forward slashes; for a folder it starts with
    the folder's own name, so that a zipped folder and the folder itself have the same names.
    `stamp` shows whether the content may have changed: a zip's CRC-32, or a file's time.
    `offset` is where the bytes of a member of a tar or 7z begin in what is packed together, else
    -1; of a sparse one, its header. `form` is the suffix that its first bytes deserve, where its
    name lacks it.
    """

    container: Path
    name: str
    size: int
    stamp: int
    number: int | None = None
    offset: int = -1
    sparse: bool = False
    form: str = ""

    @property
    def label(self) -> str:
        """How to name it to a person."""
        return str(self.container) if self.number is None else f"{self.container}:{self.name}"

    @property
    def suffix(self) -> str:
        """What kind of file it is, as a suffix."""
        return self.form or suffix_of(self.name)

    @property
    def public_label(self) -> str:
        """How to name it where the store goes: without the folders above what was given."""
        return self.name if self.number is None else f"{self.container.name}:{self.name}"

    @property
    def ours(self) -> str:
        """What of ours it is part of, as the preview of a store and the samples of a run are."""
        if self.number is not None:
            return ""
        folder = self.container.parent
        return "a store" if is_store(folder) else "a run" if is_of_run(folder) else ""


@dataclass
class Listing:
    """What a source holds: what may be read, and what became of all the rest of it."""

    members: list[Member] = field(default_factory=list)
    bad: Unlisted = field(default_factory=list)  # (label, reason)
    ignored: Counter[str] = field(default_factory=Counter)  # files by kind

    def add(self, other: Listing) -> None:
        """Take over what another listing holds."""
        self.members += other.members
        self.bad += other.bad
        self.ignored += other.ignored


@functools.lru_cache(maxsize=1 << 15)
def suffix_of(name: str) -> str:
    """The lower-case suffix, with `.nii.gz` as one; `a.nii.gz_3.png` is a `.png`."""
    # Remembered, since this is asked several times for each of tens of thousands of names.
    file = name_of(name).lower()
    for suffix in DOUBLE_SUFFIXES:
        if file.endswith(suffix):
            return suffix
    dot = file.rfind(".")
    return file[dot:] if 0 < dot < len(file) - 1 else ""


def stem_of(name: str) -> str:
    """The name, or path, without its suffix."""
    return name[: len(name) - len(suffix_of(name))]


def name_of(path: str) -> str:
    """The last part of a path, or of a person's name: without the folders before it."""
    return path.rpartition("/")[2]


def is_clutter(name: str) -> bool:
    """Files that systems leave behind: resource forks, thumbnails, hidden files and folders."""
    parts = name.split("/")
    hidden = any(part[:1] == "." and part.strip(".") for part in parts)
    return hidden or "__MACOSX" in parts or parts[-1] == "Thumbs.db"


def holds_slices(name: str) -> bool:
    """Whether it is named like an image or a volume."""
    return suffix_of(name) in SLICE_SUFFIXES


def why_unread(member: Member) -> str:
    """What kind of file it is, where `prepare` does not read it; empty where it does."""
    suffix = member.suffix
    if ours := member.ours:
        return f"files of {ours}"
    if lacks_reader(suffix):
        return f"{suffix} files (pip install 'mrigan[{EXTRAS[suffix][1]}]' reads them)"
    if suffix in SLICE_SUFFIXES:
        return ""
    if is_table(member.name):
        return TABLES
    if suffix in (*ARCHIVE_SUFFIXES, *OTHER_ARCHIVES):
        return f"{suffix} archives (unpack them first)"
    plain = re.fullmatch(r"\.[a-z][a-z0-9.]{0,9}", suffix)
    return f"{suffix} files" if plain else "files of no known suffix"


def lacks_reader(suffix: str) -> bool:
    """Whether the package that reads such files is not installed."""
    return suffix in EXTRAS and importlib.util.find_spec(EXTRAS[suffix][0]) is None


def is_table(name: str) -> bool:
    """Whether it is a table of labels: of participants, visits or a StyleGAN data set."""
    file = name_of(name).lower()
    return file in (*TABLE_NAMES, DATASET_JSON) or file.endswith(VISITS_ENDING)


def is_wanted(name: str) -> bool:
    """Whether `prepare` reads files of this kind."""
    return holds_slices(name) or is_table(name)


def natural_key(name: str) -> tuple[tuple[int, float, str], ...]:
    """Sort key that puts slice_2 before slice_10, the same on every machine."""
    return tuple(
        (0, int(part) if len(part) <= MAX_DIGITS else math.inf, part)
        if part[0] in "0123456789"
        else (1, 0, part)
        for part in re.split(r"([0-9]+)", name)
        if part
    )


def whole_number(digits: str) -> int:
    """The number that decimal digits spell; -1 for more of them than any count has."""
    # Python refuses to convert more than 4,300 digits.
    return int(digits) if len(digits) <= MAX_DIGITS else -1


def nearest_folder(name: str, known: Container[str]) -> str | None:
    """The innermost folder of a path that is known; the empty one is around all."""
    while name:
        name = name.rpartition("/")[0]
        if name in known:
            return name
    return None


def common_prefix(names: Sequence[str]) -> str:
    """The folders that all names share, with the closing slash; empty when there is none."""
    if not names:
        return ""
    # Of sorted names, the first and the last differ the most.
    first, last = (name.split("/")[:-1] for name in (min(names), max(names)))
    shared = itertools.takewhile(lambda pair: pair[0] == pair[1], zip(first, last, strict=False))
    return "".join(f"{part}/" for part, _ in shared)


# Members become sources: one file, or the files that only make sense together

SINGLE_SUFFIXES = tuple(s for s in IMAGE_SUFFIXES if s not in STACK_SUFFIXES)
Parts = tuple[Member, ...]
Labels = dict[str, str | float]


@dataclass(frozen=True, slots=True)
class Naming:
    """What a path says; empty strings and -1 where it says nothing."""

    layout: str
    subject: str
    session: str = ""
    split: str = ""
    side: str = ""
    plane: str = ""
    position: int = -1
    mask: bool = False
    label: str = ""  # its class
    contrast: str = ""  # t1, t2, flair, ..., or a channel's number
    run: str = ""
    kind: str = ""  # of what is not a plain picture: derivative, field map, ...
    found_in: str = ""  # folder, study, series or table that names the person of DICOM files

    @property
    def is_inferred(self) -> bool:
        """Whether it was worked out from all names together, as those of no known collection."""
        return self.layout in ("volumes", "images")


# Collections that are not spelled in capitals, by their layout.
SPELLED = {
    "brats": "BraTS",
    "camcan": "CamCAN",
    "cc359": "Calgary-Campinas",
    "crossmoda": "crossMoDA",
    "fastmri": "fastMRI",
    "freesurfer": "FreeSurfer",
    "iseg": "iSeg",
    "learn2reg": "Learn2Reg",
    "mmwhs": "MM-WHS",
    "mrnet": "MRNet",
    "ms2015": "MS lesions 2015",
    "myops": "MyoPS",
    "neurite": "neurite-OASIS",
    "nnunet": "nnU-Net",
    "oasis-course": "the OASIS course archive",
    "oasis1": "OASIS-1",
    "oasis2": "OASIS-2",
    "oasis3": "OASIS-3",
    "picai": "PI-CAI",
    "stylegan": "StyleGAN's dataset.json",
    "ukbiobank": "UK Biobank",
}


def spell_layout(layout: str) -> str:
    """How a collection is called whose file names have this layout: `BIDS` for `bids`."""
    return SPELLED.get(layout, layout.upper())


@dataclass(frozen=True, slots=True)
class Source:
    """What may hold slices, and what its path says.

    `member` names it; `others` are the further files that it is made of, such as the `.img` of
    an Analyze header.
    """

    member: Member
    name: str  # relative to the folder that all members of its container share
    naming: Naming
    others: tuple[Member, ...] = ()
    labels: Labels | None = None  # age, sex, diagnosis, where a table gives them
    mask: Source | None = None  # what is drawn over it, for --masks
    channels: tuple[Source, ...] = ()  # the same head in other contrasts, for --channels
    hidden: bool = False  # under a pseudonym: the store may not hold the member's own name
    chosen: int | None = None  # which volume of a file that holds several
    slice_number: int | None = None  # which slice of a stack of many people
    contrast: str = ""  # for its slices to say, where the plan holds several contrasts

    @property
    def members(self) -> tuple[Member, ...]:
        """All files that it is made of, those of its mask and of its channels included."""
        beside = (*self.channels, *((self.mask,) if self.mask else ()))
        return (self.member, *self.others, *(m for one in beside for m in one.members))

    def say_channel(self, other: Source) -> str:
        """How reasons name its file of another contrast, whose name may tell whose it is."""
        file = "" if self.hidden else f" ({name_of(other.member.name)})"
        return f"its {other.naming.contrast}{file}"

    def blame(self, reason: str) -> tuple[Source, str]:
        """Which of its files in several contrasts a reason is about, and what goes with that."""
        if not self.channels:
            return self, reason
        starts = {f"{self.say_channel(one)}: ": one for one in self.channels}
        start = next((one for one in starts if reason.startswith(one)), "")
        guilty = starts.get(start, self)
        rest = [self.say_channel(one) for one in (self, *self.channels) if one is not guilty]
        are = "are" if len(rest) > 1 else "is"
        said = reason if self.hidden else reason.removeprefix(start)
        return self if self.hidden else guilty, f"{said}; {', '.join(rest)} {are} left out with it"

    @property
    def is_volume(self) -> bool:
        """Whether it is a volume and not a single slice."""
        return self.member.suffix not in IMAGE_SUFFIXES

    @property
    def has_geometry(self) -> bool:
        """Whether its kind of file says millimetres and orientation."""
        return self.is_volume and not self.is_array

    @property
    def is_array(self) -> bool:
        """Whether it is a bare array of numbers, such as `.npy`."""
        return self.member.suffix in ARRAY_SUFFIXES

    @property
    def holds_stack(self) -> bool:
        """Whether it may hold several slices."""
        return self.member.suffix not in SINGLE_SUFFIXES

    @property
    def public_label(self) -> str:
        """How to name it where the store goes."""
        return self.name if self.hidden else self.member.public_label

    @property
    def is_series(self) -> bool:
        """Whether it is the files of a DICOM series."""
        return self.member.suffix in DICOM_SUFFIXES


def say_lost_with(source: Source, sources: Iterable[Source]) -> str:
    """All that is lost where one file of a series is damaged; empty for any other source.

    `sources` are those among which the person may have another scan.
    """
    count = len(source.members)
    if count == 1 or not source.is_series:
        return ""
    who = source.naming.subject
    only = sum(other.naming.subject == who for other in sources) == 1
    return f"its whole series of {count:,} files" + ", the only scan of this person," * only


def members_of(sources: Iterable[Source]) -> set[Member]:
    """The files of some sources, each once: a mask may belong to several."""
    return {member for source in sources for member in source.members}


def pair_members(members: Iterable[Member]) -> tuple[list[Parts], Unlisted]:
    """Each member alone, but a header and its voxels of one stem and folder together.

    Gives the parts of every source in the order of their first member, and (label, reason) of
    halves that lack the other.
    """
    members = list(members)
    halves: dict[tuple[str, str], list[Member]] = {}
    for member in members:
        if member.suffix in PAIR_SUFFIXES:
            halves.setdefault(_pair_key(member), []).append(member)
    parts: list[Parts] = []
    bad: Unlisted = []
    for member in members:
        if member.suffix not in PAIR_SUFFIXES:
            parts.append((member,))
            continue
        pair = halves.pop(_pair_key(member), [])
        if pair:
            _add_pair(pair, parts, bad)
    return parts, bad


def _pair_key(member: Member) -> tuple[str, str]:
    """Where a half is and its name without the suffix, which its other half shares."""
    # In a folder every file is its own container; archives are distinguished.
    place = member.container.parent if member.number is None else member.container
    return str(place), stem_of(member.name)


def _add_pair(halves: Sequence[Member], parts: list[Parts], bad: Unlisted) -> None:
    left = sorted(halves, key=lambda m: natural_key(m.name))
    for header in [m for m in left if m.suffix in PAIRS]:
        left.remove(header)
        ends = PAIRS[header.suffix]
        voxels = next((m for end in ends for m in left if m.suffix == end), None)
        if voxels is None:
            missing = f"{ends[0]} (or {ends[1]})" if len(ends) > 1 else ends[0]
            bad.append((header.label, f"its {missing} file is missing from the same folder"))
        else:
            left.remove(voxels)
            parts.append((header, voxels))
    for member in left:
        needed = next(header for header, ends in PAIRS.items() if member.suffix in ends)
        bad.append((member.label, f"its {needed} file is missing from the same folder"))


# DICOM by its first bytes, where the name does not say so

HEAD_BYTES = 160
PREAMBLE = 128
# Value representations that a data set may begin with, as groups 2 and 8 have them.
FIRST_KINDS = {b"UL", b"UI", b"CS", b"OB", b"SH", b"LO", b"DA", b"TM"}
LONGEST_FIRST = 256  # bytes of the first value of a data set without a preamble


def needs_look(name: str) -> bool:
    """Whether its name leaves open that it is DICOM: of no known suffix, or `.img`."""
    return not is_wanted(name) or suffix_of(name) == ".img"


def form_of(head: bytes) -> str:
    """The suffix that a file with these first bytes deserves; empty where its name may say it."""
    dicom = head[PREAMBLE : PREAMBLE + 4] == b"DICM" or _begins_bare(head)
    return DICOM_SUFFIXES[0] if dicom else ""


def _begins_bare(head: bytes) -> bool:
    """Whether these are two elements of a DICOM data set that has no preamble."""
    first = _element(head, 0)
    if first is None or first[0] not in (2, 8):
        return False
    second = _element(head, first[2])
    return second is not None and second[0] in (2, 8) and second[:2] > first[:2]


def _element(head: bytes, at: int) -> tuple[int, int, int] | None:
    """(group, number, end) of the element that begins there, in little endian."""
    if at + 8 > len(head):
        return None
    group, number, length = struct.unpack_from("<HHI", head, at)
    if head[at + 4 : at + 6] in FIRST_KINDS:
        length = length >> 16
        if head[at + 4 : at + 6] == b"OB":
            length = struct.unpack_from("<I", head.ljust(at + 12, b"\0"), at + 8)[0] + 4
    return (group, number, at + 8 + length) if length <= LONGEST_FIRST else None
