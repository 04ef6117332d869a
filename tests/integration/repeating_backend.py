"""Servers that break HTTP, and repeat what they were asked wherever a client's error text may quote it."""

from __future__ import annotations

import socketserver
import struct
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from socket import SO_LINGER, SOL_SOCKET

OK = b"HTTP/1.1 200 OK\r\n"
BODY = b"Content-Length: 2\r\n\r\n{}"

TLS = b"\x16"
"""The first byte of a handshake."""

ANSWERS = {
    "not-http": b"SSH-2.0-%s\r\n\r\n",
    "status-line": b"HTTP/1.1 %s\r\n" + BODY,
    "status-line-alone": b"%s\r\n\r\n",
    "reason-of-an-error": b"HTTP/1.1 500 %s\r\n" + BODY,
    "reason-of-431": b"HTTP/1.1 431 %s\r\n" + BODY,
    "name-of-a-header": OK + b"%s: x\r\n" + BODY,
    "control-character": OK + b"X: \x01%s\r\n" + BODY,
    "long-header": OK + b"X: %s" + b"x" * 100_000 + b"\r\n" + BODY,
    "length": OK + b"Content-Length: %s\r\n\r\n{}",
    "chunk": OK + b"Transfer-Encoding: chunked\r\n\r\n%s\r\n",
    "coding": OK + b"Content-Encoding: %s\r\n" + BODY,
    "cookie": OK + b"Set-Cookie: %s=1\r\nSet-Cookie: a=%s\r\n" + BODY,
    "location": b"HTTP/1.1 302 Found\r\nLocation: http://[%s\r\n" + BODY,
    "html": OK + b"Connection: close\r\n\r\n<p>%s</p>",
    "user": OK + b'Connection: close\r\n\r\n{"user":["%s"],"expires_in":900}',
    "expiry": OK + b'Connection: close\r\n\r\n{"user":"42","expires_in":"%s"}',
    "short-body": OK + b"Content-Length: 9999\r\n\r\n%s",
    "proxy-authentication": b"HTTP/1.1 407 %s\r\nProxy-Authenticate: Basic realm=%s\r\n" + BODY,
    "closed": b"",
    "reset": None,
}
"""Name -> what is answered, with the whole head of the request in place of ``%s``; None if the connection is reset."""


class Handler(socketserver.StreamRequestHandler):
    """Answers one request as its cookie or URL says, or as a proxy does that refuses the password."""

    def handle(self) -> None:
        if self.rfile.peek(1).startswith(TLS):  # type: ignore[attr-defined]  typeshed lacks it
            self.request.sendall(b"SSH-2.0-x\r\n")
            return
        head = b"".join(iter(lambda: self.rfile.readline().replace(b"\r\n", b"|"), b"|"))
        name = next((name for name in ANSWERS if f"answer={name}.".encode() in head), "proxy-authentication")
        answer = ANSWERS[name]
        if answer is None:
            self.request.setsockopt(SOL_SOCKET, SO_LINGER, struct.pack("ii", 1, 0))
            self.request.close()
        else:
            self.request.sendall(answer.replace(b"%s", head))

    def finish(self) -> None:
        """Close nothing: the server does."""


@contextmanager
def repeating_backend() -> Iterator[int]:
    """Run a back end, which may also be asked as a proxy. Yields its port."""
    with socketserver.ThreadingTCPServer(("127.0.0.1", 0), Handler) as server:
        server.daemon_threads = True
        thread = threading.Thread(target=server.serve_forever, args=(0.05,))
        thread.start()
        try:
            yield server.server_address[1]
        finally:
            server.shutdown()
            thread.join()
