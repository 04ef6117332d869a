"""moto's WSGI application on a port of 127.0.0.1, stopped without leaving a thread or a socket."""

from __future__ import annotations

import contextlib
import socket
import threading
import time
from typing import Any

from moto.moto_api._internal.models import moto_api_backend
from moto.moto_server.werkzeug_app import DomainDispatcherApplication, MotoRequestHandler, create_backend_app
from moto.sqs.models import sqs_backends
from werkzeug.serving import ThreadedWSGIServer

_HOST = "127.0.0.1"


class Server:
    """Serves from the moment it is made until ``stop``."""

    def __init__(self, *, port: int = 0) -> None:
        """Raises OSError where the port is in use."""
        # moto's own starter waits for ever where its port is in use: the socket is made here instead.
        with socket.create_server((_HOST, port)) as listener:
            self._server = _Server(_HOST, 0, DomainDispatcherApplication(create_backend_app), listener.fileno())
        self.url = f"http://{_HOST}:{self._server.server_address[1]}"
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.05,), name="emulator", daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """Close listener and connections, end their threads, forget what was stored."""
        self._server.shutdown()
        self._thread.join()
        self._server.hang_up()
        # moto keeps its state in the process: the next emulator must not find this one's queues.
        moto_api_backend.reset()


class _Handler(MotoRequestHandler):
    def send_response(self, code: int, message: str | None = None) -> None:
        """Without werkzeug's ``Server``: moto sends one, and strict clients refuse two (RFC 9110 §5.3)."""
        self.send_response_only(code, message)
        self.send_header("Date", self.date_time_string())

    def log(self, type: str, message: str, *args: Any) -> None:  # noqa: A002  werkzeug's name
        """Nothing: a line of every request would drown the service's log."""


class _Server(ThreadedWSGIServer):
    """Knows its connections, which werkzeug leaves open until their clients close them."""

    def __init__(self, host: str, port: int, app: Any, fd: int) -> None:
        self._connections: dict[threading.Thread, socket.socket] = {}
        self._lock = threading.Lock()
        super().__init__(host, port, app, _Handler, fd=fd)

    def log(self, type: str, message: str, *args: Any) -> None:  # noqa: A002  werkzeug's name
        """Nothing: a failure reaches the client as an answer, and is named there."""

    def process_request_thread(self, request: Any, client_address: Any) -> None:
        with self._lock:
            self._connections[threading.current_thread()] = request
        try:
            super().process_request_thread(request, client_address)
        finally:
            with self._lock:
                del self._connections[threading.current_thread()]

    def hang_up(self, *, seconds: float = 5) -> None:
        """End each connection and its thread."""
        with self._lock:
            connections = dict(self._connections)
        for connection in connections.values():
            with contextlib.suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)
        deadline = time.monotonic() + seconds
        while any(thread.is_alive() for thread in connections) and time.monotonic() < deadline:
            _wake_polls()
            for thread in connections:
                thread.join(0.02)


def _wake_polls() -> None:
    """Answer the long polls: moto goes on with one whose client has left, for up to 20 seconds."""
    for account in list(sqs_backends.values()):
        for backend in list(account.values()):
            for name in list(backend.queues):
                backend.send_message(name, "the emulator stops")
