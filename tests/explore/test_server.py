"""The page answers this machine alone, and is used with a keyboard in a real browser."""

from __future__ import annotations

import base64
import dataclasses
import http.client
import io
import os
import shutil
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import numpy as np
import pytest
from numpy.typing import NDArray
from phantoms.models import SMALL, save_untrained
from PIL import Image

from mri_gan.conditions import Column, Conditions
from mri_gan.errors import DataError
from mri_gan.explore.scene import Explorer, Scene
from mri_gan.explore.server import HOST, Server, canvas_bytes
from mri_gan.synth.sample import load_trained

CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser"))), None)
needs_browser = pytest.mark.skipif(
    CHROMIUM is None, reason="no Chromium here; Debian: apt-get install chromium"
)
POSITION = Conditions((Column("position", (), 0.5, 0.3, 0.0, 1.0),))
HEIGHT = Conditions((Column("Groesse", (), 170.0, 10.0, 150.0, 190.0, gaps=True),))


def serving(folder: Path, **settings: Any) -> Iterator[Server]:
    trained = load_trained(
        save_untrained(folder, dataclasses.replace(SMALL, **settings), alpha=1.0)
    )
    with Server(Explorer(trained), folder / "explored") as started:
        thread = threading.Thread(target=started.serve_forever, kwargs={"poll_interval": 0.02})
        thread.start()
        yield started
        started.shutdown()
        thread.join()


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    yield from serving(tmp_path_factory.mktemp("served"), conditions=POSITION)


@pytest.fixture(scope="module")
def plain(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A network without styles, noise or labels."""
    settings = {"arch": "dcgan", "mixing": False, "max_size": 16}
    yield from serving(tmp_path_factory.mktemp("plain"), **settings)


@pytest.fixture(scope="module")
def gaps(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A network that was trained with a number some people lack, in a run with a long name."""
    yield from serving(tmp_path_factory.mktemp("stylegan2_oasis3_" * 5), conditions=HEIGHT)


@pytest.fixture(scope="module")
def contrasts(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A network that draws two contrasts of one head."""
    folder = tmp_path_factory.mktemp("contrasts")
    yield from serving(folder, channels=2, channel_names=("T1", "T2"))


def ask(
    server: Server, path: str = "", method: str = "GET", **headers: str
) -> tuple[int, dict[str, str], bytes]:
    """(status, headers, body) of one request; `path` is behind the secret."""
    connection = http.client.HTTPConnection(HOST, server.server_port, timeout=30)
    full = path if path.startswith("/") else urlsplit(server.url).path + path
    connection.putrequest(method, full, skip_host=True)
    for name, value in {"Host": f"{HOST}:{server.server_port}", **headers}.items():
        connection.putheader(name, value)
    connection.endheaders()
    answer = connection.getresponse()
    body = answer.read()
    connection.close()
    return answer.status, dict(answer.getheaders()), body


def test_the_page_allows_nothing_from_elsewhere(server: Server) -> None:
    status, headers, body = ask(server)
    assert status == 200
    assert "default-src 'none'" in headers["Content-Security-Policy"]
    assert headers["Cache-Control"] == "no-store"
    assert b"http://" not in body
    assert b"https://" not in body
    assert server.server_address[0] == "127.0.0.1"


@pytest.mark.parametrize(
    "host",
    ["evil.example", "evil.example:80", "127.0.0.1.evil.example:80", "10.0.0.1:80", "", ":80"],
)
def test_another_host_is_refused(server: Server, host: str) -> None:
    assert ask(server, Host=host)[0] == 403
    assert ask(server, "picture?seed=1", Host=host)[0] == 403


def test_a_forwarded_port_is_this_machine(server: Server) -> None:
    assert ask(server, Host="localhost:9999")[0] == 200


@pytest.mark.parametrize("origin", ["http://evil.example", "null", "http://127.0.0.1:1"])
def test_another_page_cannot_save(server: Server, origin: str) -> None:
    assert ask(server, "save?seed=1", "POST", Origin=origin)[0] == 403
    assert not server.folder.exists()


@pytest.mark.parametrize("path", ["/", "/bogus/", "/bogus/picture", "/picture", "//", "/../../etc"])
def test_without_the_secret_there_is_nothing(server: Server, path: str) -> None:
    assert ask(server, path)[0] == 404


@pytest.mark.parametrize("path", ["save?seed=1", "../ckpt", "%2e%2e/x", "picture?" + "a" * 20_000])
def test_other_things_are_not_found(server: Server, path: str) -> None:
    assert ask(server, path)[0] == 404


def test_other_methods_are_not_served(server: Server) -> None:
    assert ask(server, "", "DELETE")[0] == 501


def test_a_mistake_is_one_line(server: Server) -> None:
    status, _, body = ask(server, "picture?seed=-4")
    assert (status, body.count(b"\n")) == (400, 0)
    assert b"seed" in body


def test_a_taken_port_is_an_error_of_ours(server: Server) -> None:
    with pytest.raises(DataError, match="port"):
        Server(server.explorer, server.folder, server.server_port)


@pytest.mark.parametrize(
    ("sent", "code", "said"), [(signal.SIGINT, 0, ""), (signal.SIGTERM, 143, "mrigan: stopped\n")]
)
def test_the_command_prints_the_address_and_ends_with_ctrl_c_or_when_it_is_told_to(
    tmp_path: Path, sent: signal.Signals, code: int, said: str
) -> None:
    save_untrained(tmp_path)
    with subprocess.Popen(
        [sys.executable, "-m", "mri_gan", "explore", str(tmp_path), "--count", "2"],
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        env={**os.environ, "PYTHONUNBUFFERED": "1"},
    ) as child:  # fmt: skip
        assert child.stdout is not None
        line = child.stdout.readline()
        assert line.startswith("http://127.0.0.1:")
        child.send_signal(sent)
        _, errors = child.communicate(timeout=60)
    assert (child.returncode, errors) == (code, said)


def test_it_ends_after_the_picture_that_is_being_drawn(tmp_path: Path) -> None:
    """Python would abort if it ended while a thread is within torch."""
    begun, go_on = threading.Event(), threading.Event()
    done: list[object] = []

    class Slow(Explorer):
        def draw(self, scene: Scene, *, exact: bool = False) -> Any:
            begun.set()
            go_on.wait(60)
            done.append("drawn")
            return super().draw(scene, exact=exact)

    started = Server(Slow(load_trained(save_untrained(tmp_path))), tmp_path)

    def close() -> None:
        started.server_close()
        done.append("closed")

    works = (started.serve_forever, lambda: done.append(ask(started, "picture")[0]), close)
    threads = [threading.Thread(target=work) for work in works]
    threads[0].start()
    threads[1].start()
    assert begun.wait(60)
    started.shutdown()
    threads[2].start()
    threads[2].join(0.5)
    go_on.set()
    for thread in threads:
        thread.join()
    assert done.index("drawn") < done.index("closed")
    assert 200 in done


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        # In a container without user namespaces Chromium's own sandbox cannot start.
        opened = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        yield opened
        opened.close()


Show = Callable[[Server], Any]


@pytest.fixture
def show(browser: Any) -> Iterator[Show]:
    """Opens the page of a server on a phone, and keeps what it asks for and complains about."""
    pages = []

    def open_page(server: Server) -> Any:
        page = browser.new_page(viewport={"width": 390, "height": 800})
        pages.append(page)
        page.asked, page.complaints = [], []
        page.on("request", lambda request: page.asked.append(request.url))
        page.on("console", lambda message: page.complaints.append(message.text))
        page.on("pageerror", lambda error: page.complaints.append(str(error)))
        page.goto(server.url)
        settle(page)
        return page

    yield open_page
    for page in pages:
        page.close()


# Not `wait_for_function`, whose `eval` the page's policy forbids.
SETTLED = """async () => {
  const end = performance.now() + 20000;
  while (busy || document.getElementById("picture").width === 1) {
    if (performance.now() > end) { throw Error(document.getElementById("problem").textContent); }
    await new Promise((done) => setTimeout(done, 10));
  }
}"""


def settle(page: Any) -> str:
    """Wait until the newest picture is there; its text."""
    page.evaluate(SETTLED)
    return str(page.locator("#picture").get_attribute("aria-label"))


def shown(page: Any) -> NDArray[np.uint8]:
    """The colours on the page [H, W, 4]."""
    url = page.locator("#picture").evaluate("canvas => canvas.toDataURL()")
    with Image.open(io.BytesIO(base64.b64decode(url.partition(",")[2]))) as picture:
        return np.asarray(picture.convert("RGBA"))


@needs_browser
def test_it_works_by_keyboard_and_asks_this_machine_only(
    server: Server, show: Show, tell: Callable[[str], None]
) -> None:
    page = show(server)
    assert "seed 0" in settle(page)
    before = shown(page)
    page.locator("#psi").focus()
    page.keyboard.press("ArrowRight")
    assert "truncation 0.75" in settle(page)
    assert (shown(page) != before).any()
    page.locator("#next").focus()
    page.keyboard.press("Enter")
    assert "seed 1" in settle(page)
    page.locator("#label0").focus()
    page.keyboard.press("End")
    assert "slice position 1" in settle(page)
    assert page.complaints == []
    asked = [url for url in page.asked if not url.startswith(("blob:", "data:"))]
    assert all(url.startswith(server.url) for url in asked)
    times = page.evaluate(
        "performance.getEntriesByType('resource').filter(e => e.name.includes('/picture?'))"
        ".map(e => e.duration)"
    )
    tell(f"explorer in Chromium, small network: {sorted(times)[len(times) // 2]:.0f} ms a picture")


@needs_browser
def test_the_page_shows_the_greys_of_the_network(server: Server, show: Show) -> None:
    page = show(server)
    explorer = server.explorer
    greys = (explorer.draw(explorer.read_scene({}))[0] + 1) * 127.5
    colours = shown(page)
    assert np.abs(colours[..., :3] - greys.clip(0, 255)[..., None]).max() < 0.51
    assert (colours[..., 3] == 255).all()


@needs_browser
def test_the_page_shows_every_contrast(contrasts: Server, show: Show) -> None:
    page = show(contrasts)
    settle(page)
    drawn = contrasts.explorer.draw(contrasts.explorer.read_scene({}))
    both = (np.concatenate([drawn[0], drawn[1]], axis=1) + 1) * 127.5
    assert np.abs(shown(page)[..., 0] - both.clip(0, 255)).max() < 0.51
    box = page.locator("#picture").bounding_box()
    assert box["width"] == pytest.approx(2 * box["height"], rel=0.02)
    assert "Each picture, from left to right: T1, T2." in page.content()
    assert page.complaints == []


def test_colours_and_greys_are_what_a_canvas_takes() -> None:
    colours = np.arange(12, dtype=np.uint8).reshape(3, 2, 2)
    assert canvas_bytes(colours)[:8] == bytes([0, 4, 8, 255, 1, 5, 9, 255])
    assert canvas_bytes(colours[0])[:8] == bytes([0, 0, 0, 255, 1, 1, 1, 255])


@needs_browser
def test_what_is_liked_is_saved_and_shown_again(server: Server, show: Show) -> None:
    page = show(server)
    page.locator("#seed").fill("41")
    page.locator("#detail_seed").fill("5")
    page.locator("#save").click()
    page.locator("#saved li").wait_for()
    name = page.locator("#status").inner_text().removeprefix("Saved as ")
    assert name.startswith("seed000041-")
    assert (server.folder / name).is_file()
    page.locator("#seed").fill("2")
    page.locator("#detail_seed").fill("")
    page.locator("#saved button").click()
    assert "seed 41" in settle(page)
    assert page.locator("#detail_seed").input_value() == "5"


@needs_browser
def test_what_is_saved_twice_is_listed_once_and_again_on_a_new_page(
    plain: Server, show: Show
) -> None:
    page = show(plain)
    for _ in range(2):
        page.locator("#status").evaluate("status => { status.textContent = '' }")
        page.locator("#save").click()
        page.locator("#status").filter(has_text="Saved as").wait_for()
    assert page.locator("#saved li").count() == 1
    page.locator("#seed").fill("2")
    settle(page)
    assert page.locator("#status").inner_text() == ""  # it was the image before
    again = show(plain)
    assert again.locator("#saved li").count() == 1
    again.locator("#seed").fill("9")
    again.locator("#saved button").click()
    assert "seed 0" in settle(again)


@needs_browser
def test_a_number_can_be_unknown_and_keeps_its_name(gaps: Server, show: Show) -> None:
    page = show(gaps)
    assert "Groesse 170" in settle(page)
    before = shown(page)
    page.locator("[data-unknown]").check()
    assert "Groesse unknown" in settle(page)
    assert (shown(page) != before).any()
    page.locator("#save").click()
    page.locator("#saved li").filter(has_text="Groesse unknown").wait_for()
    page.locator("[data-unknown]").uncheck()
    assert "Groesse 170" in settle(page)
    page.locator("#saved button").click()
    assert "Groesse unknown" in settle(page)
    assert page.locator("[data-unknown]").is_checked()
    assert page.complaints == []
    assert page.evaluate("document.documentElement.scrollWidth") <= 390


@needs_browser
def test_without_a_seed_nothing_is_drawn(server: Server, show: Show) -> None:
    page = show(server)
    page.locator("#seed").fill("7")
    settle(page)
    page.locator("#seed").fill("")
    page.locator("#problem").filter(has_text="seed is not a whole number").wait_for()
    assert "seed 7" in str(page.locator("#picture").get_attribute("aria-label"))


@needs_browser
def test_a_mistake_is_shown_and_mended(server: Server, show: Show) -> None:
    page = show(server)
    page.locator("#seed").fill("-3")
    page.locator("#problem").filter(has_text="seed").wait_for()
    page.locator("#seed").fill("3")
    settle(page)
    assert page.locator("#problem").inner_text() == ""


@needs_browser
def test_every_control_has_a_label_and_the_page_fits_a_phone(server: Server, show: Show) -> None:
    page = show(server)
    unnamed = "[...document.querySelectorAll('input, select')].filter(f => !f.labels.length).length"
    assert page.evaluate(unnamed) == 0
    assert page.evaluate("document.documentElement.scrollWidth") <= 390
    assert page.locator("[role=status], [role=alert]").count() == 2


@needs_browser
def test_controls_that_a_network_lacks_are_absent(plain: Server, show: Show) -> None:
    page = show(plain)
    names = page.evaluate("[...document.querySelectorAll('[name]')].map(f => f.name)")
    assert [name for name in names if name != "viewport"] == ["seed", "blend"]
    assert settle(page) == "Synthetic slice: seed 0"
