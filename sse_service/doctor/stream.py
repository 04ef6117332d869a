"""A blocking client for one stream of the service. Run it in a thread."""

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
MAX_BYTES = 65_536
"""Limit for one line, and for the body of an error."""

FAULTS = (OSError, http.client.HTTPException, UnicodeError)


@dataclass(frozen=True, slots=True)
class OpenResult:
    """The answer to the request for a stream."""

    status: int | None
    """None if nothing answered."""
    detail: str = ""
    """The exception's class, or the explanation in the response."""
    ready: bool = False
    """Whether ``stream.ready`` was received."""


@dataclass(frozen=True, slots=True)
class WaitResult:
    """How waiting on the stream ended."""

    seconds: float | None = None
    """How long it took until the text came; None if it did not come."""
    ended: str = ""
    """Why the stream ended before the text came; empty if it did not end."""


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

    def open(self, *, ready_seconds: float) -> OpenResult:
        """Request the stream and wait for ``stream.ready``."""
        try:
            self._connection.connect()
            self._sock = self._connection.sock
            # Without Accept: text/event-stream, an overloaded service responds with a status, not with an event.
            self._connection.request("GET", self._path, headers={"Authorization": f"Bearer {self._token}"})
            self._response = self._connection.getresponse()
            status = self._response.status
            if status != 200:
                return OpenResult(status, _detail(self._response.read(MAX_BYTES)))
            if not self._response.headers.get("Content-Type", "").startswith("text/event-stream"):
                return OpenResult(status, "no event stream")
        except FAULTS as error:
            return OpenResult(None, type(error).__name__)
        waited = self.wait("event: stream.ready", seconds=ready_seconds)
        return OpenResult(status, waited.ended, ready=waited.seconds is not None)

    def wait(self, text: str, *, seconds: float) -> WaitResult:
        """Read until a line contains the text, the stream ends, or the time is up."""
        began, closing = time.monotonic(), False
        if self._sock is None or self._response is None:
            return WaitResult(ended="not open")
        while (left := began + seconds - time.monotonic()) > 0:
            try:
                self._sock.settimeout(left)
                line = self._response.readline(MAX_BYTES).decode(errors="replace").rstrip("\n")
            except TimeoutError:
                break
            except FAULTS as error:
                return WaitResult(ended=type(error).__name__)
            if text in line:
                return WaitResult(time.monotonic() - began)
            if closing and line.startswith("data: "):
                return WaitResult(ended=_reason(line.removeprefix("data: ")))
            closing = closing or line == "event: stream.close"
            if not line and self._response.isclosed():
                return WaitResult(ended="cut off")
        return WaitResult()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        if self._sock is not None:
            with contextlib.suppress(OSError):
                # Wake a thread that is still reading.
                self._sock.shutdown(socket.SHUT_RDWR)
        if self._response is not None:
            self._response.close()
        self._connection.close()


def _detail(body: bytes) -> str:
    """Return the explanation in a problem document (RFC 9457); empty for any other body."""
    return _field(body, "detail")


def _reason(data: str) -> str:
    return f"stream.close, {_field(data.encode(), 'reason')}"


def _field(body: bytes, name: str) -> str:
    try:
        found = json.loads(body)
    except ValueError:
        return ""
    return str(found.get(name, ""))[:200] if isinstance(found, dict) else ""
