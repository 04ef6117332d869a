"""Follows a user's events, and comes back after every loss of the connection."""

from __future__ import annotations

import asyncio
import contextlib
import io
import json
import os
import random
import stat
import sys
from typing import TYPE_CHECKING, Any

import aiohttp

from sse_service.tail.blocks import Lost, Refused
from sse_service.tail.listeners import LISTENERS, Request, open_session
from sse_service.tail.printer import OutputClosed, Printer

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from sse_service.tail.blocks import Block

MAX_PAUSE_SECONDS = 30.0

SILENCE_SECONDS = 75.0
"""A connection on which nothing has come for this long is dead, unless the service names another time."""

HEARTBEATS = 3
"""A connection on which nothing has come for so many heartbeats is dead."""

NEW_TOKEN_SECONDS = 1.0
"""How long to wait for a new token. Tokens that were issued in the second of a revocation are refused."""


def tail(*, url: str, protocol: str, query: Mapping[str, str], token: Callable[[], str], as_json: bool) -> int:
    """Print events until Ctrl-C. Returns the exit status: 1 if the service refuses the request."""
    if isinstance(sys.stdout, io.TextIOWrapper):
        # An event may have characters that the terminal's encoding has not.
        sys.stdout.reconfigure(errors="backslashreplace")
    printer = Printer(sys.stdout, as_json=as_json, environment=os.environ)
    following = Tail(url=url, protocol=protocol, query=query, token=token, printer=printer, note=_note)
    try:
        asyncio.run(_follow_while_read(following))
    except Refused as refused:
        _note(str(refused))
        return 1
    except OutputClosed as closed:
        # Python would complain when it flushes stdout at the exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        if not isinstance(closed.__cause__, BrokenPipeError):
            _note(f"cannot print: {closed.__cause__}")
            return 1
    return 0


async def _follow_while_read(following: Tail) -> None:
    """Follow until Ctrl-C, or until nobody reads the output any more, although there is nothing to print."""
    running = asyncio.ensure_future(following.run())
    if stat.S_ISFIFO(os.fstat(sys.stdout.fileno()).st_mode):
        # Linux reports on a pipe's writing end that its reader has gone (pipe(7), POLLERR).
        asyncio.get_running_loop().add_reader(sys.stdout.fileno(), running.cancel)
    with contextlib.suppress(asyncio.CancelledError):
        await running


def _note(text: str) -> None:
    try:
        print(f"sse-service: {text}", file=sys.stderr, flush=True)
    except OSError as error:
        raise OutputClosed from error


class Tail:
    """Prints events until it is cancelled or refused."""

    def __init__(
        self,
        *,
        url: str,
        protocol: str,
        query: Mapping[str, str],
        token: Callable[[], str],
        printer: Printer,
        note: Callable[[str], None],
    ) -> None:
        """``token`` is asked before each connection. ``note`` tells the person what happens to the connection."""
        self._url = url
        self._listen = LISTENERS[protocol]
        self._query = {**query, "heartbeat": "event"}
        self._token = token
        self._printer = printer
        self._note = note
        # What the service said of the next connection, in seconds.
        self._retry_seconds: float | None = None
        self._silence_seconds = SILENCE_SECONDS
        self._ready = False
        self._failures = 0

    async def run(self) -> None:
        """Listen again and again. Raises Refused and OutputClosed."""
        async with open_session(self._url) as session:
            while True:
                pause = await self._once(session)
                self._note(f"comes back in {pause:.1f} s")
                await asyncio.sleep(pause)

    async def _once(self, session: aiohttp.ClientSession) -> float:
        """Listen until the connection is lost. Returns how long to wait, in seconds."""
        self._retry_seconds, self._ready = None, False
        try:
            await self._follow(session)
            self._note("the connection has ended")
        except Refused as refused:
            # A poll, unlike a stream, is not told that its token expires. The next connection has a new token, or is
            # refused at once.
            if not self._ready:
                raise
            self._note(str(refused))
            self._retry_seconds = NEW_TOKEN_SECONDS
        except Lost as lost:
            self._note(str(lost))
            self._retry_seconds = lost.retry_seconds
        except aiohttp.ClientError as error:
            self._note(_cause(error))
        except TimeoutError:
            self._note(f"nothing has come for {self._silence_seconds:.0f} s: the connection is dead")
        self._failures += 1
        pause = self._retry_seconds
        if pause is None:
            longest = min(MAX_PAUSE_SECONDS, 0.5 * 2.0 ** min(self._failures, 10))
            pause = random.uniform(0.5, 1) * longest  # noqa: S311  spreads load
        return pause

    async def _follow(self, session: aiohttp.ClientSession) -> None:
        now = asyncio.get_running_loop().time
        request = Request(self._url, self._token(), self._query)
        async with (
            asyncio.timeout(self._silence_seconds) as silence,
            contextlib.aclosing(self._listen(session, request)) as blocks,
        ):
            async for block in blocks:
                self._take(block)
                silence.reschedule(now() + self._silence_seconds)

    def _take(self, block: Block) -> None:
        if block.event == "stream.heartbeat":
            self._silence_seconds = HEARTBEATS * _seconds(block) or SILENCE_SECONDS
            return
        if block.id:
            self._query["lastEventId"] = block.id
        if block.retry_ms is not None:
            self._retry_seconds = block.retry_ms / 1000
        if block.event == "stream.ready":
            self._failures, self._ready = 0, True
        if block.event == "stream.close" and _fields(block).get("reconnect") is False:
            # The next connection has a new token, or is refused with the reason.
            self._retry_seconds = NEW_TOKEN_SECONDS
        self._printer.print(block)


def _cause(error: aiohttp.ClientError) -> str:
    """Say the same for all protocols, which aiohttp does not."""
    if isinstance(error, aiohttp.ClientConnectorCertificateError | aiohttp.ClientConnectorSSLError):
        return f"cannot connect: {error}"
    if isinstance(error, aiohttp.ClientConnectorError):
        # asyncio puts the address into the text of an error. The errors of name servers have no number of the system's.
        number = error.os_error.errno or 0
        why = os.strerror(number).lower() if number > 0 else error.os_error.strerror
        return f"cannot connect to {error.host}:{error.port}: {why}"
    if isinstance(error, aiohttp.ClientPayloadError | aiohttp.ServerDisconnectedError | aiohttp.ClientOSError):
        return "the connection has ended"
    return f"the connection is lost: {error or type(error).__name__}"


def _seconds(block: Block) -> float:
    seconds = _fields(block).get("seconds")
    return float(seconds) if isinstance(seconds, int) and seconds > 0 else 0.0


def _fields(block: Block) -> Mapping[str, Any]:
    try:
        found = json.loads(block.data)
    except ValueError:
        return {}
    return found if isinstance(found, dict) else {}
