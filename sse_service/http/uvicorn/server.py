"""uvicorn's server, whose exit signal first drains."""

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
"""What connections have, after the drain, to take their last bytes."""

KEEP_ALIVE_SECONDS = 75
"""Above an ALB's idle timeout of 60 s, or it sends a request into a connection that is just closing (502)."""


def config(app: Any, *, limit: ConnectionLimit, health: Health, trusted_proxies: Sequence[str] = ()) -> uvicorn.Config:
    """What every server here has in common."""
    return uvicorn.Config(
        app,
        http=partial(HTTPProtocol, limit=limit, health=health),  # type: ignore[arg-type]  # called as the class would be
        ws="none",
        lifespan="off",
        log_config=None,
        # Not left to WEB_CONCURRENCY, which uvicorn would read
        workers=1,
        access_log=False,
        server_header=False,
        proxy_headers=bool(trusted_proxies),
        forwarded_allow_ips=list(trusted_proxies),
        timeout_keep_alive=KEEP_ALIVE_SECONDS,
        timeout_graceful_shutdown=int(CLOSE_SECONDS) + 1,
    )


class _Ending(uvicorn.Server):
    """Ends within a time: connections that do not take their last bytes are cut."""

    close_seconds = CLOSE_SECONDS

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """Close what is left."""
        cut = asyncio.get_running_loop().call_later(self.close_seconds, self._abort_all)
        try:
            await super().shutdown(sockets)
        finally:
            cut.cancel()

    def _abort_all(self) -> None:
        for connection in list(self.server_state.connections):
            connection.transport.abort()


class Server(_Ending):
    """Drains on the first signal, closes at once on the second."""

    def __init__(
        self,
        config: uvicorn.Config,
        *,
        drain: Drain,
        at_once: bool,
        announce: Callable[[], None],
    ) -> None:
        """``at_once`` closes the streams without pacing, whatever the signal; ``announce`` is called once it serves."""
        super().__init__(config)
        self._announce = announce
        self._drain = drain
        self._at_once = at_once
        self._loop: asyncio.AbstractEventLoop | None = None
        self._draining: asyncio.Task[None] | None = None

    async def serve(self, sockets: list[socket.socket] | None = None) -> None:
        """Serve until drained; then abort what is still connected."""
        self._loop = asyncio.get_running_loop()
        await super().serve(sockets)

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Begin to serve, and say so."""
        await super().startup(sockets)
        self._announce()

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        """Begin the drain.

        The signal is not kept as uvicorn would: it raises it again at the end, and the exit status would not be 0.
        """
        if self._loop is None:
            self.should_exit = True
        else:
            # A signal may come between any two instructions, also before the start-up is done.
            self._loop.call_soon_threadsafe(self._begin, self._at_once or sig == signal.SIGINT)

    def _begin(self, hurry: bool) -> None:
        if hurry or self._draining is not None:
            self._drain.hurry()
        if self._draining is None:
            self._draining = asyncio.get_running_loop().create_task(self._end())

    async def _end(self) -> None:
        try:
            await self._drain.run()
        finally:
            self.should_exit = True

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Catch them as uvicorn does; at the end ignore them: what is left takes a second, and the exit status is 0."""
        with super().capture_signals():
            yield
        for number in HANDLED_SIGNALS:
            signal.signal(number, signal.SIG_IGN)


class QuietServer(_Ending):
    """A second server in the process, which leaves the signals to the first (only one may catch them)."""

    close_seconds = 1.0

    def capture_signals(self) -> AbstractContextManager[None]:  # type: ignore[override]  # uvicorn's is a generator
        """Catch none."""
        return contextlib.nullcontext()
