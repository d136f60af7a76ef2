"""TorchScript programs of others: good ones run, those that reach files are not even loaded."""

from __future__ import annotations

import io
import re
import warnings
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from mri_gan.errors import DataError
from mri_gan.evaluate.features import load_torchscript
from mri_gan.synth.foreign import torchscript
from mri_gan.synth.foreign.torchscript import load_torchscript_program
from mri_gan.synth.project import network_features

SAVE = 'torch.save(y, "canary")'
# Each writes the same call in another way that torch's own parser takes.
SPELLINGS = {
    "plain": SAVE,
    "blanks": 'torch .save (y, "canary")',
    "a tab": 'torch.\tsave\t(y, "canary")',
    "over lines": 'torch.save(\n    y,\n    "canary")',
    "in brackets": '(torch.save)(y, "canary")',
    "as another namespace": 'ops.aten.save(y, "canary")',
}


class Network(nn.Module):
    """Half of the image, and for good measure its name in a text."""

    def forward(self, x: Tensor) -> Tensor:
        y = x / 2
        print("torch.save(y)")
        return y


@pytest.fixture(autouse=True)
def quiet() -> Iterator[None]:
    with warnings.catch_warnings():  # torch would like its format replaced
        warnings.simplefilter("ignore", DeprecationWarning)
        yield


def pack(change: str = "", extra: dict[str, str] | None = None) -> bytes:
    """The network as an archive, `change` in place of its print."""
    stream, packed = io.BytesIO(), io.BytesIO()
    torch.jit.save(torch.jit.script(Network()), stream)
    with zipfile.ZipFile(stream) as before, zipfile.ZipFile(packed, "w") as after:
        for info in before.infolist():
            data = before.read(info)
            if change and info.filename.endswith(".py"):
                text, count = re.subn(
                    r"  (_0 = )?(ops\.prim\.|)[Pp]rint\(.*\)", "  " + change, data.decode()
                )
                assert count == 1
                data = text.encode()
            after.writestr(info.filename, data)
        for name, text in (extra or {}).items():
            after.writestr(f"{before.infolist()[0].filename.partition('/')[0]}/{name}", text)
    return packed.getvalue()


def test_a_good_program_runs(tmp_path: Path) -> None:
    (tmp_path / "net.pt").write_bytes(pack())
    network = load_torchscript_program(tmp_path / "net.pt")
    assert torch.equal(network(torch.ones(2)), torch.full((2,), 0.5))


@pytest.mark.parametrize("name", SPELLINGS)
def test_a_call_that_writes_is_refused_however_it_is_spelled(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "net.pt").write_bytes(pack(SPELLINGS[name]))
    with pytest.raises(DataError, match="can reach files") as caught:
        load_torchscript_program(tmp_path / "net.pt")
    assert "\n" not in str(caught.value)
    assert not (tmp_path / "canary").exists()


@pytest.mark.parametrize("name", ["plain", "blanks", "over lines"])
def test_the_spellings_are_live_in_torchs_own_loader(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    monkeypatch.chdir(tmp_path)
    torch.jit.load(io.BytesIO(pack(SPELLINGS[name])))(torch.ones(2))  # type: ignore[no-untyped-call]
    assert (tmp_path / "canary").exists()


def test_two_members_of_one_name_are_refused(tmp_path: Path) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # of the duplicate
        name = next(n for n in zipfile.ZipFile(io.BytesIO(pack())).namelist() if n.endswith(".py"))
        data = pack(extra={name.partition("/")[2].upper(): "x = 1"})
    (tmp_path / "net.pt").write_bytes(data)
    with pytest.raises(DataError, match="two members of one name"):
        load_torchscript_program(tmp_path / "net.pt")


def test_code_that_no_parser_reads_is_refused(tmp_path: Path) -> None:
    (tmp_path / "net.pt").write_bytes(pack("torch.save(y,"))
    with pytest.raises(DataError, match="cannot be read"):
        load_torchscript_program(tmp_path / "net.pt")


@pytest.mark.parametrize(
    "load",
    [load_torchscript, lambda path: network_features(path, "cpu")],
    ids=["evaluate", "project"],
)
def test_both_commands_that_take_a_program_refuse_one_that_writes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, load: Callable[[Path], object]
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "net.pt").write_bytes(pack(SAVE))
    with pytest.raises(DataError, match="can reach files"):
        load(tmp_path / "net.pt")
    assert not (tmp_path / "canary").exists()


def test_what_the_parser_might_miss_is_found_in_the_loaded_graph(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Loading runs nothing of it; its operators are looked at before anything does."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(torchscript, "check_source", lambda *_: None)
    (tmp_path / "net.pt").write_bytes(pack(SAVE))
    with pytest.raises(DataError, match="aten::save, which can reach files"):
        load_torchscript_program(tmp_path / "net.pt")
    assert not (tmp_path / "canary").exists()
