"""uvicorn's server, with a drain before the exit."""

from __future__ import annotations

import asyncio
import contextlib
import signal
import socket
from functools import partial
from typing import TYPE_CHECKING, Any

import uvicorn
from uvicorn.server import HANDLED_SIGNALS

from sse_service.http.uvicorn.protocol import HTTPProtocol

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from contextlib import AbstractContextManager
    from types import FrameType

    from sse_service.http.uvicorn.connection_limit import ConnectionLimit
    from sse_service.streams.drain import Drain
    from sse_service.telemetry.health import Health

CLOSE_SECONDS = 3.0
"""How long clients have to take their last bytes after the drain."""

KEEP_ALIVE_SECONDS = 75
"""More than an ALB's idle timeout of 60 s. Otherwise the ALB may use a connection that is closing, and answer 502."""


def make_config(
    app: Any,
    *,
    limit: ConnectionLimit,
    health: Health,
    trusted_proxies: Sequence[str] = (),
    connection: Callable[..., HTTPProtocol] = HTTPProtocol,
) -> uvicorn.Config:
    """Make the configuration that all servers share. ``connection`` makes the protocol of each connection."""
    return uvicorn.Config(
        app,
        http=partial(connection, limit=limit, health=health),  # type: ignore[arg-type]  # uvicorn expects a class
        ws="none",
        lifespan="off",
        log_config=None,
        # Set here, or uvicorn would read WEB_CONCURRENCY.
        workers=1,
        access_log=False,
        server_header=False,
        proxy_headers=bool(trusted_proxies),
        forwarded_allow_ips=list(trusted_proxies),
        timeout_keep_alive=KEEP_ALIVE_SECONDS,
        timeout_graceful_shutdown=int(CLOSE_SECONDS) + 1,
    )


class _TimedShutdownServer(uvicorn.Server):
    """Shuts down within a time limit: connections that do not take their last bytes are cut."""

    close_seconds = CLOSE_SECONDS

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """Close all connections, and cut those that do not close in time."""
        cut = asyncio.get_running_loop().call_later(self.close_seconds, self._abort_all)
        try:
            await super().shutdown(sockets)
        finally:
            cut.cancel()

    def _abort_all(self) -> None:
        for connection in list(self.server_state.connections):
            connection.transport.abort()


class DrainingServer(_TimedShutdownServer):
    """Drains on the first signal, and closes everything at once on the second."""

    def __init__(
        self,
        config: uvicorn.Config,
        *,
        drain: Drain,
        immediate_drain: bool,
        announce: Callable[[], None],
    ) -> None:
        """``immediate_drain`` closes the streams without pacing. ``announce`` is called when it is listening."""
        super().__init__(config)
        self._announce = announce
        self._drain = drain
        self._immediate_drain = immediate_drain
        self._loop: asyncio.AbstractEventLoop | None = None
        self._draining: asyncio.Task[None] | None = None

    async def serve(self, sockets: list[socket.socket] | None = None) -> None:
        """Serve until a signal has drained the task."""
        self._loop = asyncio.get_running_loop()
        await super().serve(sockets)

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Start listening, then call ``announce``."""
        await super().startup(sockets)
        self._announce()

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        """Begin the drain.

        uvicorn would keep the signal and raise it again at the end, and the exit status would not be 0.
        """
        if self._loop is None:
            self.should_exit = True
        else:
            # A signal can arrive between any two instructions, even before the start-up is done.
            self._loop.call_soon_threadsafe(self._begin, self._immediate_drain or sig == signal.SIGINT)

    def _begin(self, close_now: bool) -> None:
        if close_now or self._draining is not None:
            self._drain.close_now()
        if self._draining is None:
            self._draining = asyncio.get_running_loop().create_task(self._end())

    async def _end(self) -> None:
        try:
            await self._drain.run()
        finally:
            self.should_exit = True

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Catch signals as uvicorn does. Then ignore them: the rest takes a second, and must exit with status 0."""
        with super().capture_signals():
            yield
        for number in HANDLED_SIGNALS:
            signal.signal(number, signal.SIG_IGN)


class SecondaryServer(_TimedShutdownServer):
    """A second server in the same process. It leaves signals to the first one, because only one may catch them."""

    close_seconds = 1.0

    def capture_signals(self) -> AbstractContextManager[None]:  # type: ignore[override]  # uvicorn's is a generator
        """Catch no signals."""
        return contextlib.nullcontext()
