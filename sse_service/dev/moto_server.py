"""Serves moto's WSGI application on 127.0.0.1. After a stop, no thread and no socket is left."""

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


class MotoServer:
    """A server that runs from its creation until ``stop``."""

    def __init__(self, *, port: int = 0) -> None:
        """Port 0 means any free port. Raises OSError if the port is in use."""
        # moto's own server waits for ever if its port is in use. Creating the socket here fails at once.
        with socket.create_server((_HOST, port)) as listener:
            self._server = _WSGIServer(_HOST, 0, DomainDispatcherApplication(create_backend_app), listener.fileno())
        self.url = f"http://{_HOST}:{self._server.server_address[1]}"
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.05,), name="emulator", daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """Close the listener and all connections, end their threads, and delete all resources."""
        self._server.shutdown()
        self._thread.join()
        self._server.close_connections()
        # moto's state is global to the process: the next emulator must not find the queues of this one.
        moto_api_backend.reset()


class _Handler(MotoRequestHandler):
    def send_response(self, code: int, message: str | None = None) -> None:
        """Omit werkzeug's ``Server`` header: moto sends its own, and strict clients refuse two (RFC 9110 §5.3)."""
        self.send_response_only(code, message)
        self.send_header("Date", self.date_time_string())

    def log(self, type: str, message: str, *args: Any) -> None:  # noqa: A002  werkzeug's name
        """Log nothing: a line for each request would hide the service's own lines."""


class _WSGIServer(ThreadedWSGIServer):
    """Tracks its connections. werkzeug leaves them open until their clients close them."""

    def __init__(self, host: str, port: int, app: Any, fd: int) -> None:
        self._connections: dict[threading.Thread, socket.socket] = {}
        self._lock = threading.Lock()
        super().__init__(host, port, app, _Handler, fd=fd)

    def log(self, type: str, message: str, *args: Any) -> None:  # noqa: A002  werkzeug's name
        """Log nothing: the client gets every failure as a response."""

    def process_request_thread(self, request: Any, client_address: Any) -> None:
        with self._lock:
            self._connections[threading.current_thread()] = request
        try:
            super().process_request_thread(request, client_address)
        finally:
            with self._lock:
                del self._connections[threading.current_thread()]

    def close_connections(self, *, seconds: float = 5) -> None:
        """Close each connection and end its thread."""
        with self._lock:
            connections = dict(self._connections)
        for connection in connections.values():
            with contextlib.suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)
        deadline = time.monotonic() + seconds
        while any(thread.is_alive() for thread in connections) and time.monotonic() < deadline:
            _answer_long_polls()
            for thread in connections:
                thread.join(0.02)


def _answer_long_polls() -> None:
    """Answer all long polls. moto would continue them for up to 20 seconds, even if the client has left."""
    for account in list(sqs_backends.values()):
        for backend in list(account.values()):
            for name in list(backend.queues):
                backend.send_message(name, "the emulator is stopping")
