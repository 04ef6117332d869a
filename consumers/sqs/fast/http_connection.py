"""One HTTP/1.1 connection to SQS, for one exchange at a time."""

from __future__ import annotations

import asyncio
from typing import cast

from botocore.exceptions import ConnectionClosedError, EndpointConnectionError, HTTPClientError, ReadTimeoutError
from httptools import HttpParserError, HttpParserUpgrade, HttpResponseParser


class HTTPResponse:
    """A complete response. aiobotocore accepts it as the raw response of its own first attempt."""

    __slots__ = ("body", "headers", "status_code")

    def __init__(self, status_code: int, headers: dict[str, str], body: bytes) -> None:
        self.status_code = status_code
        self.headers = headers
        """Values by lower-case name."""
        self.body = body

    async def read(self) -> bytes:
        """Return the body, for aiobotocore."""
        return self.body


class HTTPConnection(asyncio.Protocol):
    """Carries one exchange at a time, and closes itself whenever its state is in doubt.

    It closes after an incomplete or cancelled exchange: the rest of the response may still arrive, and would be taken
    for the next response. It also closes if a byte arrives while no response is awaited. It raises the same errors as
    aiobotocore's own HTTP session, so the same retries follow.
    """

    __slots__ = (
        *("_body", "_headers", "_last_heard", "_loop", "_parser", "_silence_seconds", "_status", "_timer"),
        *("_transport", "_url", "_waiter", "idle_since", "reusable"),
    )

    def __init__(self, url: str, silence_seconds: float) -> None:
        """Errors contain ``url``. An exchange times out after ``silence_seconds`` without a byte."""
        self._url = url
        self._silence_seconds = silence_seconds
        self._loop = asyncio.get_running_loop()
        self._parser = HttpResponseParser(self)
        self._transport: asyncio.Transport | None = None
        self._waiter: asyncio.Future[HTTPResponse] | None = None
        # One timer serves many exchanges: starting one for each would cost more.
        self._timer: asyncio.TimerHandle | None = None
        self._last_heard = 0.0
        self._status = 0
        self._headers: dict[str, str] = {}
        self._body: list[bytes] = []
        self.reusable = True
        """Whether another exchange may follow."""
        self.idle_since = self._loop.time()
        """When the last exchange ended, by the loop's clock."""

    async def exchange(self, request: bytes) -> HTTPResponse:
        """Send a request and return its response. Raises botocore's HTTPClientError or ConnectionError."""
        if self._transport is None:
            raise RuntimeError("not connected")
        self._status, self._last_heard = 0, self._loop.time()
        self._waiter = self._loop.create_future()
        if self._timer is None:
            self._timer = self._loop.call_later(self._silence_seconds, self._check_silence)
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
        self._last_heard = self._loop.time()
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
            self._fail(ConnectionClosedError(endpoint_url=self._url, error=exc))

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
            self._waiter.set_result(HTTPResponse(self._status, self._headers, b"".join(self._body)))

    def _fail(self, error: Exception) -> None:
        self.abort()
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_exception(error)

    def _check_silence(self) -> None:
        self._timer = None
        if self._waiter is None:
            return
        left = self._last_heard + self._silence_seconds - self._loop.time()
        if left > 0:
            self._timer = self._loop.call_later(left, self._check_silence)
        else:
            self._fail(ReadTimeoutError(endpoint_url=self._url, error="silence"))
