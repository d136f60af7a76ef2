"""7z archives are read in memory, in one pass, and their damage is noticed."""

from __future__ import annotations

import base64
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import phantoms
import pytest
from phantoms.sevenzip import (
    describe_files,
    encode_header,
    join,
    one_block,
    write_7z,
)

from mri_gan.errors import DataError
from mri_gan.ingest.options import PrepareConfig
from mri_gan.ingest.plan.plan import build_plan
from mri_gan.ingest.read import sevenzip
from mri_gan.ingest.read.archives import list_source, read_member
from mri_gan.store.reader import StoreReader

FILES = {f"set/a_{i}.png": bytes([i]) * 700 for i in (1, 2, 10)}
# Of the same files: `7z a -m0=METHOD` of 7-Zip 26.02, and bsdtar of libarchive 3.6.2.
BY_OTHERS = {
    "7z, LZMA2": (
        "H+sCUCma9->vnx+mH+?%00000ApigX00000cI-LF;0QAS6<q)T@B9D%ix7w1m+$=>o#Mv<*P6IM0001iGY75"
        "@&)ILh59{ijzcxMo*iD5-CmaDH<P#J<L88cwwCe(2`kN6?KCOv9!o$BEuLUK1$m3}r-um3w4%Y&j-w_5?u^w"
        "mK$fESDBL2s!^(h*8Bko4WQqwaV5YnLg1z}&%0Y%PG5mnD@0TM73iV2VvTmTma9RUe>00#>J00AQd0RaVF01"
        "yBG41mrG0e43uGXMY"
    ),
    "7z, LZMA": (
        "H+sCUCma9-vUVx@lmGw#00000ApigX00000fR*Fr008g%|Nn~+huxR&{TrR)#{t)xxIh2^finlL56@jM3<t<"
        "VfP;Zs|EzaqKLxr6-J+pB*EkMBR(wTifW@lOXZCW~$094ZHcCAMJoxRXZ)ampO^NGYBgG>S*K5{@wQiV$<_<"
        "NGx=>L+o`MHdRm$f4HG&KW5b4o>^g)6S;h1j!cY68(>~f+)OE~==r~m)}7X}sq34Q<v3jqKDBLe{e1zi9T00"
        "0bt&I$p~jdi5}00"
    ),
    "7z, BZip2": (
        "H+sCUCma9-VyjyEtN;K200000ApigX00000JZgC&LRx4!F+o`-Q(4(TEC&Dp0YC__5D)+W0H6RNB=kXnv6u+"
        "h2<R8IMDcedQ-ui)loG&j004nA2d)p%JzgxJkf3ry)Uo2PLzDxk*$VPiflMBijuui?mX95wAYs49^w;n+$hT"
        "P2NvXoLiw7^J=IG!CfU~;eBsR_F9N!aaUO*^`JnmNC9u9OX$ksHei7BIX3ugL=$VaHdO$@)+84P17A2Xl)1f"
        "48E7X~x|33vbp3jqKDBLe{e1zi9T000bt&I$pqE=kz{00"
    ),
    "7z, Deflate": (
        "H+sCUCma9-;QA{kjsO4v00000ApigX00000Cu*MJ?ZH6}000O8q3P59fz5FnFc5VRwGj0H0D&_Ht`E;{?u-Y"
        ">Lu>-qg*xU#n0**SYnc}O#_X+-4fy~iY8b$g0P<A0<5w^f3-@hZ(~?wrl5?U;8}zV)&(K{Jbi;UrhZ*F$HD!"
        "8L2d2Q^g;6dWsk^FEh!c@%JEQW-Ne{T>@+BdH;%sM<aDMx#4BZz77Xb-(00#>J00AQd0RaVF01yBG41mrG0m"
        "V4gi2wi"
    ),
    "7z, Delta, each alone": (
        "H+sCUCma9-)8lqZv;Y7A00000ApigX00000{XF=@-~zh<3ta#J-~a#b|NK=~*Z=_F0=obUT>u4N|9}1e^i@Y"
        "*007_uy8sJa00CeBfBpaTRYzU`0001iGY76upSB%G=Uym0Q6%4~kV+EYl|`ucx*6yC?Q)NpQ(pwOG-*8MW@t"
        "5Bn-?o6tzVSsKE42*K`rzGbeWo+O%S^LB?2lskxH}?00Z_~vD}<!xw>)d6l`gpfD(x4-par~Pv6L>j8ge=aG"
        "1hdxpB(bh)y`*7X~>233~ts3jqKDBLe{e1zi9T000bt?g{}{lWY9|00"
    ),
    "bsdtar": (
        "H+sCUCma9+i)Eo=yZ`_I00000A^-pY00000Ez5PU00D3Nzy6B{>&*A=p|J^?ckXW%e?R~KkZb?|004nA2d)p"
        "#$FFD)>*}5X4Ppb0(@a7?4(uXldJS%)%zEnF1K}IEy^=H?3dnz@0OEVRC30b^RF^$WlfSn+-%DBvQe5={mCL"
        "*)X@;HgG4Av6;!M#Ab)!nEfFb0?XZie(0vy<}oO;??RzKdr0z~~l&pHBtpYDpt2p3=8e6;$CI&w39p<}2v>L"
        "AL<(fVz^eauN-RIiKw+idUv7X};w34ovg2MYlJ0V4we0R>$E0Du4tfe#7+!ap15000"
    ),
    "7z, encrypted": (
        "H+sCUCma9-55j#kumAu600000A^-pY00000pkU9Q4BIxW1I%iexhaXUFoO&YTB%brehPqCwShB`2Pe4l004n"
        "A2d)p$4zN6*IS`zmrqwgrvM#Xcal;9-w8%skbm-IxDCmt#S?9rS5;}d{|K^fBS6gg?ZLrG4<j17LVYt*ze2Z"
        ">q$a`R%X_k-e)`t*X>yu%42pgjhj7<`pi#;NCa|G*8z@o68JWo0-9i!&f9|%eH6*kxTPujWFVz~5|9lUvN%n"
        "#S}=?=AQ7X}~!34o9Q2MYlJ0V4we0R>$E5C8xSfZhrL)CMlV000"
    ),
    "7z, header encrypted": (
        "H+sCUCma9-smuXDumAu600000J^%m!00000kCT^lAcn4!)$8KrXkIwiKz=6$Lw)17b)!i&tE?emHI{NNv2Lu"
        "ZkJ;90i-r)dlHArY$1kkgHtnU9s|YXQ6r(EOJ()3wy0GiW+#Qt3Lcd3P-`JK#VP>efGUkP4=@D?xY_)12t(<"
        "%9@Re4W`ic@UNU0rT!%6<Q6;vn1g--S-WthZP3JW5L6NuVIo3IodQ#q~%s!^5CVxUjPkFAzhJLP$<;R`zG7%"
        "gLRRwW$K7X}~!34o9Q2MYlJ0wf0U2LTdO4<^1Q^}v)u$5ZH0qE&_32_pjm0R>$E5C8xH01SYTfZhrL(9R@u0"
        "00"
    ),
}


def contents(path: Path) -> dict[str, bytes]:
    found = list_source(path)
    assert (found.bad, +found.ignored) == ([], {})
    return {member.name: read_member(member) for member in found.members}


@pytest.mark.parametrize("program", [name for name in BY_OTHERS if "encrypted" not in name])
def test_what_other_programs_pack_is_read(tmp_path: Path, program: str) -> None:
    (tmp_path / "a.7z").write_bytes(base64.b85decode(BY_OTHERS[program]))
    assert contents(tmp_path / "a.7z") == contents(tmp_path) == FILES


@pytest.mark.parametrize("program", ["7z, encrypted", "7z, header encrypted"])
def test_an_encrypted_archive_is_one_line(tmp_path: Path, program: str) -> None:
    (tmp_path / "a.7z").write_bytes(base64.b85decode(BY_OTHERS[program]))
    with pytest.raises(DataError, match=r"a\.7z: encrypted \(unpack it with its password\)$"):
        list_source(tmp_path / "a.7z")


def test_a_way_of_packing_that_is_not_read_is_one_line(tmp_path: Path) -> None:
    (tmp_path / "a.7z").write_bytes(one_block(b"\x03\3\4\1", b"PPMd", 1000))
    with pytest.raises(DataError, match=r"a\.7z: packed in an unusual way \(pack it again"):
        list_source(tmp_path / "a.7z")


@pytest.mark.parametrize("workers", [0, 2])
def test_a_7z_makes_the_store_of_its_folder(tmp_path: Path, workers: int, prepare: Any) -> None:
    files = {f"set/{name}": data for name, data in phantoms.slice_files(size=16).items()}
    folder = phantoms.write_folder(tmp_path, files) / "set"
    archive = write_7z(tmp_path / "a.7z", files, encoded=True)
    stores = prepare(tmp_path / "1", folder), prepare(tmp_path / "2", archive, workers=workers)
    digests = []
    for path in stores:
        with StoreReader(path) as store:
            digests.append(store.summary["digest"])
    assert digests[0] == digests[1]


def test_members_can_be_read_in_any_order(tmp_path: Path) -> None:
    members = list_source(write_7z(tmp_path / "a.7z", FILES)).members
    for member in [*reversed(members), *members]:
        assert read_member(member) == FILES[member.name]


@pytest.fixture
def unpacked(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """The size of each piece that is unpacked from now on."""
    sizes: list[int] = []
    unpack = sevenzip._Archive._unpack

    def count(self: Any, block: Any, n_bytes: int) -> Any:
        for piece in unpack(self, block, n_bytes):
            sizes.append(len(piece))
            yield piece

    monkeypatch.setattr(sevenzip._Archive, "_unpack", count)
    return sizes


def test_a_block_is_unpacked_once(tmp_path: Path, unpacked: list[int]) -> None:
    """Files in the archive's order: to begin anew for each would take the square of the time."""
    files = {f"a_{i}.png": bytes([i]) * 5000 for i in range(100)}
    members = list_source(write_7z(tmp_path / "a.7z", files)).members
    assert [read_member(member) for member in members] == list(files.values())
    assert sum(unpacked) == 100 * 5000


def test_hostile_members_are_names_and_nothing_more(tmp_path: Path) -> None:
    path = write_7z(tmp_path / "a.7z", phantoms.hostile_files())
    members = list_source(path).members
    names = {member.name for member in members}
    assert {"../outside_2.png", "/etc/absolute_3.png", "set/back_4.png"} <= names
    for member in members:
        read_member(member)
    assert [file.name for file in tmp_path.rglob("*")] == ["a.7z"]
    twice = [member for member in members if "twice" in member.name]
    assert len({read_member(member) for member in twice}) == 2


def test_listed_is_stored_left_out_and_ignored(tmp_path: Path) -> None:
    good = phantoms.png_bytes(phantoms.slice_pixels())
    files = {"a_1.png": good, "b_1.png": b"", "c.7z": b"7z", "d.txt": b"x", ".e.png": good}
    dicom = next(iter(phantoms.dicom_files(phantoms.brain_volume()).values()))
    plan = build_plan([write_7z(tmp_path / "a.7z", files | {"f": dicom})], PrepareConfig())
    assert sorted(source.member.suffix for source in plan.sources) == [".dcm", ".png", ".png"]
    assert plan.ignored_kinds == {
        "hidden and system files": 1,
        ".7z archives (unpack them first)": 1,
        ".txt files": 1,
    }
    assert plan.listed == 6


@pytest.mark.parametrize("share", [0.0, 0.01, 0.33, 0.97])
def test_a_cut_archive_is_one_clear_line(tmp_path: Path, share: float) -> None:
    path = write_7z(tmp_path / "a.7z", phantoms.slice_files(size=32))
    path.write_bytes(phantoms.truncated(path.read_bytes(), share))
    with pytest.raises(DataError, match=f"{path}: is not a readable 7z") as caught:
        list_source(path)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("encoded", [False, True])
def test_every_flipped_bit_is_found_or_harmless(tmp_path: Path, encoded: bool) -> None:
    path = write_7z(tmp_path / "a.7z", FILES, encoded=encoded)
    data = path.read_bytes()
    for bit in range(0, 8 * len(data), 7):
        path.write_bytes(phantoms.flipped(data, bit))
        try:
            assert contents(path) == FILES, bit
        except DataError:
            continue


def test_damage_costs_what_is_behind_it_and_no_more(tmp_path: Path, unpacked: list[int]) -> None:
    files = {f"a_{i}.png": bytes(range(256)) * 20 + bytes([i]) for i in range(9)}
    path = write_7z(tmp_path / "a.7z", files)
    data = path.read_bytes()
    packed = data.index(b"\1\4\6") - 32
    path.write_bytes(phantoms.flipped(data, 8 * (32 + packed - 6)))
    first, *_, last = list_source(path).members
    assert read_member(first) == files[first.name]
    for _ in range(9):
        with pytest.raises(DataError, match=r"a_8\.png: damaged"):
            read_member(last)
    assert sum(unpacked) < 2 * sum(map(len, files.values()))  # it is not tried again and again
    assert read_member(first) == files[first.name]


def test_content_that_changed_after_listing_is_noticed(tmp_path: Path) -> None:
    member = list_source(write_7z(tmp_path / "a.7z", FILES)).members[-1]
    for files in ({name: bytes(700) for name in FILES}, {"set/a_1.png": b"x"}):
        write_7z(tmp_path / "a.7z", files)
        with pytest.raises(DataError, match="changed since it was listed"):
            read_member(member)


def lying(announced: int) -> bytes:
    return one_block(b"\x03\4\1\x08", zlib.compress(bytes(10_000), wbits=-15), announced)


@pytest.mark.parametrize(("announced", "message"), [(1 << 60, "bomb"), (1 << 33, "bomb")])
def test_an_archive_that_announces_too_much_is_refused(
    tmp_path: Path, announced: int, message: str
) -> None:
    (tmp_path / "a.7z").write_bytes(lying(announced))
    with pytest.raises(DataError, match=message):
        list_source(tmp_path / "a.7z")


def test_a_file_shorter_than_announced_is_damaged(tmp_path: Path) -> None:
    (tmp_path / "a.7z").write_bytes(lying(10_001))
    with pytest.raises(DataError, match="shorter than its header announces"):
        read_member(list_source(tmp_path / "a.7z").members[0])


def test_places_before_the_beginning_of_the_file_are_damage(tmp_path: Path) -> None:
    """The system calls that an invalid argument, as if the disk were to blame."""
    (tmp_path / "a.7z").write_bytes(b"7z\xbc\xaf\x27\x1c" + b"0" * 40)
    with pytest.raises(DataError, match=r"a\.7z: is not a readable 7z") as told:
        list_source(tmp_path / "a.7z")
    assert "copy it again" in told.value.hint


HEADERS: dict[str, Callable[[], bytes]] = {
    "its header is too long": lambda: b"\1" + bytes(sevenzip.MAX_HEADER_BYTES),
    "numfiles": lambda: b"\1\5\xff" + (1 << 22).to_bytes(8, "little") + bytes(1 << 22),
}


@pytest.mark.parametrize("message", HEADERS)
def test_a_header_that_would_fill_the_memory_is_refused(tmp_path: Path, message: str) -> None:
    (tmp_path / "a.7z").write_bytes(encode_header(HEADERS[message](), b""))
    assert (tmp_path / "a.7z").stat().st_size < 1 << 15
    with pytest.raises(DataError, match=message):
        list_source(tmp_path / "a.7z")


def test_links_and_devices_are_not_members(tmp_path: Path) -> None:
    kinds = {"a.png": 0o100644, "l.png": 0o120777, "s.png": 0o140644, "p.png": 0o010644, "d": 0}
    pairs = [(name, b"") for name in kinds]
    listed = describe_files(pairs)[:-1]
    marks = [(0x8000 | mode << 16 if mode else 0x10) for mode in kinds.values()]
    attributes = b"\1\0" + b"".join(mark.to_bytes(4, "little") for mark in marks)
    listed += b"\x15" + bytes([len(attributes)]) + attributes + b"\0"
    (tmp_path / "a.7z").write_bytes(join(b"\1" + listed + b"\0", b""))
    found = list_source(tmp_path / "a.7z")
    assert [member.name for member in found.members] == ["a.png"]
    assert found.ignored == {"links": 1, "devices and the like": 2}


def test_the_library_s_own_limits_are_left_as_they_were(tmp_path: Path) -> None:
    from py7zr import archiveinfo

    contents(write_7z(tmp_path / "a.7z", FILES))
    assert min(getattr(archiveinfo, name) for name in sevenzip.COUNTS) > sevenzip.MAX_FILES
