"""A stream of the service, read as ``curl`` would: blocking, for a thread."""

from __future__ import annotations

import contextlib
import http.client
import json
import socket
import time
from dataclasses import dataclass
from typing import Self
from urllib.parse import urlsplit

CONNECT_SECONDS = 5.0
MOST_BYTES = 65_536
"""Of one line, or of a refusal."""

FAULTS = (OSError, http.client.HTTPException, UnicodeError)


@dataclass(frozen=True, slots=True)
class Opening:
    """How the request for a stream was answered."""

    status: int | None
    """None where nothing answered."""
    detail: str = ""
    """The exception's class, or what the service said."""
    ready: bool = False
    """Whether ``stream.ready`` came."""


@dataclass(frozen=True, slots=True)
class Heard:
    """How waiting on the stream ended."""

    seconds: float | None = None
    """After how long it came; None where it did not."""
    ended: str = ""
    """Why the stream ended before."""


class Stream:
    """One ``GET /events``."""

    def __init__(self, url: str, token: str) -> None:
        parts = urlsplit(url)
        kind = http.client.HTTPSConnection if parts.scheme == "https" else http.client.HTTPConnection
        self._connection = kind(parts.hostname or "", parts.port, timeout=CONNECT_SECONDS)
        self._path = f"{parts.path.rstrip('/')}/events"
        self._token = token
        self._response: http.client.HTTPResponse | None = None
        self._sock: socket.socket | None = None

    def open(self, *, ready_seconds: float) -> Opening:
        """Ask for it, and wait for ``stream.ready``."""
        try:
            self._connection.connect()
            self._sock = self._connection.sock
            # Without Accept: text/event-stream a refusal is a status (README, Limits).
            self._connection.request("GET", self._path, headers={"Authorization": f"Bearer {self._token}"})
            self._response = self._connection.getresponse()
            status = self._response.status
            if status != 200:
                return Opening(status, _detail(self._response.read(MOST_BYTES)))
            if not self._response.headers.get("Content-Type", "").startswith("text/event-stream"):
                return Opening(status, "no event stream")
        except FAULTS as error:
            return Opening(None, type(error).__name__)
        heard = self.wait("event: stream.ready", seconds=ready_seconds)
        return Opening(status, heard.ended, ready=heard.seconds is not None)

    def wait(self, text: str, *, seconds: float) -> Heard:
        """Read until a line has that text, the stream ends, or the time is over."""
        began, closing = time.monotonic(), False
        if self._sock is None or self._response is None:
            return Heard(ended="not open")
        while (left := began + seconds - time.monotonic()) > 0:
            try:
                self._sock.settimeout(left)
                line = self._response.readline(MOST_BYTES).decode(errors="replace").rstrip("\n")
            except TimeoutError:
                break
            except FAULTS as error:
                return Heard(ended=type(error).__name__)
            if text in line:
                return Heard(time.monotonic() - began)
            if closing and line.startswith("data: "):
                return Heard(ended=_reason(line.removeprefix("data: ")))
            closing = closing or line == "event: stream.close"
            if not line and self._response.isclosed():
                return Heard(ended="cut off")
        return Heard()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        if self._sock is not None:
            with contextlib.suppress(OSError):
                # Whoever still reads in another thread is woken.
                self._sock.shutdown(socket.SHUT_RDWR)
        if self._response is not None:
            self._response.close()
        self._connection.close()


def _detail(body: bytes) -> str:
    """What a problem (RFC 9457) says; nothing of any other body."""
    return _field(body, "detail")


def _reason(data: str) -> str:
    return f"stream.close, {_field(data.encode(), 'reason')}"


def _field(body: bytes, name: str) -> str:
    try:
        found = json.loads(body)
    except ValueError:
        return ""
    return str(found.get(name, ""))[:200] if isinstance(found, dict) else ""
