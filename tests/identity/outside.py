"""Sees every outgoing request of a service, and where an attacker wanted it to go."""

from __future__ import annotations

import contextlib
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from urllib.parse import urlsplit


class Listener:
    """Accepts connections on a free port, and handles each in a thread of its own."""

    def __init__(self) -> None:
        self._socket = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._socket.getsockname()[1]
        self._thread = threading.Thread(target=self._accept)
        self._thread.start()

    def close(self) -> None:
        # Wakes the accept, which a close alone does not.
        self._socket.shutdown(socket.SHUT_RDWR)
        self._thread.join()
        self._socket.close()

    def _accept(self) -> None:
        while True:
            try:
                connection, _ = self._socket.accept()
            except OSError:
                return
            threading.Thread(target=self._handle, args=(connection,), daemon=True).start()

    def _handle(self, connection: socket.socket) -> None:
        with connection, contextlib.suppress(OSError):
            self.handle(connection)

    def handle(self, connection: socket.socket) -> None:
        raise NotImplementedError


class Trap(Listener):
    """A server that nothing may reach."""

    def __init__(self) -> None:
        self.reached: list[bytes] = []
        super().__init__()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def handle(self, connection: socket.socket) -> None:
        self.reached.append(connection.recv(4096))
        connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 11\r\nConnection: close\r\n\r\n" + b'{"keys":[]}')


class RecordingProxy(Listener):
    """An HTTP proxy. It records each target, and connects to ``localhost`` alone."""

    def __init__(self) -> None:
        self.targets: list[str] = []
        super().__init__()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def handle(self, connection: socket.socket) -> None:
        head = b""
        while b"\r\n\r\n" not in head:
            if not (more := connection.recv(65536)):
                return
            head += more
        line, _, rest = head.partition(b"\r\n")
        method, target, _ = line.decode().split(" ")
        self.targets.append(f"{method} {target}")
        parts = urlsplit(target)
        if method != "GET" or parts.hostname != "localhost":
            connection.sendall(b"HTTP/1.1 502 Bad Gateway\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")
            return
        fields = [field for field in rest.split(b"\r\n") if not field.lower().startswith((b"connection", b"proxy-"))]
        with socket.create_connection(("127.0.0.1", parts.port or 80)) as behind:
            path = parts.path + (f"?{parts.query}" if parts.query else "")
            behind.sendall(b"\r\n".join([f"GET {path} HTTP/1.1\r\nConnection: close".encode(), *fields]))
            while data := behind.recv(65536):
                connection.sendall(data)


class Outside:
    """All that a service may ask. ``environment`` sends its requests through the proxy, except those for SQS."""

    def __init__(self) -> None:
        self.trap = Trap()
        self.proxy = RecordingProxy()

    @property
    def environment(self) -> dict[str, str]:
        # SQS is at 127.0.0.1, and the provider at localhost.
        names = {"http_proxy": self.proxy.url, "https_proxy": self.proxy.url, "no_proxy": "127.0.0.1"}
        return names | {name.upper(): value for name, value in names.items()}

    def asked_other_than(self, *prefixes: str) -> list[str]:
        """The requests whose URL has none of these prefixes, and those that came to the trap."""
        urls = [target for target in self.proxy.targets if not target.partition(" ")[2].startswith(prefixes)]
        return urls + [data.decode("latin-1") for data in self.trap.reached]

    def close(self) -> None:
        self.trap.close()
        self.proxy.close()


@contextmanager
def outside() -> Iterator[Outside]:
    running = Outside()
    try:
        yield running
    finally:
        running.close()
