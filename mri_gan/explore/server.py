"""A page for one person on this machine: loopback only, and nobody else's pages may use it."""

from __future__ import annotations

import functools
import http.server
import json
import secrets
import socketserver
import threading
from http import HTTPStatus
from pathlib import Path
from urllib.parse import parse_qsl, urlsplit

import jinja2
import numpy as np
from numpy.typing import NDArray

from mri_gan import __version__
from mri_gan.errors import DataError, MriganError
from mri_gan.explore.scene import Explorer, controls
from mri_gan.files import explain_os_error
from mri_gan.pictures import sheet_pixels

HOST = "127.0.0.1"
HERE = {HOST, "localhost"}  # the names by which a browser on this machine calls it
IDLE_S = 60  # an idle connection is closed
MOST_QUERY = 10_000  # characters
HEADERS = {
    "Cache-Control": "no-store",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Resource-Policy": "same-origin",
}
POLICY = (
    "default-src 'none'; img-src data:; connect-src 'self'; style-src 'nonce-{0}'; "
    "script-src 'nonce-{0}'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)


class Server(http.server.ThreadingHTTPServer):
    """Serves one explorer at `url`, whose path holds a secret, and saves into one folder.

    The secret keeps out other users of the machine and other pages in the same browser. Raises
    DataError where the port is taken.
    """

    daemon_threads = True

    def __init__(self, explorer: Explorer, folder: Path, port: int = 0) -> None:
        self.explorer, self.folder = explorer, folder
        self.secret = secrets.token_urlsafe(16)
        self.answering, self.is_closed = threading.Lock(), False
        try:
            super().__init__((HOST, port), Handler)
        except OSError as error:
            raise DataError(f"port {port} cannot be used ({error.strerror})", "try --port 0") from (
                error
            )

    def server_bind(self) -> None:
        """Bind without the look-up of the machine's name, which could ask a name server."""
        socketserver.TCPServer.server_bind(self)
        self.server_name, self.server_port = HOST, int(self.server_address[1])

    def server_close(self) -> None:
        """Close, and wait for the answer that is being made; none begins after it.

        A thread that is within torch while Python ends aborts the process.
        """
        super().server_close()
        if not self.is_closed:
            self.is_closed = True
            self.answering.acquire()

    @property
    def url(self) -> str:
        """Where the page is."""
        return f"http://{HOST}:{self.server_port}/{self.secret}/"


class Handler(http.server.BaseHTTPRequestHandler):
    """Answers the page, pictures and saves; anything else is refused."""

    server: Server
    protocol_version = "HTTP/1.1"
    server_version, sys_version = "mrigan", ""
    timeout = IDLE_S
    disable_nagle_algorithm = True  # a picture would wait 40 ms for an acknowledgement

    def do_GET(self) -> None:
        """The page, or a picture."""
        self._answer({"": self._page, "picture": self._picture})

    def do_POST(self) -> None:
        """Save a picture; all that is needed is in the query, a body is not read."""
        self.close_connection = True
        self._answer({"save": self._save})

    def _answer(self, answers: dict[str, object]) -> None:
        place = urlsplit(self.path)
        secret, _, name = place.path.removeprefix("/").partition("/")
        known = secrets.compare_digest(secret.encode(), self.server.secret.encode())
        if not self._is_from_here():
            self._send(HTTPStatus.FORBIDDEN, "text/plain", b"this page is for this machine only\n")
        elif not known or name not in answers or len(place.query) > MOST_QUERY:
            self._send(HTTPStatus.NOT_FOUND, "text/plain", b"there is nothing here\n")
        else:
            self._try(answers[name], dict(parse_qsl(place.query, keep_blank_values=True)))

    def _is_from_here(self) -> bool:
        """Whether the browser believes to talk to this machine, and its page is ours.

        A name that an attacker's name server points here arrives in `Host`, a request by another
        page carries its `Origin`. Any port: it may be forwarded.
        """
        hosts = self.headers.get_all("Host") or []
        origin = self.headers.get("Origin")
        return (
            len(hosts) == 1
            and hosts[0].rpartition(":")[0] in HERE
            and origin in (None, f"http://{hosts[0]}")
        )

    def _try(self, answer: object, form: dict[str, str]) -> None:
        assert callable(answer)
        try:
            with self.server.answering:
                answer(form)
        except ConnectionError:  # the browser has gone
            self.close_connection = True
        except OSError as error:
            self._refuse(explain_os_error(error, self.server.folder))
        except MriganError as error:
            self._refuse(error)
        except Exception as error:  # an error of ours: the page shows it, the server continues
            self._refuse(error, HTTPStatus.INTERNAL_SERVER_ERROR)

    def _refuse(self, error: Exception, status: HTTPStatus = HTTPStatus.BAD_REQUEST) -> None:
        self._send(status, "text/plain; charset=utf-8", str(error).encode())

    def _page(self, _form: dict[str, str]) -> None:
        nonce = secrets.token_urlsafe(16)
        page = build_page(self.server.explorer, nonce, self.server.folder)
        policy = {"Content-Security-Policy": POLICY.format(nonce)}
        self._send(HTTPStatus.OK, "text/html; charset=utf-8", page.encode(), policy)

    def _picture(self, form: dict[str, str]) -> None:
        explorer = self.server.explorer
        scene = explorer.read_scene(form)
        names = explorer.trained.channel_names
        pixels = sheet_pixels(explorer.draw(scene)[None], names)[0]  # [H, W] or [3, H, W]
        self._send(HTTPStatus.OK, "application/octet-stream", canvas_bytes(pixels))

    def _save(self, form: dict[str, str]) -> None:
        explorer = self.server.explorer
        scene = explorer.read_scene(form)
        path = explorer.save(scene, self.server.folder)
        answer = json.dumps(explorer.tell(path, scene))
        self._send(HTTPStatus.OK, "application/json", answer.encode())

    def _send(
        self, status: HTTPStatus, kind: str, data: bytes, more: dict[str, str] | None = None
    ) -> None:
        self.send_response(status)
        for name, value in {**HEADERS, **(more or {}), "Content-Type": kind}.items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def log_message(self, format: str, *args: object) -> None:
        """Nothing: only the command line prints."""


def canvas_bytes(pixels: NDArray[np.uint8]) -> bytes:
    """Grey [H, W] or coloured pixels [3, H, W] as a canvas takes them: [H, W, 4].

    A browser takes up to 80 ms to decode and show a file of 64 px.
    """
    colours = np.broadcast_to(pixels, (3, *pixels.shape[-2:]))
    return np.pad(
        np.moveaxis(colours, 0, -1), ((0, 0), (0, 0), (0, 1)), constant_values=255
    ).tobytes()


def build_page(explorer: Explorer, nonce: str, folder: Path) -> str:
    """The page with the controls that this generator has; it looks like the pages of reports."""
    return (
        _templates()
        .get_template("explore.html")
        .render(
            **controls(explorer),
            nonce=nonce,
            run=explorer.trained.path.resolve().parent.name,
            checkpoint=explorer.trained.path.name,
            folder=folder,
            saved=explorer.list_saved(folder),
            version=__version__,
        )
    )


@functools.cache
def _templates() -> jinja2.Environment:
    loader = jinja2.ChoiceLoader(
        [jinja2.PackageLoader("mri_gan.explore"), jinja2.PackageLoader("mri_gan.report")]
    )
    return jinja2.Environment(
        loader=loader,
        autoescape=True,
        trim_blocks=True,
        lstrip_blocks=True,
        undefined=jinja2.StrictUndefined,
    )
