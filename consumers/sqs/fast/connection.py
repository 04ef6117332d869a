"""One HTTP/1.1 connection to SQS: a request, its reply, and the next."""

from __future__ import annotations

import asyncio
from typing import cast

from botocore.exceptions import ConnectionClosedError, EndpointConnectionError, HTTPClientError, ReadTimeoutError
from httptools import HttpParserError, HttpParserUpgrade, HttpResponseParser


class Reply:
    """What the server said, whole."""

    __slots__ = ("body", "headers", "status_code")

    def __init__(self, status_code: int, headers: dict[str, str], body: bytes) -> None:
        self.status_code = status_code
        self.headers = headers
        """By name, in lower case."""
        self.body = body

    async def read(self) -> bytes:
        """The body, as aiobotocore asks for it."""
        return self.body


class Connection(asyncio.Protocol):
    """Carries one exchange at a time.

    Whatever cuts an exchange short, cancelling too, ends the connection: the rest of the reply may be under way, and
    would be taken for the next one's. So does a byte that nobody asked for. Faults are the ones that aiobotocore's own
    session makes of the same event, so that the same retries follow.
    """

    __slots__ = (
        *("_body", "_headers", "_heard", "_loop", "_parser", "_silence", "_status", "_timer", "_transport", "_url"),
        *("_waiter", "idle_since", "reusable"),
    )

    def __init__(self, url: str, silence: float) -> None:
        """``url`` is what errors name; ``silence`` is how many seconds the server may send nothing of a reply."""
        self._url = url
        self._silence = silence
        self._loop = asyncio.get_running_loop()
        self._parser = HttpResponseParser(self)
        self._transport: asyncio.Transport | None = None
        self._waiter: asyncio.Future[Reply] | None = None
        # One for many exchanges: it looks whether there is one, and how long that has been silent.
        self._timer: asyncio.TimerHandle | None = None
        self._heard = 0.0
        self._status = 0
        self._headers: dict[str, str] = {}
        self._body: list[bytes] = []
        self.reusable = True
        """Whether another exchange may follow."""
        self.idle_since = self._loop.time()
        """The loop's time at which the last exchange ended."""

    async def exchange(self, request: bytes) -> Reply:
        """Send, and wait for the whole reply. Raises botocore's HTTPClientError or ConnectionError."""
        if self._transport is None:
            raise RuntimeError("not connected")
        self._status, self._heard = 0, self._loop.time()
        self._waiter = self._loop.create_future()
        if self._timer is None:
            self._timer = self._loop.call_later(self._silence, self._check)
        try:
            self._transport.write(request)
            return await self._waiter
        except BaseException:
            self.abort()
            raise
        finally:
            self._waiter = None
            self.idle_since = self._loop.time()

    def abort(self) -> None:
        """Close at once."""
        self.reusable = False
        if self._timer is not None:
            self._timer.cancel()
        if self._transport is not None:
            self._transport.abort()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)

    def data_received(self, data: bytes) -> None:
        self._heard = self._loop.time()
        try:
            self._parser.feed_data(data)
        except (HttpParserError, HttpParserUpgrade) as error:
            self._fail(HTTPClientError(error=error))

    def connection_lost(self, exc: Exception | None) -> None:
        self.reusable = False
        if self._status and exc is None and not {"content-length", "transfer-encoding"} & self._headers.keys():
            self._finish()
        elif isinstance(exc, OSError) and not self._status:
            self._fail(EndpointConnectionError(endpoint_url=self._url, error=exc))
        else:
            self._fail(self._closed(exc))

    def on_message_begin(self) -> None:
        if self._waiter is None or self._waiter.done():
            self.abort()
        self._status, self._headers, self._body = 0, {}, []

    def on_header(self, name: bytes, value: bytes) -> None:
        self._headers[name.decode("latin-1").lower()] = value.decode("latin-1")

    def on_headers_complete(self) -> None:
        self._status = self._parser.get_status_code()

    def on_body(self, body: bytes) -> None:
        self._body.append(body)

    def on_message_complete(self) -> None:
        if self._status >= 200:
            self.reusable = self.reusable and self._parser.should_keep_alive()
            self._finish()

    def _finish(self) -> None:
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(Reply(self._status, self._headers, b"".join(self._body)))

    def _fail(self, error: Exception) -> None:
        self.abort()
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_exception(error)

    def _closed(self, error: Exception | None) -> Exception:
        return ConnectionClosedError(endpoint_url=self._url, error=error)

    def _check(self) -> None:
        self._timer = None
        if self._waiter is None:
            return
        left = self._heard + self._silence - self._loop.time()
        if left > 0:
            self._timer = self._loop.call_later(left, self._check)
        else:
            self._fail(ReadTimeoutError(endpoint_url=self._url, error="silence"))
