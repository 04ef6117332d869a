"""Follows a user's events, and comes back after every loss of the connection."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import random
import stat
import sys
from typing import TYPE_CHECKING

import aiohttp

from sse_service.tail.blocks import Lost, Refused
from sse_service.tail.listeners import LISTENERS, Request
from sse_service.tail.printer import OutputClosed, Printer

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from sse_service.tail.blocks import Block

MAX_PAUSE_SECONDS = 30.0

_SHOWN = ("stream.ready", "stream.gap", "stream.close")


def tail(*, url: str, protocol: str, query: Mapping[str, str], token: Callable[[], str], as_json: bool) -> int:
    """Print events until Ctrl-C. Returns the exit status: 1 if the service refuses the request."""
    printer = Printer(sys.stdout, as_json=as_json, environment=os.environ)
    following = Tail(url=url, protocol=protocol, query=query, token=token, printer=printer, note=_note)
    try:
        asyncio.run(_follow_while_read(following))
    except Refused as refused:
        _note(str(refused))
        return 1
    except OutputClosed:
        # Python would complain when it flushes stdout at the exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
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
    print(f"sse-service: {text}", file=sys.stderr, flush=True)


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
        self._query = dict(query)
        self._token = token
        self._printer = printer
        self._note = note
        # What the service said of the next connection, in seconds.
        self._retry_seconds: float | None = None
        self._failures = 0

    async def run(self) -> None:
        """Listen again and again. Raises Refused."""
        async with aiohttp.ClientSession(trust_env=True) as session:
            while True:
                pause = await self._once(session)
                self._note(f"comes back in {pause:.1f} s")
                await asyncio.sleep(pause)

    async def _once(self, session: aiohttp.ClientSession) -> float:
        """Listen until the connection is lost. Returns how long to wait, in seconds."""
        self._retry_seconds = None
        request = Request(self._url, self._token(), self._query)
        try:
            async for block in self._listen(session, request):
                self._take(block)
            self._note("the connection has ended")
        except Lost as lost:
            self._note(str(lost))
            self._retry_seconds = lost.retry_seconds
        except TimeoutError:
            self._note("nothing has come for too long: the connection is dead")
        except (aiohttp.ClientError, OSError) as error:
            self._note(f"the connection is lost: {error}")
        self._failures += 1
        pause = self._retry_seconds
        if pause is None:
            pause = random.uniform(0.5, 1) * min(MAX_PAUSE_SECONDS, 0.5 * 2.0**self._failures)  # noqa: S311  spreads load
        return pause

    def _take(self, block: Block) -> None:
        if block.id:
            self._query["lastEventId"] = block.id
        if block.retry_ms is not None:
            self._retry_seconds = block.retry_ms / 1000
        if block.event == "stream.ready":
            self._failures = 0
        if block.event == "stream.close" and not json.loads(block.data)["reconnect"]:
            # The next connection has a new token, or is refused with the reason.
            self._retry_seconds = 0
        if block.event in _SHOWN or not block.event.startswith("stream."):
            self._printer.print(block)
