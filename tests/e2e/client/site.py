"""A site that is one origin: an application's page and back end, and a proxy to the service that fails on demand."""

from __future__ import annotations

import contextlib
import json
import socket
import socketserver
import threading
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import urlsplit

from sse_service.auth.tokens.signing import TokenSigner
from sse_service.client import files
from tests.integration.chain import SECRET

APP = Path(__file__).parent / "app.js"
CLIENT = Path(files.__file__).parent / "client.js"
HTML = '<!doctype html><link rel="icon" href="data:,"><script type="module" src="/app.js"></script>'


@dataclass(frozen=True, slots=True)
class Request:
    """One request of a browser."""

    method: str
    target: str
    headers: dict[str, str]
    raw: bytes

    @property
    def path(self) -> str:
        return urlsplit(self.target).path

    @property
    def user(self) -> str:
        """Who is signed in at the application, by its own cookie; empty if nobody."""
        pairs = dict(pair.strip().partition("=")[::2] for pair in self.headers.get("cookie", "").split(";"))
        return pairs.get("app_user", "")


@dataclass(kw_only=True)
class Trouble:
    """What goes wrong. Nothing does at first."""

    status: int = 0
    """The status of all answers that should come from the service; 0 if its own answers are forwarded."""
    holds_streams_back: bool = False
    """Whether a stream's bytes are kept until the stream ends, as some proxies do. Polls pass."""
    fails_to_load: bool = False
    """Whether the back end answers 500 when a page fetches its state."""
    swallows_tokens: bool = False
    """Whether the back end never answers a page that asks for a token."""
    token_seconds: int = 3600
    """How long tokens are valid."""
    told_seconds: int = 3600
    """How long the page is told that its session lasts."""


@dataclass
class _Held:
    """Requests for ``/hold``, which block a page that asks synchronously."""

    count: int = 0
    released: threading.Event = field(default_factory=threading.Event)


class Site:
    """Serves the page. Forwards what is the service's to ``upstream``, a port on 127.0.0.1."""

    def __init__(self) -> None:
        self.upstream = 0
        self.trouble = Trouble()
        self.asked: Counter[tuple[str, str]] = Counter()
        """How often each user has asked for each path."""
        self.streams: Counter[str] = Counter()
        """How many streams and sockets each user has open now."""
        self.published: list[str] = []
        self._network = threading.Event()
        self._network.set()
        self._held = _Held()
        self._sockets: set[socket.socket] = set()
        self._lock = threading.Lock()
        site = self

        class Handler(socketserver.BaseRequestHandler):
            def handle(self) -> None:
                with contextlib.suppress(OSError), site._tracking(self.request):
                    site._serve(self.request)

        self._server = socketserver.ThreadingTCPServer(("127.0.0.1", 0), Handler, bind_and_activate=False)
        self._server.request_queue_size = 128
        self._server.daemon_threads = True
        self._server.block_on_close = False
        self._server.server_bind()
        self._server.server_activate()
        self.origin = f"http://127.0.0.1:{self._server.server_address[1]}"
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.05,))

    def __enter__(self) -> Site:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.network_returns()
        self.thaw()
        self._server.shutdown()
        self.cut()
        self._thread.join()
        self._server.server_close()

    # What a test does

    def network_vanishes(self) -> None:
        """Let no byte through any more, in either direction, without closing a connection."""
        self._network.clear()

    def network_returns(self) -> None:
        self._network.set()

    def cut(self) -> None:
        """Close all connections."""
        with self._lock:
            for each in self._sockets:
                with contextlib.suppress(OSError):
                    each.shutdown(socket.SHUT_RDWR)

    def thaw(self) -> None:
        """Answer the requests for ``/hold``."""
        held, self._held = self._held, _Held()
        held.released.set()

    @property
    def frozen(self) -> int:
        """How many pages wait for ``/hold``."""
        return self._held.count

    # One request a connection

    @contextlib.contextmanager
    def _tracking(self, connection: socket.socket) -> Iterator[None]:
        with self._lock:
            self._sockets.add(connection)
        try:
            yield
        finally:
            with self._lock:
                self._sockets.discard(connection)
            connection.close()

    def _serve(self, browser: socket.socket) -> None:
        request = _read(browser)
        if request is None:
            return
        self._network.wait()
        with self._lock:
            self.asked[request.user, request.path] += 1
        own = self._own(request)
        if own is not None:
            status, kind, body = own
            browser.sendall(_answer(status, kind, body))
        elif self.trouble.status:
            browser.sendall(_answer(self.trouble.status, "text/html", "<h1>Bad Gateway</h1>"))
        else:
            self._forward(request, browser)

    def _own(self, request: Request) -> tuple[int, str, str] | None:
        """The answer of the page's own back end, or None if the service answers."""
        match request.path:
            case "/" | "/other":
                return 200, "text/html", HTML if request.path == "/" else "<!doctype html>another page"
            case "/app.js":
                return 200, "text/javascript", APP.read_text()
            case "/client.js":
                return 200, "text/javascript", CLIENT.read_text()
            case "/my/state":
                return 500 if self.trouble.fails_to_load else 200, "application/json", json.dumps(self.published)
            case "/my/token" if self.trouble.swallows_tokens:
                self._held.released.wait()
                return 503, "text/plain", ""
            case "/my/token" if not request.user:
                return 401, "application/json", "{}"
            case "/my/token":
                token = TokenSigner(secret=SECRET).sign(request.user, ttl_seconds=self.trouble.token_seconds)
                answer = {"token": token, "user": request.user, "expires_in": self.trouble.told_seconds}
                return 200, "application/json", json.dumps(answer)
            case "/hold":
                held = self._held
                held.count += 1
                held.released.wait()
                return 200, "text/plain", ""
        return None

    def _forward(self, request: Request, browser: socket.socket) -> None:
        # Refused if the service is down. The browser's connection is then closed without an answer.
        with socket.create_connection(("127.0.0.1", self.upstream)) as upstream, self._tracking(upstream):
            lasting = request.path in ("/events", "/ws")
            with self._lock:
                self.streams[request.user] += lasting
            try:
                upstream.sendall(request.raw)
                up = threading.Thread(target=self._pump, args=(browser, upstream), daemon=True)
                up.start()
                self._pump(upstream, browser, held_back=request.path == "/events" and self.trouble.holds_streams_back)
            finally:
                with self._lock:
                    self.streams[request.user] -= lasting

    def _pump(self, source: socket.socket, target: socket.socket, *, held_back: bool = False) -> None:
        kept = b""
        with contextlib.suppress(OSError):
            while data := source.recv(65536):
                self._network.wait()
                if held_back:
                    kept += data
                else:
                    target.sendall(data)
            target.sendall(kept)
        for each in (source, target):
            with contextlib.suppress(OSError):
                each.shutdown(socket.SHUT_RDWR)


def _read(browser: socket.socket) -> Request | None:
    """Read one request. Asks the service to close the connection after its answer, unless it becomes a socket."""
    raw = b""
    while b"\r\n\r\n" not in raw:
        data = browser.recv(65536)
        if not data:
            return None
        raw += data
    head, _, body = raw.partition(b"\r\n\r\n")
    first, *lines = head.decode("latin-1").split("\r\n")
    method, target, _ = first.split(" ")
    headers = {name.lower(): value for name, _, value in (line.partition(": ") for line in lines)}
    while len(body) < int(headers.get("content-length", "0")):
        body += browser.recv(65536)
    if "upgrade" not in headers:
        lines = [line for line in lines if not line.lower().startswith("connection:")] + ["Connection: close"]
    return Request(method, target, headers, "\r\n".join([first, *lines, "", ""]).encode("latin-1") + body)


def _answer(status: int, kind: str, body: str) -> bytes:
    raw = body.encode()
    head = f"HTTP/1.1 {status} .\r\nContent-Type: {kind}\r\nContent-Length: {len(raw)}\r\nConnection: close\r\n\r\n"
    return head.encode() + raw
