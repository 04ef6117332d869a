"""The part of HTTP/1.1 that the benchmarks' own processes speak."""

from __future__ import annotations

import asyncio
import http.client
import json
import re
from typing import Any, cast

_LENGTH = re.compile(rb"\r\ncontent-length: *(\d+)", re.IGNORECASE)
_ANSWER = b"HTTP/1.1 %d X\r\nContent-Type: application/x-amz-json-1.0\r\nContent-Length: %d\r\n\r\n%b"


class Messages(asyncio.Protocol):
    """Splits a connection into messages, each with a ``Content-Length`` or without a body."""

    transport: asyncio.Transport

    def __init__(self) -> None:
        self._came = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast("asyncio.Transport", transport)  # uvloop's is no subclass

    def data_received(self, data: bytes) -> None:
        data = self._came + data
        while (end := data.find(b"\r\n\r\n")) >= 0:
            length = _LENGTH.search(data, 0, end)
            stop = end + 4 + (int(length[1]) if length else 0)
            if len(data) < stop:
                break
            head, body, data = data[:end], data[end + 4 : stop], data[stop:]
            self.message(head, body)
        self._came = data

    def message(self, head: bytes, body: bytes) -> None:
        """Handle one message."""
        raise NotImplementedError

    def answer(self, body: bytes = b"{}", status: int = 200) -> None:
        """Send an answer with a JSON body."""
        self.transport.write(_ANSWER % (status, len(body), body))


def target(head: bytes) -> tuple[str, dict[str, int]]:
    """The path of a request, and its query as integers."""
    path, _, query = head.split(b" ", 2)[1].decode().partition("?")
    return path, {name: int(value) for name, value in (pair.split("=") for pair in query.split("&") if pair)}


def call(port: int, path: str, body: bytes = b"", /, **query: int) -> Any:
    """POST a command to a process of the benchmarks and return its answer."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=600)
    try:
        connection.request("POST", f"{path}?{'&'.join(f'{name}={value}' for name, value in query.items())}", body=body)
        answer = connection.getresponse()
        text = answer.read()
        if answer.status != 200:
            raise RuntimeError(f"{path}: {answer.status} {text!r}")
        return json.loads(text)
    finally:
        connection.close()
